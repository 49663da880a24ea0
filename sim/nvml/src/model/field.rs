//! Values by number (`nvmlDeviceGetFieldValues`).

use nvml_wrapper_sys::bindings::field_id as id;

use super::{Device, whole_u64};
use crate::code::{Answer, Code};

/// A value with the type that NVML gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValue {
    /// `unsigned int`.
    U32(u32),
    /// `unsigned long long`.
    U64(u64),
}

/// A field that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its number (`NVML_FI_DEV_..`).
    pub id: u32,
    /// What of it: for links a link, or all of them.
    pub scope: u32,
}

/// The scope of all links.
const ALL_LINKS: u32 = u32::MAX;

impl Device<'_> {
    /// A field's value now.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`] for what the device does not have and for every other field.
    pub fn field(&self, field: Field) -> Answer<FieldValue> {
        match field.id {
            id::NVML_FI_DEV_ECC_CURRENT => self.ecc_mode().map(|mode| FieldValue::U32(mode.0.into())),
            id::NVML_FI_DEV_ECC_PENDING => self.ecc_mode().map(|mode| FieldValue::U32(mode.1.into())),
            id::NVML_FI_DEV_ECC_SBE_VOL_TOTAL => self.ecc_errors(0, 0).map(FieldValue::U64),
            id::NVML_FI_DEV_ECC_DBE_VOL_TOTAL => self.ecc_errors(1, 0).map(FieldValue::U64),
            id::NVML_FI_DEV_ECC_SBE_AGG_TOTAL => self.ecc_errors(0, 1).map(FieldValue::U64),
            id::NVML_FI_DEV_ECC_DBE_AGG_TOTAL => self.ecc_errors(1, 1).map(FieldValue::U64),
            id::NVML_FI_DEV_PERF_POLICY_POWER => self.violation(0).map(|held| FieldValue::U64(held.0)),
            id::NVML_FI_DEV_PERF_POLICY_THERMAL => self.violation(1).map(|held| FieldValue::U64(held.0)),
            id::NVML_FI_DEV_MEMORY_TEMP => self.memory_temperature_c().map(FieldValue::U32),
            id::NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION | id::NVML_FI_DEV_ENERGY => {
                self.energy_mj().map(FieldValue::U64)
            }
            id::NVML_FI_DEV_NVLINK_LINK_COUNT => {
                let links = u32::try_from(self.nvlink()?.links.len());
                Ok(FieldValue::U32(links.unwrap_or(u32::MAX)))
            }
            id::NVML_FI_DEV_PCIE_REPLAY_COUNTER => self.pcie_replays().map(FieldValue::U32),
            id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX => {
                self.value(self.nvlink()?.tx_kib.as_ref()).and_then(|kib| self.over_links(kib, field.scope))
            }
            id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX => {
                self.value(self.nvlink()?.rx_kib.as_ref()).and_then(|kib| self.over_links(kib, field.scope))
            }
            id::NVML_FI_DEV_NVLINK_GET_STATE => {
                self.nvlink_active(field.scope).map(|active| FieldValue::U32(active.into()))
            }
            id::NVML_FI_DEV_POWER_AVERAGE => self.average_mw().map(FieldValue::U32),
            id::NVML_FI_DEV_POWER_INSTANT => self.instant_mw().map(FieldValue::U32),
            id::NVML_FI_DEV_POWER_CURRENT_LIMIT => self.power_limit_mw().map(FieldValue::U32),
            _ => Err(Code::NOT_SUPPORTED),
        }
    }

    /// What is counted over all links, or an active link's equal part of it.
    fn over_links(&self, total: f64, scope: u32) -> Answer<FieldValue> {
        if scope == ALL_LINKS {
            return Ok(FieldValue::U64(whole_u64(total)));
        }
        if !self.nvlink_active(scope)? {
            return Ok(FieldValue::U64(0));
        }
        let links = (0..u32::MAX).map_while(|link| self.nvlink_active(link).ok());
        let active = links.filter(|active| *active).count();
        Ok(FieldValue::U64(whole_u64(total / active as f64)))
    }
}
