//! Random hierarchies: whatever is in them, what is programmed is consistent, and running again changes nothing.

use pci_enumerate::{Apertures, HostBridge, Options, Reserve, enumerate};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::invariants::check;
use crate::model::{DOWNSTREAM, Func, Machine, ROOT_PORT, UPSTREAM};

/// A BAR: its kind and the logarithm of its size.
fn bars(function: Func, count: usize, wanted: &[(u8, u32)]) -> Func {
    let mut function = function;
    let mut index = 0;
    for (kind, log) in wanted {
        let wide = matches!(kind, 3 | 4);
        if index + usize::from(wide) >= count {
            break;
        }
        let size = 1 << log;
        function = match kind {
            0 => function.bar_io(index, 1 << (2 + log % 8)),
            1 | 2 => function.bar32(index, size, *kind == 2),
            _ => function.bar64(index, size, *kind == 4),
        };
        index += 1 + usize::from(wide);
    }
    function
}

fn wanted_bars() -> impl Strategy<Value = Vec<(u8, u32)>> {
    vec(
        (0..5_u8, prop_oneof![9 => 4..22_u32, 1 => 22..31_u32]),
        0..5,
    )
}

fn endpoint() -> impl Strategy<Value = Func> {
    (wanted_bars(), any::<bool>(), prop::option::of(11..20_u32)).prop_map(
        |(wanted, express, rom)| {
            let mut function = bars(Func::endpoint(0), 6, &wanted);
            if let Some(log) = rom {
                function = function.rom(1 << log);
            }
            if express {
                function
            } else {
                function.conventional()
            }
        },
    )
}

fn bridge(inside: impl Strategy<Value = Func> + Clone) -> impl Strategy<Value = Func> {
    let port = prop_oneof![Just(ROOT_PORT), Just(UPSTREAM), Just(DOWNSTREAM)];
    let windows = (any::<bool>(), 0..4_u8, any::<bool>());
    (port, windows, wanted_bars(), vec(inside, 0..5)).prop_map(
        |(port, (io, prefetchable, hot_plug), wanted, behind)| {
            let behind = spread(behind);
            let mut bridge = match port {
                ROOT_PORT => Func::slot(0, hot_plug, behind),
                port => Func::bridge(0, port, behind),
            };
            if !io {
                bridge = bridge.without_io_window();
            }
            bridge = match prefetchable {
                0 => bridge.without_prefetchable_window(),
                1 => bridge.prefetchable_window(false),
                _ => bridge,
            };
            bars(bridge, 2, &wanted)
        },
    )
}

/// Functions of as many devices.
fn spread(mut functions: Vec<Func>) -> Vec<Func> {
    for (device, function) in functions.iter_mut().enumerate() {
        function.devfn = (device as u8) << 3;
    }
    functions
}

fn machine() -> impl Strategy<Value = Vec<Func>> {
    let function = endpoint().prop_recursive(6, 60, 5, |inside| bridge(inside.boxed()));
    vec(function, 0..8).prop_map(spread)
}

fn reserve() -> impl Strategy<Value = Reserve> {
    (0..20_u8, 0..9_u64, 0..40_u64, 0..3_u64).prop_map(|(buses, memory, prefetchable, io)| {
        Reserve {
            buses,
            memory: memory << 20,
            prefetchable: prefetchable << 20,
            io: io << 12,
        }
    })
}

fn host_bridge() -> impl Strategy<Value = HostBridge> {
    let apertures = (
        0..64_u8,
        0..0x100_u64,
        prop::option::of(0..0x400_u64),
        prop::option::of(0..16_u64),
    );
    (apertures, 0..4_u8, reserve(), reserve(), any::<bool>()).prop_map(
        |((buses, mmio32, mmio64, io), root_bus, hot_plug, empty_port, relaxed_prefetchable)| {
            HostBridge {
                segment: 0,
                apertures: Apertures {
                    buses: root_bus..=root_bus + buses,
                    mmio32: 0xc010_0000..0xc010_0000 + (mmio32 << 20) + 0x1234,
                    mmio64: mmio64.map(|size| 1 << 32..(1 << 32) + (size << 20)),
                    io: io.map(|size| 0..size << 12),
                },
                options: Options {
                    hot_plug,
                    empty_port,
                    relaxed_prefetchable,
                    ..Options::default()
                },
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_address_is_reachable_and_nothing_overlaps(functions in machine(), host_bridge in host_bridge()) {
        let mut machine = Machine::new(functions);
        machine.root_bus = *host_bridge.apertures.buses.start();
        let hierarchy = enumerate(&mut machine, &host_bridge).unwrap();
        check(&machine, &host_bridge, &hierarchy);
    }

    #[test]
    fn running_twice_gives_the_same(functions in machine(), host_bridge in host_bridge()) {
        let mut machine = Machine::new(functions);
        machine.root_bus = *host_bridge.apertures.buses.start();
        let first = enumerate(&mut machine, &host_bridge).unwrap();
        let programmed = machine.clone();
        let second = enumerate(&mut machine, &host_bridge).unwrap();
        prop_assert_eq!(first, second);
        prop_assert!(machine == programmed);
    }

    #[test]
    fn the_whole_address_space_holds_every_small_bar(functions in machine()) {
        let mut machine = Machine::new(functions);
        let mut host_bridge = HostBridge::new(Apertures {
            buses: 0..=255,
            mmio32: 0x1000..1 << 32,
            mmio64: Some(1 << 32..1 << 40),
            io: Some(0..0x1_0000),
        });
        host_bridge.options.hot_plug = Reserve::NONE;
        let hierarchy = enumerate(&mut machine, &host_bridge).unwrap();
        check(&machine, &host_bridge, &hierarchy);
        // I/O space is small and optional to bridges, and four BARs of 1 GiB are too many below 4 GiB; but large ones
        // give way to small ones.
        let unplaced = hierarchy.iter().flat_map(|f| &f.bars).filter(|bar| bar.address.is_none());
        let small = unplaced.filter(|bar| {
            bar.kind != pci_enumerate::BarKind::Io && bar.size <= 1 << 20
        });
        prop_assert_eq!(small.count(), 0, "{}", hierarchy);
    }
}
