//! The firmware's role for a PCI Express hierarchy: bus numbers, BARs and bridge windows.
//!
//! A monitor that boots its guest without firmware calls [`enumerate`] once per host bridge before the guest
//! runs. It finds every function, numbers the buses depth first, sizes and places BARs, opens the bridges'
//! windows around them, leaves room for devices that are plugged in later, and turns decoding on. The answer is
//! a [`Hierarchy`]: what was found and where it was put, and a [`Shortfall`] for each thing that got less than
//! it asked for. What does not fit stays closed and takes nothing from the rest.
//!
//! All hardware is reached through [`ConfigAccess`], for which [`EcamAccess`] takes a root complex; nothing else of
//! the machine is known here. Enumeration is a function of what the config space answers and of the [`HostBridge`]:
//! running it twice gives the same result.
//!
//! ```
//! use pci_enumerate::{Apertures, Bdf, ConfigAccess, HostBridge, Width, enumerate};
//!
//! /// A root bus that nothing answers on.
//! struct Empty;
//!
//! impl ConfigAccess for Empty {
//!     fn read(&mut self, _bdf: Bdf, _offset: u16, width: Width) -> u32 {
//!         width.mask()
//!     }
//!     fn write(&mut self, _bdf: Bdf, _offset: u16, _width: Width, _value: u32) {}
//! }
//!
//! let host_bridge = HostBridge::new(Apertures {
//!     buses: 0..=255,
//!     mmio32: 0xc000_0000..0xfec0_0000,
//!     mmio64: Some(0x40_0000_0000..0x80_0000_0000),
//!     io: None,
//! });
//! let hierarchy = enumerate(&mut Empty, &host_bridge)?;
//! assert_eq!(hierarchy.iter().count(), 0);
//! assert_eq!(hierarchy.shortfalls, []);
//! # Ok::<(), pci_enumerate::EnumerateError>(())
//! ```
//!
//! # Where things are put
//!
//! | what | where |
//! | --- | --- |
//! | I/O BAR | I/O aperture, through I/O windows |
//! | 32-bit memory BAR, expansion ROM | 32-bit aperture, through memory windows |
//! | 64-bit prefetchable BAR | 64-bit aperture, if every bridge above has a 64-bit prefetchable window; else the 32-bit aperture |
//! | 64-bit non-prefetchable BAR | on the root bus the 64-bit aperture; behind bridges the 32-bit aperture, unless [`Options::relaxed_prefetchable`] |
//!
//! A prefetchable window that decodes 32 bits only stays closed: whatever it could hold may use the memory window.
//! Address 0 is never given out, because a BAR that reads 0 is taken for unassigned.
//!
//! When an aperture is too small, first the hot-plug reserves shrink alike, then single reserves, then expansion
//! ROMs and then BARs are left out, the largest first, so that as many functions as possible work.
//!
//! # Limits
//!
//! The config space may answer anything: capability lists with loops, bridges whose bus numbers do not stick, BARs
//! that are no power of two. Every walk is bounded (48 capabilities, 960 extended capabilities, 256 buses, 256
//! functions a bus) and nothing panics; what can't be understood is left alone and reported.
//!
//! Not done: Max Payload Size and every other performance policy, interrupt routing (Interrupt Line is left as
//! it is), Resizable BARs, SR-IOV virtual functions, VGA and ISA decoding, CardBus bridges, bridges that decode
//! subtractively, hot plug other than the PCI Express slot's.

#![forbid(unsafe_code)]

mod access;
mod bar;
mod capability;
mod demand;
mod ecam;
mod error;
mod hierarchy;
mod host_bridge;
mod identify;
mod listing;
mod number;
mod pack;
mod place;
mod program;
mod scan;
mod shortfall;

use std::collections::BTreeMap;

pub use access::{ConfigAccess, Width};
pub use bar::{Bar, BarFault, BarKind, Rom};
pub use capability::{Capability, ExtendedCapability};
pub use ecam::EcamAccess;
pub use error::EnumerateError;
pub use hierarchy::{Bridge, BusNumbers, Function, HeaderType, Hierarchy, Slot, Window};
pub use host_bridge::{Apertures, HostBridge, Options, Reserve};
pub use pci_spec::{Bdf, SegmentedBdf};
pub use shortfall::{Bytes, Obstacle, Resource, Shortfall, WindowKind};

/// Enumerates the hierarchy below one host bridge and programs it.
///
/// On return every function that was found has its bus number; every BAR, ROM and window in the result is
/// programmed; Memory and I/O Space Enable are set where all of the function's BARs of that space have an address.
///
/// The caller makes sure that nothing else uses the hierarchy meanwhile: decoding is off while BARs move.
///
/// # Errors
///
/// Only what [`HostBridge::validate`] lists, before any access: once the description is sound, whatever the
/// hardware answers ends in a [`Shortfall`].
pub fn enumerate(
    access: &mut dyn ConfigAccess,
    host_bridge: &HostBridge,
) -> Result<Hierarchy, EnumerateError> {
    host_bridge.validate()?;
    let mut shortfalls = Vec::new();
    let found = scan::scan(access, host_bridge);
    let not_ready = found.not_ready;
    let mut functions = found.functions;
    let last_bus_used = number::number(access, host_bridge, &mut functions, &mut shortfalls);
    let root_bus = *host_bridge.apertures.buses.start();
    shortfall::found(
        host_bridge,
        root_bus,
        &not_ready,
        &functions,
        &mut shortfalls,
    );
    place::place(host_bridge, &mut functions, &mut shortfalls);
    program::program(
        access,
        &host_bridge.options,
        &mut functions,
        &mut shortfalls,
    );
    Ok(Hierarchy {
        segment: host_bridge.segment,
        buses: host_bridge.apertures.buses.clone(),
        last_bus_used,
        functions,
        shortfalls,
    })
}

/// Enumerates several host bridges, each by its segment's config access, in the order of `host_bridges`.
///
/// I/O apertures may coincide: on machines that map I/O space into memory each host bridge has its own.
///
/// # Errors
///
/// Before any access:
/// - What [`HostBridge::validate`] lists, for any of them.
/// - [`EnumerateError::NoAccess`]: `segments` lacks the segment of a host bridge.
/// - [`EnumerateError::OverlappingBuses`]: two host bridges of a segment share a bus number.
/// - [`EnumerateError::OverlappingMemory`]: two host bridges share memory addresses.
pub fn enumerate_all<A: ConfigAccess>(
    segments: &mut BTreeMap<u16, A>,
    host_bridges: &[HostBridge],
) -> Result<Vec<Hierarchy>, EnumerateError> {
    host_bridge::validate_all(host_bridges)?;
    let missing = |host_bridge: &&HostBridge| !segments.contains_key(&host_bridge.segment);
    if let Some(host_bridge) = host_bridges.iter().find(missing) {
        return Err(EnumerateError::NoAccess {
            segment: host_bridge.segment,
        });
    }
    let hierarchies = host_bridges.iter().map(|host_bridge| {
        let segment = host_bridge.segment;
        let access = segments.get_mut(&segment);
        enumerate(
            access.ok_or(EnumerateError::NoAccess { segment })?,
            host_bridge,
        )
    });
    hierarchies.collect()
}
