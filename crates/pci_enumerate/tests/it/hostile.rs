//! Config space that answers anything: enumeration ends, and nothing panics.

use pci_enumerate::{Apertures, Bdf, ConfigAccess, HostBridge, Shortfall, Width, enumerate};
use proptest::prelude::*;

fn host_bridge(last_bus: u8) -> HostBridge {
    let mut host_bridge = HostBridge::new(Apertures {
        buses: 0..=last_bus,
        mmio32: 0xc000_0000..0xfec0_0000,
        mmio64: Some(0x40_0000_0000..0x80_0000_0000),
        io: Some(0x1000..0x1_0000),
    });
    host_bridge.options.ready_attempts = 3;
    host_bridge
}

/// Answers every access with what `answer` makes of its number and place.
struct Noise<F>(F, u64);

impl<F: FnMut(u64, Bdf, u16) -> u32> ConfigAccess for Noise<F> {
    fn read(&mut self, bdf: Bdf, offset: u16, _width: Width) -> u32 {
        self.1 += 1;
        (self.0)(self.1, bdf, offset)
    }

    fn write(&mut self, _bdf: Bdf, _offset: u16, _width: Width, _value: u32) {}
}

fn mix(seed: u64, value: u64) -> u32 {
    let mut x = seed ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ x >> 31) as u32
}

/// Random bytes that hold whatever is written to them, with some functions absent.
struct Soup {
    seed: u64,
    written: std::collections::BTreeMap<(Bdf, u16), u32>,
}

impl Soup {
    fn dword(&self, bdf: Bdf, offset: u16) -> u32 {
        let place = u64::from(bdf.bits()) << 16 | u64::from(offset);
        let random = mix(self.seed, place);
        let dword = match offset {
            0 if random.is_multiple_of(3) => u32::MAX,
            // Bridges and endpoints rather than the 126 header types that do not exist.
            0x0c => random & 0x0081_0000,
            _ => random,
        };
        self.written.get(&(bdf, offset)).copied().unwrap_or(dword)
    }
}

impl ConfigAccess for Soup {
    fn read(&mut self, bdf: Bdf, offset: u16, width: Width) -> u32 {
        self.dword(bdf, offset & !3) >> (8 * (offset & 3)) & width.mask()
    }

    fn write(&mut self, bdf: Bdf, offset: u16, width: Width, value: u32) {
        let shift = 8 * (offset & 3);
        let lanes = width.mask() << shift;
        // Every function has its own idea of which bits it takes.
        let stuck = mix(
            self.seed + 1,
            u64::from(offset) << 16 | u64::from(bdf.bits()),
        ) & 0x0800_0010;
        let lanes = lanes & !stuck;
        let old = self.dword(bdf, offset & !3);
        self.written
            .insert((bdf, offset & !3), old & !lanes | value << shift & lanes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_that_change_all_the_time(seed: u64) {
        let mut noise = Noise(|count, _, _| mix(seed, count), 0);
        enumerate(&mut noise, &host_bridge(2)).unwrap();
    }

    #[test]
    fn random_registers_that_hold_what_is_written(seed: u64) {
        let mut soup = Soup { seed, written: Default::default() };
        let hierarchy = enumerate(&mut soup, &host_bridge(3)).unwrap();
        // Printing has to cope as well.
        prop_assert!(hierarchy.to_string().contains("host bridge"));
    }
}

#[test]
fn the_same_value_everywhere() {
    for value in [
        0,
        1,
        0x0001_0001,
        0x1234_1234,
        0xffff_fffe,
        0x8181_8181,
        0x0606_0606,
    ] {
        let hierarchy = enumerate(&mut Noise(|_, _, _| value, 0), &host_bridge(255)).unwrap();
        assert!(
            hierarchy.last_bus_used == 0,
            "{value:#x} was taken for a bridge"
        );
    }
}

#[test]
fn a_device_that_never_gets_ready_is_asked_a_bounded_number_of_times() {
    let mut noise = Noise(|_, _, _| 0xffff_0001, 0);
    let hierarchy = enumerate(&mut noise, &host_bridge(255)).unwrap();
    assert_eq!(noise.1, 32 * 3);
    assert_eq!(hierarchy.functions, []);
    assert_eq!(hierarchy.shortfalls.len(), 32);
    let first = Bdf::new(0, 0, 0).unwrap();
    let expected = Shortfall::NotReady {
        bdf: first,
        attempts: 3,
    };
    assert_eq!(hierarchy.shortfalls.first(), Some(&expected));
    assert_eq!(
        expected.to_string(),
        "00:00.0: the device was not ready after 3 attempts (Request Retry Status)"
    );
}

/// Every function on every bus is a bridge that holds its bus numbers and has more of the same behind it.
#[derive(Default)]
struct Bridges(std::collections::BTreeMap<(Bdf, u16), u8>);

impl ConfigAccess for Bridges {
    fn read(&mut self, bdf: Bdf, offset: u16, width: Width) -> u32 {
        let byte = |offset| match offset {
            0x00..=0x03 => 0x14,
            0x0e => 0x81,
            0x18..=0x1a => self.0.get(&(bdf, offset)).copied().unwrap_or(0),
            _ => 0,
        };
        let lanes = (offset..offset + width.bytes()).rev();
        lanes.fold(0, |value, offset| value << 8 | u32::from(byte(offset)))
    }

    fn write(&mut self, bdf: Bdf, offset: u16, width: Width, value: u32) {
        for (lane, byte) in (offset..offset + width.bytes()).zip(value.to_le_bytes()) {
            self.0.insert((bdf, lane), byte);
        }
    }
}

#[test]
fn bridges_without_end_stop_at_the_last_bus() {
    let hierarchy = enumerate(&mut Bridges::default(), &host_bridge(255)).unwrap();
    assert_eq!(hierarchy.last_bus_used, 255);
    assert_eq!(hierarchy.iter().count(), 256 * 256);
    let deepest = Bdf::new(255, 0, 0).unwrap();
    assert!(hierarchy.find(deepest).is_some());
    let no_bus = |shortfall: &&Shortfall| matches!(shortfall, Shortfall::NoBus { .. });
    assert_eq!(
        hierarchy.shortfalls.iter().filter(no_bus).count(),
        256 * 256 - 255
    );
}
