//! What enumeration is told: the host bridge's apertures and the reserves for hot plug.

use std::ops::{Range, RangeInclusive};

use crate::error::EnumerateError;
use crate::hierarchy::{Bridge, Function};
use crate::shortfall::WindowKind;

const GIB4: u64 = 1 << 32;
const IO_END_MAX: u64 = 1 << 16;

/// One host bridge: the root of a hierarchy in one segment.
///
/// ```
/// use pci_enumerate::{Apertures, HostBridge};
///
/// let mut host_bridge = HostBridge::new(Apertures {
///     buses: 0..=63,
///     mmio32: 0xc000_0000..0xe000_0000,
///     mmio64: None,
///     io: Some(0x1000..0x1_0000),
/// });
/// assert!(host_bridge.validate().is_ok());
///
/// host_bridge.apertures.mmio32 = 0xc000_0000..0x2_0000_0000;
/// assert_eq!(
///     host_bridge.validate().unwrap_err().to_string(),
///     "the 32-bit memory aperture 0xc0000000-0x1ffffffff must lie within 0x0-0xffffffff",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostBridge {
    /// The segment group its buses are in.
    pub segment: u16,
    /// The bus numbers and addresses that it decodes.
    pub apertures: Apertures,
    /// Reserves and policies.
    pub options: Options,
}

/// The bus numbers and addresses that a host bridge decodes, as seen on its root bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apertures {
    /// The bus numbers; the first is the root bus.
    pub buses: RangeInclusive<u8>,
    /// Memory below 4 GiB; may be empty.
    pub mmio32: Range<u64>,
    /// Memory at or above 4 GiB, for 64-bit BARs. Without it those go to `mmio32`.
    pub mmio64: Option<Range<u64>>,
    /// I/O space below 64 KiB. Without it I/O BARs get no address.
    pub io: Option<Range<u64>>,
}

/// Reserves and policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What a hot-plug capable slot gets at least.
    pub hot_plug: Reserve,
    /// What any other root port or switch downstream port with nothing below it gets at least.
    /// [`Reserve::NONE`] by default: without hot plug nothing can appear there.
    pub empty_port: Reserve,
    /// Puts 64-bit non-prefetchable BARs of PCI Express functions into 64-bit prefetchable windows, and so above
    /// 4 GiB, where every bridge on the way is PCI Express (PCIe 6.2 section 7.5.1.2.1, implementation note
    /// "Additional Guidance on the Prefetchable Bit in Memory Space BARs"). Off by default: the note also asks that
    /// nothing merges bytes and that no conventional PCI master reads the BAR, which only the caller can know.
    pub relaxed_prefetchable: bool,
    /// Sets Bus Master Enable in endpoints too; off by default, the driver's business. Bridges always have it set.
    pub endpoint_bus_master: bool,
    /// How often a device that answers with Request Retry Status is waited for; 100 by default, which with
    /// [`ConfigAccess::wait`](crate::ConfigAccess::wait) makes the one second that PCIe 6.2 section 6.6.1 allows.
    pub ready_attempts: u32,
}

/// What a port gets at least, whatever is below it now. Sizes are rounded up to the window's granularity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Bus numbers below the port, its secondary bus included.
    pub buses: u8,
    /// Bytes of the memory window; 1 MiB granularity.
    pub memory: u64,
    /// Bytes of the 64-bit prefetchable window; 1 MiB granularity.
    pub prefetchable: u64,
    /// Bytes of the I/O window; 4 KiB granularity.
    pub io: u64,
}

impl Reserve {
    /// Nothing beyond what the devices that are there need.
    pub const NONE: Self = Self {
        buses: 0,
        memory: 0,
        prefetchable: 0,
        io: 0,
    };

    /// Room for a device with some mebibytes of registers, or a switch of a few ports. No I/O space: a PCI Express
    /// device must work without (PCIe 6.2 section 7.5.1.2.1), and 16 windows fill the whole of it.
    pub const SLOT: Self = Self {
        buses: 8,
        memory: 2 << 20,
        prefetchable: 32 << 20,
        io: 0,
    };

    pub(crate) fn of(&self, kind: WindowKind) -> u64 {
        match kind {
            WindowKind::Io => self.io,
            WindowKind::Memory => self.memory,
            WindowKind::Prefetchable => self.prefetchable,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hot_plug: Reserve::SLOT,
            empty_port: Reserve::NONE,
            relaxed_prefetchable: false,
            endpoint_bus_master: false,
            ready_attempts: 100,
        }
    }
}

impl Options {
    /// What is reserved behind `port`.
    pub(crate) fn reserve(&self, port: &Function) -> &Reserve {
        let empty = |bridge: &Bridge| bridge.functions.is_empty();
        if port.slot.is_some_and(|slot| slot.hot_plug) {
            &self.hot_plug
        } else if port.is_downstream_port() && port.bridge.as_ref().is_some_and(empty) {
            &self.empty_port
        } else {
            &Reserve::NONE
        }
    }
}

impl HostBridge {
    /// A host bridge of segment 0 with the default [`Options`].
    pub fn new(apertures: Apertures) -> Self {
        Self {
            segment: 0,
            apertures,
            options: Options::default(),
        }
    }

    /// Checks the description by itself.
    ///
    /// # Errors
    ///
    /// - [`EnumerateError::NoBuses`]: the bus range is empty.
    /// - [`EnumerateError::Aperture`]: an aperture ends before it starts, the 32-bit memory aperture passes 4 GiB, the
    ///   64-bit one starts below, or the I/O aperture passes 64 KiB.
    pub fn validate(&self) -> Result<(), EnumerateError> {
        let Apertures {
            buses,
            mmio32,
            mmio64,
            io,
        } = &self.apertures;
        if buses.is_empty() {
            return Err(EnumerateError::NoBuses {
                segment: self.segment,
                first: *buses.start(),
                last: *buses.end(),
            });
        }
        check_aperture(WindowKind::Memory, mmio32, 0..GIB4)?;
        if let Some(mmio64) = mmio64 {
            check_aperture(WindowKind::Prefetchable, mmio64, GIB4..u64::MAX)?;
        }
        if let Some(io) = io {
            check_aperture(WindowKind::Io, io, 0..IO_END_MAX)?;
        }
        Ok(())
    }
}

/// Checks each host bridge by itself and that no two claim the same bus or memory.
pub(crate) fn validate_all(host_bridges: &[HostBridge]) -> Result<(), EnumerateError> {
    for host_bridge in host_bridges {
        host_bridge.validate()?;
    }
    for (index, second) in host_bridges.iter().enumerate() {
        for first in host_bridges.iter().take(index) {
            check_disjoint(first, second)?;
        }
    }
    Ok(())
}

fn check_disjoint(first: &HostBridge, second: &HostBridge) -> Result<(), EnumerateError> {
    let (a, b) = (&first.apertures, &second.apertures);
    let bus = *a.buses.start().max(b.buses.start());
    if first.segment == second.segment && a.buses.contains(&bus) && b.buses.contains(&bus) {
        return Err(EnumerateError::OverlappingBuses {
            segment: first.segment,
            bus,
            first: a.buses.clone(),
            second: b.buses.clone(),
        });
    }
    for kind in [WindowKind::Memory, WindowKind::Prefetchable] {
        let (Some(a), Some(b)) = (a.of(kind), b.of(kind)) else {
            continue;
        };
        if a.start.max(b.start) < a.end.min(b.end) {
            return Err(EnumerateError::OverlappingMemory {
                first: a.clone(),
                second: b.clone(),
            });
        }
    }
    Ok(())
}

impl Apertures {
    /// The aperture on the root bus that windows of this kind are cut from.
    pub(crate) fn of(&self, kind: WindowKind) -> Option<&Range<u64>> {
        match kind {
            WindowKind::Io => self.io.as_ref(),
            WindowKind::Memory => Some(&self.mmio32),
            WindowKind::Prefetchable => self.mmio64.as_ref(),
        }
    }
}

fn check_aperture(
    kind: WindowKind,
    aperture: &Range<u64>,
    bound: Range<u64>,
) -> Result<(), EnumerateError> {
    let sound = aperture.start <= aperture.end
        && bound.start <= aperture.start
        && aperture.end <= bound.end;
    if sound {
        return Ok(());
    }
    Err(EnumerateError::Aperture {
        kind,
        aperture: aperture.clone(),
        bound,
    })
}
