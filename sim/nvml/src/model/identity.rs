//! Names, numbers, addresses, instances.

use nvml_wrapper_sys::bindings as nvml;

use super::Device;
use crate::code::{Answer, Code};
use crate::script::Architecture;

/// An address on the PCI bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the parts of an address")]
pub struct PciAddress {
    pub domain: u32,
    pub bus: u32,
    pub device: u32,
}

/// Reads `00000000:3B:00.0`; the domain may be left out or shorter.
pub fn pci_address(text: &str) -> Option<PciAddress> {
    let (rest, function) = text.rsplit_once('.')?;
    let mut parts: Vec<&str> = rest.split(':').collect();
    if parts.len() == 2 {
        parts.insert(0, "0");
    }
    let &[domain, bus, device] = &parts[..] else { return None };
    let hex = |text, most| u32::from_str_radix(text, 16).ok().filter(|number| *number <= most);
    hex(function, 7)?;
    Some(PciAddress { domain: hex(domain, u32::MAX)?, bus: hex(bus, 0xff)?, device: hex(device, 0x1f)? })
}

impl std::fmt::Display for PciAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { domain, bus, device } = self;
        write!(f, "{domain:08X}:{bus:02X}:{device:02X}.0")
    }
}

impl<'a> Device<'a> {
    /// Product name.
    pub fn name(&self) -> &'a str {
        self.instance.map_or(&self.gpu.name, |instance| &instance.name)
    }

    /// UUID.
    pub fn uuid(&self) -> &'a str {
        self.instance.map_or(&self.gpu.uuid, |instance| &instance.uuid)
    }

    /// Its place among the devices present since NVML was started for the `starts`th time; an instance's place among
    /// its device's.
    ///
    /// # Errors
    /// [`Code::GPU_IS_LOST`] when it is not among them.
    pub fn index(&self, starts: usize) -> Answer<u32> {
        let place = match (self.instance, &self.gpu.mig) {
            (Some(this), Some(mig)) => mig.instances.iter().position(|other| other.uuid == this.uuid),
            _ => self.script.present(starts).iter().position(|gpu| gpu.uuid == self.gpu.uuid),
        };
        place.and_then(|place| u32::try_from(place).ok()).ok_or(Code::GPU_IS_LOST)
    }

    /// Serial number of the board.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn serial(&self) -> Answer<&'a str> {
        self.whole()?;
        self.gpu.serial.as_deref().ok_or(Code::NOT_SUPPORTED)
    }

    /// Number of its device node.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`].
    pub fn minor(&self) -> Answer<u32> {
        self.whole()?;
        Ok(self.gpu.minor.unwrap_or_else(|| self.place()))
    }

    /// Its address.
    pub fn pci(&self) -> PciAddress {
        let own = PciAddress { domain: 0, bus: self.place() + 1, device: 0 };
        self.gpu.pci_bus_id.as_deref().and_then(pci_address).unwrap_or(own)
    }

    /// One of `NVML_DEVICE_ARCH_..`.
    pub fn architecture(&self) -> u32 {
        match self.gpu.architecture {
            Architecture::Pascal => nvml::NVML_DEVICE_ARCH_PASCAL,
            Architecture::Volta => nvml::NVML_DEVICE_ARCH_VOLTA,
            Architecture::Turing => nvml::NVML_DEVICE_ARCH_TURING,
            Architecture::Ga100 | Architecture::Ga10x => nvml::NVML_DEVICE_ARCH_AMPERE,
            Architecture::Ada => nvml::NVML_DEVICE_ARCH_ADA,
            Architecture::Hopper => nvml::NVML_DEVICE_ARCH_HOPPER,
            Architecture::Blackwell => nvml::NVML_DEVICE_ARCH_BLACKWELL,
        }
    }

    /// Whether MIG is on, and whether it will be.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`] on a device that cannot be divided.
    pub fn mig_mode(&self) -> Answer<(bool, bool)> {
        self.whole()?;
        let mig = self.gpu.mig.as_ref().ok_or(Code::NOT_SUPPORTED)?;
        Ok((mig.enabled, mig.pending.unwrap_or(mig.enabled)))
    }

    /// How many instances there may be: none while MIG is off or where there is none.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`] on an instance.
    pub fn max_mig_devices(&self) -> Answer<u32> {
        self.whole()?;
        Ok(self.gpu.mig.as_ref().filter(|mig| mig.enabled).map_or(0, |mig| mig.max))
    }

    /// The UUID of the instance at an index.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`] while MIG is off, [`Code::INVALID_ARGUMENT`] above the maximum,
    /// [`Code::NOT_FOUND`] where there is none.
    pub fn mig_device(&self, index: u32) -> Answer<&'a str> {
        self.whole()?;
        let mig = self.gpu.mig.as_ref().filter(|mig| mig.enabled).ok_or(Code::NOT_SUPPORTED)?;
        if index >= mig.max {
            return Err(Code::INVALID_ARGUMENT);
        }
        mig.instances.get(index as usize).map(|instance| instance.uuid.as_str()).ok_or(Code::NOT_FOUND)
    }

    fn place(&self) -> u32 {
        let place = self.script.devices.iter().position(|gpu| gpu.uuid == self.gpu.uuid);
        place.and_then(|place| u32::try_from(place).ok()).unwrap_or(0)
    }
}
