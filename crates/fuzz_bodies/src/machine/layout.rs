//! What a machine is made of. The same places in each: a part that a machine lacks is one that does not answer.

use pcie_topology::Topology;
use std::sync::OnceLock;

/// BAR 0 of the endpoint behind the first port.
pub(crate) const NIC: u64 = 0xc000_0000;
/// BAR 0 of the CXL device, and that of its port.
pub(crate) const CXL: [u64; 2] = [0xc100_0000, 0xc200_0000];
/// BAR 0 of the port above the switch.
pub(crate) const SCRATCH: u64 = 0xc300_0000;

/// A port with a slot.
#[derive(Copy, Clone)]
pub(crate) struct Slot {
    pub(crate) name: &'static str,
    /// Where it is as long as nobody changes bus numbers.
    pub(crate) bus: u8,
    pub(crate) devfn: u8,
    /// What is in it at first.
    pub(crate) card: Option<&'static str>,
    /// Whether it has parts to command, and says when a command is completed.
    pub(crate) commanded: bool,
}

/// A bridge, with the numbers that firmware gives to the buses below.
#[derive(Copy, Clone)]
pub(crate) struct Bridge {
    pub(crate) bus: u8,
    pub(crate) devfn: u8,
    pub(crate) secondary: u8,
    pub(crate) subordinate: u8,
}

/// A description, and where things are in it.
pub(crate) struct Layout {
    description: &'static [&'static str],
    topology: OnceLock<Topology>,
    /// Ports that there are, and one that there is not.
    pub(crate) ports: &'static [&'static str],
    pub(crate) slots: &'static [Slot],
    pub(crate) bridges: &'static [Bridge],
    /// Functions that are there at first, or may come.
    pub(crate) functions: &'static [(u8, u8)],
    /// Functions with a first BAR, and where it goes.
    pub(crate) bars: &'static [(u8, u8, u64)],
}

impl Layout {
    pub(crate) fn topology(&self) -> &Topology {
        self.topology.get_or_init(|| {
            Topology::from_toml(&self.description.concat()).unwrap_or_else(|e| panic!("{e}"))
        })
    }
}

const ROOT: &str = include_str!("root.toml");
const CXL_ROOT: &str = include_str!("cxl_root.toml");
const CARD: &str = include_str!("card.toml");
const SWITCH: &str = include_str!("switch.toml");
const MANY: &str = include_str!("many.toml");
const CXL_PORT: &str = include_str!("cxl.toml");
const INTEGRATED: &str = include_str!("integrated.toml");

const RP0: Slot = Slot {
    name: "rp0",
    bus: 0,
    devfn: 1 << 3,
    card: Some("nic0"),
    commanded: false,
};
const RP2: Slot = Slot {
    name: "rp2",
    bus: 0,
    devfn: 3 << 3,
    card: Some("mem0"),
    commanded: false,
};
const SW0P0: Slot = Slot {
    name: "sw0p0",
    bus: 3,
    devfn: 0,
    card: None,
    commanded: true,
};

const fn bridge(bus: u8, device: u8, secondary: u8, subordinate: u8) -> Bridge {
    Bridge {
        bus,
        devfn: device << 3,
        secondary,
        subordinate,
    }
}
const ABOVE_CARD: Bridge = bridge(0, 1, 1, 1);
const ABOVE_SWITCH: Bridge = bridge(0, 2, 2, 5);
const UPSTREAM: Bridge = bridge(2, 0, 3, 5);
const DOWNSTREAM: [Bridge; 2] = [bridge(3, 0, 4, 4), bridge(3, 1, 5, 5)];
const ABOVE_CXL: Bridge = bridge(0, 3, 6, 6);

const ALL_BRIDGES: [Bridge; 6] = [
    ABOVE_CARD,
    ABOVE_SWITCH,
    UPSTREAM,
    DOWNSTREAM[0],
    DOWNSTREAM[1],
    ABOVE_CXL,
];
const ALL_BARS: [(u8, u8, u64); 4] = [
    (1, 0, NIC),
    (6, 0, CXL[0]),
    (0, 3 << 3, CXL[1]),
    (0, 2 << 3, SCRATCH),
];

/// A card in a slot, and an integrated endpoint.
pub(crate) static WITH_CARD: Layout = Layout {
    description: &[ROOT, CARD, INTEGRATED],
    topology: OnceLock::new(),
    ports: &["rp0", "nobody"],
    slots: &[RP0],
    bridges: &[ABOVE_CARD],
    functions: &[(0, 1 << 3), (0, 4 << 3), (1, 0), (1, 1)],
    bars: &[(1, 0, NIC)],
};

/// A switch with an empty slot that has all parts.
pub(crate) static WITH_SWITCH: Layout = Layout {
    description: &[ROOT, SWITCH],
    topology: OnceLock::new(),
    ports: &["sw0p0", "rp1", "sw0p1", "nobody"],
    slots: &[SW0P0],
    bridges: &[ABOVE_SWITCH, UPSTREAM, DOWNSTREAM[0], DOWNSTREAM[1]],
    functions: &[(0, 2 << 3), (2, 0), (3, 0), (3, 1 << 3), (4, 0)],
    bars: &[(0, 2 << 3, SCRATCH)],
};

/// A CXL device in a slot.
pub(crate) static WITH_CXL: Layout = Layout {
    description: &[ROOT, CXL_ROOT, CXL_PORT],
    topology: OnceLock::new(),
    ports: &["rp2", "nobody"],
    slots: &[RP2],
    bridges: &[ABOVE_CXL],
    functions: &[(0, 3 << 3), (6, 0)],
    bars: &[(6, 0, CXL[0]), (0, 3 << 3, CXL[1])],
};

/// Each kind of slot, and so cards that go from one to another.
pub(crate) static WITH_SLOTS: Layout = Layout {
    description: &[ROOT, CXL_ROOT, CARD, SWITCH, CXL_PORT],
    topology: OnceLock::new(),
    ports: &["rp0", "rp2", "sw0p0", "rp1", "sw0p1", "nobody"],
    slots: &[RP0, RP2, SW0P0],
    bridges: &ALL_BRIDGES,
    functions: &[
        (0, 1 << 3),
        (0, 2 << 3),
        (0, 3 << 3),
        (2, 0),
        (3, 0),
        (3, 1 << 3),
    ],
    bars: &ALL_BARS,
};

/// Every kind of function, and a device of more than eight.
pub(crate) static WITH_ALL: Layout = Layout {
    description: &[ROOT, CXL_ROOT, CARD, SWITCH, MANY, CXL_PORT, INTEGRATED],
    topology: OnceLock::new(),
    ports: &["rp0", "rp1", "rp2", "sw0p0", "sw0p1", "nobody"],
    slots: &[RP0, RP2, SW0P0],
    bridges: &ALL_BRIDGES,
    functions: &[
        (0, 1 << 3),
        (0, 2 << 3),
        (0, 3 << 3),
        (0, 4 << 3),
        (1, 0),
        (1, 1),
        (2, 0),
        (3, 0),
        (5, 0),
        (6, 0),
    ],
    bars: &ALL_BARS,
};

/// What an input chooses among, by its first byte: the small ones more often, since they take less time.
pub(crate) static LAYOUTS: [&Layout; 8] = [
    &WITH_CARD,
    &WITH_SWITCH,
    &WITH_CXL,
    &WITH_CARD,
    &WITH_SWITCH,
    &WITH_CXL,
    &WITH_SLOTS,
    &WITH_ALL,
];
