//! Root complexes, and the whole.

use super::AddressRange;
use super::BusNumbers;
use super::CxlWindowSpec;
use super::EndpointSpec;
use super::PortSpec;
use super::is_default;
use crate::layout;
use serde::Deserialize;
use serde::Serialize;

/// A hierarchy: its root complexes and all below them.
///
/// ```
/// use pcie_topology::{PortSpec, RootComplexSpec, Topology};
///
/// let topology = Topology::from_toml(r#"
///     [[root_complex]]
///     name = "rc0"
///     ecam = 0xe000_0000
///     buses = { start = 0, end = 15 }
///
///     [[root_complex.port]]
///     name = "rp0"
///     slot = 1
/// "#)?;
/// assert_eq!(topology.root_complex[0].port[0].slot, Some(1.into()));
///
/// let mut root_complex = RootComplexSpec::new("rc0", 0xe000_0000);
/// root_complex.buses.end = 15;
/// root_complex.port.push(PortSpec { slot: Some(1.into()), ..PortSpec::new("rp0") });
/// assert_eq!(topology, Topology { root_complex: vec![root_complex], ..Topology::default() });
/// # Ok::<(), pcie_topology::Problems>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The root complexes.
    #[serde(default)]
    pub root_complex: Vec<RootComplexSpec>,
    /// Windows of host addresses for CXL memory.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cxl_window: Vec<CxlWindowSpec>,
}

/// A root complex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootComplexSpec {
    /// Its name.
    pub name: String,
    /// The PCI segment group its buses are in.
    #[serde(default)]
    pub segment: u16,
    /// Its bus numbers; the first is the root bus.
    #[serde(default)]
    pub buses: BusNumbers,
    /// Where its configuration space begins (ECAM, PCIe 6.2 section 7.2.2): the address of its *first* bus, at a multiple of
    /// 1 MiB. It takes 1 MiB for each bus.
    pub ecam: u64,
    /// Where the CXL host bridge's component registers are (CHBCR, CXL 3.1 section 8.2.3), 64 KiB at a multiple of 64 KiB.
    /// CXL ports need them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chbcr: Option<u64>,
    /// Memory below 4 GiB for BARs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mmio32: Option<AddressRange>,
    /// Memory from 4 GiB up for BARs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mmio64: Option<AddressRange>,
    /// I/O space, below 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<AddressRange>,
    /// Root ports.
    #[serde(default, skip_serializing_if = "is_default")]
    pub port: Vec<PortSpec>,
    /// Root-complex-integrated endpoints, one function each.
    #[serde(default, skip_serializing_if = "is_default")]
    pub endpoint: Vec<EndpointSpec>,
    /// A function that collects the errors of the integrated endpoints. Without it, nobody hears of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_collector: Option<EventCollectorSpec>,
}

/// A root complex event collector (PCIe 6.2 section 1.3.4), a function of the root bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventCollectorSpec {
    /// Its name.
    pub name: String,
    /// Device number, 0 to 31. Without it, the next device number that no other function of the bus asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u8>,
    /// Function number, 0 to 7; 0 unless said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub function: u8,
}

impl RootComplexSpec {
    /// A root complex in segment 0 with all buses, and nothing below it.
    pub fn new(name: impl Into<String>, ecam: u64) -> Self {
        Self {
            name: name.into(),
            segment: 0,
            buses: BusNumbers::default(),
            ecam,
            chbcr: None,
            mmio32: None,
            mmio64: None,
            io: None,
            port: Vec::new(),
            endpoint: Vec::new(),
            event_collector: None,
        }
    }

    /// The ECAM range.
    pub fn ecam_range(&self) -> AddressRange {
        AddressRange::new(self.ecam, u64::from(self.buses.count()) << 20)
    }

    /// Its root ports, each with its device and function number: those it asks for, or was given for want of a wish. A port for
    /// which the bus has no room is left out; validation refuses such.
    pub fn port_places(&self) -> impl Iterator<Item = (&PortSpec, u8, u8)> {
        self.port
            .iter()
            .zip(layout::root_bus_places(self))
            .filter_map(|(port, place)| place.map(|place| (port, place.device, place.function)))
    }

    /// The range of the CXL host bridge's component registers.
    pub fn chbcr_range(&self) -> Option<AddressRange> {
        self.chbcr.map(|base| {
            AddressRange::new(
                base,
                cxl_spec::spec::CXL_HOST_BRIDGE_COMPONENT_REGISTERS_SIZE_BYTES,
            )
        })
    }
}
