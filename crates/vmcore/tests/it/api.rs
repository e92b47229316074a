//! Every public item that others program against, with its signature: this file compiles, or the interface has changed.

#![allow(
    clippy::type_complexity,
    reason = "signatures are written out as others write them"
)]

use inspect::Inspect;
use mesh_protobuf::DescribedProtobuf;
use mesh_protobuf::MessageDescription;
use mesh_protobuf::Protobuf;
use std::borrow::Cow;
use std::error::Error;
use std::fmt::Debug;
use std::fmt::Display;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use vmcore::device_state::ChangeDeviceState;
use vmcore::event::Event;
use vmcore::guest_memory::MappableGuestMemory;
use vmcore::interrupt::EventProxy;
use vmcore::interrupt::Interrupt;
use vmcore::interrupt::InterruptTarget;
use vmcore::irqfd::IrqFd;
use vmcore::irqfd::IrqFdRoute;
use vmcore::line_interrupt::LineInterrupt;
use vmcore::line_interrupt::LineSet;
use vmcore::line_interrupt::LineSetTarget;
use vmcore::line_interrupt::NewLineError;
use vmcore::line_interrupt::test_helpers::TestLineInterruptTarget;
use vmcore::save_restore::CollectError;
use vmcore::save_restore::NoSavedState;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedStateBlob;
use vmcore::save_restore::SavedStateNotSupported;
use vmcore::save_restore::SavedStateRoot;
use vmcore::save_restore::saved_state_roots;

fn debug<T: Debug>() {}
fn clone<T: Clone>() {}
fn default<T: Default>() {}
fn looks<T: Inspect>() {}
fn send_sync<T: Send + Sync + ?Sized>() {}
fn error<T: Error + Send + Sync + 'static>() {}

#[derive(Default)]
struct Device {
    running: bool,
    control: u32,
}

impl ChangeDeviceState for Device {
    fn start(&mut self) {
        self.running = true;
    }
    async fn stop(&mut self) {
        self.running = false;
    }
    async fn reset(&mut self) {
        self.control = 0;
    }
}

/// Polls a future that is ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    match std::pin::pin!(future).poll(&mut cx) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the test's futures never wait"),
    }
}

#[test]
fn device_state() {
    fn cycle(device: &mut impl ChangeDeviceState) {
        fn send<T: Send>(future: T) -> T {
            future
        }
        device.start();
        now(send(device.stop()));
        now(send(device.reset()));
    }
    let mut device = Device {
        control: 3,
        ..Device::default()
    };
    cycle(&mut device);
    assert_eq!((device.running, device.control), (false, 0));
}

mod state {
    use super::*;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "test.api")]
    pub(super) struct SavedState {
        #[mesh(1)]
        pub(super) control: u32,
    }
}

/// As other code writes it: only the required methods.
impl SaveRestore for Device {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(state::SavedState {
            control: self.control,
        })
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        let state::SavedState { control } = state;
        self.control = control;
        Ok(())
    }
}

/// As other code writes it: by blobs.
struct Blobs(Device);

impl ProtobufSaveRestore for Blobs {
    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        SaveRestore::save(&mut self.0).map(SavedStateBlob::new)
    }
    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError> {
        SaveRestore::restore(&mut self.0, state.parse()?)
    }
}

#[test]
fn save_restore() {
    debug::<SavedStateBlob>();
    fn root<T: SavedStateRoot + DescribedProtobuf + 'static + Send>() {}
    root::<state::SavedState>();
    root::<NoSavedState>();
    root::<SavedStateNotSupported>();
    let _: fn(NoSavedState) -> SavedStateBlob = SavedStateBlob::new;
    let _: fn(&SavedStateBlob) -> Result<NoSavedState, mesh_protobuf::Error> =
        SavedStateBlob::parse;
    let _: Vec<&'static MessageDescription<'static>> = saved_state_roots().collect();
    for name in ["save_restore.NoSavedState", "test.api.SavedState"] {
        assert!(saved_state_roots().any(|root| root.full_name() == name));
    }

    let mut device = Device {
        control: 5,
        ..Device::default()
    };
    let blob = {
        let device: &mut dyn ProtobufSaveRestore = &mut device;
        device.save().unwrap()
    };
    let mut blobs = Blobs(Device::default());
    let object: &mut dyn ProtobufSaveRestore = &mut blobs;
    object.restore(blob).unwrap();
    object.save().unwrap();
    assert_eq!(blobs.0.control, 5);
}

#[test]
fn errors() {
    error::<RestoreError>();
    error::<SaveError>();
    error::<CollectError>();
    let reason = || anyhow::anyhow!("reason");
    let undecodable = mesh_protobuf::decode::<NoSavedState>(&[0xff]).unwrap_err();
    let from: RestoreError = undecodable.into();
    let restore: [RestoreError; 6] = [
        RestoreError::UnknownEntryId("id".to_owned()),
        RestoreError::ChildError("child".to_owned(), Box::new(from)),
        RestoreError::ProtobufDecode(mesh_protobuf::decode::<NoSavedState>(&[0xff]).unwrap_err()),
        RestoreError::SavedStateNotSupported,
        RestoreError::InvalidSavedState(reason()),
        RestoreError::Other(reason()),
    ];
    let sources = restore.each_ref().map(|error| error.source().is_some());
    assert_eq!(sources, [false, true, true, false, true, false]);
    let save: [SaveError; 4] = [
        SaveError::NotSupported,
        SaveError::ChildError("child".to_owned(), Box::new(SaveError::NotSupported)),
        SaveError::Other(reason()),
        SaveError::InvalidChildSavedState(reason()),
    ];
    let sources = save.each_ref().map(|error| error.source().is_some());
    assert_eq!(sources, [false, true, false, true]);
    assert_eq!(restore[5].to_string(), "reason", "transparent");
    let _ = [
        CollectError::MissingResults,
        CollectError::TooManyResults,
        CollectError::BadPayload(mesh_protobuf::decode::<NoSavedState>(&[0xff]).unwrap_err()),
    ];
}

#[derive(Default)]
struct Counter {
    delivered: AtomicUsize,
    asked: AtomicUsize,
}

struct Target(Arc<Counter>);

impl InterruptTarget for Target {
    fn deliver(&self) {
        self.0.delivered.fetch_add(1, Relaxed);
    }
}

struct EventTarget(Arc<Counter>, Arc<Event>);

impl InterruptTarget for EventTarget {
    fn deliver(&self) {
        self.1.signal();
    }
    fn event(&self) -> Option<Arc<Event>> {
        self.0.asked.fetch_add(1, Relaxed);
        Some(self.1.clone())
    }
}

#[test]
fn interrupt() {
    clone::<Interrupt>();
    debug::<Interrupt>();
    default::<Interrupt>();
    send_sync::<Interrupt>();
    send_sync::<dyn InterruptTarget>();
    let _: fn() -> Interrupt = Interrupt::null;
    let _: fn(Event) -> Interrupt = Interrupt::from_event;
    let _: fn(fn()) -> Interrupt = Interrupt::from_fn;
    let _: fn(Target) -> Interrupt = |target| Interrupt::from_target(target);
    let _: fn(&Interrupt) = Interrupt::deliver;
    let _: fn(&Interrupt) -> Option<&Event> = Interrupt::event;
    // No driver is asked for: docs/differences.md.
    let _: fn(&Interrupt) -> io::Result<(Event, Option<EventProxy>)> = Interrupt::event_or_proxy;
    let _: fn(Interrupt) -> io::Result<(EventProxy, Event)> = EventProxy::new;

    let counter = Arc::new(Counter::default());
    let interrupt = Interrupt::from_target(Target(counter.clone()));
    interrupt.deliver();
    interrupt.clone().deliver();
    assert_eq!(counter.delivered.load(Relaxed), 2);
    assert!(interrupt.event().is_none());

    let event = Arc::new(Event::new());
    let interrupt = Interrupt::from_target(EventTarget(counter.clone(), event.clone()));
    for _ in 0..3 {
        assert_eq!(interrupt.event().unwrap().as_raw_fd(), event.as_raw_fd());
    }
    assert_eq!(counter.asked.load(Relaxed), 1, "asked once");
    interrupt.deliver();
    assert!(event.try_wait());
}

/// A hypervisor's side of a route.
#[derive(Default)]
struct Routes(Arc<Mutex<Vec<(u64, u32, Option<u32>)>>>);

struct Route(Event, Arc<Mutex<Vec<(u64, u32, Option<u32>)>>>);

impl IrqFd for Routes {
    fn new_irqfd_route(&self) -> anyhow::Result<Box<dyn IrqFdRoute>> {
        Ok(Box::new(Route(Event::new(), self.0.clone())))
    }
}

impl IrqFdRoute for Route {
    fn event(&self) -> &Event {
        &self.0
    }
    fn enable(&self, address: u64, data: u32, devid: Option<u32>) {
        self.1.lock().unwrap().push((address, data, devid));
    }
    fn disable(&self) {
        self.1.lock().unwrap().clear();
    }
}

/// Memory of a monitor.
struct Memory(Option<(u64, bool)>);

impl MappableGuestMemory for Memory {
    fn map_to_guest(&mut self, gpa: u64, writable: bool) -> io::Result<()> {
        self.0 = Some((gpa, writable));
        Ok(())
    }
    fn unmap_from_guest(&mut self) {
        self.0 = None;
    }
}

#[test]
fn irqfd_and_guest_memory() {
    send_sync::<dyn IrqFd>();
    send_sync::<dyn IrqFdRoute>();
    send_sync::<dyn MappableGuestMemory>();
    let routes = Routes::default();
    let irqfd: &dyn IrqFd = &routes;
    let route = irqfd.new_irqfd_route().unwrap();
    route.enable(0xfee0_0000, 0x41, Some(0x100));
    assert_eq!(
        *routes.0.lock().unwrap(),
        [(0xfee0_0000, 0x41, Some(0x100))]
    );
    route.disable();
    assert!(!route.event().try_wait());
    let mut memory = Memory(None);
    let mapped: &mut dyn MappableGuestMemory = &mut memory;
    mapped.map_to_guest(0x1000, true).unwrap();
    mapped.unmap_from_guest();
    assert_eq!(memory.0, None);
}

#[test]
fn line_interrupt() {
    error::<NewLineError>();
    debug::<LineInterrupt>();
    looks::<LineInterrupt>();
    looks::<LineSet>();
    send_sync::<LineInterrupt>();
    send_sync::<LineSet>();
    send_sync::<dyn LineSetTarget>();
    fn display<T: Display>() {}
    display::<LineInterrupt>();
    let _: fn() -> LineInterrupt = LineInterrupt::detached;
    let _: fn(&'static str, Arc<dyn LineSetTarget>, u32) -> LineInterrupt =
        |label, target, vector| LineInterrupt::new_with_target(label, target, vector);
    let _: fn(&LineInterrupt, Cow<'static, str>) -> Result<LineInterrupt, NewLineError> =
        |line, label| line.new_shared(label);
    let _: fn(&LineInterrupt, bool) = LineInterrupt::set_level;
    let _: fn() -> LineSet = LineSet::new;
    let _: fn(&LineSet, RangeInclusive<u32>, u32, Arc<str>, Arc<dyn LineSetTarget>) =
        |set, range, start, label, target| set.add_target(range, start, label, target);
    let _: fn(&LineSet, u32, String) -> Result<LineInterrupt, NewLineError> =
        |set, vector, label| set.new_line(vector, label);
    let _: fn() -> Arc<TestLineInterruptTarget> = TestLineInterruptTarget::new_arc;
    let _: fn(&TestLineInterruptTarget, u32) -> bool = TestLineInterruptTarget::is_high;
    let _: fn(&TestLineInterruptTarget, &mut Context<'_>, u32) -> Poll<()> =
        TestLineInterruptTarget::poll_high;

    let set = LineSet::new();
    let target = TestLineInterruptTarget::new_arc();
    set.add_target(16..=31, 4, "ioapic", target.clone());
    let line = set.new_line(18, "device").unwrap();
    let shared = line.new_shared("other").unwrap();
    line.set_level(true);
    shared.set_level(true);
    drop(line);
    assert!(target.is_high(6), "one still drives it");
    let late = TestLineInterruptTarget::new_arc();
    set.add_target(0..=18, 0, "late", late.clone());
    assert!(late.is_high(18), "told at once");
    shared.set_level(false);
    assert!(!target.is_high(6));

    let _rest: Vec<_> = (1..16)
        .map(|_| shared.new_shared("rest").unwrap())
        .collect();
    let error = shared.new_shared("one too many").unwrap_err();
    let NewLineError::TooMany(18) = error else {
        unreachable!("of vector 18")
    };
    assert!(error.to_string().contains("18"));
    assert_eq!(
        inspect::inspect("", &LineInterrupt::detached())
            .results()
            .to_string(),
        r#"{debug_label: "detached", is_high: false, targets: {}}"#
    );
}

#[test]
fn lines_come_and_go() {
    let set = LineSet::new();
    let keeper = set.new_line(1, "keeper").unwrap();
    for _ in 0..1000 {
        let line = keeper.new_shared("passing").unwrap();
        line.set_level(true);
    }
    drop(keeper);
    assert_eq!(
        inspect::inspect("lines", &set).results().to_string(),
        "{}",
        "nothing is left of a line that nobody uses"
    );
}
