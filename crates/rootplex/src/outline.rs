//! An enumerated hierarchy with the names its author gave: what the tree and the drawing show.

use memory_range::MemoryRange;
use pci_core::spec::Bdf;
use pci_core::spec::SegmentedBdf;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_enumerate::Function;
use pci_enumerate::Hierarchy;
use pci_enumerate::Slot;
use std::collections::BTreeMap;
use std::fmt;

/// What is known of a function beyond what enumeration found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The name its author gave.
    pub name: String,
    /// Whether it has a CXL DVSEC (CXL 3.1 section 8.1).
    pub is_cxl: bool,
}

/// Labels by function. A function without one is shown without a name.
pub type Labels = BTreeMap<SegmentedBdf, Label>;

/// A root complex, and all below it.
#[derive(Clone, Debug)]
pub struct Complex<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where its configuration space is.
    pub ecam: MemoryRange,
    /// What enumeration found.
    pub found: &'a Hierarchy,
    /// The functions on its first bus.
    pub functions: Vec<Node<'a>>,
}

/// A function, and all below it.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// Its name; empty when it has none.
    pub name: &'a str,
    /// Whether it has a CXL DVSEC.
    pub is_cxl: bool,
    /// What enumeration found.
    pub function: &'a Function,
    /// The functions on its secondary bus.
    pub below: Vec<Node<'a>>,
}

impl<'a> Complex<'a> {
    /// Puts names to what enumeration found.
    pub fn new(name: &'a str, ecam: MemoryRange, found: &'a Hierarchy, labels: &'a Labels) -> Self {
        Self {
            name,
            ecam,
            found,
            functions: nodes(&found.functions, found.segment, labels),
        }
    }
}

fn nodes<'a>(functions: &'a [Function], segment: u16, labels: &'a Labels) -> Vec<Node<'a>> {
    let node = |function: &'a Function| {
        let label = labels.get(&function.bdf.in_segment(segment));
        let bridge = function.bridge.as_ref();
        Node {
            name: label.map_or("", |label| &label.name),
            is_cxl: label.is_some_and(|label| label.is_cxl),
            function,
            below: bridge.map_or_else(Vec::new, |bridge| nodes(&bridge.functions, segment, labels)),
        }
    };
    functions.iter().map(node).collect()
}

impl Node<'_> {
    /// Its address.
    pub fn bdf(&self) -> Bdf {
        self.function.bdf
    }

    /// Secondary and subordinate bus, if it is a bridge that has them.
    pub fn buses(&self) -> Option<(u8, u8)> {
        let buses = self.function.bridge.as_ref()?.buses?;
        Some((buses.secondary, buses.subordinate))
    }

    /// Its slot, if devices may come to it while the guest runs.
    pub fn hot_plug_slot(&self) -> Option<Slot> {
        self.function.slot.filter(|slot| slot.hot_plug)
    }

    /// Whether it is a port that leads to nothing.
    pub fn is_empty_port(&self) -> bool {
        self.function.is_downstream_port() && self.below.is_empty()
    }

    /// Whether it is a switch's upstream port.
    pub fn is_upstream_port(&self) -> bool {
        self.function.port_type == Some(DevicePortType::UpstreamSwitchPort)
    }
}

/// What a function is, in a few words.
pub(crate) struct Role<'a>(pub(crate) &'a Node<'a>);

impl fmt::Display for Role<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = self.0.function;
        f.write_str(match function.port_type {
            Some(DevicePortType::RootPort) => "root port",
            Some(DevicePortType::UpstreamSwitchPort) => "switch upstream port",
            Some(DevicePortType::DownstreamSwitchPort) => "switch downstream port",
            Some(DevicePortType::RootComplexIntegratedEndpoint) => "integrated endpoint",
            Some(DevicePortType::Endpoint) => "endpoint",
            Some(_) | None if function.bridge.is_some() => "bridge",
            Some(_) | None => "device",
        })?;
        if function.bridge.is_none() {
            write!(f, " {:04x}:{:04x}", function.vendor_id, function.device_id)?;
        }
        Ok(())
    }
}

/// Bus numbers as people write them: `01-08`.
pub(crate) struct Buses(pub(crate) u8, pub(crate) u8);

impl fmt::Display for Buses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}-{:02x}", self.0, self.1)
    }
}

/// Addresses from the first to the last.
pub(crate) struct Span(pub(crate) u64, pub(crate) u64);

impl Span {
    /// The addresses of a range that is not empty.
    pub(crate) fn of(range: MemoryRange) -> Self {
        Self(range.start(), range.end().saturating_sub(1))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.0, self.1)
    }
}
