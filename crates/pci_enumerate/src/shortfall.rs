//! What did not fit, and why.

use std::fmt;
use std::ops::Range;

use pci_spec::Bdf;
use thiserror::Error;

use crate::bar::{BarFault, BarKind};
use crate::hierarchy::Function;
use crate::host_bridge::HostBridge;

/// The kinds of window a bridge has, and of aperture that they are cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WindowKind {
    /// The I/O window; at the host bridge the I/O aperture.
    Io,
    /// The memory window, always below 4 GiB; at the host bridge the 32-bit memory aperture.
    Memory,
    /// The prefetchable memory window; at the host bridge the 64-bit memory aperture.
    Prefetchable,
}

impl WindowKind {
    pub(crate) const ALL: [Self; 3] = [Self::Io, Self::Memory, Self::Prefetchable];

    /// The granularity of a bridge's window in bytes (PCIe 6.2 sections 7.5.1.3.6, 7.5.1.3.8 and 7.5.1.3.9).
    pub(crate) const fn granularity(self) -> u64 {
        match self {
            Self::Io => 4 << 10,
            Self::Memory | Self::Prefetchable => 1 << 20,
        }
    }

    pub(crate) const fn aperture_name(self) -> &'static str {
        match self {
            Self::Io => "I/O",
            Self::Memory => "32-bit memory",
            Self::Prefetchable => "64-bit memory",
        }
    }
}

impl fmt::Display for WindowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io => "I/O",
            Self::Memory => "memory",
            Self::Prefetchable => "prefetchable",
        })
    }
}

/// What of a function asks for addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// The BAR of this number.
    Bar(u8),
    /// The expansion ROM.
    Rom,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bar(index) => write!(f, "BAR {index}"),
            Self::Rom => f.write_str("expansion ROM"),
        }
    }
}

impl fmt::Display for BarKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io => "I/O",
            Self::Memory32 {
                prefetchable: false,
            } => "32-bit memory",
            Self::Memory32 { prefetchable: true } => "32-bit prefetchable memory",
            Self::Memory64 {
                prefetchable: false,
            } => "64-bit memory",
            Self::Memory64 { prefetchable: true } => "64-bit prefetchable memory",
        })
    }
}

/// Why addresses were not to be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// The host bridge has no such aperture.
    #[error("the host bridge has no {} aperture", .0.aperture_name())]
    NoAperture(WindowKind),
    /// A bridge on the way has no such window: it is not implemented, is only 32 bits wide where 64 are needed, or the
    /// bridge can't decode memory because a BAR of its own is faulty.
    #[error("bridge {bridge} can't forward it: it has no usable {kind} window")]
    NoWindow {
        /// The bridge.
        bridge: Bdf,
        /// The window it lacks.
        kind: WindowKind,
    },
    /// The aperture is too small.
    #[error(
        "the {} aperture {} has {} left, {} in one piece",
        kind.aperture_name(), span(aperture), Bytes(*left), Bytes(*largest)
    )]
    NoRoom {
        /// The kind of aperture.
        kind: WindowKind,
        /// The aperture.
        aperture: Range<u64>,
        /// How many of its bytes are in no BAR and no window on the root bus.
        left: u64,
        /// The size of the largest piece of those.
        largest: u64,
    },
}

/// A thing that got less than it asked for; it prints as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Shortfall {
    /// A device answered with Request Retry Status until the attempts ran out; it is not in the hierarchy.
    #[error("{bdf}: the device was not ready after {attempts} attempts (Request Retry Status)")]
    NotReady {
        /// The device's first function that did not answer.
        bdf: Bdf,
        /// How often it was asked.
        attempts: u32,
    },
    /// The bus numbers ran out; what is behind the bridge was not looked for.
    #[error(
        "{bridge}: no bus number is left for what is behind the bridge; the host bridge's last is {last:02x}"
    )]
    NoBus {
        /// The bridge.
        bridge: Bdf,
        /// The last bus number of the host bridge.
        last: u8,
    },
    /// A port got fewer bus numbers than its reserve.
    #[error("{port}: {granted} of {asked} bus numbers reserved; the host bridge has no more")]
    BusReserve {
        /// The port.
        port: Bdf,
        /// The reserve, in buses.
        asked: u8,
        /// How many there are below the port.
        granted: u16,
    },
    /// A BAR or expansion ROM can't be understood; it is left as it was found and the function's decoding is off.
    #[error("{function}: {resource} can't be used: {fault}")]
    Faulty {
        /// The function.
        function: Bdf,
        /// The BAR or ROM.
        resource: Resource,
        /// What is wrong with it.
        fault: BarFault,
    },
    /// A BAR got no address; it holds 0, and decoding of that space is off.
    #[error("{function}: BAR {index} asks for {} of {kind}: {obstacle}", Bytes(*size))]
    Bar {
        /// The function.
        function: Bdf,
        /// The number of the BAR.
        index: u8,
        /// The kind of address space.
        kind: BarKind,
        /// The size, in bytes.
        size: u64,
        /// Why.
        obstacle: Obstacle,
    },
    /// An expansion ROM got no address; its register holds 0.
    #[error("{function}: the expansion ROM asks for {}: {obstacle}", Bytes(*size))]
    Rom {
        /// The function.
        function: Bdf,
        /// The size, in bytes.
        size: u64,
        /// Why.
        obstacle: Obstacle,
    },
    /// A port's window is smaller than its reserve.
    #[error(
        "{port}: {} of {} reserved in the {kind} window: {obstacle}", Bytes(*granted), Bytes(*asked)
    )]
    WindowReserve {
        /// The port.
        port: Bdf,
        /// The window.
        kind: WindowKind,
        /// The reserve, in bytes.
        asked: u64,
        /// The size of the window, in bytes; 0 when it is closed.
        granted: u64,
        /// Why.
        obstacle: Obstacle,
    },
    /// A register does not hold what was written to it.
    #[error("{function}: {register} reads {read:#x} after {written:#x} was written")]
    NotTaken {
        /// The function.
        function: Bdf,
        /// The register, by the specification's name.
        register: &'static str,
        /// What was written.
        written: u64,
        /// What it reads.
        read: u64,
    },
}

/// Adds what the scan found wrong with the devices on `bus` and behind it to `shortfalls`.
pub(crate) fn found(
    host_bridge: &HostBridge,
    bus: u8,
    not_ready: &[u8],
    functions: &[Function],
    shortfalls: &mut Vec<Shortfall>,
) {
    for devfn in not_ready {
        shortfalls.push(Shortfall::NotReady {
            bdf: Bdf::from_devfn(bus, *devfn),
            attempts: host_bridge.options.ready_attempts.max(1),
        });
    }
    for function in functions {
        let faults = function.faults.iter();
        shortfalls.extend(faults.map(|(resource, fault)| Shortfall::Faulty {
            function: function.bdf,
            resource: *resource,
            fault: *fault,
        }));
        let Some(bridge) = &function.bridge else {
            continue;
        };
        match (bridge.buses, bridge.refusal) {
            (Some(buses), _) => found(
                host_bridge,
                buses.secondary,
                &bridge.not_ready,
                &bridge.functions,
                shortfalls,
            ),
            (None, Some(refusal)) => shortfalls.push(refusal.shortfall(function.bdf)),
            (None, None) => shortfalls.push(Shortfall::NoBus {
                bridge: function.bdf,
                last: *host_bridge.apertures.buses.end(),
            }),
        }
    }
}

/// A number of bytes, printed in the largest unit that divides it.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 6] = [
            (60, "EiB"),
            (50, "PiB"),
            (40, "TiB"),
            (30, "GiB"),
            (20, "MiB"),
            (10, "KiB"),
        ];
        let unit = UNITS
            .iter()
            .find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift);
        match unit {
            Some((shift, name)) => write!(f, "{} {name}", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// Prints a range of addresses by its first and last.
pub(crate) fn span(range: &Range<u64>) -> String {
    if range.is_empty() {
        format!("{:#x} (empty)", range.start)
    } else {
        format!("{:#x}-{:#x}", range.start, range.end - 1)
    }
}
