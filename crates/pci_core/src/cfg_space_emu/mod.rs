//! Configuration space emulators: the header, the capabilities behind it, the BARs.
//!
//! [`ConfigSpaceType0Emulator`] is an endpoint's, [`ConfigSpaceType1Emulator`] a port's or bridge's. Both are a
//! [`ConfigSpaceCommonHeaderEmulator`] and what their header adds. An access takes this way: the dword's place in the map, the
//! owner's registers, and then the effects that the write has on BAR mappings, interrupts or bus numbers.

mod bars;
mod chain;
mod common_header;
mod errors;
mod function;
mod header;
mod intx;
mod messages;
mod plan_subject;
mod power;
mod resize;
mod save_restore;
mod type0;
mod type1;
mod windows;

pub use bars::BarDefinition;
pub use bars::BarKind;
pub use bars::BarMemoryKind;
pub use bars::DeviceBars;
pub use bars::EXPANSION_ROM;
pub use common_header::ConfigSpaceCommonHeaderEmulator;
pub use common_header::ConfigSpaceCommonHeaderEmulatorType0;
pub use common_header::ConfigSpaceCommonHeaderEmulatorType1;
pub use common_header::ConfigSpaceImage;
pub use intx::IntxInterrupt;
pub use type0::ConfigSpaceType0Emulator;
pub use type1::ConfigSpaceType1Emulator;

use chipset_device::io::IoError;

/// BARs of each header type.
pub mod header_type_consts {
    /// BARs of a Type 0 header.
    pub const TYPE0_BAR_COUNT: usize = 6;
    /// BARs of a Type 1 header.
    pub const TYPE1_BAR_COUNT: usize = 2;
}

/// The layout of a configuration header (PCIe 6.2 section 7.5.1.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderType {
    /// An endpoint.
    Type0,
    /// A port or bridge.
    Type1,
}

impl HeaderType {
    /// How many BARs it has.
    pub const fn bar_count(&self) -> usize {
        match self {
            Self::Type0 => header_type_consts::TYPE0_BAR_COUNT,
            Self::Type1 => header_type_consts::TYPE1_BAR_COUNT,
        }
    }
}

impl From<HeaderType> for usize {
    fn from(header_type: HeaderType) -> usize {
        header_type.bar_count()
    }
}

/// What [`ConfigSpaceCommonHeaderEmulator`] did with an access.
#[derive(Debug)]
pub enum CommonHeaderResult {
    /// It was for a part that both header types have.
    Handled,
    /// It is for the header type's own part.
    Unhandled,
    /// There is no such register.
    Failed(IoError),
}

impl PartialEq for CommonHeaderResult {
    /// Two failures are equal whatever their errors.
    fn eq(&self, other: &Self) -> bool {
        core::mem::discriminant(self) == core::mem::discriminant(other)
    }
}

/// What a configuration write changed beyond the registers, for whoever routes to or through the function.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Effects {
    /// The Command register changed: decoding, bus mastering or INTx may have.
    pub command: bool,
    /// A BAR or the expansion ROM was written.
    pub bars: bool,
    /// A bridge's bus numbers were written.
    pub bus_numbers: bool,
    /// A bridge's memory or I/O window was written.
    pub windows: bool,
    /// Bridge Control was written.
    pub bridge_control: bool,
    /// The power state changed. Below D0 neither the BARs nor what is below a bridge answer (PCIe 6.2 section 5.3.1).
    pub power_state: bool,
    /// PME messages were enabled or disabled, or one is [due](ConfigSpaceType0Emulator::take_pme).
    pub pme: bool,
    /// The function is to be reset, [by](super::cfg_space_emu::ConfigSpaceType0Emulator::reset_by)
    /// [`Reset::FunctionLevel`](reg_table::Reset::FunctionLevel), with all that its owner keeps beside the registers: the guest
    /// asked for a function-level reset (PCIe 6.2 section 6.6.2), or brought it from D3hot to D0 (section 5.3.1.4.1).
    pub function_reset: bool,
}

/// A function that cannot be composed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigSpaceError {
    /// A capability's length is not a positive multiple of 4.
    #[error(
        "capability '{label}' is {bytes} bytes long; a capability is a positive multiple of 4 bytes"
    )]
    CapabilityLength {
        /// Its label.
        label: String,
        /// Its length.
        bytes: usize,
    },
    /// A list does not fit.
    #[error("capability '{label}' of {bytes} bytes at {offset:#x} ends beyond {end:#x}")]
    CapabilityOverflow {
        /// Its label.
        label: String,
        /// Where it would begin.
        offset: usize,
        /// Its length.
        bytes: usize,
        /// The end of the list's space.
        end: usize,
    },
    /// A capability's first dword has bits where the emulator puts the next pointer, or (of an extended capability) another
    /// ID or version than it says.
    #[error(
        "capability '{label}' begins with {header:#010x}: the next pointer must be zero, the ID and version its own"
    )]
    CapabilityHeader {
        /// Its label.
        label: String,
        /// The dword.
        header: u32,
    },
    /// The Resizable BAR capability names a BAR that is not there.
    #[error("BAR{index} is to be resizable, and there is none")]
    NoBarToResize {
        /// The slot.
        index: usize,
    },
    /// The Resizable BAR capability offers a size that nothing stands behind.
    #[error("BAR{index} is to be resizable to {len:#x} bytes, and nothing stands behind it then")]
    NothingBehindSize {
        /// The slot.
        index: usize,
        /// The size.
        len: u64,
    },
    /// A 64-bit BAR in the last slot.
    #[error("BAR{index} is 64 bits wide and takes the slot after it; the header has {count} slots")]
    BarSlots {
        /// The slot.
        index: usize,
        /// Slots of the header.
        count: usize,
    },
    /// A BAR in the upper half of the 64-bit BAR before it.
    #[error("BAR{index} is the upper half of the 64-bit BAR before it")]
    BarOccupied {
        /// The slot.
        index: usize,
    },
    /// A BAR of one address space with the mapping of the other.
    #[error("BAR{index} is of kind {kind:?}; what stands behind it is of the other address space")]
    BarSpace {
        /// The slot.
        index: usize,
        /// Its kind.
        kind: BarKind,
    },
    /// An expansion ROM that is too large.
    #[error("an expansion ROM of {len:#x} bytes; it has at most 16 MiB")]
    RomTooLarge {
        /// Bytes asked for.
        len: u64,
    },
    /// A BAR larger than its width can address.
    #[error("BAR{index} asks for {len:#x} bytes; its kind takes at most {max:#x}")]
    BarTooLarge {
        /// The slot.
        index: usize,
        /// Bytes asked for.
        len: u64,
        /// Most bytes.
        max: u64,
    },
}
