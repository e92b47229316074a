//! The table as a driver programs it, and the messages that follow.

use super::*;
use crate::bus_range::AssignedBusRange;
use crate::msi::MsiConnection;
use crate::msi::SignalMsi;
use crate::test_helpers::TestPciInterruptController;
use parking_lot::Mutex;
use vmcore::irqfd::IrqFd;
use vmcore::irqfd::IrqFdRoute;
use vmcore::save_restore::ProtobufSaveRestore;

fn connected(count: u16) -> (MsixEmulator, impl PciCapability, TestPciInterruptController) {
    let controller = TestPciInterruptController::new();
    let connection = MsiConnection::new(AssignedBusRange::new(), 0);
    connection.connect(controller.signal_msi());
    let (emulator, capability) = MsixEmulator::new(2, count, connection.target());
    (emulator, capability, controller)
}

fn program(emulator: &mut MsixEmulator, index: u64, address: u64, data: u32) {
    emulator.write_u32(index * 16, (address & 0xffff_ffff).try_into().unwrap());
    emulator.write_u32(index * 16 + 4, (address >> 32).try_into().unwrap());
    emulator.write_u32(index * 16 + 8, data);
    emulator.write_u32(index * 16 + 12, 0);
}

#[test]
fn the_capability_says_where_things_are() {
    let (emulator, mut capability, _) = connected(64);
    assert_eq!(emulator.bar_len(), 64 * 16 + 8);
    assert_eq!(
        [0, 4, 8].map(|o| capability.read_u32(o)),
        [0x003f_0011, 2, 0x402]
    );
    capability.write_u32(0, u32::MAX);
    capability.write_u32(4, u32::MAX);
    assert_eq!(
        [0, 4, 8].map(|o| capability.read_u32(o)),
        [0xc03f_0011, 2, 0x402]
    );
}

#[test]
fn a_vector_is_sent_when_enabled_and_unmasked_and_pending_until_then() {
    let (mut emulator, mut capability, controller) = connected(3);
    program(&mut emulator, 1, 0x1_fee0_0000, 0x55);
    emulator.interrupt(1).unwrap().deliver();
    assert_eq!(emulator.read_u32(3 * 16), 0x2, "disabled: pending");
    capability.write_u32(0, 0xc000_0000);
    assert_eq!(
        controller.get_next_interrupt(),
        None,
        "the function mask holds it back"
    );
    capability.write_u32(0, 0x8000_0000);
    assert_eq!(controller.get_next_interrupt(), Some((0x1_fee0_0000, 0x55)));
    assert_eq!(emulator.read_u32(3 * 16), 0);
    emulator.write_u32(16 + 12, 1);
    emulator.interrupt(1).unwrap().deliver();
    assert_eq!(emulator.read_u32(3 * 16), 0x2, "masked: pending");
    emulator.write_u32(16 + 12, 0);
    assert_eq!(controller.get_next_interrupt(), Some((0x1_fee0_0000, 0x55)));
    assert!(emulator.interrupt(3).is_none());
}

#[test]
fn the_pending_array_is_read_only_and_covers_all_vectors() {
    let (mut emulator, _capability, _) = connected(40);
    emulator.set_pending_bit(0);
    emulator.set_pending_bit(39);
    emulator.set_pending_bit(40);
    assert_eq!((emulator.read_u32(640), emulator.read_u32(644)), (1, 0x80));
    emulator.write_u32(640, 0);
    assert_eq!(emulator.read_u32(640), 1);
    emulator.clear_pending_bit(0);
    assert_eq!(emulator.read_u32(640), 0);
}

#[test]
fn odd_offsets_do_no_harm() {
    let (mut emulator, _capability, _) = connected(1);
    for offset in [1, 2, 3, 13, 20, 24, u64::MAX, u64::MAX - 3] {
        emulator.write_u32(offset, u32::MAX);
        assert_eq!(emulator.read_u32(offset), 0, "{offset:#x}");
    }
    assert_eq!(emulator.read_u32(12), 1);
    emulator.write_u32(12, 0x456);
    assert_eq!(
        emulator.read_u32(12),
        0x456,
        "reserved bits of vector control are kept"
    );
}

#[test]
fn layouts_are_checked() {
    let layout = MsixLayout::packed(0, 4);
    let error = |layout| MsixEmulator::with_layout(layout, &MsiTarget::disconnected()).err();
    assert_eq!(
        error(MsixLayout { count: 0, ..layout }),
        Some(MsixLayoutError::Count(0))
    );
    assert_eq!(
        error(MsixLayout {
            count: 2049,
            ..layout
        }),
        Some(MsixLayoutError::Count(2049))
    );
    assert_eq!(
        error(MsixLayout { bar: 6, ..layout }),
        Some(MsixLayoutError::Bar(6))
    );
    assert_eq!(
        error(MsixLayout {
            pba_offset: 0x44,
            ..layout
        }),
        Some(MsixLayoutError::Unaligned(0x44))
    );
    assert_eq!(
        error(MsixLayout {
            pba_offset: 0x38,
            ..layout
        }),
        Some(MsixLayoutError::Overlap {
            table: 0,
            pba: 0x38
        })
    );
    let apart = MsixLayout {
        table_offset: 0x2000,
        pba_offset: 0x1000,
        ..layout
    };
    let (emulator, capability) =
        MsixEmulator::with_layout(apart, &MsiTarget::disconnected()).unwrap();
    assert_eq!(
        (capability.read_u32(4), capability.read_u32(8)),
        (0x2000, 0x1000)
    );
    assert_eq!((emulator.read_u32(0x200c), emulator.bar_len()), (1, 0x2040));
}

#[test]
fn restore_re_arms_live_vectors_and_keeps_pending_ones() {
    let (mut emulator, mut capability, _) = connected(2);
    program(&mut emulator, 0, 0xfee0_0000, 7);
    capability.write_u32(0, 0x8000_0000);
    emulator.interrupt(1).unwrap().deliver();
    let saved = ProtobufSaveRestore::save(&mut capability).unwrap();
    let (mut emulator, mut capability, controller) = connected(2);
    ProtobufSaveRestore::restore(&mut capability, saved.clone()).unwrap();
    emulator.interrupt(0).unwrap().deliver();
    assert_eq!(controller.get_next_interrupt(), Some((0xfee0_0000, 7)));
    assert_eq!(emulator.read_u32(32), 2);
    program(&mut emulator, 1, 0xfee0_1000, 8);
    assert_eq!(controller.get_next_interrupt(), Some((0xfee0_1000, 8)));

    let (_, mut smaller, _) = connected(1);
    let error = ProtobufSaveRestore::restore(&mut smaller, saved).unwrap_err();
    assert!(
        format!("{error:?}").contains("2 vectors in the saved state; the function has 1"),
        "{error:?}"
    );
    assert_eq!(
        smaller.read_u32(0),
        0x0000_0011,
        "a refused state changes nothing"
    );
}

#[derive(Clone, Default)]
struct Routes(Arc<Mutex<Vec<String>>>);

struct Route {
    event: Event,
    log: Routes,
}

impl IrqFd for Routes {
    fn new_irqfd_route(&self) -> anyhow::Result<Box<dyn IrqFdRoute>> {
        Ok(Box::new(Route {
            event: Event::new(),
            log: self.clone(),
        }))
    }
}

impl IrqFdRoute for Route {
    fn event(&self) -> &Event {
        &self.event
    }
    fn enable(&self, address: u64, data: u32, devid: Option<u32>) {
        self.log
            .0
            .lock()
            .push(format!("enable {address:#x} {data} {devid:?}"));
    }
    fn disable(&self) {
        self.log.0.lock().push("disable".into());
    }
}

#[test]
fn routes_follow_the_vector() {
    let routes = Routes::default();
    let range = AssignedBusRange::new();
    range.set_bus_range(2, 2);
    let connection = MsiConnection::new(range, 8);
    connection.connect_irqfd(Arc::new(routes.clone()));
    let (mut emulator, mut capability) = MsixEmulator::new(0, 1, connection.target());
    let interrupt = emulator.interrupt(0).unwrap();
    let event = interrupt.event().unwrap();
    capability.write_u32(0, 0x8000_0000);
    program(&mut emulator, 0, 0xfee0_0000, 1);
    emulator.write_u32(8, 2);
    let log = std::mem::take(&mut *routes.0.lock());
    assert_eq!(log.last().unwrap(), "enable 0xfee00000 2 Some(520)");
    emulator.write_u32(12, 1);
    capability.write_u32(0, 0);
    assert_eq!(routes.0.lock().first().unwrap(), "disable");
    event.signal();
    assert_eq!(emulator.read_u32(16), 1, "a signal while masked is pending");
    assert!(!event.try_wait(), "and taken from the event");
}

#[test]
fn a_sink_may_look_at_the_device_it_hears_from() {
    struct Nosy(Mutex<Option<MsixEmulator>>);
    impl SignalMsi for Nosy {
        fn signal_msi(&self, _: Option<u32>, _: u64, _: u32) {
            if let Some(emulator) = &*self.0.lock() {
                emulator.read_u32(0);
            }
        }
    }
    let sink = Arc::new(Nosy(Mutex::new(None)));
    let connection = MsiConnection::new(AssignedBusRange::new(), 0);
    connection.connect(sink.clone());
    let (mut emulator, mut capability) = MsixEmulator::new(0, 1, connection.target());
    *sink.0.lock() = Some(emulator.clone());
    capability.write_u32(0, 0x8000_0000);
    program(&mut emulator, 0, 0, 0);
    emulator.interrupt(0).unwrap().deliver();
}
