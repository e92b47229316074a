//! Windows of host addresses for CXL memory.

use super::AddressRange;
use super::Size;
use super::Topology;
use super::is_default;
use super::yes;
use serde::Deserialize;
use serde::Serialize;

/// What windows are multiples of (CXL 3.1 section 9.18.1.3).
pub(crate) const WINDOW_ALIGN: u64 = 256 << 20;

/// A fixed window of host physical addresses for CXL memory (CXL 3.1 section 9.18.1.3): what an operating system maps memory devices into
/// with the HDM decoders of host bridges, switches and devices.
///
/// ```
/// use pcie_topology::AddressRange;
/// use pcie_topology::Topology;
///
/// let topology = Topology::from_toml(r#"
///     [[root_complex]]
///     name = "cxl0"
///     ecam = 0xe000_0000
///     chbcr = 0xf000_0000
///     mmio64 = { base = 0x40_0000_0000, size = "64G" }
///
///     [[cxl_window]]
///     name = "window0"
///     size = "4G"
///     targets = ["cxl0"]
/// "#)?;
/// // Without `base`, the monitor chooses: here the first place that is free above its 8 GiB of memory.
/// assert_eq!(topology.cxl_window_ranges(8 << 30), [AddressRange::new(8 << 30, 4 << 30)]);
/// # Ok::<(), pcie_topology::Problems>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CxlWindowSpec {
    /// Its name.
    pub name: String,
    /// The first address, a multiple of 256 MiB from 4 GiB up. Without it, whoever lays out memory chooses one:
    /// [`Topology::cxl_window_ranges`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// Bytes, a multiple of 256 MiB for each target.
    pub size: Size,
    /// The root complexes it goes to, by name, in interleave order: 1, 2, 3, 4, 6, 8, 12 or 16 that have `chbcr`.
    pub targets: Vec<String>,
    /// Consecutive bytes that go to one target, a power of two from 256 to 16 KiB; 256 unless said.
    #[serde(default = "finest")]
    pub granularity: Size,
    /// Memory of type 2 devices may be mapped here (HDM-D).
    #[serde(default, skip_serializing_if = "is_default")]
    pub device_coherent: bool,
    /// Memory of type 3 devices may be mapped here (HDM-H); on unless said.
    #[serde(default = "yes")]
    pub host_only_coherent: bool,
    /// Memory with back-invalidation may be mapped here (HDM-DB).
    #[serde(default, skip_serializing_if = "is_default")]
    pub back_invalidate: bool,
    /// Volatile memory may be mapped here; on unless said.
    #[serde(default = "yes")]
    pub volatile: bool,
    /// Persistent memory may be mapped here.
    #[serde(default, skip_serializing_if = "is_default")]
    pub persistent: bool,
    /// What is mapped must stay as it is found.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fixed_configuration: bool,
    /// The QoS throttling group, 0 unless said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub qos_group: u16,
}

const fn finest() -> Size {
    Size(256)
}

impl CxlWindowSpec {
    /// A window of `size` bytes somewhere, for volatile memory of type 3 devices below one root complex.
    pub fn new(name: impl Into<String>, size: u64, target: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            base: None,
            size: Size(size),
            targets: vec![target.into()],
            granularity: finest(),
            device_coherent: false,
            host_only_coherent: true,
            back_invalidate: false,
            volatile: true,
            persistent: false,
            fixed_configuration: false,
            qos_group: 0,
        }
    }
}

impl Topology {
    /// Where the CXL windows are, in the order of the description. Those without `base` get, one after the other, the lowest place from
    /// `free` up, and from 4 GiB up, that neither a root complex nor another window has. In a description that was not validated, a
    /// window may reach beyond the last address.
    pub fn cxl_window_ranges(&self, free: u64) -> Vec<AddressRange> {
        let fixed = self.cxl_window.iter().filter_map(CxlWindowSpec::range);
        let mut taken: Vec<AddressRange> = self
            .root_complex
            .iter()
            .flat_map(|complex| {
                let optional = [complex.chbcr_range(), complex.mmio32, complex.mmio64];
                optional.into_iter().flatten().chain([complex.ecam_range()])
            })
            .chain(fixed)
            .filter(|range| range.size.0 != 0)
            .collect();
        taken.sort_by_key(|range| range.base);
        let mut next = free.max(1 << 32);
        let mut place = |size: Size| {
            loop {
                next = next
                    .checked_next_multiple_of(WINDOW_ALIGN)
                    .unwrap_or(u64::MAX);
                let range = AddressRange { base: next, size };
                // Each round leaves one of them behind: the place found begins at its end.
                let Some(other) = taken.iter().find(|other| other.overlaps(&range)) else {
                    next = range.end();
                    return range;
                };
                next = other.end();
            }
        };
        self.cxl_window
            .iter()
            .map(|window| window.range().unwrap_or_else(|| place(window.size)))
            .collect()
    }
}

impl CxlWindowSpec {
    /// Where it is, if the description says so.
    pub(crate) fn range(&self) -> Option<AddressRange> {
        self.base.map(|base| AddressRange {
            base,
            size: self.size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RootComplexSpec;

    const GIB: u64 = 1 << 30;

    #[test]
    fn windows_go_where_nothing_else_is() {
        let mut complex = RootComplexSpec::new("cxl0", 0xe000_0000);
        complex.mmio64 = Some(AddressRange::new(8 * GIB, 4 * GIB));
        complex.chbcr = Some(13 * GIB);
        let fixed = CxlWindowSpec {
            base: Some(16 * GIB),
            ..CxlWindowSpec::new("b", GIB, "cxl0")
        };
        let topology = Topology {
            root_complex: vec![complex],
            cxl_window: vec![
                CxlWindowSpec::new("a", 2 * GIB, "cxl0"),
                fixed,
                CxlWindowSpec::new("c", 2 * GIB, "cxl0"),
                CxlWindowSpec::new("d", GIB, "cxl0"),
            ],
        };
        assert_eq!(topology.validate(), Ok(()));
        let bases = |free| -> Vec<u64> {
            let ranges = topology.cxl_window_ranges(free);
            ranges.iter().map(|range| range.base).collect()
        };
        // The last fits exactly between BARs and the registers at 13 GiB.
        assert_eq!(bases(0), [4 * GIB, 16 * GIB, 6 * GIB, 12 * GIB]);
        // After the registers, at the next multiple of 256 MiB.
        let after = 13 * GIB + WINDOW_ALIGN;
        assert_eq!(bases(6 * GIB + 1), [after, 16 * GIB, 17 * GIB, 19 * GIB]);
    }

    #[test]
    fn a_description_that_was_not_checked_is_placed_too() {
        let mut complex = RootComplexSpec::new("cxl0", u64::MAX);
        complex.mmio64 = Some(AddressRange::new(GIB, u64::MAX));
        let topology = Topology {
            root_complex: vec![complex],
            cxl_window: vec![CxlWindowSpec::new("a", u64::MAX, "cxl0"); 2],
        };
        assert_eq!(topology.cxl_window_ranges(u64::MAX).len(), 2);
        assert_eq!(topology.cxl_window_ranges(0).len(), 2);
    }
}
