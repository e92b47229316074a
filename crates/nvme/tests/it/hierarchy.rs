//! Controllers in a hierarchy that a description asks for.

use crate::host::memory;
use chipset_device::mmio::MmioIntercept;
use nvme::NvmeFactory;
use pci_enumerate::Apertures;
use pci_enumerate::HostBridge;
use pcie_topology::EndpointSpec;
use pcie_topology::Topology;
use testkit::MmioMap;
use testkit::MsiSink;
use testkit::ecam;

const DESCRIPTION: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    buses = { start = 0, end = 15 }

    [[root_complex.port]]
    name = "rp0"
    slot = 1

    [root_complex.port.endpoint]
    name = "disk0"
    kind = "nvme"
    options = { size = "1M", queues = 3 }

    [[root_complex.port]]
    name = "rp1"
    slot = 2
"#;

#[test]
fn described_and_plugged() {
    let topology = Topology::from_toml(DESCRIPTION).unwrap();
    assert_eq!(
        Topology::from_toml(&topology.to_toml().unwrap()).unwrap(),
        topology
    );
    let mut factory = NvmeFactory::new(memory());
    let (mut map, sink) = (MmioMap::new(), MsiSink::new());
    let mut hierarchy = topology
        .compose_with(&mut map, Some(sink), &mut factory)
        .unwrap();
    let host_bridge = HostBridge::new(Apertures {
        buses: 0..=15,
        mmio32: 0xc000_0000..0xd000_0000,
        mmio64: None,
        io: None,
    });
    let root = &mut hierarchy.complexes[0].root;
    let found = pci_enumerate::enumerate(&mut ecam(root), &host_bridge).unwrap();
    let disk = found.iter().find(|f| !f.bars.is_empty()).unwrap();
    let bar = disk.bars[0].address.unwrap();
    let mut version = [0; 4];
    root.mmio_read(bar + 8, &mut version).unwrap();
    assert_eq!(version, 0x0002_0000u32.to_le_bytes());
    assert_eq!(hierarchy.functions()[1].path, "rc0/functions/rp0/device");

    let mut plugged: EndpointSpec = EndpointSpec::new("disk1");
    plugged.kind = "nvme".into();
    let refused = |hierarchy: &mut pcie_topology::Hierarchy,
                   factory: &mut NvmeFactory,
                   spec: &EndpointSpec| {
        hierarchy
            .plug_with(&mut MmioMap::new(), factory, "rp1", spec)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(&mut hierarchy, &mut factory, &plugged),
        "the endpoint's description has mistakes:\nendpoint: options: there is neither `file` nor `size`"
    );
    plugged.kind = "floppy".into();
    assert_eq!(
        refused(&mut hierarchy, &mut factory, &plugged),
        "the endpoint's description has mistakes:\nendpoint: kind: \"floppy\"; known are \"test\", \"nvme\""
    );
    plugged.kind = "nvme".into();
    plugged.functions = 2;
    assert_eq!(
        refused(&mut hierarchy, &mut factory, &plugged),
        "the endpoint's description has mistakes:\nfunctions: only for test endpoints; this is of kind \"nvme\""
    );
    plugged.functions = 1;
    plugged.options.0.insert("size".into(), "4M".into());
    hierarchy
        .plug_with(&mut MmioMap::new(), &mut factory, "rp1", &plugged)
        .unwrap();
    assert_eq!(hierarchy.functions()[3].name, "disk1");
    hierarchy.unplug("rp1").unwrap();
}
