//! What the PCI Express capability says of errors (PCIe 6.2 sections 7.5.3.3 to 7.5.3.5), and a link that containment holds down.

use super::PciExpressCapability;
use super::machine::Cause;
use crate::spec::caps::pci_express::DeviceCapabilities;
use crate::spec::caps::pci_express::DeviceCapabilities2;
use crate::spec::caps::pci_express::DeviceControl;
use crate::spec::caps::pci_express::DeviceStatus;
use crate::spec::caps::pci_express::PciExpressReg;

/// 512 bytes, in the encoding of Max_Read_Request_Size.
const READ_512: u16 = 0b010;

impl PciExpressCapability {
    /// Says that errors are reported by who is in the best place to, as every function since PCIe 1.1 does (PCIe 6.2 section
    /// 6.2.3.2.4).
    pub fn with_role_based_error_reporting(mut self) -> Self {
        let has =
            DeviceCapabilities::from_bits(self.registers.get(PciExpressReg::DeviceCapabilities));
        self.registers.init(
            PciExpressReg::DeviceCapabilities,
            has.with_role_based_error(true).into_bits(),
        );
        self
    }

    /// Says that Latency Tolerance Reporting messages are understood, or sent (PCIe 6.2 section 7.5.3.15).
    pub fn with_ltr(mut self) -> Self {
        let has =
            DeviceCapabilities2::from_bits(self.registers.get(PciExpressReg::DeviceCapabilities2));
        self.registers.init(
            PciExpressReg::DeviceCapabilities2,
            has.with_ltr_mechanism_supported(true).into_bits(),
        );
        self
    }

    /// Max_Read_Request_Size is 512 bytes after a reset, as PCIe 6.2 section 7.5.3.4 has it for functions that read more than 128 bytes at
    /// a time; without this it is 128.
    pub fn with_read_requests_of_512(mut self) -> Self {
        let control = self.device_control().with_max_read_request_size(READ_512);
        self.registers
            .init(PciExpressReg::DeviceControl, control.into_bits());
        self
    }

    /// Device Control as of now.
    pub fn device_control(&self) -> DeviceControl {
        DeviceControl::from_bits(self.registers.get16(PciExpressReg::DeviceControl))
    }

    /// Device Status as of now.
    pub fn device_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits(self.registers.get16(PciExpressReg::DeviceStatus))
    }

    /// Whether the guest disabled the link.
    pub fn link_disabled(&self) -> bool {
        self.link_control().link_disable()
    }

    /// Sets bits of Device Status; those that are set already stay.
    pub fn record_device_status(&self, detected: DeviceStatus) {
        self.registers
            .update(PciExpressReg::DeviceStatus, |status| {
                status | u32::from(detected.into_bits())
            });
    }

    /// Downstream Port Containment takes the link down, or lets it come up (PCIe 6.2 section 6.2.11). Not a surprise: nobody reports
    /// that the link went down.
    pub fn set_contained(&self, contained: bool) {
        self.act(Cause::Guest, |machine| machine.contained = contained);
    }

    /// As [`Self::set_contained`], of containment that is there from a reset or a restored state: no status bit tells of a change.
    pub fn begin_contained(&self, contained: bool) {
        self.act(Cause::Beginning, |machine| machine.contained = contained);
    }
}
