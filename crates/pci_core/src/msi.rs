//! How message-signalled interrupts leave a function.
//!
//! A monitor makes one [`MsiConnection`] for a function or a port, connects it to its interrupt controller, and hands the
//! [`MsiTarget`] to the device. The target tags each message with the function's requester ID as of when the message is sent, since
//! the guest may renumber buses at any time; an [`MsiRoute`], whose messages the hypervisor sends, is tagged anew when it does.

use crate::bus_range::AssignedBusRange;
use crate::bus_range::BusWatcher;
use parking_lot::Mutex;
use parking_lot::RwLock;
use std::fmt;
use std::sync::Arc;
use vmcore::event::Event;
use vmcore::irqfd::IrqFd;
use vmcore::irqfd::IrqFdRoute;

/// An interrupt controller that takes messages.
///
/// The implementor must not block for long and must not call back into the device: a device may hold its lock.
pub trait SignalMsi: Send + Sync {
    /// Takes one message. `devid` is the requester ID (bus 15:8, device and function 7:0), where known.
    fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32);
}

#[derive(Default)]
struct Sinks {
    signal: Option<Arc<dyn SignalMsi>>,
    irqfd: Option<Arc<dyn IrqFd>>,
}

/// The monitor's end: connects a function's messages to an interrupt controller.
#[derive(Debug)]
pub struct MsiConnection {
    target: MsiTarget,
}

impl MsiConnection {
    /// A connection for function `devfn` of the bus that `bus_range` calls secondary. Until connected, messages are dropped.
    pub fn new(bus_range: AssignedBusRange, devfn: u8) -> Self {
        Self {
            target: MsiTarget {
                sinks: Arc::default(),
                bus_range,
                devfn,
            },
        }
    }

    /// Sends messages to `signal` from now on.
    pub fn connect(&self, signal: Arc<dyn SignalMsi>) {
        self.target.sinks.write().signal = Some(signal);
    }

    /// Takes routes from `irqfd` from now on.
    pub fn connect_irqfd(&self, irqfd: Arc<dyn IrqFd>) {
        self.target.sinks.write().irqfd = Some(irqfd);
    }

    /// The device's end.
    pub fn target(&self) -> &MsiTarget {
        &self.target
    }
}

/// The device's end: sends messages tagged with the function's requester ID.
#[derive(Clone)]
pub struct MsiTarget {
    sinks: Arc<RwLock<Sinks>>,
    bus_range: AssignedBusRange,
    devfn: u8,
}

impl fmt::Debug for MsiTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MsiTarget")
            .field("default_bdf", &format_args!("{:#06x}", self.default_bdf()))
            .finish()
    }
}

impl MsiTarget {
    /// A target that drops every message.
    pub fn disconnected() -> Self {
        MsiConnection::new(AssignedBusRange::new(), 0).target
    }

    /// A target for another function on the same bus, over the same connection.
    pub fn with_devfn(&self, devfn: u8) -> MsiTarget {
        self.with_bus_range(self.bus_range.clone(), devfn)
    }

    /// A target for a function on another bus, over the same connection.
    pub fn with_bus_range(&self, bus_range: AssignedBusRange, devfn: u8) -> MsiTarget {
        MsiTarget {
            sinks: self.sinks.clone(),
            bus_range,
            devfn,
        }
    }

    /// Sends a message from the function itself.
    pub fn signal_msi(&self, address: u64, data: u32) {
        self.send(self.default_bdf(), address, data);
    }

    /// Sends a message from requester `rid`, whose bus must lie in the range; else the message is dropped.
    pub fn signal_msi_with_rid(&self, rid: u16, address: u64, data: u32) {
        if self.allows(rid) {
            self.send(rid.into(), address, data);
        }
    }

    /// An irqfd-backed vector; `None` without an irqfd.
    pub fn new_route(&self) -> Option<anyhow::Result<MsiRoute>> {
        let irqfd = self.sinks.read().irqfd.clone()?;
        Some(irqfd.new_irqfd_route().map(|route| {
            let shared = Arc::new(Route {
                route,
                target: self.clone(),
                message: Mutex::new(None),
            });
            let watcher = Arc::downgrade(&shared);
            self.bus_range.watch(watcher);
            MsiRoute(shared)
        }))
    }

    /// The function's requester ID as of now: secondary bus 15:8, device and function 7:0.
    pub fn default_bdf(&self) -> u32 {
        let (bus, _) = self.bus_range.bus_range();
        (u32::from(bus) << 8) | u32::from(self.devfn)
    }

    /// Whether messages can be sent without a route.
    pub fn supports_direct_msi(&self) -> bool {
        self.sinks.read().signal.is_some()
    }

    fn send(&self, bdf: u32, address: u64, data: u32) {
        // The sink is called without the lock: it may take a while, and may connect another.
        let signal = self.sinks.read().signal.clone();
        match signal {
            Some(signal) => signal.signal_msi(Some(bdf), address, data),
            None => tracelimit::warn_ratelimited!(
                address,
                data,
                "MSI dropped: no interrupt controller connected"
            ),
        }
    }

    fn allows(&self, rid: u16) -> bool {
        let [bus, _] = rid.to_be_bytes();
        let inside = self.bus_range.contains_bus(bus);
        if !inside {
            tracelimit::warn_ratelimited!(rid, range = ?self.bus_range.bus_range(), "MSI dropped: requester outside the bus range");
        }
        inside
    }
}

/// One vector whose messages the hypervisor sends when its event is signalled.
pub struct MsiRoute(Arc<Route>);

struct Route {
    route: Box<dyn IrqFdRoute>,
    target: MsiTarget,
    /// What it sends; none while it is disabled.
    message: Mutex<Option<RoutedMessage>>,
}

#[derive(Copy, Clone)]
struct RoutedMessage {
    address: u64,
    data: u32,
    /// Its sender, where that is not the function itself.
    requester: Option<u16>,
    /// The requester ID that the hypervisor has for it.
    tag: u32,
}

impl Route {
    /// Gives the hypervisor the message, or takes the route from it where the requester is not in the range.
    fn enable(&self, requester: Option<u16>, address: u64, data: u32) {
        let mut message = self.message.lock();
        // Asked under the lock: who changes the numbers now comes after.
        let tag = match requester {
            Some(rid) if !self.target.allows(rid) => {
                *message = None;
                return self.route.disable();
            }
            Some(rid) => rid.into(),
            None => self.target.default_bdf(),
        };
        self.route.enable(address, data, Some(tag));
        *message = Some(RoutedMessage {
            address,
            data,
            requester,
            tag,
        });
    }
}

impl BusWatcher for Route {
    fn renumbered(&self) {
        let mut message = self.message.lock();
        let Some(RoutedMessage {
            address,
            data,
            requester,
            tag,
        }) = &mut *message
        else {
            return;
        };
        if requester.is_some_and(|rid| !self.target.allows(rid)) {
            *message = None;
            return self.route.disable();
        }
        let now = requester.map_or_else(|| self.target.default_bdf(), u32::from);
        if std::mem::replace(tag, now) != now {
            self.route.enable(*address, *data, Some(now));
        }
    }
}

impl MsiRoute {
    /// Signal this to send the message.
    pub fn event(&self) -> &Event {
        self.0.route.event()
    }

    /// Sends `data` to `address` from now on, from the function itself, whatever number its bus has.
    pub fn enable(&self, address: u64, data: u32) {
        self.0.enable(None, address, data);
    }

    /// As [`Self::enable`], from requester `rid`, whose bus must lie in the range; else, or when it does not any more, the route is
    /// disabled.
    pub fn enable_with_rid(&self, rid: u16, address: u64, data: u32) {
        self.0.enable(Some(rid), address, data);
    }

    /// Sends nothing from now on; signals stay pending on the event.
    pub fn disable(&self) {
        *self.0.message.lock() = None;
        self.0.route.disable();
    }

    /// Takes a signal that is pending on the event, if there is one.
    pub fn consume_pending(&self) -> bool {
        self.event().try_wait()
    }
}
