//! Why a description is refused.

use pcie_topology::AddressRange;
use pcie_topology::BusNumbers;

/// What is wrong with a description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address range is empty or reaches too far.
    #[error("{what}: {range} must have an address, and none from {end:#x} up")]
    Range {
        /// Of what.
        what: String,
        /// The range.
        range: AddressRange,
        /// The first address it cannot have.
        end: u64,
    },
    /// An address, or a size, is not a multiple of what it must be.
    #[error("{what}: {value:#x} is not a multiple of {align:#x}")]
    Misaligned {
        /// Of what.
        what: String,
        /// The address or size.
        value: u64,
        /// What it must be a multiple of.
        align: u64,
    },
    /// Two address ranges overlap.
    #[error("{first} ({first_range}) and {second} ({second_range}) overlap")]
    Overlap {
        /// The lower of them.
        first: String,
        /// Its range.
        first_range: AddressRange,
        /// The higher.
        second: String,
        /// Its range.
        second_range: AddressRange,
    },
    /// Two things have one number that must be unique.
    #[error("two {things} have the number {number:#x}")]
    Duplicate {
        /// Host bridges, processors, slots, ports.
        things: &'static str,
        /// The number.
        number: u64,
    },
    /// There are more of something than the tables can say.
    #[error("there are {count} {things}; there can be {max}")]
    TooMany {
        /// Host bridges, processors.
        things: &'static str,
        /// How many there are.
        count: usize,
        /// How many there can be.
        max: usize,
    },
    /// There is no processor.
    #[error("there is no processor")]
    NoCpu,
    /// The first bus number is above the last.
    #[error("host bridge {uid}: there is no bus in {buses}")]
    Buses {
        /// The `_UID`.
        uid: u32,
        /// The bus numbers.
        buses: BusNumbers,
    },
    /// Two host bridges of a segment share bus numbers.
    #[error(
        "host bridges {first} and {second} share bus numbers of segment {segment:#06x}: {first_buses} and {second_buses}"
    )]
    SharedBuses {
        /// The segment.
        segment: u16,
        /// The `_UID` of one.
        first: u32,
        /// Its bus numbers.
        first_buses: BusNumbers,
        /// The `_UID` of the other.
        second: u32,
        /// Its bus numbers.
        second_buses: BusNumbers,
    },
    /// The ECAM has no room for all buses.
    #[error("host bridge {uid}: buses {buses} need {needed:#x} bytes of ECAM, and {ecam} is less")]
    EcamTooSmall {
        /// The `_UID`.
        uid: u32,
        /// The bus numbers.
        buses: BusNumbers,
        /// Bytes they need.
        needed: u64,
        /// The ECAM.
        ecam: AddressRange,
    },
    /// MCFG gives the address of bus 0, which would be below address 0.
    #[error(
        "host bridge {uid}: with bus {first_bus:#04x} at {ecam:#x}, bus 0 would be below address 0, and MCFG cannot say that"
    )]
    EcamTooLow {
        /// The `_UID`.
        uid: u32,
        /// The first bus.
        first_bus: u8,
        /// Its address.
        ecam: u64,
    },
    /// A port is where none can be.
    #[error("host bridge {uid}: there is no device {device:#x} function {function}")]
    Place {
        /// The `_UID`.
        uid: u32,
        /// The device number.
        device: u8,
        /// The function number.
        function: u8,
    },
    /// A slot number has 13 bits.
    #[error("slot {slot}: slot numbers are 0 to 8191")]
    Slot {
        /// The number.
        slot: u32,
    },
    /// A label is not printable ASCII.
    #[error("label {label:?} is not printable ASCII")]
    Label {
        /// The label.
        label: String,
    },
    /// Some processors and memory have a node, and others have none.
    #[error("{what} has no node, and others have: either all have one or none")]
    NoNode {
        /// Which has none.
        what: String,
    },
    /// A window is interleaved over a number of host bridges that cannot be.
    #[error("the CXL window {window} has {ways} targets; there can be 1, 2, 3, 4, 6, 8, 12 or 16")]
    Ways {
        /// The window.
        window: AddressRange,
        /// The number of targets.
        ways: usize,
    },
    /// A window has a granularity that cannot be.
    #[error(
        "the CXL window {window} has a granularity of {granularity}; it is a power of two from 256 to 16384"
    )]
    Granularity {
        /// The window.
        window: AddressRange,
        /// The granularity.
        granularity: u32,
    },
    /// A window goes to what is no CXL host bridge.
    #[error("the CXL window {window} goes to {uid}, which is no CXL host bridge")]
    Target {
        /// The window.
        window: AddressRange,
        /// The `_UID` it names.
        uid: u32,
    },
    /// The tables do not fit.
    #[error("the tables need {needed:#x} bytes, and there is room for {room:#x}")]
    NoRoom {
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        room: u64,
    },
    /// I/O ports of a host bridge whose place in memory is not given.
    #[error("host bridge {uid}: a device tree needs `io_in_memory` for the I/O ports {io}")]
    NoIoInMemory {
        /// The `_UID`.
        uid: u32,
        /// The I/O ports.
        io: AddressRange,
    },
    /// A device tree cannot be written.
    #[error("the device tree cannot be written: {message}")]
    Fdt {
        /// What `vm_fdt` says.
        message: String,
    },
}

impl From<vm_fdt::Error> for Error {
    fn from(error: vm_fdt::Error) -> Self {
        Self::Fdt {
            message: error.to_string(),
        }
    }
}
