//! A hierarchy, enumerated, behind a lock and a server.

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use inspect_service::Address;
use inspect_service::Limits;
use inspect_service::Server;
use inspect_service::Source;
use parking_lot::Mutex;
use pci_enumerate::Apertures;
use pci_enumerate::EcamAccess;
use pci_enumerate::HostBridge;
use pcie_topology::Hierarchy;
use pcie_topology::Topology;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

pub(crate) const ECAM: u64 = 0xe000_0000;

const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    buses = { start = 0, end = 31 }
    mmio32 = { base = 0xc000_0000, size = "256M" }
    mmio64 = { base = 0x40_0000_0000, size = "64G" }

    [[root_complex.port]]
    name = "rp0"
    slot = 1

    [[root_complex.port]]
    name = "rp1"
    slot = { number = 2, attention_button = true, power_controller = true, power_indicator = true }

    [root_complex.port.endpoint]
    name = "card"
    functions = 2
    bar = [{ kind = "64", size = "16K" }]

    [[root_complex.port]]
    name = "rp2"

    [root_complex.port.switch]
    name = "sw"

    [[root_complex.port.switch.port]]
    name = "dsp0"

    [root_complex.port.switch.port.endpoint]
    name = "deep"
    bar = [{ kind = "64", size = "16K" }]
    msix = { vectors = 4 }
"#;

/// The hierarchy, as firmware leaves it.
pub(crate) fn hierarchy() -> Arc<Mutex<Hierarchy>> {
    let topology = Topology::from_toml(TOPOLOGY).unwrap();
    let composed = topology.compose(&mut ExternallyManagedMmioIntercepts, None);
    let mut hierarchy = composed.unwrap();
    let root = &mut hierarchy.complexes[0].root;
    let host_bridge = HostBridge::new(Apertures {
        buses: 0..=31,
        mmio32: 0xc000_0000..0xd000_0000,
        mmio64: Some(0x40_0000_0000..0x50_0000_0000),
        io: None,
    });
    let mut access = EcamAccess::new(root, ECAM, 0..=31);
    pci_enumerate::enumerate(&mut access, &host_bridge).unwrap();
    Arc::new(Mutex::new(hierarchy))
}

/// A path that no other test uses.
pub(crate) fn socket() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Relaxed);
    // Paths of sockets are short, so not in the build folder.
    std::env::temp_dir().join(format!("rxs-{}-{number}.sock", std::process::id()))
}

pub(crate) fn serve(source: Arc<dyn Source>, limits: Limits) -> Server {
    Server::start_with(source, Address::Socket(socket()), limits).unwrap()
}

/// A hierarchy and its server.
pub(crate) struct Machine {
    pub(crate) hierarchy: Arc<Mutex<Hierarchy>>,
    pub(crate) server: Server,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let hierarchy = hierarchy();
        let server = serve(hierarchy.clone(), limits);
        Self { hierarchy, server }
    }

    pub(crate) fn socket(&self) -> &Path {
        self.server.socket().unwrap()
    }
}
