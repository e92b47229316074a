//! What a guest is told of CXL.

use crate::CxlControl;
use bitfield_struct::bitfield;
use pcie_topology::AddressRange;
use pcie_topology::CxlWindowSpec;
use pcie_topology::Topology;

/// Bytes of a CXL host bridge's component registers.
pub(crate) const COMPONENT_REGISTERS_LEN: u64 = 0x1_0000;
/// What windows are multiples of.
pub(crate) const WINDOW_ALIGN: u64 = 256 << 20;
/// The smallest and the largest granularity of interleaving.
pub(crate) const GRANULARITY_MIN: u32 = 256;
pub(crate) const GRANULARITY_MAX: u32 = 16 << 10;

/// What makes a host bridge one of CXL (ACPI0016).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CxlHostBridge {
    /// Where its component registers are, 64 KiB (CHBCR, CXL 3.1 section 8.2.3).
    pub component_registers: u64,
    /// What the operating system is granted of CXL.
    pub control: CxlControl,
}

/// A window of host physical addresses for CXL memory (CFMWS, CXL 3.1 section 9.18.1.3), interleaved by modulo arithmetic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CxlWindow {
    /// Where it is: a multiple of 256 MiB, and of as many for each target.
    pub range: AddressRange,
    /// The `_UID`s of the CXL host bridges it goes to, in interleave order: 1, 2, 3, 4, 6, 8, 12 or 16.
    pub targets: Vec<u32>,
    /// Consecutive bytes that go to one target: a power of two from 256 to 16 KiB.
    pub granularity: u32,
    /// What the window may be used for.
    pub restrictions: CxlWindowRestrictions,
    /// The QoS throttling group.
    pub qos_group: u16,
}

impl CxlWindow {
    /// The windows of a description, to the host bridges of [`HostBridge::of`](crate::HostBridge::of). Those that the description does not
    /// place are placed from `free` up ([`Topology::cxl_window_ranges`]): above memory.
    pub fn of(topology: &Topology, free: u64) -> Vec<Self> {
        let ranges = topology.cxl_window_ranges(free);
        topology
            .cxl_window
            .iter()
            .zip(ranges)
            .map(|(spec, range)| Self::at(range, spec, topology))
            .collect()
    }

    fn at(range: AddressRange, spec: &CxlWindowSpec, topology: &Topology) -> Self {
        let uid = |target: &String| {
            let mut complexes = (0..).zip(&topology.root_complex);
            let found = complexes.find(|(_, complex)| complex.name == *target);
            // A name that no root complex has becomes a `_UID` that none has, and is refused with it.
            found.map_or(u32::MAX, |(uid, _)| uid)
        };
        Self {
            range,
            targets: spec.targets.iter().map(uid).collect(),
            granularity: u32::try_from(spec.granularity.0).unwrap_or(u32::MAX),
            restrictions: CxlWindowRestrictions::new()
                .with_device_coherent(spec.device_coherent)
                .with_host_only_coherent(spec.host_only_coherent)
                .with_volatile(spec.volatile)
                .with_persistent(spec.persistent)
                .with_fixed_configuration(spec.fixed_configuration)
                .with_back_invalidate(spec.back_invalidate),
            qos_group: spec.qos_group,
        }
    }
}

/// The restrictions of a window: each bit that is set allows something.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlWindowRestrictions {
    /// Device-coherent memory: type 2, HDM-D.
    pub device_coherent: bool,
    /// Host-only coherent memory: type 3, HDM-H.
    pub host_only_coherent: bool,
    /// Volatile memory.
    pub volatile: bool,
    /// Persistent memory.
    pub persistent: bool,
    /// The configuration is fixed, and the operating system must not change it.
    pub fixed_configuration: bool,
    /// Device-coherent memory with back-invalidation: HDM-DB.
    pub back_invalidate: bool,
    #[bits(10)]
    __: u16,
}

/// The encoding of a number of interleave ways (CXL 3.1 section 8.2.4.20.7).
pub(crate) fn encoded_ways(ways: usize) -> Option<u8> {
    [
        (1, 0),
        (2, 1),
        (4, 2),
        (8, 3),
        (16, 4),
        (3, 8),
        (6, 9),
        (12, 10),
    ]
    .into_iter()
    .find(|(number, _)| *number == ways)
    .map(|(_, code)| code)
}
