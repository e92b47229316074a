//! A hierarchy as the guest has numbered it: names, addresses, links, slots, errors.

mod bars;
mod drawing;
mod findings;
mod registers;

pub use drawing::Drawing;
pub use findings::Finding;
pub use findings::RULES;
pub use findings::Rule;
pub use findings::Severity;

use crate::lspci::ConfigSpace;
use pci_spec::Bdf;
use pci_spec::SegmentedBdf;
use pcie_topology::FunctionKind;
use pcie_topology::Hierarchy;
use pcie_topology::NamedFunction;
use registers::Image;
use serde::Deserialize;
use serde::Serialize;

/// A hierarchy as the guest has numbered it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// The root complexes.
    pub complexes: Vec<Complex>,
}

/// A root complex, and all below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complex {
    /// Its name.
    pub name: String,
    /// Its PCI segment group.
    pub segment: u16,
    /// Its first and last bus.
    pub buses: (u8, u8),
    /// The first and last address of its ECAM.
    pub ecam: (u64, u64),
    /// The functions on its first bus.
    pub functions: Vec<Function>,
}

/// What a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A root port.
    RootPort,
    /// A switch's upstream port.
    UpstreamPort,
    /// A switch's downstream port.
    DownstreamPort,
    /// An endpoint behind a port.
    Endpoint,
    /// An endpoint integrated in a root complex.
    Integrated,
    /// A root complex event collector.
    EventCollector,
}

/// A function, and all below it. What is absent cannot be told: the guest does not reach the function, or it has no such thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// The name of the port, switch or endpoint.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Where inspection shows it.
    pub path: String,
    /// Its address, `0000:3a:1f.7`, if its bus has a number.
    pub address: Option<String>,
    /// Vendor and device ID.
    pub id: Option<(u16, u16)>,
    /// Base class, sub-class and programming interface, from bit 23 down.
    pub class: Option<u32>,
    /// Whether it has a CXL DVSEC (CXL 3.1 section 8.1).
    pub cxl: bool,
    /// What it forwards, if it is a port.
    pub bridge: Option<Bridge>,
    /// The link below a downstream port, or above anything else.
    pub link: Option<Link>,
    /// Its slot, if it is a port with one.
    pub slot: Option<Slot>,
    /// Its Base Address registers.
    #[serde(default)]
    pub bars: Vec<Bar>,
    /// What keeps it, or what is below it, from working; what comes first is the likelier cause.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// The errors in its AER status registers, or else in Device Status, by the names of the bits.
    pub errors: Vec<String>,
    /// The functions on its secondary bus.
    pub below: Vec<Function>,
}

/// What a port forwards (PCIe 6.2 section 7.5.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// The bus right behind it; 0 before the guest numbers it.
    pub secondary: u8,
    /// The last bus behind it.
    pub subordinate: u8,
    /// The first and last address of the I/O window, if it is open.
    pub io: Option<(u64, u64)>,
    /// The first and last address of the memory window, if it is open.
    pub memory: Option<(u64, u64)>,
    /// The first and last address of the prefetchable window, if it is open.
    pub prefetchable: Option<(u64, u64)>,
}

/// A link (PCIe 6.2 section 7.5.3.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Whether the data link layer is active, or, of a function that does not report that, whether lanes are in use.
    pub active: bool,
    /// The speed, in the steps of the specification: 1 is 2.5 GT/s.
    pub speed: u16,
    /// Lanes in use.
    pub width: u16,
}

/// A slot (PCIe 6.2 sections 7.5.3.9 to 7.5.3.11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Physical Slot Number.
    pub number: u32,
    /// Whether devices come and go while the guest runs.
    pub hot_plug: bool,
    /// Whether there is a card.
    pub present: bool,
    /// Whether it has power, as far as a power controller says.
    pub powered: bool,
    /// Whether a power fault was detected and not yet taken note of.
    pub power_fault: bool,
    /// What happened at the slot and was not yet taken note of, by the names of the bits of Slot Status.
    pub events: Vec<String>,
    /// What the attention indicator shows, if there is one: `on`, `blink` or `off`.
    #[serde(default)]
    pub attention_indicator: Option<String>,
    /// What the power indicator shows, if there is one: `on`, `blink` or `off`.
    #[serde(default)]
    pub power_indicator: Option<String>,
    /// Whether there is an attention button.
    pub attention_button: bool,
    /// Whether there is a power controller.
    pub power_controller: bool,
    /// Whether the retention latch is open, if a sensor tells (MRL).
    #[serde(default)]
    pub latch_open: Option<bool>,
    /// Whether the electromechanical interlock holds the card, if there is one.
    #[serde(default)]
    pub interlock_engaged: Option<bool>,
}

/// A Base Address register that asks for address space (PCIe 6.2 section 7.5.1.2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// Its number.
    pub index: u8,
    /// `io`, `memory32`, `memory32_prefetchable`, `memory64` or `memory64_prefetchable`.
    pub kind: String,
    /// How many bytes it asks for.
    pub size: u64,
    /// What it holds; 0 before the guest gives it an address.
    pub address: u64,
}

impl Bar {
    fn is_64_bit(&self) -> bool {
        self.kind.starts_with("memory64")
    }

    fn is_memory(&self) -> bool {
        self.kind.starts_with("memory")
    }

    fn is_prefetchable(&self) -> bool {
        self.kind.ends_with("_prefetchable")
    }

    /// The last byte that it decodes, if it has an address.
    fn last(&self) -> Option<u64> {
        (self.address != 0).then(|| self.address.saturating_add(self.size.saturating_sub(1)))
    }
}

/// Speeds by the encoding of Link Status, from 1.
const SPEEDS: [&str; 6] = ["2.5", "5", "8", "16", "32", "64"];

impl Link {
    /// The speed in GT/s, as people write it.
    pub fn gigatransfers(&self) -> &'static str {
        let index = usize::from(self.speed).checked_sub(1);
        index
            .and_then(|index| SPEEDS.get(index))
            .copied()
            .unwrap_or("?")
    }
}

impl Topology {
    /// Every function, each before what is below it.
    pub fn functions(&self) -> Vec<&Function> {
        fn collect<'a>(functions: &'a [Function], into: &mut Vec<&'a Function>) {
            for function in functions {
                into.push(function);
                collect(&function.below, into);
            }
        }
        let mut all = Vec::new();
        for complex in &self.complexes {
            collect(&complex.functions, &mut all);
        }
        all
    }

    /// The first function of this name.
    pub fn find(&self, name: &str) -> Option<&Function> {
        self.functions()
            .into_iter()
            .find(|function| function.name == name)
    }
}

impl Function {
    /// What it is, in a few words.
    pub fn role(&self) -> String {
        let words = match self.kind {
            Kind::RootPort => "root port",
            Kind::UpstreamPort => "switch upstream port",
            Kind::DownstreamPort => "switch downstream port",
            Kind::Endpoint => "endpoint",
            Kind::Integrated => "integrated endpoint",
            Kind::EventCollector => "event collector",
        };
        match self.id {
            Some((vendor, device)) if self.bridge.is_none() => {
                format!("{words} {vendor:04x}:{device:04x}")
            }
            _ => words.to_string(),
        }
    }

    /// Whether it is a port that devices are attached to.
    pub fn is_downstream_port(&self) -> bool {
        matches!(self.kind, Kind::RootPort | Kind::DownstreamPort)
    }

    fn buses(&self) -> Option<(u8, u8)> {
        let bridge = self.bridge.as_ref()?;
        (bridge.secondary != 0).then_some((bridge.secondary, bridge.subordinate))
    }

    fn hot_plug_slot(&self) -> Option<&Slot> {
        self.slot.as_ref().filter(|slot| slot.hot_plug)
    }

    /// Its address without the segment.
    fn short_address(&self) -> &str {
        let address = self.address.as_deref().unwrap_or("unnumbered");
        address.split_once(':').map_or(address, |(_, bdf)| bdf)
    }
}

/// How a hierarchy is reached: each call runs its argument once, with whatever lock there is held for that long.
pub trait Reach {
    /// Runs `f` on the hierarchy.
    fn with<R>(&mut self, f: impl FnOnce(&mut Hierarchy) -> R) -> R;
}

impl Reach for &mut Hierarchy {
    fn with<R>(&mut self, f: impl FnOnce(&mut Hierarchy) -> R) -> R {
        f(self)
    }
}

impl<H: AsMut<Hierarchy>> Reach for &parking_lot::Mutex<H> {
    fn with<R>(&mut self, f: impl FnOnce(&mut Hierarchy) -> R) -> R {
        let mut guard = self.lock();
        let result = f(guard.as_mut());
        // Whoever waited is next, and not this thread again.
        parking_lot::MutexGuard::unlock_fair(guard);
        result
    }
}

/// Bytes of configuration space that are read at a time.
const CHUNK_BYTES: usize = 256;

/// Reads what there is to know of a hierarchy. Nothing changes by it: a function that does not answer is not asked.
pub fn read(reach: impl Reach) -> Topology {
    survey(reach).0
}

/// The configuration space of every function that can be asked, by address.
pub fn config_spaces(reach: impl Reach) -> Vec<ConfigSpace> {
    let (_, mut spaces) = survey(reach);
    spaces.sort_by_key(|space| space.address);
    spaces
}

fn survey(mut reach: impl Reach) -> (Topology, Vec<ConfigSpace>) {
    let (frames, named) = reach.with(|hierarchy| {
        let frames: Vec<_> = hierarchy
            .complexes
            .iter()
            .map(|complex| {
                let ecam = complex.root.ecam_range();
                Complex {
                    name: complex.name.clone(),
                    segment: complex.segment,
                    buses: complex.root.bus_range(),
                    ecam: (ecam.start(), ecam.end().saturating_sub(1)),
                    functions: Vec::new(),
                }
            })
            .collect();
        (frames, hierarchy.functions())
    });
    let mut survey = Survey {
        reach,
        named,
        spaces: Vec::new(),
    };
    let mut complexes = frames;
    for (index, complex) in complexes.iter_mut().enumerate() {
        let prefix = format!("{}/", complex.name);
        complex.functions = survey.below(index, &prefix, None, true);
    }
    (Topology { complexes }, survey.spaces)
}

struct Survey<R> {
    reach: R,
    named: Vec<NamedFunction>,
    spaces: Vec<ConfigSpace>,
}

impl<R: Reach> Survey<R> {
    /// The functions of a root complex below `parent`, by address. `reached` says that accesses are forwarded to them.
    fn below(
        &mut self,
        complex: usize,
        prefix: &str,
        parent: Option<&str>,
        reached: bool,
    ) -> Vec<Function> {
        let mut children: Vec<_> = self
            .named
            .iter()
            .filter(|function| {
                function.parent.as_deref() == parent && function.path.starts_with(prefix)
            })
            .cloned()
            .collect();
        children.sort_by_key(|function| function.bdf);
        let mut functions = Vec::new();
        for named in children {
            functions.push(self.function(complex, prefix, named, reached));
        }
        functions
    }

    fn function(
        &mut self,
        complex: usize,
        prefix: &str,
        named: NamedFunction,
        reached: bool,
    ) -> Function {
        let address = named.bdf.map(|bdf| bdf.in_segment(named.segment));
        let image = address
            .filter(|_| reached)
            .and_then(|address| self.image(complex, address));
        let forwards = image.as_ref().is_some_and(Image::forwards);
        let kind = match named.kind {
            FunctionKind::RootPort => Kind::RootPort,
            FunctionKind::UpstreamPort => Kind::UpstreamPort,
            FunctionKind::DownstreamPort => Kind::DownstreamPort,
            FunctionKind::Endpoint => Kind::Endpoint,
            FunctionKind::Integrated => Kind::Integrated,
            FunctionKind::EventCollector => Kind::EventCollector,
        };
        // Of an endpoint with several functions nothing is below any.
        let below = match kind {
            Kind::Endpoint | Kind::Integrated | Kind::EventCollector => Vec::new(),
            _ => self.below(complex, prefix, Some(&named.name), forwards),
        };
        let bars = match &image {
            Some(image) => self.bars(&named.path, image),
            None => Vec::new(),
        };
        let mut function = Function {
            kind,
            address: address.map(|address| address.to_string()),
            id: image.as_ref().map(Image::id),
            class: image.as_ref().map(Image::class),
            cxl: image.as_ref().is_some_and(Image::has_cxl_dvsec),
            bridge: image.as_ref().and_then(Image::bridge),
            link: image.as_ref().and_then(Image::link),
            slot: image.as_ref().and_then(Image::slot),
            errors: image.as_ref().map(Image::errors).unwrap_or_default(),
            bars,
            findings: Vec::new(),
            below,
            name: named.name,
            path: named.path,
        };
        if let Some(image) = &image {
            function.findings = findings::of(&function, image);
        }
        if let (Some(address), Some(image)) = (address, image) {
            self.spaces.push(ConfigSpace {
                address,
                description: format!("{}: {}", function.name, function.role()),
                bytes: image.into_bytes(),
            });
        }
        function
    }

    /// The function's Base Address registers: what they ask for, by inspection, and what they hold.
    fn bars(&mut self, path: &str, image: &Image) -> Vec<Bar> {
        let path = format!("{path}/cfg_space/bars");
        let node = self.reach.with(|hierarchy| {
            inspect::InspectionBuilder::new(&path)
                .depth(Some(1))
                .inspect(hierarchy)
        });
        bars::read(node.results(), |index, is_64_bit| {
            image.bar_address(index, is_64_bit)
        })
    }

    /// The function's configuration space, in several turns; `None` if it does not answer.
    fn image(&mut self, complex: usize, address: SegmentedBdf) -> Option<Image> {
        let mut image = Image::absent();
        for (index, chunk) in image.bytes_mut().chunks_mut(CHUNK_BYTES).enumerate() {
            let first = index * CHUNK_BYTES;
            self.reach
                .with(|hierarchy| read_chunk(hierarchy, complex, address.bdf, first, chunk));
        }
        image.is_present().then_some(image)
    }
}

fn read_chunk(hierarchy: &mut Hierarchy, complex: usize, bdf: Bdf, first: usize, chunk: &mut [u8]) {
    use pci_enumerate::ConfigAccess;
    let Some(complex) = hierarchy.complexes.get_mut(complex) else {
        return;
    };
    let (first_bus, last_bus) = complex.root.bus_range();
    let address = complex.root.ecam_range().start();
    let mut access =
        pci_enumerate::EcamAccess::new(&mut complex.root, address, first_bus..=last_bus);
    for (dword, offset) in chunk.chunks_mut(4).zip((first..).step_by(4)) {
        if let Ok(offset) = u16::try_from(offset) {
            let value = access.read(bdf, offset, pci_enumerate::Width::Dword);
            dword.copy_from_slice(&value.to_le_bytes());
        }
    }
}
