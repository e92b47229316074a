//! Root complex event collectors (PCIe 6.2 section 1.3.4): where the messages of integrated endpoints end.

use crate::PortError;
use crate::VENDOR_ID;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use inspect::InspectMut;
use pci_bus::Fabric;
use pci_bus::GenericPciBusDevice;
use pci_bus::ManagedDevice;
use pci_bus::Stimulus;
use pci_bus::StimulusError;
use pci_bus::events::EventKind;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::PciExtendedCapability;
use pci_core::capabilities::extended::aer::AerExtendedCapability;
use pci_core::capabilities::extended::fixed::FixedExtendedCapability;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::power_management::PowerManagementCapability;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::msi::MsiTarget;
use pci_core::spec::Bdf;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::caps::power_management::PowerManagementCapabilities;
use pci_core::spec::errors::ErrorMessage;
use pci_core::spec::hwid::ClassCode;
use pci_core::spec::hwid::HardwareIds;
use pci_core::spec::messages::Message;
use pci_core::spec::messages::MessageKind;
use reg_table::Reset;
use std::sync::Arc;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

/// Device ID of an event collector.
const DEVICE_ID: u16 = 0xc033;
/// Sub-class of an event collector, among base system peripherals.
const SUBCLASS: u8 = 0x07;
/// The vector of its interrupt.
const EVENT_VECTOR: u8 = 0;

/// An event collector.
#[derive(Inspect)]
pub(crate) struct EventCollector {
    cfg_space: ConfigSpaceType0Emulator,
    /// The device numbers of the endpoints that are associated, a bit each.
    #[inspect(hex)]
    devices: u32,
    /// Its own device and function number: it hears of its own errors whatever is associated.
    #[inspect(hex)]
    devfn: u8,
    /// System errors that software asked for in Root Control. Nothing but this counter and the log tells of them.
    #[inspect(counter)]
    system_errors: u64,
    /// That of the configuration space.
    #[inspect(skip)]
    msi: MsiCapability,
    #[inspect(skip)]
    fabric: Fabric,
    #[inspect(skip)]
    name: Arc<str>,
}

impl EventCollector {
    /// The collector at `devfn` for the endpoints on its bus whose device numbers are the bits of `devices`.
    pub(crate) fn new(
        name: &str,
        devfn: u8,
        devices: u32,
        multi_function: bool,
        msi_target: &MsiTarget,
    ) -> Result<Self, PortError> {
        let msi = MsiCapability::new(0, true, false, msi_target);
        let mut aer = AerExtendedCapability::new_root(EVENT_VECTOR);
        aer.set_error_interrupt(msi.interrupt().unwrap_or_default());
        let mut pcie = PciExpressCapability::new(DevicePortType::RootComplexEventCollector, None)
            .with_role_based_error_reporting();
        pcie.set_pme_interrupt(msi.interrupt().unwrap_or_default());
        let power = PowerManagementCapability::new(PowerManagementCapabilities::new(), true);
        let capabilities: Vec<Box<dyn PciCapability>> =
            vec![Box::new(pcie), Box::new(msi.clone()), Box::new(power)];
        let extended: Vec<Box<dyn PciExtendedCapability>> = vec![
            Box::new(aer),
            Box::new(FixedExtendedCapability::event_collector(devices)),
        ];
        let ids = HardwareIds {
            vendor_id: VENDOR_ID,
            device_id: DEVICE_ID,
            revision_id: 0,
            prog_if: 0.into(),
            sub_class: SUBCLASS.into(),
            base_class: ClassCode::BASE_SYSTEM_PERIPHERAL,
            type0_sub_vendor_id: 0,
            type0_sub_system_id: 0,
        };
        let cfg_space =
            ConfigSpaceType0Emulator::try_new(ids, capabilities, extended, DeviceBars::new())
                .map_err(|source| PortError::ConfigSpace {
                    port: name.to_owned(),
                    source,
                })?
                .with_multi_function_bit(multi_function)
                .with_bus_master_gate();
        let mut collector = Self {
            cfg_space,
            msi,
            devices,
            devfn,
            system_errors: 0,
            fabric: Fabric::default(),
            name: name.into(),
        };
        collector.begin_messages();
        Ok(collector)
    }

    /// Whether a message of the collector would be lost.
    fn holds_messages(&self) -> bool {
        !(self.msi.enabled() && self.cfg_space.messages_pass())
    }

    /// The guest may have enabled MSI, or may let messages out again: what is pending then interrupts.
    fn follow_messages(&mut self) {
        let held = self.holds_messages();
        if let Some(pcie) = self.cfg_space.pci_express() {
            pcie.set_messages_held(held);
        }
        if let Some(aer) = self.cfg_space.aer_mut() {
            aer.set_messages_held(held);
        }
    }

    /// As [`Self::follow_messages`], after a reset or a restore: nothing interrupts.
    fn begin_messages(&mut self) {
        let held = self.holds_messages();
        if let Some(pcie) = self.cfg_space.pci_express() {
            pcie.assume_messages_held(held);
        }
        if let Some(aer) = self.cfg_space.aer_mut() {
            aer.assume_messages_held(held);
        }
    }

    fn receive(&mut self, message: Message) {
        match message.kind {
            MessageKind::Error(error) => {
                self.raise_system_error(error);
                if let Some(aer) = self.cfg_space.aer_mut() {
                    aer.receive_error_message(error, message.source);
                }
            }
            MessageKind::Pme => {
                if let Some(pcie) = self.cfg_space.pci_express() {
                    pcie.receive_pme(message.source);
                }
            }
        }
    }

    /// There is nobody to raise a system error to, so it is noted.
    fn raise_system_error(&mut self, error: ErrorMessage) {
        let pcie = self.cfg_space.pci_express();
        if pcie.is_some_and(|pcie| pcie.system_error_enabled(error)) {
            self.system_errors += 1;
            let kind = EventKind::SystemError(error);
            self.fabric.events().push(&self.name, None, kind, "");
        }
    }
}

impl GenericPciBusDevice for EventCollector {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        Some(self.cfg_space.read_u32(offset, value))
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        self.pci_cfg_write_bytes(offset, value, ByteEnables::ALL)
    }

    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        let written = self.cfg_space.write_bytes(offset, value, enables);
        self.follow_messages();
        Some(match written {
            Ok(_effects) => IoResult::Ok,
            Err(error) => IoResult::Err(error),
        })
    }

    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        Some(self)
    }
}

impl InspectMut for EventCollector {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        self.inspect(req);
    }
}

impl ManagedDevice for EventCollector {
    fn reset(&mut self, kind: Reset) {
        self.cfg_space.reset_by(kind);
        self.begin_messages();
    }

    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        ProtobufSaveRestore::save(&mut self.cfg_space)
    }

    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::check(&mut self.cfg_space, state)
    }

    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError> {
        let restored = ProtobufSaveRestore::restore(&mut self.cfg_space, state);
        self.begin_messages();
        restored
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

    fn collect_message(&mut self, message: Message) -> bool {
        let devfn = message.source.devfn();
        let associated = devfn == self.devfn || self.devices & (1 << (devfn >> 3)) != 0;
        if associated {
            self.receive(message);
        }
        associated
    }
}
