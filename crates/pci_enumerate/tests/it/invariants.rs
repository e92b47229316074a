//! What must hold of the registers after enumeration, read from the model rather than from the result.

use std::ops::Range;

use pci_enumerate::{
    Bar, BarKind, Bridge, Function, Hierarchy, HostBridge, Resource, Shortfall, Window,
};

use crate::model::{Func, Machine};

/// Checks the machine against the host bridge's apertures and against what the hierarchy says about it.
pub(crate) fn check(machine: &Machine, host_bridge: &HostBridge, hierarchy: &Hierarchy) {
    let apertures = &host_bridge.apertures;
    let (bus, last_bus) = apertures.buses.clone().into_inner();
    let root = Bus {
        hierarchy,
        bus,
        last_bus,
        reach: Reach {
            io: apertures.io.clone().unwrap_or(0..0),
            memory: apertures.mmio32.clone(),
            prefetchable: apertures.mmio64.clone().unwrap_or(0..0),
        },
        io: Vec::new(),
        memory: Vec::new(),
        buses: Vec::new(),
    };
    root.check(&machine.functions, &hierarchy.functions);
    for function in hierarchy.iter() {
        for bar in function.bars.iter().filter(|bar| bar.address.is_none()) {
            let reported = hierarchy.shortfalls.iter().any(|shortfall| {
                matches!(shortfall, Shortfall::Bar { function: bdf, index, size, .. }
                    if *bdf == function.bdf && *index == bar.index && *size == bar.size)
            });
            assert!(
                reported,
                "{} BAR {} is missing silently",
                function.bdf, bar.index
            );
        }
    }
}

/// The addresses that reach a bus.
struct Reach {
    io: Range<u64>,
    memory: Range<u64>,
    prefetchable: Range<u64>,
}

/// A bus and what has been found to claim something on it.
struct Bus<'a> {
    hierarchy: &'a Hierarchy,
    bus: u8,
    last_bus: u8,
    reach: Reach,
    io: Vec<Range<u64>>,
    memory: Vec<Range<u64>>,
    buses: Vec<Range<u64>>,
}

impl Bus<'_> {
    fn check(mut self, functions: &[Func], found: &[Function]) {
        for result in found {
            let mut functions = functions.iter();
            let function = functions.find(|f| f.devfn == result.bdf.devfn()).unwrap();
            assert_eq!(result.bdf.bus(), self.bus);
            for bar in &result.bars {
                self.bar(function, result, bar);
            }
            self.rom(function, result);
            self.command(function, result);
            if let Some(bridge) = &result.bridge {
                self.bridge(function, result, bridge);
            }
        }
        assert_disjoint(self.io, "I/O");
        assert_disjoint(self.memory, "memory");
        assert_disjoint(self.buses, "bus number");
    }

    fn bar(&mut self, function: &Func, result: &Function, bar: &Bar) {
        let name = format!("{} BAR {}", result.bdf, bar.index);
        let offset = 0x10 + 4 * usize::from(bar.index);
        let low = u64::from(function.dword(offset));
        let address = match bar.kind {
            BarKind::Io => low & !3,
            BarKind::Memory32 { .. } => low & !15,
            BarKind::Memory64 { .. } => u64::from(function.dword(offset + 4)) << 32 | low & !15,
        };
        assert_eq!(address, bar.address.unwrap_or(0), "{name}");
        if address == 0 {
            return;
        }
        assert_eq!(address % bar.size, 0, "{name}");
        let range = address..address + bar.size;
        let reach = &self.reach;
        let reached = match bar.kind {
            BarKind::Io => within(&range, &reach.io),
            BarKind::Memory32 { .. } => within(&range, &reach.memory),
            BarKind::Memory64 { .. } => {
                within(&range, &reach.memory) || within(&range, &reach.prefetchable)
            }
        };
        assert!(reached, "{name} at {range:#x?} is out of reach");
        match bar.kind {
            BarKind::Io => self.io.push(range),
            _ => self.memory.push(range),
        }
    }

    fn rom(&mut self, function: &Func, result: &Function) {
        let Some(rom) = result.rom else { return };
        let offset = if function.is_bridge() { 0x38 } else { 0x30 };
        let address = u64::from(function.dword(offset));
        assert_eq!(address, rom.address.unwrap_or(0));
        if address != 0 {
            let range = address..address + rom.size;
            assert!(
                within(&range, &self.reach.memory),
                "{} ROM at {range:#x?} is out of reach",
                result.bdf
            );
            self.memory.push(range);
        }
    }

    /// A space is decoded if and only if all BARs of that space have an address and there is something to decode.
    fn command(&self, function: &Func, result: &Function) {
        let faulty = self.hierarchy.shortfalls.iter().any(|shortfall| {
            matches!(shortfall, Shortfall::Faulty { function, resource: Resource::Bar(_), .. }
                if *function == result.bdf)
        });
        let open = |is_io: bool| {
            let bridge = result.bridge.as_ref();
            bridge.is_some_and(|bridge| match is_io {
                true => bridge.io.is_some(),
                false => bridge.memory.is_some() || bridge.prefetchable.is_some(),
            })
        };
        let command = function.word(4);
        for (is_io, bit, said) in [
            (true, 1, result.io_decode),
            (false, 2, result.memory_decode),
        ] {
            let bars = result.bars.iter();
            let bars: Vec<_> = bars
                .filter(|bar| (bar.kind == BarKind::Io) == is_io)
                .collect();
            let placed = !faulty && bars.iter().all(|bar| bar.address.is_some());
            let expected = placed && (!bars.is_empty() || open(is_io));
            assert_eq!(command & bit != 0, expected, "{} Command", result.bdf);
            assert_eq!(said, expected);
        }
    }

    fn bridge(&mut self, function: &Func, result: &Function, bridge: &Bridge) {
        let behind = Reach {
            io: window(function, 0x1c, io_window),
            memory: window(function, 0x20, memory_window),
            prefetchable: window(function, 0x24, prefetchable_window),
        };
        let reach = &self.reach;
        for (window, said, outer) in [
            (&behind.io, bridge.io, &reach.io),
            (&behind.memory, bridge.memory, &reach.memory),
            (
                &behind.prefetchable,
                bridge.prefetchable,
                &reach.prefetchable,
            ),
        ] {
            assert_eq!(*window, span(said), "{}", result.bdf);
            assert!(
                within(window, outer),
                "{} window {window:#x?} is out of reach",
                result.bdf
            );
        }
        self.io.push(behind.io.clone());
        self.memory.push(behind.memory.clone());
        self.memory.push(behind.prefetchable.clone());
        let numbers: [u8; 3] = function.bytes[0x18..0x1b].try_into().unwrap();
        let Some(buses) = bridge.buses else {
            assert_eq!(numbers, [0; 3]);
            assert_eq!(bridge.functions, []);
            return;
        };
        let [primary, secondary, subordinate] = numbers;
        let said = [buses.primary, buses.secondary, buses.subordinate];
        assert_eq!(numbers, said);
        assert_eq!(primary, self.bus);
        assert!(secondary > self.bus);
        assert!((secondary..=self.last_bus).contains(&subordinate));
        assert_eq!(function.word(4) & 4, 4, "{} Bus Master Enable", result.bdf);
        self.buses
            .push(u64::from(secondary)..u64::from(subordinate) + 1);
        let inside = Bus {
            hierarchy: self.hierarchy,
            bus: secondary,
            last_bus: subordinate,
            reach: behind,
            io: Vec::new(),
            memory: Vec::new(),
            buses: Vec::new(),
        };
        inside.check(&function.behind, &bridge.functions);
    }
}

fn window(function: &Func, offset: usize, decode: fn(&Func) -> Range<u64>) -> Range<u64> {
    let range = decode(function);
    if function.mask_is_zero(offset) || range.is_empty() {
        0..0
    } else {
        range
    }
}

fn io_window(function: &Func) -> Range<u64> {
    let [base, limit] = [0x1c, 0x1d].map(|offset| u64::from(function.bytes[offset] & 0xf0) << 8);
    base..(limit | 0xfff) + 1
}

fn memory_window(function: &Func) -> Range<u64> {
    let [base, limit] = [0x20, 0x22].map(|offset| u64::from(function.word(offset) & 0xfff0) << 16);
    base..(limit | 0xf_ffff) + 1
}

fn prefetchable_window(function: &Func) -> Range<u64> {
    let [base, limit] = [(0x24, 0x28), (0x26, 0x2c)].map(|(offset, upper)| {
        let lower = u64::from(function.word(offset) & 0xfff0) << 16;
        u64::from(function.dword(upper)) << 32 | lower
    });
    base..(limit | 0xf_ffff) + 1
}

fn span(window: Option<Window>) -> Range<u64> {
    window.map_or(0..0, |window| window.base..window.limit + 1)
}

fn within(inner: &Range<u64>, outer: &Range<u64>) -> bool {
    inner.is_empty() || outer.start <= inner.start && inner.end <= outer.end
}

fn assert_disjoint(mut ranges: Vec<Range<u64>>, what: &str) {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut end = 0;
    for range in ranges {
        assert!(
            range.start >= end,
            "{what} {range:#x?} overlaps what ends at {end:#x}"
        );
        end = range.end;
    }
}
