//! What happens to a machine, and how bytes say it: a byte chooses, those after it say the rest. So a byte that a fuzzer changes is an
//! action or a value that changes.

use crate::machine::CHBCR;
use crate::machine::CXL;
use crate::machine::Layout;
use crate::machine::Machine;
use crate::machine::NIC;
use crate::machine::SCRATCH;
use crate::machine::config;
use arbitrary::Arbitrary;
use arbitrary::Result;
use arbitrary::Unstructured;
use chipset_device::ChipsetDevice;
use chipset_device::io::IoResult;
use pcie_topology::PlugError;
use std::task::Context;
use std::task::Waker;
use vmcore::device_state::ChangeDeviceState;

/// What happens to the hierarchy.
#[derive(Clone, Debug)]
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
    /// A value to each of 64 registers of a function, from one that is a multiple of 256 bytes. What is saved and not restored is seen
    /// soon.
    Sweep {
        function: u8,
        page: u8,
        value: u32,
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

impl<'a> Arbitrary<'a> for Action {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match input.arbitrary::<u8>()? % 16 {
            0..=2 => Self::Read {
                address: input.arbitrary()?,
                len: size(input)?,
            },
            3..=7 => {
                let (address, len) = (input.arbitrary()?, size(input)?);
                let mut data = [0; 16];
                input.fill_buffer(&mut data[..len.into()])?;
                Self::Write { address, len, data }
            }
            8 => Self::Sweep {
                function: input.arbitrary()?,
                page: input.arbitrary()?,
                value: input.arbitrary()?,
            },
            9 => Self::Number {
                function: input.arbitrary()?,
                numbers: input.arbitrary()?,
            },
            10..=12 => Self::Operate(input.arbitrary()?),
            13 => Self::Poll,
            14 => Self::Reset,
            _ => Self::Restore,
        })
    }
}

/// How many bytes an access has: mostly as many as a processor's.
fn size(input: &mut Unstructured<'_>) -> Result<u8> {
    let choice = input.arbitrary::<u8>()?;
    Ok(match choice {
        0..=223 => 1 << (choice % 4),
        224.. => choice % 17,
    })
}

/// What is done to slots and links, by the guest or the operator.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Operation {
    Plug {
        port: u8,
        kind: u8,
    },
    Unplug {
        port: u8,
    },
    RequestRemoval {
        port: u8,
    },
    PressButton {
        port: u8,
    },
    Latch {
        port: u8,
        open: bool,
    },
    PowerFault {
        port: u8,
    },
    /// Slot Control.
    Command {
        slot: u8,
        value: u16,
    },
    /// Slot Status, whose events are cleared by ones.
    Acknowledge {
        slot: u8,
        value: u16,
    },
    /// Link Control.
    Link {
        function: u8,
        value: u16,
    },
    BridgeControl {
        function: u8,
        value: u16,
    },
    /// What firmware does at first, once more: bus numbers, windows, BARs, interrupts.
    Enumerate,
}

impl<'a> Arbitrary<'a> for Operation {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let choice = input.arbitrary::<u8>()? % 11;
        if choice == 10 {
            return Ok(Self::Enumerate);
        }
        let place = input.arbitrary()?;
        Ok(match choice {
            0 => Self::Plug {
                port: place,
                kind: input.arbitrary()?,
            },
            1 => Self::Unplug { port: place },
            2 => Self::RequestRemoval { port: place },
            3 => Self::PressButton { port: place },
            4 => Self::Latch {
                port: place,
                open: input.arbitrary()?,
            },
            5 => Self::PowerFault { port: place },
            6 => Self::Command {
                slot: place,
                value: input.arbitrary()?,
            },
            7 => Self::Acknowledge {
                slot: place,
                value: input.arbitrary()?,
            },
            8 => Self::Link {
                function: place,
                value: input.arbitrary()?,
            },
            _ => Self::BridgeControl {
                function: place,
                value: input.arbitrary()?,
            },
        })
    }
}

/// Most addresses mean nothing; these are chosen among those that do.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Address {
    /// A register of a function that is there at first.
    Function(u8, u16),
    /// Any register of any bus.
    Config(u8, u8, u16),
    /// BARs and host bridge registers.
    Memory(u8, u32),
    Anywhere(u64),
}

impl<'a> Arbitrary<'a> for Address {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match input.arbitrary::<u8>()? % 8 {
            // Most registers with a consequence are in the first 256 bytes, so a byte is enough to come by each soon.
            0 | 1 => Self::Function(input.arbitrary()?, input.arbitrary::<u8>()?.into()),
            2 | 3 => Self::Function(input.arbitrary()?, input.arbitrary()?),
            4 => Self::Config(input.arbitrary()?, input.arbitrary()?, input.arbitrary()?),
            5 | 6 => Self::Memory(input.arbitrary()?, input.arbitrary()?),
            _ => Self::Anywhere(input.arbitrary()?),
        })
    }
}

impl Address {
    fn get(self, layout: &Layout) -> u64 {
        match self {
            Self::Function(function, offset) => {
                let (bus, devfn) = nth(layout.functions, function);
                config(bus, devfn, offset & 0xfff)
            }
            Self::Config(bus, devfn, offset) => config(bus & 0xf, devfn, offset & 0xfff),
            Self::Memory(which, offset) => {
                let bases = [NIC, CXL[0], CXL[1], CHBCR, SCRATCH];
                nth(&bases, which) + u64::from(offset & 0x3_ffff)
            }
            Self::Anywhere(address) => address,
        }
    }
}

/// That of the things which a byte means.
pub(crate) fn nth<T: Copy>(of: &[T], which: u8) -> T {
    of[usize::from(which) % of.len()]
}

impl Machine {
    pub(crate) fn perform(&mut self, action: &Action) {
        match *action {
            Action::Read { address, len } => self.read_twice(address, len),
            Action::Write { address, len, data } => {
                let address = address.get(self.layout);
                self.write(address, &data[..len.into()]);
            }
            Action::Sweep {
                function,
                page,
                value,
            } => {
                let (bus, devfn) = nth(self.layout.functions, function);
                let page = u16::from(page % 16) << 8;
                for offset in (page..page + 0x100).step_by(4) {
                    // Numbers and windows of a bridge have actions of their own; without them nothing below answers.
                    if offset >= 0x40 {
                        self.write(config(bus, devfn, offset), &value.to_le_bytes());
                    }
                }
            }
            Action::Number { function, numbers } => {
                let (bus, devfn) = nth(self.layout.functions, function);
                self.write(config(bus, devfn, 0x18), &numbers.to_le_bytes());
            }
            Action::Operate(operation) => {
                let _ = self.operate(operation);
            }
            Action::Poll => {
                let device = self.root().supports_poll_device().unwrap();
                device.poll_device(&mut Context::from_waker(Waker::noop()));
            }
            Action::Reset => pollster::block_on(self.root().reset()),
            Action::Restore => self.save_and_restore(),
        }
    }

    fn read_twice(&mut self, address: Address, len: u8) {
        let address = address.get(self.layout);
        let len = usize::from(len);
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
        let same = match (&result, &again) {
            (IoResult::Err(result), IoResult::Err(again)) => result == again,
            (result, again) => std::mem::discriminant(result) == std::mem::discriminant(again),
        };
        assert!(same, "{result:?}, and then {again:?}");
    }

    /// The slot may not be there, or not have the part; what the guest does is always done.
    pub(crate) fn operate(&mut self, operation: Operation) -> Result<(), PlugError> {
        let layout = self.layout;
        let name = |port: u8| nth(layout.ports, port);
        let function = |which: u8| nth(layout.functions, which);
        match operation {
            Operation::Plug { port, kind } => self.plug(name(port), kind),
            Operation::Unplug { port } => self.unplug(name(port)),
            Operation::RequestRemoval { port } => self.hierarchy.request_removal(name(port)),
            Operation::PressButton { port } => self.hierarchy.press_attention_button(name(port)),
            Operation::Latch { port, open } => self.hierarchy.set_mrl(name(port), open),
            Operation::PowerFault { port } => self.hierarchy.power_fault(name(port)),
            Operation::Command { slot, value } => {
                let slot = nth(layout.slots, slot);
                self.set(slot.bus, slot.devfn, 0x58, value)
            }
            Operation::Acknowledge { slot, value } => {
                let slot = nth(layout.slots, slot);
                self.set(slot.bus, slot.devfn, 0x5a, value)
            }
            Operation::Link {
                function: at,
                value,
            } => {
                let (bus, devfn) = function(at);
                self.set(bus, devfn, 0x50, value)
            }
            Operation::BridgeControl {
                function: at,
                value,
            } => {
                let (bus, devfn) = function(at);
                self.set(bus, devfn, 0x3e, value)
            }
            Operation::Enumerate => {
                self.enumerate();
                Ok(())
            }
        }
    }

    fn set(&mut self, bus: u8, devfn: u8, offset: u16, value: u16) -> Result<(), PlugError> {
        self.write(config(bus, devfn, offset), &value.to_le_bytes());
        Ok(())
    }
}
