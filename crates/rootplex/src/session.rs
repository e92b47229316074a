//! A composed and enumerated hierarchy, and what can be asked of it.

use crate::outline::Complex;
use crate::outline::Label;
use crate::outline::Labels;
use crate::outline::Node;
use crate::outline::Role;
use crate::tree::Tree;
use crate::verification;
use crate::verification::Verified;
use crate::verification::VerifyError;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use inspect::Node as Inspected;
use inspect_service::lspci::ConfigSpace;
use inspect_service::lspci::Dump;
use inspect_service::topology;
use inspect_service::topology::Drawing;
use pci_core::spec::caps::ExtendedCapabilityId;
use pci_enumerate::Apertures;
use pci_enumerate::ConfigAccess;
use pci_enumerate::EcamAccess;
use pci_enumerate::EnumerateError;
use pci_enumerate::Function;
use pci_enumerate::HostBridge;
use pci_enumerate::Width;
use pcie::root::GenericPcieRootComplex;
use pcie_topology::AddressRange;
use pcie_topology::Hierarchy;
use pcie_topology::Problems;
use pcie_topology::RootComplexSpec;
use pcie_topology::Topology;
use recording::RecordedAccess;
use recording::Recorder;
use std::fmt;

/// The vendor ID in a DVSEC of CXL (CXL 3.1 section 8.1.1).
const CXL_DVSEC_VENDOR: u32 = 0x1e98;
/// A DVSEC's second dword holds its vendor.
const DVSEC_HEADER1: u16 = 4;

/// A description that cannot become a session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The description is wrong; one line for each mistake, with its place.
    #[error(transparent)]
    Description(#[from] Problems),
    /// A root complex's bus numbers or apertures cannot be.
    #[error("root complex '{complex}': {source}")]
    Apertures {
        /// The root complex.
        complex: String,
        /// What is wrong.
        source: EnumerateError,
    },
}

/// No port has the name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no port is named '{name}'; there {}", Known(known))]
pub struct UnknownPort {
    name: String,
    known: Vec<String>,
}

/// The names to choose from.
struct Known<'a>(&'a [String]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("is none"),
            [one] => write!(f, "is {one}"),
            names => write!(f, "are {}", names.join(", ")),
        }
    }
}

/// A port, by name and by its path in the inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortHandle {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
}

/// A hierarchy that was composed from its description and enumerated.
pub struct Session {
    hierarchy: Hierarchy,
    /// One for each root complex.
    found: Vec<pci_enumerate::Hierarchy>,
    labels: Labels,
}

impl Session {
    /// Composes the hierarchy that a TOML file describes, and enumerates it in the apertures given there, with room for
    /// what may be plugged into its slots.
    ///
    /// # Errors
    ///
    /// - the description is malformed, or describes what cannot be;
    /// - the bus numbers or apertures of a root complex contradict each other.
    pub fn compose(description: &str) -> Result<Self, SessionError> {
        Self::compose_recorded(description, None)
    }

    /// As [`Self::compose`]; what the enumeration reads and writes is taken down.
    ///
    /// # Errors
    ///
    /// As [`Self::compose`].
    pub fn compose_recorded(
        description: &str,
        mut recorder: Option<&mut Recorder>,
    ) -> Result<Self, SessionError> {
        let topology = Topology::from_toml(description)?;
        let mut hierarchy = topology.compose(&mut ExternallyManagedMmioIntercepts, None)?;
        let mut found = Vec::new();
        for complex in &mut hierarchy.complexes {
            let host_bridge = host_bridge(&complex.spec);
            let mut access = RecordedAccess::new(ecam(&mut complex.root), recorder.as_deref_mut());
            let enumerated = pci_enumerate::enumerate(&mut access, &host_bridge);
            found.push(enumerated.map_err(|source| SessionError::Apertures {
                complex: complex.name.clone(),
                source,
            })?);
        }
        let mut session = Self {
            hierarchy,
            found,
            labels: Labels::new(),
        };
        session.label();
        Ok(session)
    }

    /// Notes the names of functions, and which have to do with CXL.
    fn label(&mut self) {
        for named in self.hierarchy.functions() {
            if let Some(bdf) = named.bdf {
                let label = Label {
                    name: named.name,
                    is_cxl: false,
                };
                self.labels.insert(bdf.in_segment(named.segment), label);
            }
        }
        for (complex, found) in self.hierarchy.complexes.iter_mut().zip(&self.found) {
            let mut access = ecam(&mut complex.root);
            for function in found
                .iter()
                .filter(|function| has_cxl_dvsec(&mut access, function))
            {
                self.labels
                    .entry(function.bdf.in_segment(found.segment))
                    .or_default()
                    .is_cxl = true;
            }
        }
    }

    fn outline(&self) -> Vec<Complex<'_>> {
        let complexes = self.hierarchy.complexes.iter().zip(&self.found);
        complexes
            .map(|(complex, found)| {
                Complex::new(
                    &complex.name,
                    complex.root.ecam_range(),
                    found,
                    &self.labels,
                )
            })
            .collect()
    }

    /// What did not fit, and why: a sentence each.
    pub fn shortfalls(&self) -> impl Iterator<Item = &pci_enumerate::Shortfall> {
        self.found.iter().flat_map(|found| &found.shortfalls)
    }

    /// The hierarchy as text: see [`Tree`].
    pub fn tree(&self) -> String {
        Tree(&self.outline()).to_string()
    }

    /// The hierarchy as SVG: see [`Drawing`].
    pub fn drawing(&mut self) -> String {
        Drawing(&topology::read(&mut self.hierarchy)).to_string()
    }

    /// All configuration spaces as `lspci -F` reads them: see [`Dump`].
    pub fn lspci_dump(&mut self) -> String {
        Dump(&self.config_spaces()).to_string()
    }

    /// The configuration space of every function, read through ECAM.
    pub fn config_spaces(&mut self) -> Vec<ConfigSpace> {
        let mut spaces = verification::config_spaces(&mut self.hierarchy.complexes, &self.found);
        for (space, description) in spaces.iter_mut().zip(self.descriptions()) {
            space.description = description;
        }
        spaces
    }

    /// What each function is, in the order of enumeration.
    fn descriptions(&self) -> Vec<String> {
        fn describe(nodes: &[Node<'_>], into: &mut Vec<String>) {
            for node in nodes {
                into.push(format!("{}: {}", node.name, Role(node)));
                describe(&node.below, into);
            }
        }
        let mut descriptions = Vec::new();
        for complex in self.outline() {
            describe(&complex.functions, &mut descriptions);
        }
        descriptions
    }

    /// A part of the inspection tree; the empty path is all of it.
    pub fn inspect(&mut self, path: &str) -> Inspected {
        inspect::inspect(path, &mut self.hierarchy).results()
    }

    /// Saves, resets and restores every root complex, and compares: see [`verification`].
    ///
    /// # Errors
    ///
    /// Something could not be saved or restored, or is not what it was; what is wrong is left as it is.
    pub fn verify(&mut self) -> Result<Verified, VerifyError> {
        verification::verify(&mut self.hierarchy.complexes, &self.found)
    }

    /// The hierarchy itself, for serving it.
    pub fn into_hierarchy(self) -> Hierarchy {
        self.hierarchy
    }

    /// The port `name`.
    ///
    /// # Errors
    ///
    /// No port has that name.
    pub fn port(&self, name: &str) -> Result<PortHandle, UnknownPort> {
        let known = self.hierarchy.port_names();
        let is_port = known.iter().any(|port| port == name);
        let functions = self.hierarchy.functions();
        match functions
            .into_iter()
            .find(|function| is_port && function.name == name)
        {
            Some(port) => Ok(PortHandle {
                name: port.name,
                path: port.path,
            }),
            None => Err(UnknownPort {
                name: name.to_string(),
                known,
            }),
        }
    }

    /// The first port with a hot-plug slot, in the order of enumeration.
    pub fn first_hot_plug_port(&self) -> Option<PortHandle> {
        let slot = self.found.iter().find_map(|found| {
            let port = found
                .iter()
                .find(|function| function.slot.is_some_and(|slot| slot.hot_plug))?;
            self.labels.get(&port.bdf.in_segment(found.segment))
        })?;
        self.port(&slot.name).ok()
    }
}

/// Accesses to the functions of a root complex.
pub(crate) fn ecam(root: &mut GenericPcieRootComplex) -> EcamAccess<'_> {
    let (first, last) = root.bus_range();
    let address = root.ecam_range().start();
    EcamAccess::new(root, address, first..=last)
}

/// What a root complex is described to decode.
pub(crate) fn host_bridge(spec: &RootComplexSpec) -> HostBridge {
    let range = |range: AddressRange| range.base..range.end();
    let mut host_bridge = HostBridge::new(Apertures {
        buses: spec.buses.start..=spec.buses.end,
        mmio32: spec.mmio32.map_or(0..0, range),
        mmio64: spec.mmio64.map(range),
        io: spec.io.map(range),
    });
    host_bridge.segment = spec.segment;
    host_bridge
}

fn has_cxl_dvsec(access: &mut EcamAccess<'_>, function: &Function) -> bool {
    function
        .extended_capabilities
        .iter()
        .filter(|capability| capability.id == ExtendedCapabilityId::DVSEC)
        .any(|dvsec| {
            access.read(function.bdf, dvsec.offset + DVSEC_HEADER1, Width::Word) == CXL_DVSEC_VENDOR
        })
}
