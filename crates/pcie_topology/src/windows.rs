//! What a monitor dispatches accesses by: the addresses and ports that are a root complex's.
//!
//! The windows never move, whatever the guest does to BARs, so finding the root complex is a search in a short sorted table, and a device
//! that is plugged in while the guest runs needs no registration.

use crate::AddressRange;
use crate::RootComplexSpec;
use crate::Topology;
use std::ops::Range;

/// What is behind a window.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// Configuration space.
    Ecam,
    /// A CXL host bridge's registers.
    HostBridge,
    /// Memory BARs.
    Memory,
    /// I/O BARs: the window's addresses are ports.
    Io,
}

/// Addresses that are a root complex's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// For messages: `mmio32 of 'rc0'`.
    pub name: String,
    /// What is behind it.
    pub kind: WindowKind,
    /// The addresses.
    pub range: Range<u64>,
    /// The root complex, by its place in the description and in [`Hierarchy::complexes`](crate::Hierarchy::complexes).
    pub complex: usize,
}

/// The windows of all root complexes.
///
/// ```
/// use pcie_topology::{Topology, WindowKind, Windows};
///
/// let topology = Topology::from_toml(r#"
///     [[root_complex]]
///     name = "rc0"
///     buses = { start = 0, end = 15 }
///     ecam = 0xe000_0000
///     mmio32 = { base = 0xc000_0000, size = "256M" }
///     io = { base = 0x1000, size = "4K" }
/// "#)?;
/// let windows = Windows::new(&topology);
/// assert_eq!(windows.at(0xe000_8000).map(|window| window.kind), Some(WindowKind::Ecam));
/// assert_eq!(windows.at(0xc000_0000).map(|window| window.name.as_str()), Some("mmio32 of 'rc0'"));
/// assert_eq!(windows.at(0xe100_0000), None, "16 buses end there");
/// assert_eq!(windows.at_port(0x1ffc).map(|window| window.kind), Some(WindowKind::Io));
/// # Ok::<(), pcie_topology::Problems>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Windows {
    memory: Vec<Window>,
    io: Vec<Window>,
}

impl Windows {
    /// The windows of a description, which has been validated: none overlap.
    pub fn new(topology: &Topology) -> Self {
        let all = topology
            .root_complex
            .iter()
            .enumerate()
            .flat_map(|(complex, spec)| windows_of(complex, spec));
        let (mut io, mut memory): (Vec<_>, Vec<_>) =
            all.partition(|window| window.kind == WindowKind::Io);
        for windows in [&mut io, &mut memory] {
            windows.sort_by_key(|window| window.range.start);
        }
        Self { memory, io }
    }

    /// The windows in memory, by address.
    pub fn memory(&self) -> &[Window] {
        &self.memory
    }

    /// The windows among the ports, by port.
    pub fn io(&self) -> &[Window] {
        &self.io
    }

    /// The window that an address is in.
    #[inline]
    pub fn at(&self, address: u64) -> Option<&Window> {
        find(&self.memory, address)
    }

    /// The window that a port is in.
    #[inline]
    pub fn at_port(&self, port: u16) -> Option<&Window> {
        find(&self.io, port.into())
    }
}

fn windows_of(complex: usize, spec: &RootComplexSpec) -> impl Iterator<Item = Window> {
    let parts: [(&str, WindowKind, Option<AddressRange>); 5] = [
        ("ECAM", WindowKind::Ecam, Some(spec.ecam_range())),
        (
            "host bridge registers",
            WindowKind::HostBridge,
            spec.chbcr_range(),
        ),
        ("mmio32", WindowKind::Memory, spec.mmio32),
        ("mmio64", WindowKind::Memory, spec.mmio64),
        ("io", WindowKind::Io, spec.io),
    ];
    parts.into_iter().filter_map(move |(part, kind, range)| {
        let range = range?;
        Some(Window {
            name: format!("{part} of '{}'", spec.name),
            kind,
            range: range.base..range.end(),
            complex,
        })
    })
}

#[inline]
fn find(windows: &[Window], address: u64) -> Option<&Window> {
    let after = windows.partition_point(|window| window.range.start <= address);
    let window = windows.get(after.checked_sub(1)?)?;
    window.range.contains(&address).then_some(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPOLOGY: &str = r#"
        [[root_complex]]
        name = "rc0"
        buses = { start = 0, end = 15 }
        ecam = 0xe000_0000
        mmio32 = { base = 0xc000_0000, size = "256M" }
        mmio64 = { base = 0x40_0000_0000, size = "1G" }
        io = { base = 0x2000, size = "4K" }

        [[root_complex]]
        name = "rc1"
        segment = 1
        buses = { start = 0, end = 15 }
        ecam = 0xe800_0000
        mmio32 = { base = 0xd000_0000, size = "256M" }
        io = { base = 0x1000, size = "4K" }
    "#;

    #[test]
    fn an_address_is_found_in_its_window_and_not_beside_it() {
        let windows = Windows::new(&Topology::from_toml(TOPOLOGY).unwrap());
        let name = |address| windows.at(address).map(|window| window.name.as_str());
        for (address, expected) in [
            (0, None),
            (0x1000, None),
            (0xbfff_ffff, None),
            (0xc000_0000, Some("mmio32 of 'rc0'")),
            (0xcfff_ffff, Some("mmio32 of 'rc0'")),
            (0xd000_0000, Some("mmio32 of 'rc1'")),
            (0xe0ff_ffff, Some("ECAM of 'rc0'")),
            (0xe100_0000, None),
            (0xe800_0000, Some("ECAM of 'rc1'")),
            (0x40_3fff_ffff, Some("mmio64 of 'rc0'")),
            (0x40_4000_0000, None),
            (u64::MAX, None),
        ] {
            assert_eq!(name(address), expected, "{address:#x}");
        }
    }

    #[test]
    fn ports_have_windows_of_their_own() {
        let windows = Windows::new(&Topology::from_toml(TOPOLOGY).unwrap());
        let complex = |port| windows.at_port(port).map(|window| window.complex);
        for (port, expected) in [
            (0xfff, None),
            (0x1000, Some(1)),
            (0x1fff, Some(1)),
            (0x2000, Some(0)),
            (0x3000, None),
            (u16::MAX, None),
        ] {
            assert_eq!(complex(port), expected, "{port:#x}");
        }
        assert_eq!(windows.io().len(), 2);
        assert_eq!(windows.memory().len(), 5);
    }
}
