//! One instance of a block: its values, and the one way software's writes reach them.

use crate::Block;
use crate::BlockRegister;
use crate::Page;
use crate::Register;
use crate::Reset;
use crate::WordMask;
use crate::image::Words;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;

/// The registers of one instance of a block.
///
/// Reading and hardware-side changes take `&self`: values are atomic words, so an interrupt line or a slot may change
/// a status bit while a guest reads. Each change of one dword is atomic; a change of several is not, and callers that
/// need it hold the lock of the device.
pub struct RegisterFile<R> {
    pub(crate) words: Words,
    /// Where this instance differs from the table, in order of the dwords: most blocks of a kind differ in few, and a machine may have
    /// a million of them.
    differences: Vec<Difference>,
    /// Bits of word 0 that belong to whoever chains capabilities: neither shown, written, reset nor saved here.
    link: u32,
    _registers: PhantomData<fn() -> R>,
}

/// One dword of an instance that is not as in the table.
struct Difference {
    index: u16,
    /// Bits that software cannot change here.
    narrowed: u32,
    /// Value after reset.
    reset: u32,
}

impl Difference {
    fn apply(&self, table: &WordMask) -> WordMask {
        WordMask {
            rw: table.rw & !self.narrowed,
            rw1c: table.rw1c & !self.narrowed,
            rw1s: table.rw1s & !self.narrowed,
            strobe: table.strobe & !self.narrowed,
            reset: self.reset,
            ..*table
        }
    }
}

impl<R> fmt::Debug for RegisterFile<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.words.as_slice()).finish()
    }
}

/// The hardware's side of a register file, for whoever has events happen without knowing the block: it sets bits past all
/// access rights. It does not follow the file into another page.
#[derive(Clone)]
pub struct HardwareSide(Words);

impl fmt::Debug for HardwareSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HardwareSide")
    }
}

impl HardwareSide {
    /// Sets bits of the dword at a byte offset, rounded down; beyond the block, nothing happens.
    pub fn set_bits(&self, offset: u16, bits: u32) {
        if let Some(word) = self.0.as_slice().get(usize::from(offset) / 4) {
            word.fetch_or(bits, Ordering::Relaxed);
        }
    }
}

impl<R: BlockRegister> RegisterFile<R> {
    /// The block of register `any` after a cold reset, in words of its own.
    pub fn new(_any: R) -> Self {
        Self {
            words: Words::own(R::BLOCK.masks.iter().map(|mask| mask.reset)),
            differences: Vec::new(),
            link: 0,
            _registers: PhantomData,
        }
    }

    /// The table.
    pub fn block(&self) -> &'static Block {
        R::BLOCK
    }

    /// The access masks of this instance, a dword each: the table's, less what [`Self::narrow`] took away.
    pub fn masks(&self) -> Vec<WordMask> {
        (0..self.len())
            .filter_map(|index| self.mask(index))
            .collect()
    }

    /// The access masks of one dword of this instance: see [`Self::masks`].
    #[inline]
    pub fn mask(&self, index: usize) -> Option<WordMask> {
        let table = R::BLOCK.masks.get(index)?;
        Some(match self.difference(index) {
            Ok(at) => self.differences.get(at)?.apply(table),
            Err(_) => *table,
        })
    }

    /// Dwords of the block.
    pub const fn len(&self) -> usize {
        R::BLOCK.masks.len()
    }

    /// Whether the block has no dword, which no block is.
    pub const fn is_empty(&self) -> bool {
        R::BLOCK.masks.is_empty()
    }

    /// The place of a dword's difference, or where it would be.
    fn difference(&self, index: usize) -> Result<usize, usize> {
        self.differences
            .binary_search_by_key(&index, |difference| difference.index.into())
    }

    /// A dword's difference, made if there is none.
    fn difference_mut(&mut self, index: usize) -> Option<&mut Difference> {
        let table = R::BLOCK.masks.get(index)?;
        let at = self.difference(index).unwrap_or_else(|at| {
            let difference = Difference {
                // A block has at most 64 KiB.
                index: u16::try_from(index).unwrap_or(u16::MAX),
                narrowed: 0,
                reset: table.reset,
            };
            self.differences.insert(at, difference);
            at
        });
        self.differences.get_mut(at)
    }

    /// The hardware's side of the values where they lie now.
    pub fn hardware_side(&self) -> HardwareSide {
        HardwareSide(self.words.clone())
    }

    /// Moves the values into a run of a function's page, from dword `first` on. From then on both show the same bits.
    /// `link` names the bits of word 0 that hold the pointer to the next capability. Returns false, with nothing
    /// changed, if the block sticks out of the page.
    #[must_use]
    pub fn attach(&mut self, page: &Arc<Page>, first: usize, link: u32) -> bool {
        let Some(words) = Words::in_page(page.clone(), first, self.len()) else {
            return false;
        };
        self.differences.shrink_to_fit();
        for (i, (to, from)) in words
            .as_slice()
            .iter()
            .zip(self.words.as_slice())
            .enumerate()
        {
            let kept = if i == 0 {
                to.load(Ordering::Relaxed) & link
            } else {
                0
            };
            to.store(
                from.load(Ordering::Relaxed) & !if i == 0 { link } else { 0 } | kept,
                Ordering::Relaxed,
            );
        }
        self.words = words;
        self.link = link;
        true
    }

    /// Takes write access away from a register's bits outside `writable`, for features this instance does not have. The
    /// table is what is narrowed: a second call replaces the first.
    pub fn narrow(&mut self, register: R, writable: u32) {
        let register = register.register();
        let all = register.mask() << register.shift();
        let kept = (register.mask() & writable) << register.shift();
        if let Some(difference) = self.difference_mut(register.word()) {
            difference.narrowed = (difference.narrowed & !all) | (all & !kept);
        }
    }

    /// The bits of a register that software can change in any way, in this instance.
    pub fn writable(&self, register: R) -> u32 {
        let register = register.register();
        self.mask(register.word()).map_or(0, |mask| {
            (mask.writable() >> register.shift()) & register.mask()
        })
    }

    /// Puts a saved value back: the bits that software can change become those of `value`, the others stay.
    pub fn set_writable(&self, register: R, value: impl Into<u32>) {
        let (writable, value) = (self.writable(register), value.into());
        self.update(register, |old| (old & !writable) | (value & writable));
    }

    /// Gives a register its value in this instance: now, and after every reset.
    pub fn init(&mut self, register: R, value: impl Into<u32>) {
        let value = value.into();
        self.set(register, value);
        let register = register.register();
        let all = register.mask() << register.shift();
        let shifted = (value & register.mask()) << register.shift();
        if let Some(difference) = self.difference_mut(register.word()) {
            difference.reset = (difference.reset & !all) | shifted;
        }
    }

    fn word(&self, register: &Register) -> Option<&AtomicU32> {
        self.words.as_slice().get(register.word())
    }

    /// A register's value.
    pub fn get(&self, register: R) -> u32 {
        self.words.get(register.register())
    }

    /// The low 16 bits of a register's value: all of it, for a register of two bytes.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "callers ask for the low half"
    )]
    pub fn get16(&self, register: R) -> u16 {
        self.get(register) as u16
    }

    /// The low 8 bits of a register's value: all of it, for a register of one byte.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "callers ask for the low byte"
    )]
    pub fn get8(&self, register: R) -> u8 {
        self.get(register) as u8
    }

    /// Changes a register from the hardware's side, past all access rights.
    pub fn set(&self, register: R, value: impl Into<u32>) {
        let value = value.into();
        self.update(register, |_| value);
    }

    /// Sets and clears bits of a register from the hardware's side, in one step; returns the value before.
    pub fn update(&self, register: R, change: impl Fn(u32) -> u32) -> u32 {
        let register = register.register();
        let (shift, mask) = (register.shift(), register.mask());
        let Some(word) = self.word(register) else {
            return 0;
        };
        let old = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            Some((old & !(mask << shift)) | ((change((old >> shift) & mask) & mask) << shift))
        });
        (old.unwrap_or_else(|old| old) >> shift) & mask
    }

    /// Software reads the dword at a byte offset, rounded down; beyond the block, all-ones.
    #[inline]
    pub fn read(&self, offset: u16) -> u32 {
        let index = offset as usize / 4;
        match self.words.as_slice().get(index) {
            Some(word) => word.load(Ordering::Relaxed) & !if index == 0 { self.link } else { 0 },
            None => u32::MAX,
        }
    }

    /// Software writes the dword at a byte offset, rounded down, where `lanes` has bits set. Returns what was written to
    /// each register; beyond the block, nothing.
    pub fn write(&self, offset: u16, value: u32, lanes: u32) -> Written<R> {
        let index = offset as usize / 4;
        let (Some(word), Some(mask)) = (self.words.as_slice().get(index), self.mask(index)) else {
            return Written::nothing();
        };
        let lanes = lanes & !if index == 0 { self.link } else { 0 };
        let old = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            Some(mask.write(old, value, lanes))
        });
        let old = old.unwrap_or_else(|old| old);
        Written {
            old,
            new: mask.write(old, value, lanes),
            value,
            lanes,
            strobes: value & lanes & mask.strobe,
            next: R::REGISTERS.partition_point(|r| r.word() < index),
            end: R::REGISTERS.partition_point(|r| r.word() <= index),
            _registers: PhantomData,
        }
    }

    /// Resets every register as its access rights say.
    pub fn reset(&self, kind: Reset) {
        for (i, word) in self.words.as_slice().iter().enumerate() {
            let Some(mask) = self.mask(i) else {
                continue;
            };
            let link = if i == 0 { self.link } else { 0 };
            let reset = |old| (mask.reset(old, kind) & !link) | (old & link);
            // The closure always answers, so this cannot fail.
            let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(reset(old)));
        }
    }

    /// Every dword, for saving.
    pub fn save(&self) -> Vec<u32> {
        (0..R::BLOCK.bytes)
            .step_by(4)
            .map(|offset| self.read(offset))
            .collect()
    }

    /// Puts saved dwords back: what software or hardware can change is taken from `saved`, the rest stays as composed.
    /// Missing dwords stay as they are.
    pub fn restore(&self, saved: &[u32]) {
        for (i, (word, &value)) in self.words.as_slice().iter().zip(saved).enumerate() {
            let fixed = self.fixed_bits(i);
            let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
                Some((old & fixed) | (value & !fixed))
            });
        }
    }

    /// The first dword in which `saved` cannot have come from an instance composed like this one: `Err` with its
    /// index, the bits of it that never change, and what they should be.
    pub fn check(&self, saved: &[u32]) -> Result<(), RestoreMismatch> {
        if saved.len() != self.len() {
            return Err(RestoreMismatch::Length {
                block: R::BLOCK.name,
                expected: self.len(),
                found: saved.len(),
            });
        }
        for (i, &found) in saved.iter().enumerate() {
            let fixed = self.fixed_bits(i);
            let offset = i * 4;
            let expected = self.read(u16::try_from(offset).unwrap_or(u16::MAX)) & fixed;
            if found & fixed != expected {
                return Err(RestoreMismatch::Fixed {
                    block: R::BLOCK.name,
                    offset,
                    expected,
                    found: found & fixed,
                });
            }
        }
        Ok(())
    }

    /// Bits that neither software nor hardware ever changes in this instance: reserved, hardware-initialised and those
    /// of the capability chain.
    fn fixed_bits(&self, index: usize) -> u32 {
        let mut declared = 0;
        let mut initialised = 0;
        for register in R::REGISTERS.iter().filter(|r| r.word() == index) {
            for field in register.fields {
                let bits = field.mask() << register.shift();
                declared |= bits;
                if field.access == crate::Access::Hwinit {
                    initialised |= bits;
                }
            }
        }
        !declared | initialised | if index == 0 { self.link } else { 0 }
    }
}

/// A saved state that does not belong to this composition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreMismatch {
    /// Another number of dwords.
    #[error("block '{block}': the saved state has {found} dwords; the block has {expected}")]
    Length {
        /// The block.
        block: &'static str,
        /// Dwords of the block.
        expected: usize,
        /// Dwords saved.
        found: usize,
    },
    /// Bits differ that are fixed when a function is composed.
    #[error(
        "block '{block}': the fixed bits at {offset:#x} are {found:#010x} in the saved state; they are {expected:#010x} here"
    )]
    Fixed {
        /// The block.
        block: &'static str,
        /// Byte offset of the dword.
        offset: usize,
        /// The bits here.
        expected: u32,
        /// The bits saved.
        found: u32,
    },
}

/// What a write did, register by register; see [`RegisterFile::write`].
#[derive(Clone, Debug)]
pub struct Written<R> {
    old: u32,
    new: u32,
    value: u32,
    lanes: u32,
    strobes: u32,
    next: usize,
    end: usize,
    _registers: PhantomData<fn() -> R>,
}

impl<R> Written<R> {
    fn nothing() -> Self {
        Self {
            old: 0,
            new: 0,
            value: 0,
            lanes: 0,
            strobes: 0,
            next: 0,
            end: 0,
            _registers: PhantomData,
        }
    }
}

/// A register touched by a write. All values count from the register's own bit 0.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Change<R> {
    /// The register.
    pub register: R,
    /// Its value before.
    pub old: u32,
    /// Its value now.
    pub new: u32,
    /// What software wrote, zero where no lane was enabled.
    pub value: u32,
    /// The bits whose lanes were enabled.
    pub lanes: u32,
    /// The strobe bits written with one.
    pub strobes: u32,
}

impl<R> Change<R> {
    /// Bits that went from 0 to 1.
    pub fn rose(&self) -> u32 {
        self.new & !self.old
    }

    /// Bits that went from 1 to 0.
    pub fn fell(&self) -> u32 {
        self.old & !self.new
    }
}

impl<R: BlockRegister> Iterator for Written<R> {
    type Item = Change<R>;

    fn next(&mut self) -> Option<Change<R>> {
        while self.next < self.end {
            let register = *R::ALL.get(self.next)?;
            self.next += 1;
            let entry = register.register();
            let own = |word: u32| (word >> entry.shift()) & entry.mask();
            if own(self.lanes) != 0 {
                return Some(Change {
                    register,
                    old: own(self.old),
                    new: own(self.new),
                    value: own(self.value & self.lanes),
                    lanes: own(self.lanes),
                    strobes: own(self.strobes),
                });
            }
        }
        None
    }
}
