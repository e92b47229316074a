//! The data: blocks, registers, fields and what software may do to them.

use core::fmt;

/// Every block of the linked program, in link order. Sort before showing.
#[linkme::distributed_slice]
pub static BLOCKS: [&'static Block];

/// What software may do to a field, and which reset touches it, in the words of PCIe 6.2 section 7.4, table 7-2.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read-only. A reset gives it its reset value.
    Ro,
    /// Hardware-initialised: read-only, given by whoever composes the function, untouched by any reset.
    Hwinit,
    /// Read-only, sticky: survives a hot and a function-level reset.
    Ros,
    /// Read-only and following the hardware's live state, which no reset changes: a slot keeps its card.
    Live,
    /// Read-write.
    Rw,
    /// Read-write, sticky.
    Rws,
    /// Read-write, and exempt from a function-level reset (PCIe 6.2 section 6.6.2).
    RwNotFlr,
    /// Write one to clear.
    Rw1c,
    /// Write one to clear, sticky.
    Rw1cs,
    /// Write one to set; only a reset clears it.
    Rw1s,
    /// Writing one starts an action; always reads zero.
    Strobe,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ro => "RO",
            Self::Hwinit => "HwInit",
            Self::Ros => "ROS",
            Self::Live => "RO, live",
            Self::Rw => "RW",
            Self::Rws => "RWS",
            Self::RwNotFlr => "RW, not FLR",
            Self::Rw1c => "RW1C",
            Self::Rw1cs => "RW1CS",
            Self::Rw1s => "RW1S",
            Self::Strobe => "RW, reads 0",
        })
    }
}

/// Which reset (PCIe 6.2 section 6.6).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Fundamental reset with power removed: nothing but hardware-initialised and live fields survives.
    Cold,
    /// Hot reset: sticky fields survive as well.
    Hot,
    /// Function-level reset: sticky fields and those that PCIe 6.2 section 6.6.2 exempts survive.
    FunctionLevel,
}

/// What the bits of a field stand for, n being the number that they spell.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Meaning {
    /// n itself, a code, or flags.
    #[default]
    Plain,
    /// The upper part of an address, an offset or a size in bytes, with so many zeros below: n << shift.
    Address(u8),
    /// The upper part of the last address of a range, with so many ones below.
    Limit(u8),
    /// So many bytes, or things, doubled n times.
    Doubling(u64),
    /// n + 1 things: there is always one.
    LessOne,
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("n"),
            Self::Address(shift) => write!(f, "n << {shift}"),
            Self::Limit(shift) => write!(f, "(n << {shift}) + {:#x}", ones(*shift)),
            Self::Doubling(first) => write!(f, "{first} << n"),
            Self::LessOne => f.write_str("n + 1"),
        }
    }
}

const fn ones(bits: u8) -> u64 {
    (1 << bits) - 1
}

/// A named run of bits of a register.
#[derive(Copy, Clone, Debug)]
pub struct Field {
    /// The specification's name in snake case; `value` where the register is one field.
    pub name: &'static str,
    /// Lowest bit, counted from the register's bit 0.
    pub lsb: u8,
    /// Width in bits, at least 1.
    pub bits: u8,
    /// What software may do to it.
    pub access: Access,
    /// What its bits stand for.
    pub meaning: Meaning,
}

impl Field {
    /// A field from the lowest bit and the width; both come from a bit-field type's constants.
    pub const fn new(name: &'static str, lsb: usize, bits: usize, access: Access) -> Self {
        assert!(bits >= 1 && lsb + bits <= 32, "a field lies inside 32 bits");
        #[expect(clippy::cast_possible_truncation, reason = "both are at most 32")]
        Self {
            name,
            lsb: lsb as u8,
            bits: bits as u8,
            access,
            meaning: Meaning::Plain,
        }
    }

    /// The field with bits that stand for something.
    pub const fn with_meaning(self, meaning: Meaning) -> Self {
        if let Meaning::Address(shift) | Meaning::Limit(shift) = meaning {
            assert!(shift <= 32, "an address has 64 bits");
        }
        Self { meaning, ..self }
    }

    /// The field's bits, in register position.
    pub const fn mask(&self) -> u32 {
        (u32::MAX >> (32 - self.bits)) << self.lsb
    }

    /// Whether it says all of a register of this name and size.
    const fn is_all_of(&self, register: &str, bytes: usize) -> bool {
        let (name, register) = (self.name.as_bytes(), register.as_bytes());
        let named_alike = match register.split_at_checked(register.len().saturating_sub(name.len()))
        {
            Some((_, end)) => is_same(end, name),
            None => false,
        };
        matches!(self.meaning, Meaning::Plain) && (named_alike || self.bits as usize == 8 * bytes)
    }

    /// The field's value within a register's value.
    pub const fn extract(&self, register: u32) -> u32 {
        (register >> self.lsb) & (u32::MAX >> (32 - self.bits))
    }

    /// What the field stands for within a register's value. A number too large for 64 bits, which only a reserved code can spell, is
    /// the largest there is.
    pub const fn value(&self, register: u32) -> u64 {
        let n = self.extract(register);
        let plain = n as u64;
        match self.meaning {
            Meaning::Plain => plain,
            Meaning::Address(shift) => plain << shift,
            Meaning::Limit(shift) => (plain << shift) | ones(shift),
            Meaning::Doubling(first) if n < 64 => first.saturating_mul(1 << n),
            Meaning::Doubling(_) => u64::MAX,
            Meaning::LessOne => plain + 1,
        }
    }
}

/// One register of a block.
#[derive(Copy, Clone, Debug)]
pub struct Register {
    /// The specification's name in snake case.
    pub name: &'static str,
    /// Byte offset from the start of the block, naturally aligned.
    pub offset: u16,
    /// Width in bytes: 1, 2 or 4.
    pub bytes: u8,
    /// Value after a cold reset, before the composer changes hardware-initialised fields.
    pub reset: u32,
    /// Its fields; bits outside of them are reserved and read zero.
    pub fields: &'static [Field],
    /// Where the specification defines it.
    pub section: &'static str,
    /// The fields as inspection lists them: in order of name, and among them `raw`, all the bits. One field is shown by the
    /// register's name; a register of none is not shown.
    pub(crate) shown: &'static [Field],
}

impl Register {
    #[doc(hidden)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a register is at most 4 bytes; `check` refuses others"
    )]
    pub const fn new(
        name: &'static str,
        offset: u16,
        bytes: usize,
        reset: u32,
        fields: &'static [Field],
        fields_by_name: &'static [Field],
        section: &'static str,
    ) -> Self {
        Self {
            name,
            offset,
            bytes: bytes as u8,
            reset,
            fields,
            section,
            shown: match fields {
                // A field that is all there is to the register, or has its name, would only say it twice.
                [] => fields,
                [field] if field.is_all_of(name, bytes) => fields,
                _ => fields_by_name,
            },
        }
    }

    /// Bit position of the register within its dword.
    pub const fn shift(&self) -> u32 {
        (self.offset as u32 % 4) * 8
    }

    /// The register's bits, counted from its own bit 0.
    pub const fn mask(&self) -> u32 {
        u32::MAX >> (32 - 8 * self.bytes as u32)
    }

    /// Index of the dword that holds it.
    pub const fn word(&self) -> usize {
        self.offset as usize / 4
    }
}

/// One register block: the datasheet's page as data.
#[derive(Debug)]
pub struct Block {
    /// Short name in snake case, unique in the workspace.
    pub name: &'static str,
    /// The specification's heading.
    pub title: &'static str,
    /// Where the specification defines it.
    pub section: &'static str,
    /// Length in bytes, a multiple of 4.
    pub bytes: u16,
    /// The registers in order of offset, without gap or overlap.
    pub registers: &'static [Register],
    /// The access masks of each dword.
    pub masks: &'static [WordMask],
    /// The module that declares it.
    pub module: &'static str,
}

impl Block {
    /// The register that covers a byte offset.
    pub fn register_at(&self, offset: u16) -> Option<&'static Register> {
        let after = self.registers.partition_point(|r| r.offset <= offset);
        self.registers.get(after.checked_sub(1)?)
    }
}

/// Names one register of one block; [`register_block!`](crate::register_block) makes the implementing enum.
pub trait BlockRegister: Copy + Send + Sync + 'static {
    /// The block.
    const BLOCK: &'static Block;
    /// All registers in order of offset.
    const ALL: &'static [Self];
    /// [`Block::registers`].
    const REGISTERS: &'static [Register];
    /// Positions in [`Self::REGISTERS`], in order of the registers' names: the order in which people look for them.
    const BY_NAME: &'static [u16];
    /// Position in [`Self::REGISTERS`].
    fn index(self) -> usize;
    /// The table's entry.
    #[expect(
        clippy::indexing_slicing,
        reason = "the enum and the table are declared by one macro, entry by entry"
    )]
    fn register(self) -> &'static Register {
        &Self::REGISTERS[self.index()]
    }
}

/// What may happen to each bit of one dword.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct WordMask {
    /// Takes the written value.
    pub rw: u32,
    /// Cleared by writing one.
    pub rw1c: u32,
    /// Set by writing one.
    pub rw1s: u32,
    /// Writing one starts an action; nothing is stored.
    pub strobe: u32,
    /// Survives a hot and a function-level reset.
    pub sticky: u32,
    /// Survives every reset.
    pub live: u32,
    /// Survives a function-level reset.
    pub not_flr: u32,
    /// Value after reset.
    pub reset: u32,
}

impl WordMask {
    /// The value after software writes `value` where `lanes` has bits set.
    #[inline]
    pub const fn write(&self, old: u32, value: u32, lanes: u32) -> u32 {
        let taken = self.rw & lanes;
        ((old & !taken) | (value & taken)) & !(value & self.rw1c & lanes)
            | (value & self.rw1s & lanes)
    }

    /// The value after a reset.
    #[inline]
    pub const fn reset(&self, old: u32, kind: Reset) -> u32 {
        let kept = match kind {
            Reset::Cold => self.live,
            Reset::Hot => self.live | self.sticky,
            Reset::FunctionLevel => self.live | self.sticky | self.not_flr,
        };
        (old & kept) | (self.reset & !kept)
    }

    /// The bits that software can change in any way.
    pub const fn writable(&self) -> u32 {
        self.rw | self.rw1c | self.rw1s
    }

    const fn add(&mut self, bits: u32, access: Access) {
        match access {
            Access::Ro => {}
            Access::Hwinit | Access::Live => self.live |= bits,
            Access::Ros => self.sticky |= bits,
            Access::Rw => self.rw |= bits,
            Access::Rws => {
                self.rw |= bits;
                self.sticky |= bits;
            }
            Access::RwNotFlr => {
                self.rw |= bits;
                self.not_flr |= bits;
            }
            Access::Rw1c => self.rw1c |= bits,
            Access::Rw1cs => {
                self.rw1c |= bits;
                self.sticky |= bits;
            }
            Access::Rw1s => self.rw1s |= bits,
            Access::Strobe => self.strobe |= bits,
        }
    }
}

/// The masks of `N` dwords; evaluated at compile time by [`register_block!`](crate::register_block).
#[doc(hidden)]
#[expect(
    clippy::indexing_slicing,
    reason = "const evaluation: out of bounds is a compile error"
)]
pub const fn word_masks<const N: usize>(registers: &[Register]) -> [WordMask; N] {
    let mut masks = [WordMask {
        rw: 0,
        rw1c: 0,
        rw1s: 0,
        strobe: 0,
        sticky: 0,
        live: 0,
        not_flr: 0,
        reset: 0,
    }; N];
    let mut i = 0;
    while i < registers.len() {
        let register = &registers[i];
        let word = &mut masks[register.word()];
        word.reset |= register.reset << register.shift();
        let mut j = 0;
        while j < register.fields.len() {
            let field = &register.fields[j];
            word.add(field.mask() << register.shift(), field.access);
            j += 1;
        }
        i += 1;
    }
    masks
}

/// All the bits of a register, as a field among its fields in inspection.
#[doc(hidden)]
pub const fn raw(bytes: usize) -> Field {
    Field::new("raw", 0, 8 * bytes, Access::Ro)
}

/// Sorts fields by name, as inspection lists them.
#[doc(hidden)]
#[expect(
    clippy::indexing_slicing,
    reason = "const evaluation: out of bounds is a compile error"
)]
pub const fn fields_by_name<const N: usize>(mut fields: [Field; N]) -> [Field; N] {
    let mut sorted = 1;
    while sorted < N {
        let mut at = sorted;
        while at > 0 && precedes(fields[at].name, fields[at - 1].name) {
            fields.swap(at, at - 1);
            at -= 1;
        }
        sorted += 1;
    }
    fields
}

/// The positions of registers in the order of their names.
#[doc(hidden)]
#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "const evaluation: out of bounds is a compile error; a block has at most 64 KiB"
)]
pub const fn registers_by_name<const N: usize>(registers: &[Register]) -> [u16; N] {
    let mut order = [0; N];
    let mut sorted = 0;
    while sorted < N {
        order[sorted] = sorted as u16;
        let mut at = sorted;
        while at > 0
            && precedes(
                registers[order[at] as usize].name,
                registers[order[at - 1] as usize].name,
            )
        {
            order.swap(at, at - 1);
            at -= 1;
        }
        sorted += 1;
    }
    order
}

/// Whether `a` comes before `b`, and differs: as text, but a number before a longer one, as in inspection. Numbers in names do not
/// begin with zeros.
#[expect(
    clippy::indexing_slicing,
    reason = "const evaluation: out of bounds is a compile error"
)]
const fn precedes(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    let (digits_a, digits_b) = (digits(a, i), digits(b, i));
    let in_number = (i > 0 && a[i - 1].is_ascii_digit()) || (digits_a > 0 && digits_b > 0);
    if in_number && digits_a != digits_b {
        return digits_a < digits_b;
    }
    i < b.len() && (i == a.len() || a[i] < b[i])
}

#[expect(
    clippy::indexing_slicing,
    reason = "const evaluation: out of bounds is a compile error"
)]
const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// How many digits there are from `start` on.
#[expect(
    clippy::indexing_slicing,
    reason = "const evaluation: out of bounds is a compile error"
)]
const fn digits(text: &[u8], start: usize) -> usize {
    let mut end = start;
    while end < text.len() && text[end].is_ascii_digit() {
        end += 1;
    }
    end - start
}

/// Fails to compile unless the registers fill the block without gap or overlap, fields do not overlap and lie inside
/// their register, and no reset value has a reserved or strobe bit set.
#[doc(hidden)]
#[expect(
    clippy::indexing_slicing,
    reason = "const evaluation: out of bounds is a compile error"
)]
pub const fn check(bytes: u16, registers: &[Register]) {
    assert!(
        bytes > 0 && bytes.is_multiple_of(4),
        "a block is whole dwords"
    );
    let mut next = 0;
    let mut i = 0;
    while i < registers.len() {
        let register = &registers[i];
        assert!(register.offset == next, "registers leave a gap or overlap");
        assert!(
            matches!(register.bytes, 1 | 2 | 4)
                && register.offset.is_multiple_of(register.bytes as u16),
            "a register is 1, 2 or 4 bytes, naturally aligned"
        );
        let mut covered = 0;
        let mut strobes = 0;
        let mut j = 0;
        while j < register.fields.len() {
            let field = &register.fields[j];
            assert!(
                field.mask() & !register.mask() == 0,
                "a field sticks out of its register"
            );
            assert!(field.mask() & covered == 0, "fields overlap");
            covered |= field.mask();
            if matches!(field.access, Access::Strobe) {
                strobes |= field.mask();
            }
            j += 1;
        }
        assert!(
            register.reset & !covered == 0,
            "a reserved bit resets to one"
        );
        assert!(register.reset & strobes == 0, "a strobe bit reads zero");
        next += register.bytes as u16;
        i += 1;
    }
    assert!(next == bytes, "the registers do not fill the block");
}

#[cfg(test)]
mod tests {
    use super::precedes;

    #[test]
    fn names_stand_in_natural_order() {
        let names = [
            "a", "bar", "bar1", "bar1_a", "bar2", "bar9x", "bar10", "bar12", "bar_", "bart", "raw",
        ];
        for (i, a) in names.into_iter().enumerate() {
            for (j, b) in names.into_iter().enumerate() {
                assert_eq!(precedes(a, b), i < j, "{a} {b}");
            }
        }
    }
}
