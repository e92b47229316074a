//! Which bytes of a dword an access touches, and how a device without byte lanes is written all the same.

use crate::io::IoResult;
use crate::io::deferred::DeferredToken;

/// Which bytes of a dword an access touches: bit n stands for byte n, as in the First DW BE field of a request (PCIe 6.2
/// section 2.2.5). Any combination of the four is valid.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ByteEnables(u8);

impl ByteEnables {
    /// The whole dword.
    pub const ALL: Self = Self(0b1111);

    /// No byte: the access touches nothing.
    pub const NONE: Self = Self(0);

    /// The bytes whose bits are set; `None` when a bit above bit 3 is set.
    pub const fn new(bits: u8) -> Option<Self> {
        if bits <= Self::ALL.0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// The bytes of a naturally aligned access of 1, 2 or 4 bytes that starts `offset_in_dword` bytes into its dword; `None`
    /// for every other access.
    ///
    /// ```
    /// use chipset_device::pci::ByteEnables;
    /// assert_eq!(ByteEnables::for_access(2, 2), ByteEnables::new(0b1100));
    /// assert_eq!(ByteEnables::for_access(1, 2), None);
    /// ```
    pub const fn for_access(offset_in_dword: u8, len: u8) -> Option<Self> {
        match (offset_in_dword, len) {
            (0..=3, 1) => Some(Self(1 << offset_in_dword)),
            (0 | 2, 2) => Some(Self(0b11 << offset_in_dword)),
            (0, 4) => Some(Self::ALL),
            _ => None,
        }
    }

    /// The bits of the enabled bytes in the dword.
    pub const fn mask(self) -> u32 {
        let mut mask = 0;
        let mut byte = 0;
        while byte < 4 {
            if self.0 & (1 << byte) != 0 {
                mask |= 0xff << (8 * byte);
            }
            byte += 1;
        }
        mask
    }

    /// Bit n is set when byte n is enabled.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the whole dword is enabled.
    pub const fn is_all(self) -> bool {
        self.0 == Self::ALL.0
    }

    /// Whether no byte is enabled.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// A write of some bytes to a device that only takes whole dwords: read, replace the enabled bytes, write.
///
/// This is for devices behind the dword methods of [`PciConfigSpace`](super::PciConfigSpace) and the traits like it, and it
/// is wrong for a register with RW1C bits: these are cleared when what was read is written back. Only of the Status register
/// at offset 0x04 every function is known to have them, and there the bytes that are not enabled are written as zero.
#[derive(Copy, Clone, Debug)]
pub struct DwordMerge {
    /// The bits that are written as they were read.
    preserve: u32,
    /// The enabled bytes; zero elsewhere.
    value: u32,
    enables: ByteEnables,
}

impl DwordMerge {
    /// A write of the enabled bytes of `value` to the dword at `offset`.
    pub const fn new(offset: u16, value: u32, enables: ByteEnables) -> Self {
        /// The dword of the Command register (bits 15:0) and the Status register (PCIe 6.2 section 7.5.1.1).
        const COMMAND_STATUS: u16 = 0x04;
        const COMMAND: u32 = 0x0000_ffff;
        let preservable = match offset {
            COMMAND_STATUS => COMMAND,
            _ => !0,
        };
        Self {
            preserve: preservable & !enables.mask(),
            value: value & enables.mask(),
            enables,
        }
    }

    /// The dword to write when `current` was read.
    pub const fn apply(self, current: u32) -> u32 {
        (current & self.preserve) | self.value
    }

    /// Goes on when the read was deferred: `read` is its token, and the result stands for the whole write.
    ///
    /// # Panics
    ///
    /// When `read` is not a read token.
    #[track_caller]
    pub fn defer(self, read: DeferredToken) -> DeferredToken {
        read.with_merge(self)
    }

    /// Performs the write on `device` by way of its dword accesses. Reads only when something is to be preserved, and does
    /// nothing when no byte is enabled.
    pub fn write<D: ?Sized>(
        self,
        device: &mut D,
        read: impl FnOnce(&mut D, &mut u32) -> IoResult,
        write: impl FnOnce(&mut D, u32) -> IoResult,
    ) -> IoResult {
        if self.enables.is_none() {
            return IoResult::Ok;
        }
        let mut current = 0;
        if self.preserve != 0 {
            match read(device, &mut current) {
                IoResult::Ok => {}
                IoResult::Err(error) => return IoResult::Err(error),
                IoResult::Defer(token) => return IoResult::Defer(self.defer(token)),
            }
        }
        write(device, self.apply(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        const MASK: u32 = ByteEnables::ALL.mask();
        assert_eq!(MASK, 0xffff_ffff);
        assert_eq!(ByteEnables::NONE.mask(), 0);
        assert_eq!(ByteEnables::new(0b0001).unwrap().mask(), 0x0000_00ff);
        assert_eq!(ByteEnables::new(0b1010).unwrap().mask(), 0xff00_ff00);
        assert_eq!(ByteEnables::new(0b10000), None);
    }

    #[test]
    fn accesses_are_naturally_aligned() {
        let valid: Vec<_> = (0..8)
            .flat_map(|offset| (0..=8).map(move |len| (offset, len)))
            .filter_map(|(offset, len)| {
                ByteEnables::for_access(offset, len).map(|enables| (offset, len, enables.bits()))
            })
            .collect();
        assert_eq!(
            valid,
            [
                (0, 1, 0b0001),
                (0, 2, 0b0011),
                (0, 4, 0b1111),
                (1, 1, 0b0010),
                (2, 1, 0b0100),
                (2, 2, 0b1100),
                (3, 1, 0b1000),
            ]
        );
    }

    #[test]
    fn merge_replaces_exactly_the_enabled_bytes() {
        for bits in 0..16 {
            let enables = ByteEnables::new(bits).unwrap();
            let merged = DwordMerge::new(0x10, 0xaabb_ccdd, enables).apply(0x1122_3344);
            let expected: Vec<u8> = (0..4)
                .map(|n| {
                    let source = if bits & (1 << n) != 0 {
                        0xaabb_ccdd
                    } else {
                        0x1122_3344_u32
                    };
                    source.to_le_bytes()[n]
                })
                .collect();
            assert_eq!(merged.to_le_bytes(), *expected);
        }
    }
}
