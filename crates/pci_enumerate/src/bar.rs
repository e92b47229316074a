//! Base Address registers and expansion ROMs: what they ask for (PCIe 6.2 sections 7.5.1.2.1 and 7.5.1.2.4).

use pci_spec::cfg_space::Type0HeaderReg;
use thiserror::Error;

use crate::access::{Config, Probe, header};
use crate::shortfall::Resource;

/// Bits 31:11 of an Expansion ROM Base Address register.
pub(crate) const ROM_ADDRESS_MASK: u32 = 0xffff_f800;

/// What kind of address space a BAR asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// I/O space.
    Io,
    /// Memory space; the register holds 32 address bits.
    Memory32 {
        /// Reading has no side effects and writes may be merged.
        prefetchable: bool,
    },
    /// Memory space; the register and the one after it hold 64 address bits.
    Memory64 {
        /// Reading has no side effects and writes may be merged.
        prefetchable: bool,
    },
}

/// A Base Address register that asks for address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Number of the (first) register: 0 to 5 in a Type 0 header, 0 or 1 in a Type 1 header.
    pub index: u8,
    /// The kind of address space.
    pub kind: BarKind,
    /// The size in bytes, a power of two; also the alignment.
    pub size: u64,
    /// Where it was put; `None` when it was not, and a [`Shortfall`](crate::Shortfall) says why.
    pub address: Option<u64>,
}

/// An Expansion ROM Base Address register that asks for address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rom {
    /// The size in bytes, a power of two of at least 2,048; also the alignment.
    pub size: u64,
    /// Where it was put, with Expansion ROM Enable clear; `None` when it was not.
    pub address: Option<u64>,
}

/// What is wrong with a BAR or expansion ROM that can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BarFault {
    /// The address bits that can be written are not one run up to the top bit, so the size is no power of two.
    #[error(
        "its writable address bits {mask:#x} are not contiguous, so its size is no power of two"
    )]
    NotContiguous {
        /// The address bits that read as ones after all ones were written.
        mask: u64,
    },
    /// The type field holds a reserved value.
    #[error("its type bits {bits:#x} are reserved")]
    ReservedType {
        /// Bits 3:0 of the register.
        bits: u8,
    },
    /// It says that it is 64 bits wide, but is the last register.
    #[error("it is 64 bits wide, but there is no register after it for the upper half")]
    NoUpperHalf,
    /// Its read-only type bits changed when the address bits were written.
    #[error("its read-only type bits changed from {before:#x} to {after:#x} when it was written")]
    TypeChanged {
        /// Bits 3:0 at first.
        before: u8,
        /// Bits 3:0 after ones were written.
        after: u8,
    },
}

/// What a row of BARs asks for.
#[derive(Default)]
pub(crate) struct Sized {
    pub(crate) bars: Vec<Bar>,
    pub(crate) faults: Vec<(Resource, BarFault)>,
}

/// The config offset of BAR `index`.
pub(crate) fn offset(index: u8) -> u16 {
    header(Type0HeaderReg::Bar0) + 4 * u16::from(index)
}

/// Sizes the `count` BARs of a function whose decoding is off; they hold their old values afterwards.
pub(crate) fn size_bars(config: &mut Config<'_>, count: u8) -> Sized {
    let mut sized = Sized::default();
    let mut index = 0;
    while index < count {
        let low = config.probe_u32(offset(index), u32::MAX);
        let wide = low.ones & 0b111 == 0b100;
        let high =
            (wide && index + 1 < count).then(|| config.probe_u32(offset(index + 1), u32::MAX).ones);
        match interpret(index, &low, high) {
            Ok(bar) => sized.bars.extend(bar),
            Err(fault) => sized.faults.push((Resource::Bar(index), fault)),
        }
        index += if wide { 2 } else { 1 };
    }
    sized
}

/// Sizes the expansion ROM whose register is at `offset`; the register holds its old value afterwards.
pub(crate) fn size_rom(config: &mut Config<'_>, offset: u16) -> Result<Option<Rom>, BarFault> {
    // Expansion ROM Enable stays clear: nothing may start to decode while the address bits are ones.
    let mask = config.probe_u32(offset, ROM_ADDRESS_MASK).ones & ROM_ADDRESS_MASK;
    if mask == 0 {
        return Ok(None);
    }
    Ok(Some(Rom {
        size: size32(mask)?,
        address: None,
    }))
}

fn interpret(index: u8, low: &Probe, high: Option<u32>) -> Result<Option<Bar>, BarFault> {
    if low.ones == 0 {
        return Ok(None);
    }
    let io = low.ones & 1 != 0;
    let type_mask = if io { 0b11 } else { 0b1111 };
    let (before, after) = (low.before & type_mask, low.ones & type_mask);
    if before != after {
        return Err(BarFault::TypeChanged {
            before: (before & 0xf) as u8,
            after: (after & 0xf) as u8,
        });
    }
    let address_bits = low.ones & !type_mask;
    let prefetchable = low.ones & 0b1000 != 0;
    let (kind, size) = match after & 0b111 {
        0b001 => (BarKind::Io, size32(io_mask(address_bits))),
        0b000 => (BarKind::Memory32 { prefetchable }, size32(address_bits)),
        0b100 => {
            let high = high.ok_or(BarFault::NoUpperHalf)?;
            let mask = u64::from(high) << 32 | u64::from(address_bits);
            (BarKind::Memory64 { prefetchable }, size64(mask))
        }
        _ => {
            return Err(BarFault::ReservedType {
                bits: (after & 0xf) as u8,
            });
        }
    };
    Ok(Some(Bar {
        index,
        kind,
        size: size?,
        address: None,
    }))
}

/// A device may leave bits 31:16 of an I/O BAR read-only zero, as 16 bits are all that an x86 processor sends.
fn io_mask(address_bits: u32) -> u32 {
    match address_bits {
        1..=0xffff => address_bits | 0xffff_0000,
        _ => address_bits,
    }
}

fn size32(mask: u32) -> Result<u64, BarFault> {
    let size = (!mask).wrapping_add(1);
    if size.is_power_of_two() {
        Ok(size.into())
    } else {
        Err(BarFault::NotContiguous { mask: mask.into() })
    }
}

fn size64(mask: u64) -> Result<u64, BarFault> {
    let size = (!mask).wrapping_add(1);
    if size.is_power_of_two() {
        Ok(size)
    } else {
        Err(BarFault::NotContiguous { mask })
    }
}
