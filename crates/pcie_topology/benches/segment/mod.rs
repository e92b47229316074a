//! What size is measured on: a segment in which every function that can exist does, and a root complex of 256 ports.

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::MmioIntercept;
use memory_range::MemoryRange;
use pci_core::msi::MsiTarget;
use pcie::PortConfig;
use pcie::root::GenericPcieRootComplex;
use pcie_topology::BarKind;
use pcie_topology::EndpointSpec;
use pcie_topology::Hierarchy;
use pcie_topology::MsixSpec;
use pcie_topology::PortSpec;
use pcie_topology::RootComplexSpec;
use pcie_topology::Topology;

const ECAM: u64 = 0xe000_0000;
/// Functions of a segment: 256 buses of 32 devices of 8 functions, or of one device of 256 with ARI.
pub(crate) const FUNCTIONS: u32 = 1 << 16;

/// 255 root ports with an endpoint of 256 functions behind each, each function with a BAR and MSI-X, and a last function on the
/// root bus.
pub(crate) fn whole_segment() -> Topology {
    let mut root = RootComplexSpec::new("pcie0", ECAM);
    for devfn in 0..255 {
        let mut endpoint =
            EndpointSpec::new(format!("nic{devfn}")).with_bar(BarKind::Memory64, 0x4000);
        endpoint.functions = 256;
        endpoint.msix = Some(MsixSpec::new(4));
        let mut port = port(devfn).with_endpoint(endpoint);
        port.ari_forwarding = true;
        root.port.push(port);
    }
    root.endpoint.push(EndpointSpec {
        device: Some(31),
        function: 7,
        ..EndpointSpec::new("last")
    });
    Topology {
        root_complex: vec![root],
        ..Topology::default()
    }
}

/// 255 root ports with an endpoint of one function behind each.
pub(crate) fn one_function_each() -> Topology {
    let mut root = RootComplexSpec::new("pcie0", ECAM);
    for devfn in 0..255 {
        let endpoint = EndpointSpec::new(format!("nic{devfn}"));
        root.port.push(port(devfn).with_endpoint(endpoint));
    }
    Topology {
        root_complex: vec![root],
        ..Topology::default()
    }
}

/// 256 root ports with hot-plug slots in which there is nothing.
pub(crate) fn ports() -> GenericPcieRootComplex {
    let ecam = MemoryRange::new(ECAM..ECAM + (u64::from(FUNCTIONS) << 12));
    let mut builder = GenericPcieRootComplex::builder(0, 255, ecam);
    for devfn in 0..=255 {
        let port = PortConfig::new(format!("rp{devfn}"), devfn >> 3, devfn & 7);
        builder = builder.port(port.with_slot(u32::from(devfn) + 1));
    }
    builder
        .build(
            &mut ExternallyManagedMmioIntercepts,
            &MsiTarget::disconnected(),
        )
        .unwrap()
}

fn port(devfn: u8) -> PortSpec {
    PortSpec {
        device: Some(devfn >> 3),
        function: devfn & 7,
        ..PortSpec::new(format!("rp{devfn}"))
    }
}

/// Composes a description of one root complex, and gives bus n+1 to port n.
pub(crate) fn compose(topology: &Topology) -> Hierarchy {
    let mut hierarchy = topology
        .compose(&mut ExternallyManagedMmioIntercepts, None)
        .unwrap();
    let root = &mut hierarchy.complexes[0].root;
    for devfn in 0..255 {
        let bus = devfn + 1;
        let address = ECAM + (devfn << 12) + 0x18;
        let numbers = u32::try_from((bus << 8) | (bus << 16)).unwrap();
        root.mmio_write(address, &numbers.to_le_bytes()).unwrap();
        // ARI Forwarding Enable, or functions from 8 on are not reached.
        root.mmio_write(ECAM + (devfn << 12) + 0x68, &0x20u16.to_le_bytes())
            .unwrap();
    }
    hierarchy
}

/// Reads the vendor ID of every function that can exist; returns how many do.
pub(crate) fn scan(root: &mut GenericPcieRootComplex) -> u32 {
    let mut found = 0;
    for function in 0..u64::from(FUNCTIONS) {
        let mut vendor = [0; 2];
        root.mmio_read(ECAM + (function << 12), &mut vendor)
            .unwrap();
        found += u32::from(vendor != [0xff; 2]);
    }
    found
}

/// Root ports with an endpoint behind each, whose BARs are in the ports' windows.
pub(crate) struct BarBehind {
    root: GenericPcieRootComplex,
    /// Where the last endpoint's BAR is.
    address: u64,
}

impl BarBehind {
    pub(crate) fn new(ports: u64) -> Self {
        let mut spec = RootComplexSpec::new("pcie0", ECAM);
        for devfn in (0..=255).take(ports.try_into().unwrap()) {
            let endpoint =
                EndpointSpec::new(format!("nic{devfn}")).with_bar(BarKind::Memory32, 0x4000);
            spec.port.push(port(devfn).with_endpoint(endpoint));
        }
        let topology = Topology {
            root_complex: vec![spec],
            ..Topology::default()
        };
        let mut hierarchy = topology
            .compose(&mut ExternallyManagedMmioIntercepts, None)
            .unwrap();
        let mut root = hierarchy.complexes.remove(0).root;
        let window = |n: u64| 0x8000_0000 + (n << 20);
        for n in 0..ports {
            let (config, below) = (ECAM + (n << 12), ECAM + ((n + 1) << 20));
            let mut write = |address, value: u64| {
                let value = u32::try_from(value).unwrap();
                root.mmio_write(address, &value.to_le_bytes()).unwrap();
            };
            write(config + 0x18, (n + 1) << 8 | (n + 1) << 16);
            write(below + 0x10, window(n));
            write(below + 0x04, 0x2);
            write(config + 0x20, (window(n) >> 16) | window(n));
            write(config + 0x04, 0x2);
        }
        let mut this = Self {
            root,
            address: window(ports - 1),
        };
        assert_ne!(this.read(), u32::MAX, "the BAR answers");
        this
    }

    pub(crate) fn read(&mut self) -> u32 {
        let mut data = [0; 4];
        self.root.mmio_read(self.address, &mut data).unwrap();
        u32::from_le_bytes(data)
    }
}
