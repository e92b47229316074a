//! Random writes to windows, BARs and enable bits three bridges deep, against a model that asks of every page and port whether each
//! bridge forwards it.

use crate::routing::BRIDGES;
use crate::routing::Chain;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use vmcore::save_restore::ProtobufSaveRestore;

#[derive(Clone, Debug)]
enum Op {
    /// Writes a register of a bridge.
    Bridge(usize, u64, u32),
    /// Writes a register of the card.
    Card(u64, u32),
    /// Holds a bridge's secondary bus in reset, and lets go.
    BusReset(usize),
    /// Saves, resets and restores everything.
    Restore,
}

fn command() -> impl Strategy<Value = u32> {
    prop_oneof![9 => Just(7u32), 1 => 0..8u32]
}

/// Base and limit of a window of up to 4 MiB, mostly all of it.
fn window(at: u32) -> impl Strategy<Value = u32> {
    let base = prop_oneof![4 => Just(0), 1 => 0..4u32];
    let limit = prop_oneof![4 => Just(3), 1 => 0..4u32];
    (base, limit).prop_map(move |(base, limit)| (at + 0x10 * base) | (at + 0x10 * limit) << 16)
}

fn bridge_write() -> impl Strategy<Value = (u64, u32)> {
    prop_oneof![
        3 => command().prop_map(|command| (0x04, command)),
        3 => window(0x8000).prop_map(|window| (0x20, window)),
        2 => window(0x8020).prop_map(|window| (0x24, window)),
        1 => (0..2u32).prop_map(|upper| (0x28, upper)),
        1 => (0..2u32).prop_map(|upper| (0x2c, upper)),
        2 => Just((0x1c, 0x6050)),
        1 => (5..7u32, 5..7u32).prop_map(|(base, limit)| (0x1c, base << 4 | limit << 12)),
        1 => prop_oneof![3 => Just(0), 1 => 0..4u32].prop_map(|control| (0x3c, control << 18)),
        4 => own_bar_write(),
    ]
}

/// Where a bridge has BARs and an expansion ROM of its own; each kind of bridge has others.
fn own_bar_write() -> impl Strategy<Value = (u64, u32)> {
    let memory = (0..0x60u32).prop_map(|n| 0x8000_0000 + n * 0x1_0000);
    let io = (0..0x100u32).prop_map(|n| 0x4f00 + n * 0x20);
    prop_oneof![
        2 => memory.clone().prop_map(|at| (0x10, at)),
        2 => memory.clone().prop_map(|at| (0x14, at)),
        1 => (0..2u32).prop_map(|upper| (0x14, upper)),
        1 => io.clone().prop_map(|at| (0x10, at)),
        1 => io.prop_map(|at| (0x14, at)),
        3 => (memory, 0..2u32).prop_map(|(at, enable)| (0x38, at | enable)),
    ]
}

fn card_write() -> impl Strategy<Value = (u64, u32)> {
    let memory = (0..0x60u32).prop_map(|n| 0x8000_0000 + n * 0x1_0000);
    prop_oneof![
        2 => command().prop_map(|command| (0x04, command)),
        2 => memory.clone().prop_map(|at| (0x10, at)),
        2 => memory.clone().prop_map(|at| (0x14, at)),
        2 => memory.clone().prop_map(|at| (0x18, at)),
        1 => (0..2u32).prop_map(|upper| (0x1c, upper)),
        2 => (0..0x100u32).prop_map(|n| (0x20, 0x4f00 + n * 0x20)),
        2 => (memory, 0..2u32).prop_map(|(at, enable)| (0x30, at | enable)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        80 => (0..3usize, bridge_write()).prop_map(|(i, (at, value))| Op::Bridge(i, at, value)),
        60 => card_write().prop_map(|(at, value)| Op::Card(at, value)),
        1 => (0..3usize).prop_map(Op::BusReset),
        2 => Just(Op::Restore),
    ]
}

/// What a bridge's registers say.
struct Bridge([u32; 16]);

impl Bridge {
    fn forwards_memory(&self, address: u64) -> bool {
        let r = &self.0;
        let (base, limit) = (
            u64::from(r[8] & 0xfff0) << 16,
            u64::from(r[8] >> 20) << 20 | 0xf_ffff,
        );
        let upper = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low) << 20;
        let (wide_base, wide_limit) = (
            upper(r[9] >> 4 & 0xfff, r[10]),
            upper(r[9] >> 20, r[11]) | 0xf_ffff,
        );
        r[1] & 2 != 0
            && ((base <= address && address <= limit)
                || (wide_base <= address && address <= wide_limit)
                || (r[15] >> 16 & 8 != 0 && (0xa_0000..0xc_0000).contains(&address)))
    }

    fn forwards_port(&self, port: u64) -> bool {
        let r = &self.0;
        let (base, limit) = (
            u64::from(r[7] >> 4 & 0xf) << 12,
            u64::from(r[7] >> 12 & 0xf) << 12 | 0xfff,
        );
        let isa = r[15] >> 16 & 4 != 0 && port & 0x300 != 0;
        let alias = port & 0x3ff;
        let vga = r[15] >> 16 & 8 != 0
            && ((0x3b0..0x3bc).contains(&alias) || (0x3c0..0x3e0).contains(&alias));
        r[1] & 1 != 0 && ((base <= port && port <= limit && !isa) || vga)
    }
}

/// Every register of the header of a function.
fn header(chain: &mut Chain, name: &str) -> [u32; 16] {
    std::array::from_fn(|i| chain.machine.config(name, 0, 4 * i as u64))
}

/// Everything in the hierarchy that answers an address.
const TARGETS: [Target; 12] = {
    use Space::*;
    [
        Target("card", "card.0-bar0", Memory, 4, 0x2000),
        Target("card", "card.0-bar1", Memory, 5, 0x10_0000),
        Target("card", "card.0-bar2", Memory64, 6, 0x1_0000),
        Target("card", "card.0-bar4", Io, 8, 32),
        Target("card", "card.0-rom", Rom, 12, 0x1_0000),
        Target("rp0", "rp0-bar0", Memory, 4, 0x2000),
        Target("rp0", "rp0-bar1", Io, 5, 16),
        Target("rp0", "rp0-rom", Rom, 14, 0x1_0000),
        Target("sw0", "sw0-bar0", Memory64, 4, 0x1_0000),
        Target("sw0", "sw0-rom", Rom, 14, 0x1000),
        Target("dsp0", "dsp0-bar0", Io, 4, 32),
        Target("dsp0", "dsp0-bar1", Memory, 5, 0x10_0000),
    ]
};

/// A function's BAR or expansion ROM: its region's name, its register, its size.
struct Target(&'static str, &'static str, Space, usize, u64);

enum Space {
    Memory,
    Memory64,
    Io,
    Rom,
}

impl Target {
    /// Bridges above it.
    fn above(&self) -> usize {
        let place = BRIDGES.iter().position(|bridge| *bridge == self.0);
        place.unwrap_or(BRIDGES.len())
    }
}

type Places = [Option<u64>; TARGETS.len()];

/// Where each BAR and ROM ought to be.
fn expected(chain: &mut Chain) -> Places {
    let bridges = BRIDGES.map(|bridge| Bridge(header(chain, bridge)));
    TARGETS.each_ref().map(|target| {
        let Target(name, _, space, register, len) = target;
        let own = header(chain, name);
        let above = &bridges[..target.above()];
        let value = own[*register];
        let at = match space {
            Space::Memory => u64::from(value & !0xf),
            Space::Memory64 => u64::from(own[register + 1]) << 32 | u64::from(value & !0xf),
            Space::Io => u64::from(value & !3),
            Space::Rom => u64::from(value & !0x7ff),
        };
        let answers = match space {
            Space::Io => {
                let reaches = |port| above.iter().all(|bridge| bridge.forwards_port(port));
                own[1] & 1 != 0 && at + len <= 0x1_0000 && (at..at + len).all(reaches)
            }
            _ => {
                let reaches = |page| above.iter().all(|bridge| bridge.forwards_memory(page));
                own[1] & 2 != 0 && (at..at + len).step_by(0x1000).all(reaches)
            }
        };
        let enabled = !matches!(space, Space::Rom) || value & 1 != 0;
        (answers && enabled).then_some(at)
    })
}

fn actual(chain: &Chain) -> Places {
    TARGETS
        .each_ref()
        .map(|Target(_, region, space, ..)| match space {
            Space::Io => chain.ports.port(region).map(u64::from),
            _ => chain.memory.region(region).unwrap().address,
        })
}

fn run(chain: &mut Chain, op: &Op) {
    match op {
        Op::Bridge(i, at, value) if *at == 0x1c => {
            // The upper half is Secondary Status.
            let bytes = &value.to_le_bytes()[..2];
            chain.machine.set_config(BRIDGES[*i], 0, *at, bytes);
        }
        Op::Bridge(i, at, value) => chain.set(BRIDGES[*i], *at, *value),
        Op::Card(at, value) => chain.set("card", *at, *value),
        Op::BusReset(i) => {
            let control = chain.machine.config(BRIDGES[*i], 0, 0x3c);
            chain.set(BRIDGES[*i], 0x3c, control | 0x40 << 16);
            for (place, target) in actual(chain).iter().zip(&TARGETS) {
                assert!(place.is_none() || target.above() <= *i, "held in reset");
            }
            chain.set(BRIDGES[*i], 0x3c, control);
            chain.number();
        }
        Op::Restore => {
            let before = actual(chain);
            let root = &mut chain.machine.hierarchy.complexes[0].root;
            let state = ProtobufSaveRestore::save(root).unwrap();
            pollster::block_on(vmcore::device_state::ChangeDeviceState::reset(root));
            assert_eq!(actual(chain), [None; TARGETS.len()], "after a reset");
            let root = &mut chain.machine.hierarchy.complexes[0].root;
            ProtobufSaveRestore::restore(root, state).unwrap();
            assert_eq!(actual(chain), before, "restored");
        }
    }
}

#[test]
fn what_is_mapped_is_what_every_bridge_forwards() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut mapped = [0; TARGETS.len()];
    for _ in 0..60 {
        let ops = proptest::collection::vec(op(), 120)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut chain = Chain::new();
        for bridge in BRIDGES {
            chain.set(bridge, 0x04, 7);
        }
        let mut done = Vec::new();
        for op in &ops {
            run(&mut chain, op);
            done.push(op);
            let expected = expected(&mut chain);
            assert_eq!(actual(&chain), expected, "after {done:#x?}");
            for (count, address) in mapped.iter_mut().zip(expected) {
                *count += u32::from(address.is_some());
            }
        }
    }
    // The test is of use only while each of them is mapped now and then.
    assert!(mapped.iter().all(|count| *count > 100), "{mapped:?}");
}
