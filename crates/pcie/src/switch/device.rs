//! A switch as a device that a port owns.

use super::GenericPcieSwitch;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use inspect::InspectMut;
use pci_bus::Fabric;
use pci_bus::GenericPciBusDevice;
use pci_bus::HotPlugPort;
use pci_bus::IntxLines;
use pci_bus::LinkEnd;
use pci_bus::ManagedDevice;
use pci_bus::Stimulus;
use pci_bus::StimulusError;
use pci_bus::Upstream;
use pci_core::capabilities::pci_express::LinkRate;
use pci_core::spec::Bdf;
use pci_core::spec::caps::power_management::PowerState;
use pci_core::spec::messages::Message;
use pci_core::spec::messages::MessageKind;
use reg_table::Reset;
use std::sync::Arc;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

/// A switch owned by the port it is attached to.
pub(super) struct SwitchDevice(pub(super) GenericPcieSwitch);

impl GenericPciBusDevice for SwitchDevice {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        Some(self.0.upstream_port.cfg_space.read_u32(offset, value))
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        Some(self.0.write_upstream(offset, value, ByteEnables::ALL))
    }

    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        Some(self.0.write_upstream(offset, value, enables))
    }

    fn pci_cfg_read_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        self.0
            .read_routed(secondary_bus, target_bus, function, offset, value)
    }

    fn pci_cfg_write_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
    ) -> Option<IoResult> {
        self.0.write_routed(
            secondary_bus,
            target_bus,
            function,
            offset,
            value,
            ByteEnables::ALL,
        )
    }

    fn pci_cfg_write_bytes_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        self.0
            .write_routed(secondary_bus, target_bus, function, offset, value, enables)
    }

    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        Some(self)
    }
}

impl InspectMut for SwitchDevice {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        self.0.inspect_mut(req);
    }
}

impl ManagedDevice for SwitchDevice {
    fn reset(&mut self, kind: Reset) {
        self.0.reset_by(kind);
    }

    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        ProtobufSaveRestore::save(&mut self.0)
    }

    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::check(&mut self.0, state)
    }

    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::restore(&mut self.0, state)
    }

    fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        if let Some(result) = self.0.upstream_port.mmio_read(address, data) {
            return Some(result);
        }
        self.0.downstream_ports.mmio_read(address, data)
    }

    fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        if let Some(result) = self.0.upstream_port.mmio_write(address, data) {
            return Some(result);
        }
        self.0.downstream_ports.mmio_write(address, data)
    }

    fn io_read(&mut self, port: u16, data: &mut [u8]) -> Option<IoResult> {
        if let Some(result) = self.0.upstream_port.io_read(port, data) {
            return Some(result);
        }
        self.0.downstream_ports.io_read(port, data)
    }

    fn io_write(&mut self, port: u16, data: &[u8]) -> Option<IoResult> {
        if let Some(result) = self.0.upstream_port.io_write(port, data) {
            return Some(result);
        }
        self.0.downstream_ports.io_write(port, data)
    }

    fn upstream_changed(&mut self, upstream: &Upstream) {
        self.0.set_upstream(upstream);
    }

    fn wire_intx(&mut self, lines: &IntxLines) {
        self.0.wire_intx(lines);
    }

    fn awaits_device(&mut self, bus: u8) -> bool {
        self.0.downstream_ports.request_retry(bus).is_some()
    }

    fn link(&self) -> Option<LinkEnd> {
        let can = self.0.upstream_port.cfg_space.pci_express()?.link_rate();
        Some(LinkEnd {
            speed: can.speed,
            width: can.width,
        })
    }

    fn link_trained(&mut self, LinkEnd { speed, width }: LinkEnd) {
        if let Some(pcie) = self.0.upstream_port.cfg_space.pci_express() {
            pcie.insert_card(LinkRate { speed, width });
        }
    }

    fn port(&mut self, name: &str) -> Option<&mut dyn HotPlugPort> {
        self.0.downstream_ports.find_port(name)
    }

    fn joined(&mut self, fabric: &Fabric, _name: &Arc<str>) {
        self.0.fabric = fabric.clone();
        self.0.downstream_ports.join(fabric);
    }

    fn stimulate(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Result<(), StimulusError> {
        let port = &mut self.0.upstream_port;
        if function != 0 {
            let name = name.to_owned();
            return Err(StimulusError::NoFunction { name, function });
        }
        port.cfg_space.stimulate(name, stimulus)
    }

    fn stimulate_below(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Option<Result<(), StimulusError>> {
        let (bus, _) = self.0.upstream_port.cfg_space.bus_numbers();
        let Self(switch) = self;
        switch
            .downstream_ports
            .stimulate(&switch.fabric, bus, name, function, stimulus)
    }

    fn take_messages(&mut self, bus: u8) -> Vec<Message> {
        let port = &mut self.0.upstream_port;
        let (secondary, _) = port.cfg_space.bus_numbers();
        let below = self.0.downstream_ports.take_messages(secondary);
        // What is held in reset sends nothing; power management events are sent again when it is released.
        let held = port.cfg_space.secondary_bus_reset();
        let awake = port.cfg_space.power_state() == PowerState::D0;
        let mut leaving: Vec<_> = below
            .into_iter()
            .filter(|message| match message.kind {
                _ if held => false,
                // A port that sleeps lets nothing but those through (PCIe 6.2 section 5.3.1.4).
                MessageKind::Error(_) if !awake => false,
                MessageKind::Error(error) => {
                    // Both are asked: a message that stays is noted as received all the same.
                    port.cfg_space.receive_error_message(error)
                        && port.cfg_space.forward_error_message(error)
                }
                MessageKind::Pme => true,
            })
            .collect();
        leaving.extend(port.cfg_space.take_messages(Bdf::from_devfn(bus, 0)));
        leaving
    }

    fn retransmit_pme(&mut self) {
        self.0.upstream_port.cfg_space.retransmit_pme();
        self.0.downstream_ports.retransmit_pme();
    }
}
