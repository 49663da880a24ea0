//! PCIe, NVLink, error correction.

use super::{Device, whole_u32, whole_u64};
use crate::code::{Answer, Code};
use crate::script::{Ecc, NvLink, Pcie};

impl<'a> Device<'a> {
    /// Generation of the link to the host.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn pcie_generation(&self) -> Answer<u32> {
        Ok(whole_u32(self.pcie()?.generation.at(self.second())))
    }

    /// Lanes of the link to the host.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn pcie_width(&self) -> Answer<u32> {
        Ok(whole_u32(self.pcie()?.width.at(self.second())))
    }

    /// Replays so far.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn pcie_replays(&self) -> Answer<u32> {
        Ok(whole_u32(self.pcie()?.replays.at(self.second())))
    }

    /// KB/s sent (0) or received (1).
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`], [`Code::INVALID_ARGUMENT`] for another direction.
    pub fn pcie_throughput(&self, direction: u32) -> Answer<u32> {
        let pcie = self.pcie()?;
        let curve = match direction {
            0 => &pcie.tx_kb_s,
            1 => &pcie.rx_kb_s,
            _ => return Err(Code::INVALID_ARGUMENT),
        };
        self.value(curve.as_ref()).map(whole_u32)
    }

    /// For how long the question after the throughput blocks, ms.
    pub fn pcie_throughput_ms(&self) -> u64 {
        self.gpu.pcie.as_ref().map_or(0, |pcie| pcie.throughput_ms)
    }

    fn pcie(&self) -> Answer<&'a Pcie> {
        self.whole()?;
        self.gpu.pcie.as_ref().ok_or(Code::NOT_SUPPORTED)
    }

    /// Whether a link to another GPU is active.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`] without links, [`Code::INVALID_ARGUMENT`] past the last one.
    pub fn nvlink_active(&self, link: u32) -> Answer<bool> {
        let links = &self.nvlink()?.links;
        let curve = links.get(link as usize).ok_or(Code::INVALID_ARGUMENT)?;
        Ok(curve.at(self.second()) >= 0.5)
    }

    pub(super) fn nvlink(&self) -> Answer<&'a NvLink> {
        self.whole()?;
        self.gpu.nvlink.as_ref().ok_or(Code::NOT_SUPPORTED)
    }

    /// Whether errors are corrected, and whether they will be.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn ecc_mode(&self) -> Answer<(bool, bool)> {
        let ecc = self.ecc()?;
        Ok((ecc.enabled, ecc.pending.unwrap_or(ecc.enabled)))
    }

    /// Errors corrected (0) or not (1), since the driver was loaded (0) or ever (1).
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`] while errors are not corrected, [`Code::INVALID_ARGUMENT`] for other kinds.
    pub fn ecc_errors(&self, kind: u32, counter: u32) -> Answer<u64> {
        let ecc = self.ecc()?;
        let curve = match (kind, counter) {
            (0, 0) => &ecc.corrected_volatile,
            (1, 0) => &ecc.uncorrected_volatile,
            (0, 1) => &ecc.corrected_aggregate,
            (1, 1) => &ecc.uncorrected_aggregate,
            _ => return Err(Code::INVALID_ARGUMENT),
        };
        if !ecc.enabled {
            return Err(Code::NOT_SUPPORTED);
        }
        Ok(whole_u64(curve.at(self.second())))
    }

    fn ecc(&self) -> Answer<&'a Ecc> {
        self.whole()?;
        self.gpu.ecc.as_ref().ok_or(Code::NOT_SUPPORTED)
    }
}
