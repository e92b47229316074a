//! Host bridges in a flattened device tree, for `pci-host-ecam-generic`.
//!
//! [`add_host_bridge`] adds one to a tree that a monitor is writing. [`blob`] writes a whole tree around them, of what they refer to.

use crate::Error;
use crate::HostBridge;
use crate::validate;
use pcie_topology::AddressRange;
use vm_fdt::FdtWriter;

/// `ranges`: I/O, 32-bit and 64-bit memory, and the bit of prefetchable memory (IEEE 1275 PCI binding, section 2.2.1.1).
const SPACE_IO: u32 = 0x0100_0000;
const SPACE_MEMORY_32: u32 = 0x0200_0000;
const SPACE_MEMORY_64: u32 = 0x0300_0000;
const PREFETCHABLE: u32 = 0x4000_0000;
/// The bits of an address and a pin that choose an interrupt: the device number modulo 4, and the pin.
const INTERRUPT_MAP_MASK: [u32; 4] = [0x1800, 0, 0, 7];

/// Where a host bridge's interrupts go: what the device tree says besides the host bridge itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupts {
    /// Phandle of the MSI controller, and where in its device IDs host bridges of segment 0 begin. A function is known to it by that, plus
    /// the segment in bits 31:16, plus its requester ID in bits 15:0.
    pub msi: Option<(u32, u32)>,
    /// Wired interrupts.
    pub intx: Option<IntxParent>,
}

/// Where wired interrupts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntxParent {
    /// Phandle of the interrupt controller.
    pub phandle: u32,
    /// Its `#address-cells`, which are written as zeros.
    pub address_cells: u32,
    /// The interrupt specifiers of the four interrupts, in the order of [`HostBridge::intx`], which the device tree does not use: pin `p` (INTA
    /// is 0) of device `d` is on number `(d + p) % 4`.
    pub specifiers: [Vec<u32>; 4],
}

/// Adds the node of a host bridge, below a node whose addresses and sizes have two cells each.
///
/// ```
/// use pcie_topology::RootComplexSpec;
/// use platform_tables::HostBridge;
/// use platform_tables::fdt::Interrupts;
/// use platform_tables::fdt::add_host_bridge;
///
/// let bridge = HostBridge::from_root_complex(0, &RootComplexSpec::new("rc0", 0x40_0000_0000));
/// let mut fdt = vm_fdt::FdtWriter::new()?;
/// let root = fdt.begin_node("")?;
/// // ... processors, memory, and an MSI controller whose phandle is 2.
/// add_host_bridge(&mut fdt, &bridge, &Interrupts { msi: Some((2, 0)), intx: None })?;
/// fdt.end_node(root)?;
/// let blob = fdt.finish()?;
/// # assert_eq!(&blob[..4], 0xd00d_feed_u32.to_be_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Accesses of devices are coherent with the processors' caches. Device trees have no `_OSC`: the operating system controls all.
///
/// # Errors
///
/// - the host bridge by itself is refused as in [`AcpiTables::new`](crate::AcpiTables::new);
/// - it has I/O ports, and [`HostBridge::io_in_memory`] does not say where;
/// - the tree is too deep or too large.
pub fn add_host_bridge(
    fdt: &mut FdtWriter,
    bridge: &HostBridge,
    interrupts: &Interrupts,
) -> Result<(), Error> {
    validate::apart(std::slice::from_ref(bridge), [])?;
    let (start, end) = (u32::from(bridge.buses.start), u32::from(bridge.buses.end));
    let node = fdt.begin_node(&format!("pcie@{:x}", bridge.ecam.base))?;
    fdt.property_string("compatible", "pci-host-ecam-generic")?;
    fdt.property_string("device_type", "pci")?;
    // The address of the first bus, whatever its number.
    fdt.property_array_u64("reg", &[bridge.ecam.base, bridge.ecam.size.0])?;
    fdt.property_array_u32("bus-range", &[start, end])?;
    fdt.property_u32("linux,pci-domain", bridge.segment.into())?;
    fdt.property_u32("#address-cells", 3)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_array_u32("ranges", &ranges(bridge)?)?;
    fdt.property_null("dma-coherent")?;
    if let Some((phandle, base)) = interrupts.msi {
        let first = start << 8;
        let device_id = base.wrapping_add(u32::from(bridge.segment) << 16 | first);
        let count = u32::from(bridge.buses.count()) << 8;
        fdt.property_array_u32("msi-map", &[first, phandle, device_id, count])?;
    }
    if let Some(parent) = &interrupts.intx {
        fdt.property_u32("#interrupt-cells", 1)?;
        fdt.property_array_u32("interrupt-map-mask", &INTERRUPT_MAP_MASK)?;
        fdt.property_array_u32("interrupt-map", &interrupt_map(parent))?;
    }
    fdt.end_node(node)?;
    Ok(())
}

/// What the bridge passes on, and where that is in memory: each a PCI address, a memory address and a size.
fn ranges(bridge: &HostBridge) -> Result<Vec<u32>, Error> {
    let mut cells = Vec::new();
    let mut add = |space: u32, pci: u64, memory: u64, size: u64| {
        cells.push(space);
        for value in [pci, memory, size] {
            cells.extend(two_cells(value));
        }
    };
    if let Some(io) = bridge.io {
        let memory = bridge.io_in_memory.ok_or(Error::NoIoInMemory {
            uid: bridge.uid,
            io,
        })?;
        add(SPACE_IO, io.base, memory, io.size.0);
    }
    let memory = [
        (SPACE_MEMORY_32, bridge.mmio32),
        (SPACE_MEMORY_64, bridge.mmio64),
        (SPACE_MEMORY_64 | PREFETCHABLE, bridge.prefetchable),
    ];
    for (space, range) in memory {
        if let Some(range) = range {
            add(space, range.base, range.base, range.size.0);
        }
    }
    Ok(cells)
}

fn two_cells(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    [
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    ]
}

/// The sixteen ways of four device numbers and four pins.
fn interrupt_map(parent: &IntxParent) -> Vec<u32> {
    let mut cells = Vec::new();
    let mut first = parent.specifiers.iter().cycle();
    for device in 0..4_u32 {
        for (pin, specifier) in (1..=4_u32).zip(first.clone()) {
            cells.extend([device << 11, 0, 0, pin, parent.phandle]);
            cells.extend((0..parent.address_cells).map(|_| 0));
            cells.extend(specifier);
        }
        first.next();
    }
    cells
}

/// An interrupt controller of ARM's GICv3 architecture with an Interrupt Translation Service, and who has which interrupt of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GicV3 {
    /// The distributor's registers.
    pub distributor: AddressRange,
    /// The redistributors' registers.
    pub redistributors: AddressRange,
    /// The Interrupt Translation Service's registers, for MSI.
    pub its: AddressRange,
    /// The shared peripheral interrupts that INTx is signalled on: pin `p` (INTA is 0) of device `d` is on number `(d + p) % 4`.
    pub intx: [u32; 4],
}

const GIC: u32 = 1;
const ITS: u32 = 2;
/// A shared peripheral interrupt, in an interrupt specifier of the GIC.
const SPI: u32 = 0;
const LEVEL_HIGH: u32 = 4;

/// Writes a whole tree: memory, a GICv3, and host bridges that refer to it. There are no processors in it: it is for showing and for
/// checking, and a monitor that boots a guest writes its own around [`add_host_bridge`].
///
/// # Errors
///
/// - host bridges and other ranges contradict each other: as in [`AcpiTables::new`](crate::AcpiTables::new);
/// - those of [`add_host_bridge`].
pub fn blob(
    memory: &[AddressRange],
    gic: &GicV3,
    bridges: &[HostBridge],
) -> Result<Vec<u8>, Error> {
    let controllers = [
        ("GIC distributor", gic.distributor),
        ("GIC redistributors", gic.redistributors),
        ("GIC ITS", gic.its),
    ];
    validate::host_bridges(bridges)?;
    validate::apart(
        bridges,
        controllers
            .into_iter()
            .chain(memory.iter().map(|range| ("memory", *range))),
    )?;
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_string("compatible", "rootplex,tables")?;
    fdt.property_string("model", "rootplex,tables")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_u32("interrupt-parent", GIC)?;
    for range in memory {
        let node = fdt.begin_node(&format!("memory@{:x}", range.base))?;
        fdt.property_string("device_type", "memory")?;
        fdt.property_array_u64("reg", &[range.base, range.size.0])?;
        fdt.end_node(node)?;
    }
    add_gic(&mut fdt, gic)?;
    let interrupts = Interrupts {
        msi: Some((ITS, 0)),
        intx: Some(IntxParent {
            phandle: GIC,
            address_cells: 2,
            specifiers: gic.intx.map(|number| vec![SPI, number, LEVEL_HIGH]),
        }),
    };
    for bridge in bridges {
        add_host_bridge(&mut fdt, bridge, &interrupts)?;
    }
    fdt.end_node(root)?;
    Ok(fdt.finish()?)
}

fn add_gic(fdt: &mut FdtWriter, gic: &GicV3) -> Result<(), Error> {
    let (distributor, redistributors) = (gic.distributor, gic.redistributors);
    let node = fdt.begin_node(&format!("interrupt-controller@{:x}", distributor.base))?;
    fdt.property_string("compatible", "arm,gic-v3")?;
    fdt.property_array_u64(
        "reg",
        &[
            distributor.base,
            distributor.size.0,
            redistributors.base,
            redistributors.size.0,
        ],
    )?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_u32("#interrupt-cells", 3)?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_null("ranges")?;
    fdt.property_phandle(GIC)?;
    let its = fdt.begin_node(&format!("msi-controller@{:x}", gic.its.base))?;
    fdt.property_string("compatible", "arm,gic-v3-its")?;
    fdt.property_array_u64("reg", &[gic.its.base, gic.its.size.0])?;
    fdt.property_null("msi-controller")?;
    fdt.property_u32("#msi-cells", 1)?;
    fdt.property_phandle(ITS)?;
    fdt.end_node(its)?;
    fdt.end_node(node)?;
    Ok(())
}
