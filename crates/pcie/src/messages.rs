//! Messages on their way up, and the operator's way down: what root complex and switch do alike with the functions of a bus.

use crate::port_set::Occupant;
use crate::port_set::PortSet;
use pci_bus::Acknowledgement;
use pci_bus::Fabric;
use pci_bus::GenericPciBusDevice;
use pci_bus::HotPlugPort;
use pci_bus::SlotGoal;
use pci_bus::Stimulus;
use pci_bus::StimulusError;
use pci_core::spec::Bdf;
use pci_core::spec::messages::Message;

impl PortSet {
    /// Makes all functions, and what is below, part of a fabric.
    pub(crate) fn join(&mut self, fabric: &Fabric) {
        for function in self.functions_mut() {
            match &mut function.occupant {
                Occupant::Port(port) => port.join(fabric),
                Occupant::Integrated { name, device } => {
                    let name = name.clone();
                    if let Some(device) = device.managed() {
                        device.joined(fabric, &name);
                    }
                }
            }
        }
    }

    /// Makes something happen in a function here or below, by name. `bus` is the bus of the functions. `None` if nothing has this name.
    pub(crate) fn stimulate(
        &mut self,
        fabric: &Fabric,
        bus: u8,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Option<Result<(), StimulusError>> {
        for own in self.functions_mut() {
            let devfn = own.devfn;
            let result = match &mut own.occupant {
                Occupant::Port(port) => port.stimulate_named(name, function, stimulus),
                Occupant::Integrated { name: own, device } if **own == *name => {
                    let result = device.managed().map_or_else(
                        || Err(stimulus.refused_by(name)),
                        |device| device.stimulate(name, function, stimulus),
                    );
                    if result.is_ok() {
                        let bdf = Some(Bdf::from_devfn(bus, devfn));
                        fabric.events().push(own, bdf, stimulus.event(), "injected");
                        fabric.announce_message();
                    }
                    Some(result)
                }
                Occupant::Integrated { .. } => None,
            };
            if result.is_some() {
                return result;
            }
        }
        None
    }

    /// The messages that leave the functions upstream. Of a root complex's functions, only integrated endpoints' do.
    pub(crate) fn take_messages(&mut self, bus: u8) -> Vec<Message> {
        let mut messages = Vec::new();
        for function in self.functions_mut() {
            match &mut function.occupant {
                Occupant::Port(port) => messages.extend(port.take_messages()),
                Occupant::Integrated { device, .. } => {
                    if let Some(device) = device.managed() {
                        let devfn = function.devfn;
                        // An endpoint on this bus calls itself function 0: it knows its functions, not its device number.
                        let own = device.take_messages(bus).into_iter();
                        messages.extend(own.map(|message| Message {
                            source: Bdf::from_devfn(bus, devfn | message.source.devfn()),
                            ..message
                        }));
                    }
                }
            }
        }
        messages
    }

    /// The way up is open again: functions and what is below send what may have been lost.
    pub(crate) fn retransmit_pme(&mut self) {
        for (_, port) in self.ports_mut() {
            port.retransmit_pme();
        }
    }

    /// Routes all messages that wait, in a root complex whose own bus is `bus`. Those of root ports end there, those of integrated
    /// endpoints at the event collector that is associated with them; without one, nobody hears them.
    pub(crate) fn route_messages(&mut self, bus: u8) {
        for message in self.take_messages(bus) {
            let mut devices = self.functions_mut().iter_mut().filter_map(integrated);
            devices.any(|device| {
                device
                    .managed()
                    .is_some_and(|device| device.collect_message(message))
            });
        }
    }

    /// The port of this name, here or below, as an operator works it: what the work leads to is routed before the call returns.
    pub(crate) fn operate(
        &mut self,
        fabric: &Fabric,
        bus: u8,
        name: &str,
    ) -> Option<&mut dyn HotPlugPort> {
        let permitted = self.find_port(name)?.removal_permitted();
        self.operated = Operated {
            permitted,
            name: name.into(),
            fabric: fabric.clone(),
            bus,
        };
        Some(self)
    }

    fn work<T>(
        &mut self,
        work: impl FnOnce(&mut dyn HotPlugPort) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Operated {
            name, fabric, bus, ..
        } = self.operated.clone();
        let port = self
            .find_port(&name)
            .ok_or_else(|| anyhow::anyhow!("no port is named '{name}'"))?;
        let result = work(port);
        if fabric.take_announcement() {
            self.route_messages(bus);
        }
        self.operated.permitted = self
            .find_port(&name)
            .is_some_and(|port| port.removal_permitted());
        result
    }
}

fn integrated(function: &mut crate::port_set::Function) -> Option<&mut dyn GenericPciBusDevice> {
    match &mut function.occupant {
        Occupant::Integrated { device, .. } => Some(&mut **device),
        Occupant::Port(_) => None,
    }
}

/// The port that an operator works.
#[derive(Clone, Default)]
pub(crate) struct Operated {
    name: String,
    fabric: Fabric,
    bus: u8,
    /// Whether it permits removal: nothing changes that while it is worked.
    permitted: bool,
}

/// The port that was named to [`PortSet::operate`] last.
impl HotPlugPort for PortSet {
    fn hotplug_add_device(
        &mut self,
        device_name: &str,
        device: Box<dyn GenericPciBusDevice>,
    ) -> anyhow::Result<()> {
        self.work(|port| port.hotplug_add_device(device_name, device))
    }

    fn hotplug_remove_device(&mut self) -> anyhow::Result<()> {
        self.work(|port| port.hotplug_remove_device())
    }

    fn press_attention_button(&mut self) -> anyhow::Result<()> {
        self.work(|port| port.press_attention_button())
    }

    fn request_removal(&mut self) -> anyhow::Result<()> {
        self.work(|port| port.request_removal())
    }

    fn removal_permitted(&self) -> bool {
        self.operated.permitted
    }

    fn acknowledgement(&mut self, goal: SlotGoal) -> anyhow::Result<Acknowledgement> {
        self.work(|port| port.acknowledgement(goal))
    }

    fn begin_removal(&mut self) -> anyhow::Result<Acknowledgement> {
        self.work(|port| port.begin_removal())
    }

    fn set_mrl(&mut self, open: bool) -> anyhow::Result<()> {
        self.work(|port| port.set_mrl(open))
    }

    fn power_fault(&mut self) -> anyhow::Result<()> {
        self.work(|port| port.power_fault())
    }
}
