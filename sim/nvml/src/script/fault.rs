//! What goes wrong, where and when. Pure.

use serde::{Deserialize, Serialize};

use crate::code::Code;

/// Something that goes wrong.
///
/// Without `call` it strikes every call that reads a device; finding and counting devices, starting and stopping go
/// on. Only `gpu_lost` strikes finding the device too, and `driver_unloaded` everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// UUID of the one device, or MIG instance, that it strikes; a device's strikes its instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The one symbol that it strikes, whatever that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The one field that it strikes within `nvmlDeviceGetFieldValues`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<u32>,
    /// Second at which it begins [default: always].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// Second at which it ends [default: never].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// `slow`: how much longer a call takes, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// `code`: what the call returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers that the device does not offer it.
    NotSupported,
    /// Answers that this user may not.
    NoPermission,
    /// Answers that the GPU has fallen off the bus, also to who looks for it.
    GpuLost,
    /// Answers that the GPU must be reset.
    ResetRequired,
    /// The driver goes: every call answers so while it lasts, and afterwards that NVML was not started, until it is.
    DriverUnloaded,
    /// Takes longer.
    Slow,
    /// Does not return while it lasts.
    Hung,
    /// Answers that the caller's buffer is too small.
    InsufficientSize,
    /// Answers `code`.
    Code,
}

/// A call as faults see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Called<'a> {
    /// The symbol.
    pub symbol: &'a str,
    /// The device it is about, if any.
    pub device: Option<&'a str>,
    /// The MIG instance on it.
    pub instance: Option<&'a str>,
    /// Whether it reads the device, rather than finding it.
    pub reads: bool,
}

impl Fault {
    /// A fault of a kind that strikes everything it can, always.
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, device: None, call: None, field: None, from: None, to: None, ms: None, code: None }
    }

    /// Whether it lasts at this second.
    pub fn lasts(&self, second: f64) -> bool {
        self.from.is_none_or(|from| from <= second) && self.to.is_none_or(|to| second < to)
    }

    /// Whether it strikes this call at this second.
    pub fn strikes(&self, called: Called<'_>, second: f64) -> bool {
        let named = |uuid: &str| called.device == Some(uuid) || called.instance == Some(uuid);
        let here = match &self.call {
            Some(call) => call == called.symbol,
            None => called.reads || (self.kind == FaultKind::GpuLost && called.device.is_some()),
        };
        here && self.field.is_none() && self.lasts(second) && self.device.as_deref().is_none_or(named)
    }

    /// Whether it strikes one field of a call that goes well otherwise.
    pub fn strikes_field(&self, called: Called<'_>, field: u32, second: f64) -> bool {
        self.field == Some(field) && Self { field: None, ..self.clone() }.strikes(called, second)
    }

    /// What a struck call returns; `None` when it is only late.
    pub fn answer(&self) -> Option<Code> {
        match self.kind {
            FaultKind::NotSupported => Some(Code::NOT_SUPPORTED),
            FaultKind::NoPermission => Some(Code::NO_PERMISSION),
            FaultKind::GpuLost => Some(Code::GPU_IS_LOST),
            FaultKind::ResetRequired => Some(Code::RESET_REQUIRED),
            FaultKind::DriverUnloaded => Some(Code::DRIVER_NOT_LOADED),
            FaultKind::InsufficientSize => Some(Code::INSUFFICIENT_SIZE),
            FaultKind::Code => Some(self.code.map_or(Code::UNKNOWN, Code)),
            FaultKind::Slow | FaultKind::Hung => None,
        }
    }
}
