//! Ports and switches.

use super::CapabilitiesSpec;
use super::EndpointSpec;
use super::IoWindowSpec;
use super::LinkSpec;
use super::PinSpec;
use super::PortBarSpec;
use super::SerialNumber;
use super::Size;
use super::SlotSpec;
use super::is_default;
use super::port_bar;
use super::yes;
use crate::layout;
use serde::Deserialize;
use serde::Serialize;

/// A root port, or a downstream port of a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortSpec {
    /// Its name.
    pub name: String,
    /// Device number, 0 to 31. Without it, the next device number that no other function of the bus asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u8>,
    /// Function number, 0 to 7; 0 unless said. Only a port with a device number can be another function.
    #[serde(default, skip_serializing_if = "is_default")]
    pub function: u8,
    /// A hot-plug slot: its number, or a table. Without it, what is behind the port stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotSpec>,
    /// What its link can do; 32 GT/s and 16 lanes unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkSpec>,
    /// Access Control Services, as in the ACS Capability register (PCIe 6.2 section 7.7.11.2): all that are emulated (0x5f)
    /// unless said, 0 for no ACS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acs: Option<u16>,
    /// Lets the guest turn on ARI forwarding, and reach functions above 7 behind the port.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ari_forwarding: bool,
    /// The serial number; derived from the name unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<SerialNumber>,
    /// Its optional capabilities.
    #[serde(default, skip_serializing_if = "is_default")]
    pub capabilities: CapabilitiesSpec,
    /// Makes it a CXL port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cxl: Option<CxlPortSpec>,
    /// An I/O window, `"16"` or `"32"` by the bits of its addresses; none unless said. An I/O BAR needs one in every port above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_window: Option<IoWindowSpec>,
    /// Its INTx pin, `"A"` to `"D"`; none unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intx: Option<PinSpec>,
    /// Its own BARs, or one of them as a table. A CXL port without one gets one for its component registers.
    #[serde(default, skip_serializing_if = "is_default")]
    #[serde(deserialize_with = "port_bar::one_or_several")]
    pub bar: Vec<PortBarSpec>,
    /// Bytes of its expansion ROM, a power of two from 4 KiB to 16 MiB; none unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rom: Option<Size>,
    /// A switch behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Box<SwitchSpec>>,
    /// An endpoint behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Box<EndpointSpec>>,
}

impl PortSpec {
    /// A port with nothing behind it.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            device: None,
            function: 0,
            slot: None,
            link: None,
            acs: None,
            ari_forwarding: false,
            serial_number: None,
            capabilities: CapabilitiesSpec::default(),
            cxl: None,
            io_window: None,
            intx: None,
            bar: Vec::new(),
            rom: None,
            switch: None,
            endpoint: None,
        }
    }

    /// With an endpoint behind it.
    pub fn with_endpoint(self, endpoint: EndpointSpec) -> Self {
        Self {
            endpoint: Some(Box::new(endpoint)),
            ..self
        }
    }

    /// With a switch behind it.
    pub fn with_switch(self, switch: SwitchSpec) -> Self {
        Self {
            switch: Some(Box::new(switch)),
            ..self
        }
    }
}

/// What makes a port a CXL port (CXL 3.1 section 8.1): the protocols and flit formats its Flex Bus offers, and its component
/// registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CxlPortSpec {
    /// CXL.cache.
    #[serde(default)]
    pub cache: bool,
    /// CXL.mem; on unless said.
    #[serde(default = "yes")]
    pub mem: bool,
    /// 68B flits and virtual hierarchies; on unless said.
    #[serde(default = "yes")]
    pub flit_68b_and_vh: bool,
    /// Multi-logical devices.
    #[serde(default)]
    pub multi_logical_device: bool,
    /// Latency-optimized 256B flits.
    #[serde(default)]
    pub latency_optimized_256b_flit: bool,
    /// PBR flits.
    #[serde(default)]
    pub pbr_flit: bool,
    /// The RAS capability in the component registers (CXL 3.1 section 8.2.4.17); on unless said.
    #[serde(default = "yes")]
    pub ras: bool,
    /// The Link capability in the component registers (CXL 3.1 section 8.2.4.19).
    #[serde(default)]
    pub link: bool,
}

impl Default for CxlPortSpec {
    fn default() -> Self {
        Self {
            cache: false,
            mem: true,
            flit_68b_and_vh: true,
            multi_logical_device: false,
            latency_optimized_256b_flit: false,
            pbr_flit: false,
            ras: true,
            link: false,
        }
    }
}

/// A switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchSpec {
    /// Its name.
    pub name: String,
    /// The serial number of its upstream port; derived from the name unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<SerialNumber>,
    /// What the link of its upstream port can do; 32 GT/s and 16 lanes unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkSpec>,
    /// The optional capabilities of its upstream port.
    #[serde(default, skip_serializing_if = "is_default")]
    pub capabilities: CapabilitiesSpec,
    /// The BARs of its upstream port, or one of them as a table; with neither component registers nor MSI-X.
    #[serde(default, skip_serializing_if = "is_default")]
    #[serde(deserialize_with = "port_bar::one_or_several")]
    pub bar: Vec<PortBarSpec>,
    /// Bytes of its upstream port's expansion ROM, a power of two from 4 KiB to 16 MiB; none unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rom: Option<Size>,
    /// Its downstream ports.
    #[serde(default, skip_serializing_if = "is_default")]
    pub port: Vec<PortSpec>,
}

impl SwitchSpec {
    /// A switch without downstream ports.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            serial_number: None,
            link: None,
            capabilities: CapabilitiesSpec::default(),
            bar: Vec::new(),
            rom: None,
            port: Vec::new(),
        }
    }

    /// Its downstream ports, each with its device and function number on the switch's internal bus, as
    /// [`RootComplexSpec::port_places`](crate::RootComplexSpec::port_places).
    pub fn port_places(&self) -> impl Iterator<Item = (&PortSpec, u8, u8)> {
        self.port
            .iter()
            .zip(layout::port_places(&self.port))
            .filter_map(|(port, place)| place.map(|place| (port, place.device, place.function)))
    }
}
