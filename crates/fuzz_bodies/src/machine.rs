//! The hierarchy that bodies do things to, as firmware leaves it.

use arbitrary::Arbitrary;
use chipset_device::ChipsetDevice;
use chipset_device::io::IoResult;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::MmioIntercept;
use pcie::root::GenericPcieRootComplex;
use pcie_topology::EndpointSpec;
use pcie_topology::Hierarchy;
use pcie_topology::MsixSpec;
use pcie_topology::Topology;
use std::sync::OnceLock;
use std::task::Context;
use std::task::Waker;
use vmcore::device_state::ChangeDeviceState;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SavedStateBlob;

const ECAM: u64 = 0xe000_0000;
const CHBCR: u64 = 0xd000_0000;
/// BAR 0 of the endpoint behind the first port.
pub(crate) const NIC: u64 = 0xc000_0000;
/// BAR 0 of the CXL device, and that of its port.
const CXL: [u64; 2] = [0xc100_0000, 0xc200_0000];
/// BAR 0 of the port above the switch.
const SCRATCH: u64 = 0xc300_0000;

/// Ports that the hierarchy has, and one that it has not.
pub(crate) const PORTS: [&str; 6] = ["rp0", "rp1", "rp2", "sw0p0", "sw0p1", "nobody"];

/// Where the functions are, as numbered here.
const FUNCTIONS: [(u8, u8); 9] = [
    (0, 1 << 3),
    (0, 2 << 3),
    (0, 3 << 3),
    (0, 4 << 3),
    (1, 0),
    (1, 1),
    (2, 0),
    (3, 0),
    (6, 0),
];

/// The hierarchy and what a guest does to it.
pub(crate) struct Machine {
    pub(crate) hierarchy: Hierarchy,
}

impl Machine {
    /// Composed and numbered, with BARs placed.
    pub(crate) fn new() -> Self {
        static TOPOLOGY: OnceLock<Topology> = OnceLock::new();
        let topology = TOPOLOGY.get_or_init(|| {
            Topology::from_toml(include_str!("machine.toml")).unwrap_or_else(|e| panic!("{e}"))
        });
        let hierarchy = topology
            .compose(&mut ExternallyManagedMmioIntercepts, None)
            .unwrap();
        let mut machine = Self { hierarchy };
        for (bus, devfn, secondary, subordinate) in [
            (0, 1 << 3, 1, 1),
            (0, 2 << 3, 2, 5),
            (2, 0, 3, 5),
            (3, 0, 4, 4),
            (3, 1 << 3, 5, 5),
            (0, 3 << 3, 6, 6),
        ] {
            let numbers = u32::from_le_bytes([bus, secondary, subordinate, 0]);
            machine.write(config(bus, devfn, 0x18), &numbers.to_le_bytes());
            machine.write(config(bus, devfn, 0x20), &0xcff0_c000u32.to_le_bytes());
            machine.write(config(bus, devfn, 0x04), &6u16.to_le_bytes());
        }
        for (bus, devfn, base) in [
            (1, 0, NIC),
            (6, 0, CXL[0]),
            (0, 3 << 3, CXL[1]),
            (0, 2 << 3, SCRATCH),
        ] {
            machine.write(config(bus, devfn, 0x10), &base.to_le_bytes());
            machine.write(config(bus, devfn, 0x04), &6u16.to_le_bytes());
        }
        machine
    }

    pub(crate) fn root(&mut self) -> &mut GenericPcieRootComplex {
        &mut self.hierarchy.complexes[0].root
    }

    /// Reads; errors are one answer of several.
    pub(crate) fn read(&mut self, address: u64, data: &mut [u8]) -> IoResult {
        self.root().mmio_read(address, data)
    }

    /// Writes; errors are one answer of several.
    pub(crate) fn write(&mut self, address: u64, data: &[u8]) {
        let _ = self.root().mmio_write(address, data);
    }

    pub(crate) fn config(&mut self, bus: u8, devfn: u8, offset: u16) -> u32 {
        let mut data = [0; 4];
        let _ = self.read(config(bus, devfn, offset), &mut data);
        u32::from_le_bytes(data)
    }

    pub(crate) fn save(&mut self) -> SavedStateBlob {
        ProtobufSaveRestore::save(self.root()).unwrap()
    }

    /// What is saved is restored, and saved again as it was, by way of bytes.
    pub(crate) fn save_and_restore(&mut self) {
        let saved = mesh_protobuf::encode(self.save());
        let state: SavedStateBlob = mesh_protobuf::decode(&saved).unwrap();
        ProtobufSaveRestore::restore(self.root(), state).unwrap();
        assert_eq!(mesh_protobuf::encode(self.save()), saved);
    }

    pub(crate) fn perform(&mut self, action: Action) {
        match action {
            Action::Read { address, len } => {
                let address = address.get();
                let len = usize::from(len) % 17;
                let (mut first, mut second) = ([0xa5; 16], [0xa5; 16]);
                let result = self.read(address, &mut first[..len]);
                if !matches!(len, 1 | 2 | 4 | 8) {
                    assert!(
                        matches!(result, IoResult::Err(_)),
                        "{len} bytes: {result:?}"
                    );
                }
                let again = self.read(address, &mut second[..len]);
                assert_eq!(first, second, "reading {len} bytes at {address:#x} twice");
                assert_eq!(format!("{result:?}"), format!("{again:?}"));
            }
            Action::Write { address, len, data } => {
                let len = usize::from(len) % 17;
                self.write(address.get(), &data[..len]);
            }
            Action::Number { function, numbers } => {
                let (bus, devfn) = FUNCTIONS[usize::from(function) % FUNCTIONS.len()];
                self.write(config(bus, devfn, 0x18), &numbers.to_le_bytes());
            }
            Action::Operate(operation) => self.operate(operation),
            Action::Poll => {
                let device = self.root().supports_poll_device().unwrap();
                device.poll_device(&mut Context::from_waker(Waker::noop()));
            }
            Action::Reset => pollster::block_on(self.root().reset()),
            Action::Restore => self.save_and_restore(),
        }
    }

    /// The slot may not be there, or not have the part.
    pub(crate) fn operate(&mut self, operation: Operation) {
        let name = |port: u8| PORTS[usize::from(port) % PORTS.len()];
        let hierarchy = &mut self.hierarchy;
        let _ = match operation {
            Operation::Plug { port, kind } => hierarchy.plug(name(port), &card(kind)),
            Operation::Unplug { port } => hierarchy.unplug(name(port)),
            Operation::RequestRemoval { port } => hierarchy.request_removal(name(port)),
            Operation::PressButton { port } => hierarchy.press_attention_button(name(port)),
            Operation::Latch { port, open } => hierarchy.set_mrl(name(port), open),
            Operation::PowerFault { port } => hierarchy.power_fault(name(port)),
            Operation::Command { port, value } => {
                let (bus, devfn) = [(0, 8), (0, 0x18), (3, 0)][usize::from(port) % 3];
                self.write(config(bus, devfn, 0x58), &value.to_le_bytes());
                Ok(())
            }
            Operation::Link { port, value } => {
                let (bus, devfn) = FUNCTIONS[usize::from(port) % FUNCTIONS.len()];
                self.write(config(bus, devfn, 0x50), &value.to_le_bytes());
                Ok(())
            }
            Operation::BridgeControl { port, value } => {
                let (bus, devfn) = FUNCTIONS[usize::from(port) % FUNCTIONS.len()];
                self.write(config(bus, devfn, 0x3e), &value.to_le_bytes());
                Ok(())
            }
        };
    }
}

/// Cards to plug.
pub(crate) fn card(kind: u8) -> EndpointSpec {
    let mut card = EndpointSpec::new(format!("card{}", kind % 3));
    if kind % 3 == 1 {
        card = card.with_bar(pcie_topology::BarKind::Memory64, 0x4000);
        card.msix = Some(MsixSpec::new(2));
    }
    if kind % 3 == 2 {
        card.functions = 2;
    }
    card
}

/// The ECAM address of a register.
pub(crate) fn config(bus: u8, devfn: u8, offset: u16) -> u64 {
    ECAM + (u64::from(bus) << 20) + (u64::from(devfn) << 12) + u64::from(offset)
}

/// What happens to the hierarchy.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Action {
    Read {
        address: Address,
        len: u8,
    },
    Write {
        address: Address,
        len: u8,
        data: [u8; 16],
    },
    /// Bus numbers of a bridge, as a guest writes them.
    Number {
        function: u8,
        numbers: u32,
    },
    Operate(Operation),
    Poll,
    Reset,
    Restore,
}

/// What is done to slots and links, by the guest or the operator.
#[derive(Arbitrary, Copy, Clone, Debug)]
pub(crate) enum Operation {
    Plug { port: u8, kind: u8 },
    Unplug { port: u8 },
    RequestRemoval { port: u8 },
    PressButton { port: u8 },
    Latch { port: u8, open: bool },
    PowerFault { port: u8 },
    Command { port: u8, value: u16 },
    Link { port: u8, value: u16 },
    BridgeControl { port: u8, value: u16 },
}

/// Most addresses mean nothing; these are chosen among those that do.
#[derive(Arbitrary, Copy, Clone, Debug)]
pub(crate) enum Address {
    /// A register of a function that is there at first.
    Function(u8, u16),
    /// Any register of any bus.
    Config(u8, u8, u16),
    /// BARs and host bridge registers.
    Memory(u8, u32),
    Anywhere(u64),
}

impl Address {
    fn get(self) -> u64 {
        match self {
            Self::Function(function, offset) => {
                let (bus, devfn) = FUNCTIONS[usize::from(function) % FUNCTIONS.len()];
                config(bus, devfn, offset & 0xfff)
            }
            Self::Config(bus, devfn, offset) => config(bus & 0xf, devfn, offset & 0xfff),
            Self::Memory(which, offset) => {
                let bases = [NIC, CXL[0], CXL[1], CHBCR, SCRATCH];
                bases[usize::from(which) % bases.len()] + u64::from(offset & 0x3_ffff)
            }
            Self::Anywhere(address) => address,
        }
    }
}
