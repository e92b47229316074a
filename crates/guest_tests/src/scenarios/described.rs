//! What most scenarios run on: one root complex with room for devices to come.

use anyhow::Result;
use pcie_topology::Topology;

/// The port of [`one_slot`].
pub(super) const PORT: &str = "rp-slot";

const ROOT_COMPLEX: &str = r#"
    [[root_complex]]
    name = "rc0"
    buses = { start = 0, end = 63 }
    ecam = 0xe000_0000
    mmio32 = { base = 0xc000_0000, size = "256M" }
    mmio64 = { base = 0x40_0000_0000, size = "64G" }
"#;

/// The root complex with `ports`, which are in TOML.
pub(super) fn with_ports(ports: &str) -> Result<Topology> {
    Ok(Topology::from_toml(&format!("{ROOT_COMPLEX}{ports}"))?)
}

/// The root complex with a root port that has slot 1, and nothing in it.
pub(super) fn one_slot() -> Result<Topology> {
    with_ports(&format!("port = [{{ name = {PORT:?}, slot = 1 }}]"))
}
