//! How messages leave: requester IDs, shared connections, routes.

use super::bridge::bridge;
use parking_lot::Mutex;
use pci_core::bus_range::AssignedBusRange;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::msi::MsiConnection;
use pci_core::msi::MsiTarget;
use pci_core::msi::SignalMsi;
use std::sync::Arc;
use vmcore::event::Event;
use vmcore::irqfd::IrqFd;
use vmcore::irqfd::IrqFdRoute;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
    fn push(&self, line: String) {
        self.0.lock().push(line);
    }
}

impl SignalMsi for Log {
    fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32) {
        self.push(format!("{:#06x} {address:#x} {data:#x}", devid.unwrap()));
    }
}

impl IrqFd for Log {
    fn new_irqfd_route(&self) -> anyhow::Result<Box<dyn IrqFdRoute>> {
        if self.0.lock().len() > 7 {
            anyhow::bail!("no route left");
        }
        Ok(Box::new(Route(Event::new(), self.clone())))
    }
}

struct Route(Event, Log);

impl IrqFdRoute for Route {
    fn event(&self) -> &Event {
        &self.0
    }
    fn enable(&self, address: u64, data: u32, devid: Option<u32>) {
        self.1.push(format!(
            "enable {:#06x} {address:#x} {data:#x}",
            devid.unwrap()
        ));
    }
    fn disable(&self) {
        self.1.push("disable".into());
    }
}

fn range(secondary: u8, subordinate: u8) -> AssignedBusRange {
    let range = AssignedBusRange::new();
    range.set_bus_range(secondary, subordinate);
    range
}

#[test]
fn messages_are_tagged_when_they_are_sent() {
    let (log, buses) = (Log::default(), range(2, 4));
    let connection = MsiConnection::new(buses.clone(), 0x18);
    let target = connection.target().clone();
    assert!(!target.supports_direct_msi());
    target.signal_msi(0xfee0_0000, 1);
    connection.connect(Arc::new(log.clone()));
    assert!(target.supports_direct_msi());
    assert_eq!(
        log.take(),
        Vec::<String>::new(),
        "dropped while unconnected"
    );
    target.signal_msi(0xfee0_0000, 2);
    buses.set_bus_range(7, 9);
    target.signal_msi(0xfee0_0000, 3);
    assert_eq!(
        log.take(),
        ["0x0218 0xfee00000 0x2", "0x0718 0xfee00000 0x3"]
    );
    assert_eq!(target.default_bdf(), 0x718);
    assert_eq!(format!("{target:?}"), "MsiTarget { default_bdf: 0x0718 }");
}

#[test]
fn a_requester_must_lie_in_the_range() {
    let log = Log::default();
    let connection = MsiConnection::new(range(2, 4), 0);
    connection.connect(Arc::new(log.clone()));
    for rid in [0x0200, 0x04ff, 0x0310, 0x0500, 0x01ff, 0x0000] {
        connection.target().signal_msi_with_rid(rid, 0x1000, 5);
    }
    assert_eq!(
        log.take(),
        [
            "0x0200 0x1000 0x5",
            "0x04ff 0x1000 0x5",
            "0x0310 0x1000 0x5"
        ]
    );
    MsiTarget::disconnected().signal_msi(0, 0);
}

#[test]
fn derived_targets_share_the_connection_and_not_the_range() {
    let log = Log::default();
    let connection = MsiConnection::new(range(2, 4), 0);
    let sibling = connection.target().with_devfn(9);
    let below = connection.target().with_bus_range(range(6, 6), 1);
    connection.connect(Arc::new(log.clone()));
    sibling.signal_msi(1, 1);
    below.signal_msi(2, 2);
    below.signal_msi_with_rid(0x0200, 3, 3);
    below.signal_msi_with_rid(0x0611, 4, 4);
    assert_eq!(
        log.take(),
        ["0x0209 0x1 0x1", "0x0601 0x2 0x2", "0x0611 0x4 0x4"]
    );
}

#[test]
fn routes_are_tagged_and_checked_alike() {
    let (log, buses) = (Log::default(), range(2, 4));
    let connection = MsiConnection::new(buses.clone(), 8);
    assert!(connection.target().new_route().is_none());
    connection.connect_irqfd(Arc::new(log.clone()));
    let route = connection.target().new_route().unwrap().unwrap();
    route.enable(0x1000, 1);
    buses.set_bus_range(3, 4);
    route.enable(0x1000, 2);
    route.enable_with_rid(0x0400, 0x1000, 3);
    route.enable_with_rid(0x0200, 0x1000, 4);
    route.disable();
    assert_eq!(
        log.take(),
        [
            "enable 0x0208 0x1000 0x1",
            "enable 0x0308 0x1000 0x1",
            "enable 0x0308 0x1000 0x2",
            "enable 0x0400 0x1000 0x3",
            "disable",
            "disable"
        ]
    );
    assert!(!route.consume_pending());
    route.event().signal();
    assert!(route.consume_pending() && !route.consume_pending());
}

#[test]
fn a_refused_route_is_the_callers_to_handle() {
    let log = Log::default();
    (0..8).for_each(|_| log.push(String::new()));
    let connection = MsiConnection::new(AssignedBusRange::new(), 0);
    connection.connect_irqfd(Arc::new(log));
    let error = connection.target().new_route().unwrap().err().unwrap();
    assert_eq!(error.to_string(), "no route left");
}

#[test]
fn a_route_follows_the_bus_that_the_guest_renumbers() {
    let log = Log::default();
    let mut bridge = bridge();
    let connection = MsiConnection::new(bridge.bus_range(), 0x10);
    connection.connect_irqfd(Arc::new(log.clone()));
    let (mut emulator, mut capability) = MsixEmulator::new(0, 2, connection.target());
    for vector in [0, 1] {
        emulator.interrupt(vector).unwrap().event().unwrap();
    }
    log.take();
    bridge.write_u32(0x18, 0x0003_0100).unwrap();
    assert_eq!(log.take(), Vec::<String>::new(), "no vector is live");
    capability.write_u32(0, 0x8000_0000);
    emulator.write_u32(12, 0);
    assert_eq!(log.take().last().unwrap(), "enable 0x0110 0x0 0x0");
    bridge.write_u32(0x18, 0x0006_0400).unwrap();
    assert_eq!(
        log.take(),
        ["enable 0x0410 0x0 0x0"],
        "the live vector only"
    );
    bridge.write_u32(0x18, 0x0009_0400).unwrap();
    bridge.write_u32(0x18, 0x0009_0401).unwrap();
    assert_eq!(log.take(), Vec::<String>::new(), "its bus has its number");
    bridge.reset();
    assert_eq!(log.take(), ["enable 0x0010 0x0 0x0"]);
    drop((emulator, capability));
    log.take();
    bridge.write_u32(0x18, 0x0006_0500).unwrap();
    assert_eq!(log.take(), Vec::<String>::new(), "the function is gone");
}

#[test]
fn a_requester_that_leaves_the_range_loses_its_route() {
    let (log, buses) = (Log::default(), range(2, 4));
    let connection = MsiConnection::new(buses.clone(), 8);
    connection.connect_irqfd(Arc::new(log.clone()));
    let route = connection.target().new_route().unwrap().unwrap();
    route.enable_with_rid(0x0400, 0x1000, 3);
    buses.set_bus_range(3, 4);
    buses.set_bus_range(3, 3);
    buses.set_bus_range(3, 4);
    assert_eq!(log.take(), ["enable 0x0400 0x1000 0x3", "disable"]);
}
