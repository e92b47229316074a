//! BARs of ports.

use super::BarKind;
use super::MsixSpec;
use super::Size;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde::de::value::MapAccessDeserializer;
use serde::de::value::SeqAccessDeserializer;
use std::fmt;

/// A BAR of a port. One with component registers or MSI-X is number 0, and 64 bits wide; in another lies scratch memory, as much as its first
/// 4 KiB.
///
/// ```
/// use pcie_topology::{BarKind, Topology};
///
/// let topology = Topology::from_toml(r#"
///     [[root_complex]]
///     name = "rc0"
///     ecam = 0xe000_0000
///     port = [
///         { name = "rp0", bar = { msix = { vectors = 2 } } },
///         { name = "rp1", bar = [{ kind = "32", size = "8K" }, { kind = "io", size = 16 }], rom = "64K" },
///     ]
/// "#)?;
/// assert_eq!(topology.root_complex[0].port[1].bar[1].kind, BarKind::Io);
///
/// let problems = Topology::from_toml(r#"
///     [[root_complex]]
///     name = "rc0"
///     ecam = 0xe000_0000
///     port = [{ name = "rp0", bar = [{}, { kind = "32" }] }]
/// "#).unwrap_err();
/// assert_eq!(
///     problems.to_string(),
///     "root_complex[0].port[0].bar[1]: there is no room for it: a port has 2 slots, and a 64-bit BAR takes 2"
/// );
/// # Ok::<(), pcie_topology::Problems>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortBarSpec {
    /// Its number, 0 or 1; the lowest that is free unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u8>,
    /// Its kind; 64-bit unless said. An I/O BAR of a switch's ports needs `io_window` in the port above the switch.
    #[serde(default = "memory64", skip_serializing_if = "is_memory64")]
    pub kind: BarKind,
    /// Bytes, a power of two of at least 4 KiB, of an I/O BAR 4 to 256. As large as what lies in it unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Offset of a CXL port's component registers, 64 KiB at a multiple of 64 KiB; 0 unless said, in the port's 64-bit BAR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_registers: Option<u64>,
    /// MSI-X, for the port's own interrupts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msix: Option<MsixSpec>,
}

const fn memory64() -> BarKind {
    BarKind::Memory64
}

fn is_memory64(kind: &BarKind) -> bool {
    *kind == memory64()
}

impl Default for PortBarSpec {
    fn default() -> Self {
        Self {
            index: None,
            kind: memory64(),
            size: None,
            component_registers: None,
            msix: None,
        }
    }
}

impl PortBarSpec {
    /// A BAR of `size` bytes, in the lowest free slot.
    pub fn new(kind: BarKind, size: u64) -> Self {
        Self {
            kind,
            size: Some(Size(size)),
            ..Self::default()
        }
    }
}

/// Reads a list of BARs, or a table for a single one.
pub(super) fn one_or_several<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<PortBarSpec>, D::Error> {
    deserializer.deserialize_any(TableOrList)
}

struct TableOrList;

impl<'de> Visitor<'de> for TableOrList {
    type Value = Vec<PortBarSpec>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of BARs, or a table for a single one")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        PortBarSpec::deserialize(MapAccessDeserializer::new(map)).map(|bar| vec![bar])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list))
    }
}
