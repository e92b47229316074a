//! What each window has to hold: the hierarchy seen as one kind of address space.

use pci_spec::Bdf;
use pci_spec::caps::pci_express::DevicePortType;

use crate::bar::{Bar, BarKind};
use crate::hierarchy::{AddressBits, Bridge, Function};
use crate::host_bridge::HostBridge;
use crate::shortfall::{Obstacle, Resource, Shortfall, WindowKind};

/// What is wanted on one bus of one kind of address space.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) openings: Vec<Opening>,
}

/// A BAR or expansion ROM.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) function: Bdf,
    pub(crate) resource: Resource,
    /// In bytes, a power of two; also the alignment.
    pub(crate) size: u64,
    /// The kind of a BAR; `None` of an expansion ROM.
    pub(crate) kind: Option<BarKind>,
    /// The function is a bridge.
    pub(crate) bridge: bool,
}

impl Leaf {
    /// That it got no address, and why.
    pub(crate) fn shortfall(&self, obstacle: Obstacle) -> Shortfall {
        let Self { function, size, .. } = *self;
        match (self.resource, self.kind) {
            (Resource::Bar(index), Some(kind)) => Shortfall::Bar {
                function,
                index,
                kind,
                size,
                obstacle,
            },
            _ => Shortfall::Rom {
                function,
                size,
                obstacle,
            },
        }
    }
}

/// A window of a bridge.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) bridge: Bdf,
    pub(crate) inside: Demand,
    /// How large it has to be at least, in bytes.
    pub(crate) reserve: u64,
}

/// The demand of the whole hierarchy for each kind of address space.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    io: Demand,
    memory: Demand,
    prefetchable: Demand,
}

impl Demands {
    pub(crate) fn of(&self, kind: WindowKind) -> &Demand {
        match kind {
            WindowKind::Io => &self.io,
            WindowKind::Memory => &self.memory,
            WindowKind::Prefetchable => &self.prefetchable,
        }
    }

    fn of_mut(&mut self, kind: WindowKind) -> &mut Demand {
        match kind {
            WindowKind::Io => &mut self.io,
            WindowKind::Memory => &mut self.memory,
            WindowKind::Prefetchable => &mut self.prefetchable,
        }
    }
}

/// How a bus is reached: for each kind of address space, what is in the way.
#[derive(Clone)]
struct Path {
    io: Option<Obstacle>,
    memory: Option<Obstacle>,
    prefetchable: Option<Obstacle>,
    /// It is the root bus.
    root: bool,
    /// Every bridge above is a PCI Express port.
    express: bool,
}

impl Path {
    fn obstacle(&self, kind: WindowKind) -> &Option<Obstacle> {
        match kind {
            WindowKind::Io => &self.io,
            WindowKind::Memory => &self.memory,
            WindowKind::Prefetchable => &self.prefetchable,
        }
    }

    fn root(host_bridge: &HostBridge) -> Self {
        let missing = |kind| {
            let absent = host_bridge.apertures.of(kind).is_none();
            absent.then_some(Obstacle::NoAperture(kind))
        };
        Self {
            io: missing(WindowKind::Io),
            memory: missing(WindowKind::Memory),
            prefetchable: missing(WindowKind::Prefetchable),
            root: true,
            express: true,
        }
    }

    fn behind(&self, function: &Function, bridge: &Bridge) -> Self {
        let next = |kind, passes: bool| {
            let here = (!passes).then_some(Obstacle::NoWindow {
                bridge: function.bdf,
                kind,
            });
            self.obstacle(kind).clone().or(here)
        };
        // A faulty BAR of the bridge's own keeps its decoding off, and with it its windows.
        let decodes = function.faults.is_empty();
        let implemented = bridge.implemented;
        let wide = implemented.prefetchable == Some(AddressBits::Long);
        Self {
            io: next(WindowKind::Io, decodes && implemented.io.is_some()),
            memory: next(WindowKind::Memory, decodes && implemented.memory),
            prefetchable: next(WindowKind::Prefetchable, decodes && wide),
            root: false,
            express: self.express
                && matches!(
                    function.port_type,
                    Some(
                        DevicePortType::RootPort
                            | DevicePortType::UpstreamSwitchPort
                            | DevicePortType::DownstreamSwitchPort
                    )
                ),
        }
    }
}

/// Sorts out what goes through which window. What can't be reached at all is added to `shortfalls`.
pub(crate) fn demands(
    host_bridge: &HostBridge,
    functions: &[Function],
    shortfalls: &mut Vec<Shortfall>,
) -> Demands {
    let mut collector = Collector {
        host_bridge,
        shortfalls,
    };
    collector.bus(functions, &Path::root(host_bridge))
}

struct Collector<'a> {
    host_bridge: &'a HostBridge,
    shortfalls: &'a mut Vec<Shortfall>,
}

impl Collector<'_> {
    fn bus(&mut self, functions: &[Function], path: &Path) -> Demands {
        let mut demands = Demands::default();
        for function in functions {
            let leaf = |resource, size, kind| Leaf {
                function: function.bdf,
                resource,
                size,
                kind,
                bridge: function.bridge.is_some(),
            };
            for bar in &function.bars {
                let leaf = leaf(Resource::Bar(bar.index), bar.size, Some(bar.kind));
                let window = self.window_for(function, bar, path);
                self.leaf(window, leaf, path, &mut demands);
            }
            if let Some(rom) = &function.rom {
                let leaf = leaf(Resource::Rom, rom.size, None);
                self.leaf(WindowKind::Memory, leaf, path, &mut demands);
            }
            if let Some(bridge) = function.bridge.as_ref().filter(|b| b.buses.is_some()) {
                self.bridge(function, bridge, path, &mut demands);
            }
        }
        demands
    }

    fn leaf(&mut self, window: WindowKind, leaf: Leaf, path: &Path, demands: &mut Demands) {
        match path.obstacle(window) {
            None => demands.of_mut(window).leaves.push(leaf),
            Some(obstacle) => self.shortfalls.push(leaf.shortfall(obstacle.clone())),
        }
    }

    fn window_for(&self, function: &Function, bar: &Bar, path: &Path) -> WindowKind {
        let prefetchable = match bar.kind {
            BarKind::Io => return WindowKind::Io,
            BarKind::Memory32 { .. } => return WindowKind::Memory,
            BarKind::Memory64 { prefetchable } => prefetchable,
        };
        let relaxed = self.host_bridge.options.relaxed_prefetchable
            && path.express
            && function.port_type.is_some();
        if path.prefetchable.is_none() && (prefetchable || path.root || relaxed) {
            WindowKind::Prefetchable
        } else {
            WindowKind::Memory
        }
    }

    fn bridge(&mut self, function: &Function, bridge: &Bridge, path: &Path, demands: &mut Demands) {
        let behind = path.behind(function, bridge);
        let mut inside = self.bus(&bridge.functions, &behind);
        for kind in WindowKind::ALL {
            let reserve = self.host_bridge.options.reserve(function).of(kind);
            match behind.obstacle(kind) {
                None => demands.of_mut(kind).openings.push(Opening {
                    bridge: function.bdf,
                    inside: std::mem::take(inside.of_mut(kind)),
                    reserve,
                }),
                Some(obstacle) if reserve > 0 => {
                    self.shortfalls.push(Shortfall::WindowReserve {
                        port: function.bdf,
                        kind,
                        asked: reserve,
                        granted: 0,
                        obstacle: obstacle.clone(),
                    });
                }
                Some(_) => {}
            }
        }
    }
}
