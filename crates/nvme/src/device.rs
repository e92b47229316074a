//! The endpoint: configuration space, BAR 0, and its life on the bus.
//!
//! | BAR 0 | what |
//! | --- | --- |
//! | 0x0000 | the controller's registers |
//! | 0x1000 | doorbells, 4 bytes each |
//! | 0x2000 | MSI-X table |
//! | 0x3000 | MSI-X pending bits |
//!
//! Accesses are of 4 or 8 bytes, aligned. What is elsewhere reads zero.

use crate::config::Identity;
use crate::config::NvmeConfig;
use crate::config::NvmeError;
use crate::config::fnv;
use crate::controller::Controller;
use crate::controller::Parts;
use crate::dma::Dma;
use crate::namespace::Namespace;
use crate::spec::registers::DOORBELL_BASE;
use crate::spec::registers::NVME_CONTROLLER;
use crate::spec::registers::NvmeReg;
use crate::storage::Storage;
use crate::worker::Wake;
use crate::worker::Workers;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::mmio::RegisterMmioIntercept;
use chipset_device::pci::ByteEnables;
use pci_bus::Fabric;
use pci_bus::GenericPciBusDevice;
use pci_bus::LinkEnd;
use pci_bus::ManagedDevice;
use pci_bus::Stimulus;
use pci_bus::StimulusError;
use pci_bus::Upstream;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::extended::PciExtendedCapability;
use pci_core::capabilities::extended::aer::AerExtendedCapability;
use pci_core::capabilities::extended::fixed::FixedExtendedCapability;
use pci_core::capabilities::extended::link_speed::link_speed_capabilities;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::capabilities::msix::MsixLayout;
use pci_core::capabilities::pci_express::LinkRate;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::power_management::PowerManagementCapability;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::msi::MsiTarget;
use pci_core::spec::Bdf;
use pci_core::spec::caps::aer::UncorrectableErrors;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::caps::power_management::PowerManagementCapabilities;
use pci_core::spec::hwid::ClassCode;
use pci_core::spec::hwid::HardwareIds;
use pci_core::spec::hwid::ProgrammingInterface;
use pci_core::spec::hwid::Subclass;
use pci_core::spec::messages::Message;
use pcie_topology::Seat;
use reg_table::Reset;
use std::sync::Arc;
use vmcore::doorbell::DoorbellRegistration;
use vmcore::guest_memory::GuestMemory;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

const BAR_LEN: u64 = 0x4000;
const MSIX_TABLE: u32 = 0x2000;
const MSIX_PBA: u32 = 0x3000;

/// An NVMe controller with one namespace, as a device on a bus.
///
/// Its threads carry out commands from when the guest enables it. Dropping it ends them: a command that is being carried out ends, those
/// that were not fetched never are, and guest memory is not touched any more.
pub struct NvmeController {
    pub(crate) cfg_space: ConfigSpaceType0Emulator,
    msix: MsixEmulator,
    pub(crate) controller: Arc<Controller>,
    pub(crate) name: Arc<str>,
    fabric: Fabric,
    /// Last, so that the threads end when nothing else is left to do.
    _workers: Workers,
}

impl NvmeController {
    /// Composes a controller whose namespace is `storage`, and starts its threads.
    ///
    /// `memory` is the guest's, reached while Bus Master Enable of the function and of the bridges above is set. BAR 0 is registered with
    /// `register_mmio`. Interrupts go to `msi_target`.
    ///
    /// # Errors
    ///
    /// - a text, a count or a size of `config` is out of its bounds;
    /// - the storage is not one or more blocks;
    /// - the process has no thread or file descriptor left.
    pub fn new(
        config: &NvmeConfig,
        storage: Box<dyn Storage>,
        memory: Arc<dyn GuestMemory>,
        msi_target: &MsiTarget,
        register_mmio: &mut dyn RegisterMmioIntercept,
    ) -> Result<Self, NvmeError> {
        let block_exponent = config.check()?;
        let (len, block_size) = (storage.len(), config.block_size);
        if len == 0 || !len.is_multiple_of(block_size.into()) {
            return Err(NvmeError::Length { len, block_size });
        }
        let vectors = config.queues + 1;
        let layout = MsixLayout {
            bar: 0,
            count: vectors,
            table_offset: MSIX_TABLE,
            pba_offset: MSIX_PBA,
        };
        let (msix, msix_capability) = MsixEmulator::with_layout(layout, msi_target)?;
        let cfg_space = config_space(config, msix_capability, register_mmio)?;
        let workers = usize::from(config.workers.min(config.queues)) + 1;
        let wakes = std::iter::repeat_with(Wake::new).take(workers);
        let controller = Arc::new(Controller::new(Parts {
            identity: Identity::new(config),
            dma: Dma::new(memory, cfg_space.bus_master()),
            namespace: Namespace::new(storage, block_exponent),
            interrupts: (0..vectors).filter_map(|v| msix.interrupt(v)).collect(),
            wakes: wakes.collect::<Result<_, _>>()?,
        }));
        Ok(Self {
            cfg_space,
            msix,
            _workers: Workers::start(controller.clone(), workers)?,
            controller,
            name: config.name.as_str().into(),
            fabric: Fabric::default(),
        })
    }

    /// Takes doorbells of the guest as events of the hypervisor, from when the guest keeps its doorbells in memory too.
    pub fn with_doorbell_events(self, registration: Arc<dyn DoorbellRegistration>) -> Self {
        self.controller.set_doorbell_registration(registration);
        self
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Learns that the storage has another length now, and tells the guest if it wants to hear of it.
    pub fn rescan(&mut self) {
        self.controller.namespace_changed();
    }

    fn write_config(&mut self, offset: u16, value: u32, enables: ByteEnables) -> IoResult {
        let result = match self.cfg_space.write_bytes(offset, value, enables) {
            Ok(effects) => {
                if effects.command || effects.bars || effects.power_state {
                    self.controller.bar_moved(self.cfg_space.bar_address(0));
                }
                if effects.function_reset {
                    ManagedDevice::reset(self, Reset::FunctionLevel);
                }
                IoResult::Ok
            }
            Err(error) => IoResult::Err(error),
        };
        self.controller.retry_blocked();
        result
    }

    fn read_dword(&self, offset: u64) -> u32 {
        if let Ok(register) = u16::try_from(offset)
            && register < NVME_CONTROLLER.bytes
        {
            return self.controller.registers.read(register);
        }
        if offset >= MSIX_TABLE.into() {
            return self.msix.read_u32(offset);
        }
        0
    }

    fn write_dword(&mut self, offset: u64, value: u32) {
        if let Ok(register) = u16::try_from(offset)
            && register < NVME_CONTROLLER.bytes
        {
            for change in self.controller.registers.write(register, value, u32::MAX) {
                if change.register == NvmeReg::Cc {
                    self.controller.configuration_written(&change);
                }
            }
        } else if offset >= MSIX_TABLE.into() {
            self.msix.write_u32(offset, value);
        } else if offset >= DOORBELL_BASE {
            self.controller.ring(offset, value);
        }
    }
}

fn config_space(
    config: &NvmeConfig,
    msix: impl PciCapability + 'static,
    register_mmio: &mut dyn RegisterMmioIntercept,
) -> Result<ConfigSpaceType0Emulator, NvmeError> {
    let ids = HardwareIds {
        vendor_id: config.vendor_id,
        device_id: config.device_id,
        revision_id: config.revision,
        prog_if: ProgrammingInterface::MASS_STORAGE_CONTROLLER_NON_VOLATILE_MEMORY_NVME,
        sub_class: Subclass::MASS_STORAGE_CONTROLLER_NON_VOLATILE_MEMORY,
        base_class: ClassCode::MASS_STORAGE_CONTROLLER,
        type0_sub_vendor_id: config.subsystem_vendor_id,
        type0_sub_system_id: config.subsystem_id,
    };
    let (port_type, multi_function) = match config.seat {
        Seat::BehindPort => (DevicePortType::Endpoint, false),
        Seat::RootBus { multi_function } => (
            DevicePortType::RootComplexIntegratedEndpoint,
            multi_function,
        ),
    };
    let mut pcie = PciExpressCapability::new(port_type, None)
        .with_function_level_reset()
        .with_read_requests_of_512();
    if let Some(link) = config.link {
        pcie = pcie.with_link(link)?;
    }
    let pcie = pcie.with_standard_registers();
    let link = pcie.link_rate();
    // The controller keeps its state in D3hot, as Linux's driver expects of the NVMe devices it puts there.
    let power = PowerManagementCapability::new(PowerManagementCapabilities::new(), true);
    let serial = config.device_serial_number;
    let serial = serial.unwrap_or_else(|| fnv(config.serial.as_bytes()));
    let region = register_mmio.new_io_region(&format!("{}-bar0", config.name), BAR_LEN);
    let bars = DeviceBars::new().bar0(BAR_LEN, BarMemoryKind::Intercept(region));
    // Only the upper end of a link sees it go down.
    let errors = UncorrectableErrors::from_bits(u32::MAX).with_surprise_down(false);
    let mut extended: Vec<Box<dyn PciExtendedCapability>> = vec![
        Box::new(AerExtendedCapability::new().with_uncorrectable_errors(errors)),
        Box::new(FixedExtendedCapability::device_serial_number(serial)),
    ];
    // An integrated endpoint has no link, and so no speed that asks for anything.
    extended.extend(link_speed_capabilities(port_type, link.speed, link.width));
    let cfg_space = ConfigSpaceType0Emulator::try_new(
        ids,
        vec![Box::new(pcie), Box::new(msix), Box::new(power)],
        extended,
        bars,
    )?;
    Ok(cfg_space
        .with_multi_function_bit(multi_function)
        .with_bus_master_gate()
        .with_standard_header())
}

/// Everything in BAR 0 is made of dwords.
fn check_access(offset: u64, len: usize) -> Result<(), IoError> {
    match len {
        4 | 8 if offset.is_multiple_of(len as u64) => Ok(()),
        4 | 8 => Err(IoError::UnalignedAccess),
        _ => Err(IoError::InvalidAccessSize),
    }
}

impl GenericPciBusDevice for NvmeController {
    #[inline]
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        Some(self.cfg_space.read_u32(offset, value))
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        Some(self.write_config(offset, value, ByteEnables::ALL))
    }

    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        Some(self.write_config(offset, value, enables))
    }

    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        Some(self)
    }
}

impl ManagedDevice for NvmeController {
    fn reset(&mut self, kind: Reset) {
        self.controller.reset(kind);
        self.cfg_space.reset_by(kind);
        self.controller.bar_moved(self.cfg_space.bar_address(0));
    }

    fn upstream_changed(&mut self, upstream: &Upstream) {
        self.cfg_space.set_upstream(upstream);
        self.controller.bar_moved(self.cfg_space.bar_address(0));
        self.controller.retry_blocked();
    }

    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        ProtobufSaveRestore::save(self)
    }

    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::check(self, state)
    }

    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::restore(self, state)
    }

    fn link(&self) -> Option<LinkEnd> {
        let LinkRate { speed, width } = self.cfg_space.pci_express()?.link_rate();
        Some(LinkEnd { speed, width })
    }

    fn link_trained(&mut self, LinkEnd { speed, width }: LinkEnd) {
        if let Some(pcie) = self.cfg_space.pci_express() {
            pcie.insert_card(LinkRate { speed, width });
        }
    }

    fn set_multi_function(&mut self, multi_function: bool) {
        self.cfg_space.set_multi_function_bit(multi_function);
    }

    fn joined(&mut self, fabric: &Fabric, _name: &Arc<str>) {
        self.fabric = fabric.clone();
    }

    fn stimulate(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Result<(), StimulusError> {
        if function != 0 {
            let name = name.to_owned();
            return Err(StimulusError::NoFunction { name, function });
        }
        self.cfg_space.stimulate(name, stimulus)?;
        self.fabric.announce_message();
        Ok(())
    }

    fn take_messages(&mut self, bus: u8) -> Vec<Message> {
        let source = Bdf::from_devfn(bus, 0);
        self.cfg_space.take_messages(source).collect()
    }

    fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        let (_, offset) = self.cfg_space.find_bar(address)?;
        self.controller.retry_blocked();
        if let Err(error) = check_access(offset, data.len()) {
            return Some(IoResult::Err(error));
        }
        for (dword, offset) in data.chunks_mut(4).zip((offset..).step_by(4)) {
            dword.copy_from_slice(&self.read_dword(offset).to_le_bytes());
        }
        Some(IoResult::Ok)
    }

    fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        let (_, offset) = self.cfg_space.find_bar(address)?;
        if let Err(error) = check_access(offset, data.len()) {
            return Some(IoResult::Err(error));
        }
        for (dword, offset) in data.chunks(4).zip((offset..).step_by(4)) {
            if let Some(bytes) = dword.first_chunk() {
                self.write_dword(offset, u32::from_le_bytes(*bytes));
            }
        }
        self.controller.retry_blocked();
        Some(IoResult::Ok)
    }
}
