//! Capabilities that a port, switch or endpoint may have or not.

use super::yes;
use serde::Deserialize;
use serde::Serialize;

/// Which optional capabilities a port, a switch's upstream port or an endpoint has. The first three are there unless said, as in any device
/// of these days.
///
/// ```
/// use pcie_topology::Topology;
///
/// let topology = Topology::from_toml(r#"
///     [[root_complex]]
///     name = "rc0"
///     ecam = 0xe000_0000
///     port = [{ name = "rp0", capabilities = { dpc = true, ptm = true } }]
/// "#)?;
/// let capabilities = &topology.root_complex[0].port[0].capabilities;
/// assert!(capabilities.dpc && capabilities.error_reporting && !capabilities.ltr);
/// # Ok::<(), pcie_topology::Problems>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilitiesSpec {
    /// Power Management (PCIe 6.2 section 7.5.2); on unless said.
    #[serde(default = "yes")]
    pub power_management: bool,
    /// Advanced Error Reporting (PCIe 6.2 section 7.8.4) and role-based error reporting; on unless said.
    #[serde(default = "yes")]
    pub error_reporting: bool,
    /// What the speed of the link asks for (PCIe 6.2 section 7.7); on unless said. Integrated endpoints have no link, and nothing of this.
    #[serde(default = "yes")]
    pub physical_layer: bool,
    /// Downstream Port Containment (PCIe 6.2 section 7.9.14); ports only, and it needs `error_reporting`.
    #[serde(default)]
    pub dpc: bool,
    /// Latency Tolerance Reporting (PCIe 6.2 section 7.8.2).
    #[serde(default)]
    pub ltr: bool,
    /// L1 PM Substates (PCIe 6.2 section 7.8.3): L1.1, and with `ltr` L1.2.
    #[serde(default)]
    pub l1_pm_substates: bool,
    /// Precision Time Measurement (PCIe 6.2 section 7.9.15); not in a switch's downstream ports.
    #[serde(default)]
    pub ptm: bool,
    /// Virtual Channel (PCIe 6.2 section 7.9.1), with VC0 only.
    #[serde(default)]
    pub virtual_channel: bool,
}

impl Default for CapabilitiesSpec {
    fn default() -> Self {
        Self {
            power_management: true,
            error_reporting: true,
            physical_layer: true,
            dpc: false,
            ltr: false,
            l1_pm_substates: false,
            ptm: false,
            virtual_channel: false,
        }
    }
}
