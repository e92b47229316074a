//! Interrupts: how a device's messages and lines reach the processors.
//!
//! KVM has the interrupt controllers in the kernel. A message goes there by one of two ways: as a system call with address and data, or
//! by an event with a route, which the kernel delivers by itself whoever signals the event. Lines end at the I/O APIC.

use kvm_bindings::KVM_IRQ_ROUTING_IRQCHIP;
use kvm_bindings::KVM_IRQ_ROUTING_MSI;
use kvm_bindings::KVM_IRQCHIP_IOAPIC;
use kvm_bindings::KvmIrqRouting;
use kvm_bindings::kvm_irq_routing_entry;
use kvm_bindings::kvm_irq_routing_irqchip;
use kvm_bindings::kvm_irq_routing_msi;
use kvm_bindings::kvm_irq_routing_msi__bindgen_ty_1;
use kvm_bindings::kvm_msi;
use kvm_ioctls::VmFd;
use parking_lot::Mutex;
use pci_core::msi::SignalMsi;
use std::collections::BTreeMap;
use std::sync::Arc;
use vmcore::event::Event;
use vmcore::irqfd::IrqFd;
use vmcore::irqfd::IrqFdRoute;
use vmcore::line_interrupt::LineInterrupt;
use vmcore::line_interrupt::LineSetTarget;
use vmcore::line_interrupt::NewLineError;

/// Inputs of the I/O APIC. Their interrupt numbers are the same for KVM.
pub(crate) const IOAPIC_PINS: u32 = 24;
/// Where the INTx lines of all root complexes end: the inputs of the I/O APIC that no ISA device has.
pub(crate) const INTX_GSIS: [u32; 4] = [16, 17, 18, 19];
/// Interrupt numbers that KVM has.
const GSI_COUNT: u32 = 4096;

/// Address and data of a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Message {
    address: u64,
    data: u32,
}

/// KVM's routes: one number for each input of the I/O APIC, then one for each message that an event can send.
///
/// KVM takes the table as a whole, so each change hands it all of it.
#[derive(Debug, Default)]
struct RouteTable {
    /// By number; `None` where the number is taken and has no message at the moment.
    messages: BTreeMap<u32, Option<Message>>,
}

impl RouteTable {
    /// Takes the lowest number that is free.
    fn allocate(&mut self) -> Option<u32> {
        let gsi = (IOAPIC_PINS..GSI_COUNT).find(|gsi| !self.messages.contains_key(gsi))?;
        self.messages.insert(gsi, None);
        Some(gsi)
    }

    fn entries(&self) -> Vec<kvm_irq_routing_entry> {
        let pins = (0..IOAPIC_PINS).map(pin_entry);
        let messages = self
            .messages
            .iter()
            .filter_map(|(gsi, message)| Some(message_entry(*gsi, (*message)?)));
        pins.chain(messages).collect()
    }
}

fn pin_entry(pin: u32) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi: pin,
        type_: KVM_IRQ_ROUTING_IRQCHIP,
        ..kvm_irq_routing_entry::default()
    };
    entry.u.irqchip = kvm_irq_routing_irqchip {
        irqchip: KVM_IRQCHIP_IOAPIC,
        pin,
    };
    entry
}

fn message_entry(gsi: u32, message: Message) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi,
        type_: KVM_IRQ_ROUTING_MSI,
        ..kvm_irq_routing_entry::default()
    };
    let (address_lo, address_hi) = halves(message.address);
    entry.u.msi = kvm_irq_routing_msi {
        address_lo,
        address_hi,
        data: message.data,
        __bindgen_anon_1: kvm_irq_routing_msi__bindgen_ty_1::default(),
    };
    entry
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "both halves are cut out on purpose"
)]
fn halves(address: u64) -> (u32, u32) {
    (address as u32, (address >> 32) as u32)
}

/// The interrupt controllers of a virtual machine.
pub(crate) struct Interrupts {
    vm: Arc<VmFd>,
    routes: Mutex<RouteTable>,
}

impl Interrupts {
    /// Routes the I/O APIC's inputs.
    pub(crate) fn new(vm: Arc<VmFd>) -> Result<Arc<Self>, kvm_ioctls::Error> {
        let interrupts = Self {
            vm,
            routes: Mutex::default(),
        };
        interrupts.install(&interrupts.routes.lock())?;
        Ok(Arc::new(interrupts))
    }

    /// An event that pulses an input of the I/O APIC when it is signalled: an edge-triggered interrupt.
    pub(crate) fn edge(&self, pin: u32) -> Result<Event, kvm_ioctls::Error> {
        let event = Event::try_new().map_err(|error| {
            kvm_ioctls::Error::new(error.raw_os_error().unwrap_or(libc::EMFILE))
        })?;
        self.vm.register_irqfd(event.as_event_fd(), pin)?;
        Ok(event)
    }

    fn install(&self, routes: &RouteTable) -> Result<(), kvm_ioctls::Error> {
        let table = KvmIrqRouting::from_entries(&routes.entries())
            .map_err(|_| kvm_ioctls::Error::new(libc::E2BIG))?;
        self.vm.set_gsi_routing(&table)
    }

    /// Gives a number a message, or takes it away.
    fn route(&self, gsi: u32, message: Option<Message>) -> Result<(), kvm_ioctls::Error> {
        let mut routes = self.routes.lock();
        if routes.messages.insert(gsi, message) == Some(message) {
            return Ok(());
        }
        self.install(&routes)
    }
}

impl SignalMsi for Interrupts {
    /// On this machine a message needs no requester ID: there is no interrupt remapping.
    fn signal_msi(&self, _devid: Option<u32>, address: u64, data: u32) {
        let (address_lo, address_hi) = halves(address);
        let message = kvm_msi {
            address_lo,
            address_hi,
            data,
            ..kvm_msi::default()
        };
        // The guest chose the address; one that is no processor's is its own mistake.
        if let Err(error) = self.vm.signal_msi(message) {
            tracelimit::warn_ratelimited!(address, data, %error, "MSI not delivered");
        }
    }
}

impl Interrupts {
    /// The INTx lines of so many root complexes, which share the four inputs.
    pub(crate) fn intx(
        self: &Arc<Self>,
        complexes: usize,
    ) -> Result<Vec<[LineInterrupt; 4]>, NewLineError> {
        let inputs = INTX_GSIS.map(|gsi| LineInterrupt::new_with_target("intx", self.clone(), gsi));
        (0..complexes)
            .map(|_| {
                let [a, b, c, d] = &inputs;
                let shared = |input: &LineInterrupt| input.new_shared("root complex");
                Ok([shared(a)?, shared(b)?, shared(c)?, shared(d)?])
            })
            .collect()
    }
}

impl LineSetTarget for Interrupts {
    fn set_irq(&self, vector: u32, high: bool) {
        if let Err(error) = self.vm.set_irq_line(vector, high) {
            tracelimit::warn_ratelimited!(vector, high, %error, "interrupt line not driven");
        }
    }
}

/// Makes routes for devices that can signal an event instead of sending a message.
pub(crate) struct Routes(pub(crate) Arc<Interrupts>);

impl IrqFd for Routes {
    fn new_irqfd_route(&self) -> anyhow::Result<Box<dyn IrqFdRoute>> {
        let event = Event::try_new()?;
        let gsi = self.0.routes.lock().allocate();
        let gsi =
            gsi.ok_or_else(|| anyhow::anyhow!("all {GSI_COUNT} interrupt routes are in use"))?;
        Ok(Box::new(Route {
            interrupts: self.0.clone(),
            gsi,
            event,
            connected: Mutex::new(false),
        }))
    }
}

/// An event, its number, and whether the kernel listens to it.
struct Route {
    interrupts: Arc<Interrupts>,
    gsi: u32,
    event: Event,
    connected: Mutex<bool>,
}

impl IrqFdRoute for Route {
    fn event(&self) -> &Event {
        &self.event
    }

    fn enable(&self, address: u64, data: u32, _devid: Option<u32>) {
        let mut connected = self.connected.lock();
        let mut result = self
            .interrupts
            .route(self.gsi, Some(Message { address, data }));
        if result.is_ok() && !*connected {
            // The kernel looks at the event at once: what was signalled meanwhile is delivered now.
            result = self
                .interrupts
                .vm
                .register_irqfd(self.event.as_event_fd(), self.gsi);
            *connected = result.is_ok();
        }
        if let Err(error) = result {
            tracelimit::warn_ratelimited!(gsi = self.gsi, %error, "interrupt route not enabled");
        }
    }

    fn disable(&self) {
        let mut connected = self.connected.lock();
        if std::mem::take(&mut *connected) {
            let event = self.event.as_event_fd();
            if let Err(error) = self.interrupts.vm.unregister_irqfd(event, self.gsi) {
                tracelimit::warn_ratelimited!(gsi = self.gsi, %error, "interrupt route not disabled");
            }
        }
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        self.disable();
        let mut routes = self.interrupts.routes.lock();
        routes.messages.remove(&self.gsi);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn is_pin(entry: &kvm_irq_routing_entry) -> bool {
        entry.type_ == KVM_IRQ_ROUTING_IRQCHIP
    }

    #[test]
    fn the_inputs_of_the_ioapic_are_always_in_the_table() {
        let mut table = RouteTable::default();
        let pins = |table: &RouteTable| table.entries().iter().filter(|e| is_pin(e)).count();
        assert_eq!(pins(&table), 24);
        let gsi = table.allocate().unwrap();
        assert_eq!(gsi, 24, "the first number after the inputs");
        assert_eq!(table.entries().len(), 24, "no message yet");
        let message = Message {
            address: 0xfee0_1000,
            data: 0x31,
        };
        table.messages.insert(gsi, Some(message));
        assert_eq!(pins(&table), 24);
        let entries = table.entries();
        let last = entries.last().unwrap();
        assert_eq!((last.gsi, last.type_), (24, KVM_IRQ_ROUTING_MSI));
        // Flags, padding, then address and data, in KVM's words.
        assert_eq!(
            last.as_bytes()[16..28],
            [0xfee0_1000u32, 0, 0x31].map(u32::to_ne_bytes).concat()
        );
    }

    #[test]
    fn numbers_are_given_back_and_run_out() {
        let mut table = RouteTable::default();
        let all: Vec<_> = std::iter::from_fn(|| table.allocate()).collect();
        assert_eq!(all.len(), 4096 - 24);
        table.messages.remove(&100);
        assert_eq!((table.allocate(), table.allocate()), (Some(100), None));
    }

    #[test]
    fn addresses_are_split() {
        assert_eq!(halves(0x1_fee0_1000), (0xfee0_1000, 1));
    }
}
