//! Bus numbers: shares the spare ones among the ports that have a reserve, and writes them
//! (PCIe 6.2 sections 7.5.1.3.2 to 7.5.1.3.4).

use pci_spec::Bdf;
use pci_spec::cfg_space::Type1HeaderReg;

use crate::access::{Config, ConfigAccess, header};
use crate::hierarchy::{BusNumbers, Function};
use crate::host_bridge::{HostBridge, Options};
use crate::shortfall::Shortfall;

/// A bridge that the scan gave bus numbers to, and those behind it.
struct Subtree {
    /// How many buses the port's reserve asks for.
    asked: u8,
    /// How many of those it has been promised.
    granted: u16,
    /// How many buses are behind the bridge, with all that has been promised.
    count: u16,
    inside: Vec<Subtree>,
}

/// Renumbers the buses with the reserves, depth first in the order of the scan.
///
/// Returns the last bus number used and adds what is short to `shortfalls`.
pub(crate) fn number(
    access: &mut dyn ConfigAccess,
    host_bridge: &HostBridge,
    functions: &mut [Function],
    shortfalls: &mut Vec<Shortfall>,
) -> u8 {
    let (first, last) = host_bridge.apertures.buses.clone().into_inner();
    let mut subtrees = subtrees(functions, &host_bridge.options);
    share(&mut subtrees, u16::from(last - first));
    let mut numbering = Numbering {
        access,
        next_bus: u16::from(first) + 1,
        last,
        shortfalls,
    };
    numbering.bus(first, functions, &subtrees);
    numbering.bus_number(numbering.next_bus - 1)
}

fn subtrees(functions: &[Function], options: &Options) -> Vec<Subtree> {
    let numbered = functions.iter().filter_map(|function| {
        let bridge = function.bridge.as_ref()?;
        bridge.buses?;
        Some(Subtree {
            asked: options.reserve(function).buses,
            granted: 0,
            count: 1,
            inside: subtrees(&bridge.functions, options),
        })
    });
    numbered.collect()
}

/// Shares `available` buses: every port's reserve grows by one bus a round, until it has what it asks for or the
/// buses run out. So no port gets a second spare bus before each has had one.
fn share(subtrees: &mut [Subtree], available: u16) {
    let grow = |subtrees: &mut [Subtree], level, spare: &mut u16| -> u16 {
        subtrees
            .iter_mut()
            .map(|subtree| subtree.grow(level, spare))
            .sum()
    };
    let needed = grow(subtrees, 0, &mut 0);
    let mut spare = available.saturating_sub(needed);
    for level in 1..=u8::MAX {
        grow(subtrees, level, &mut spare);
    }
}

impl Subtree {
    /// Lets the bridge and those inside, inmost first, have `level` buses each if their reserve asks for so many.
    ///
    /// A promise made inside widens every bridge around it by exactly one bus, as at lower levels each has been
    /// promised less than it now contains; so each promise takes one spare bus.
    fn grow(&mut self, level: u8, spare: &mut u16) -> u16 {
        let inside: u16 = self
            .inside
            .iter_mut()
            .map(|subtree| subtree.grow(level, spare))
            .sum();
        self.count = self.granted.max(inside + 1);
        if self.asked >= level && self.count < level.into() && *spare > 0 {
            *spare -= 1;
            self.granted = level.into();
            self.count = self.granted;
        }
        self.count
    }
}

struct Numbering<'a> {
    access: &'a mut dyn ConfigAccess,
    next_bus: u16,
    last: u8,
    shortfalls: &'a mut Vec<Shortfall>,
}

impl Numbering<'_> {
    fn bus(&mut self, bus: u8, functions: &mut [Function], subtrees: &[Subtree]) {
        for function in &mut *functions {
            function.bdf = Bdf::from_devfn(bus, function.bdf.devfn());
            // The numbers from the scan would claim buses that a neighbour is about to get.
            if function.bridge.is_some() {
                clear(&mut Config::new(self.access, function.bdf));
            }
        }
        let numbered = functions.iter_mut().filter(|function| {
            let bridge = function.bridge.as_ref();
            bridge.is_some_and(|bridge| bridge.buses.is_some())
        });
        for (function, subtree) in numbered.zip(subtrees) {
            self.bridge(function, subtree);
        }
    }

    fn bridge(&mut self, function: &mut Function, subtree: &Subtree) {
        let Some(bridge) = &mut function.bridge else {
            return;
        };
        let end = self.next_bus + subtree.count;
        let buses = BusNumbers {
            primary: function.bdf.bus(),
            secondary: self.bus_number(self.next_bus),
            subordinate: self.bus_number(end - 1),
        };
        if let Err(refusal) = write(&mut Config::new(self.access, function.bdf), buses) {
            self.shortfalls.push(refusal.shortfall(function.bdf));
        }
        if subtree.count < subtree.asked.into() {
            self.shortfalls.push(Shortfall::BusReserve {
                port: function.bdf,
                asked: subtree.asked,
                granted: subtree.count,
            });
        }
        bridge.buses = Some(buses);
        self.next_bus += 1;
        self.bus(buses.secondary, &mut bridge.functions, &subtree.inside);
        self.next_bus = end;
    }

    /// The share-out stays within the host bridge's buses, so the bound is never met.
    fn bus_number(&self, bus: u16) -> u8 {
        u8::try_from(bus).unwrap_or(self.last).min(self.last)
    }
}

/// A bridge does not hold the bus numbers that were written: Secondary Bus Number in bits 7:0, Subordinate in 15:8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    written: u16,
    read: u16,
}

impl Refusal {
    pub(crate) fn shortfall(self, function: Bdf) -> Shortfall {
        Shortfall::NotTaken {
            function,
            register: "Secondary and Subordinate Bus Number",
            written: self.written.into(),
            read: self.read.into(),
        }
    }
}

/// Writes a bridge's bus numbers, which must be cleared, and checks that the bridge took them.
pub(crate) fn write(config: &mut Config<'_>, buses: BusNumbers) -> Result<(), Refusal> {
    let BusNumbers {
        primary,
        secondary,
        subordinate,
    } = buses;
    // Not as one dword: the fourth byte is another register, the Secondary Latency Timer.
    let lower = u16::from_le_bytes([primary, secondary]);
    config.write_u16(header(Type1HeaderReg::PrimaryBusNumber), lower);
    config.write_u8(header(Type1HeaderReg::SubordinateBusNumber), subordinate);
    // Primary Bus Number may be read-only in a PCI Express bridge's emulation; nothing routes by it.
    let read = u16::from_le_bytes([
        config.read_u8(header(Type1HeaderReg::SecondaryBusNumber)),
        config.read_u8(header(Type1HeaderReg::SubordinateBusNumber)),
    ]);
    let written = u16::from_le_bytes([secondary, subordinate]);
    if read == written {
        return Ok(());
    }
    Err(Refusal { written, read })
}

/// Makes a bridge claim no bus.
pub(crate) fn clear(config: &mut Config<'_>) {
    config.write_u8(header(Type1HeaderReg::SubordinateBusNumber), 0);
    config.write_u16(header(Type1HeaderReg::PrimaryBusNumber), 0);
}
