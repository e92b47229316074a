//! The simplest device with registers and interrupts.

use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use inspect::InspectMut;
use pci_bus::GenericPciBusDevice;
use pci_bus::ManagedDevice;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::extended::PciExtendedCapability;
use pci_core::capabilities::extended::fixed::FixedExtendedCapability;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::hwid::ClassCode;
use pci_core::spec::hwid::HardwareIds;
use pci_core::spec::hwid::ProgrammingInterface;
use pci_core::spec::hwid::Subclass;
use reg_table::Reset;
use vmcore::interrupt::Interrupt;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

/// The BAR of the MSI-X table.
const MSIX_BAR: u8 = 0;

/// A single-function endpoint with MSI-X in BAR 0, whose lifecycle is its port's.
#[derive(Inspect)]
pub struct Endpoint {
    config: ConfigSpaceType0Emulator,
    #[inspect(skip)]
    msix: MsixEmulator,
}

impl Endpoint {
    /// Vendor ID.
    pub const VENDOR_ID: u16 = 0x1414;
    /// Device ID: one that no driver knows.
    pub const DEVICE_ID: u16 = 0xc0ff;

    /// An endpoint with `vectors` MSI-X vectors.
    ///
    /// # Panics
    ///
    /// When `vectors` is 0 or above 2048.
    pub fn new(vectors: u16, msi_target: &MsiTarget) -> Self {
        let (msix, capability) = MsixEmulator::new(MSIX_BAR, vectors, msi_target);
        let pcie = PciExpressCapability::new(DevicePortType::Endpoint, None);
        let capabilities: Vec<Box<dyn PciCapability>> = vec![Box::new(pcie), Box::new(capability)];
        let serial = FixedExtendedCapability::device_serial_number(0x0200_00ff_fe00_0001);
        let extended: Vec<Box<dyn PciExtendedCapability>> = vec![Box::new(serial)];
        let ids = HardwareIds {
            vendor_id: Self::VENDOR_ID,
            device_id: Self::DEVICE_ID,
            revision_id: 1,
            prog_if: ProgrammingInterface::NONE,
            sub_class: Subclass::BASE_SYSTEM_PERIPHERAL_OTHER,
            base_class: ClassCode::BASE_SYSTEM_PERIPHERAL,
            type0_sub_vendor_id: Self::VENDOR_ID,
            type0_sub_system_id: 1,
        };
        let bars = DeviceBars::new().bar0(msix.bar_len(), BarMemoryKind::Dummy);
        Self {
            config: ConfigSpaceType0Emulator::new(ids, capabilities, extended, bars),
            msix,
        }
    }

    /// Raises vector `index`; `None` when there is no such vector.
    pub fn interrupt(&self, index: u16) -> Option<Interrupt> {
        self.msix.interrupt(index)
    }

    /// The offset into the table's BAR.
    fn offset(&self, address: u64) -> Option<u64> {
        self.config
            .find_bar(address)
            .filter(|(bar, _)| *bar == MSIX_BAR)
            .map(|(_, offset)| offset)
    }
}

impl GenericPciBusDevice for Endpoint {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        Some(self.config.read_u32(offset, value))
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        Some(self.config.write_u32(offset, value))
    }

    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        Some(
            self.config
                .write_bytes(offset, value, enables)
                .map(|_| ())
                .into(),
        )
    }

    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        Some(self)
    }
}

impl InspectMut for Endpoint {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        self.inspect(req);
    }
}

impl ManagedDevice for Endpoint {
    fn reset(&mut self, kind: Reset) {
        self.config.reset_by(kind);
    }

    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        ProtobufSaveRestore::save(&mut self.config)
    }

    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::check(&self.config, state)
    }

    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::restore(&mut self.config, state)
    }

    fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        let offset = self.offset(address)?;
        Some(match <&mut [u8; 4]>::try_from(data) {
            Ok(data) => {
                *data = self.msix.read_u32(offset).to_le_bytes();
                IoResult::Ok
            }
            Err(_) => IoResult::Err(IoError::InvalidAccessSize),
        })
    }

    fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        let offset = self.offset(address)?;
        Some(match <[u8; 4]>::try_from(data) {
            Ok(data) => {
                self.msix.write_u32(offset, u32::from_le_bytes(data));
                IoResult::Ok
            }
            Err(_) => IoResult::Err(IoError::InvalidAccessSize),
        })
    }
}
