//! Resizable BAR (PCIe 6.2 section 7.8.6).
//!
//! The configuration space gives the BAR its new size. Not emulated: sizes above 128 TiB.

use crate::capabilities::block::ExtendedBlock;
use crate::capabilities::block::RegisterBlock;
use crate::capabilities::saved_registers;
use crate::spec::caps::resizable_bar::RESIZABLE_BARS_MAX;
use crate::spec::caps::resizable_bar::ResizableBarCapability;
use crate::spec::caps::resizable_bar::ResizableBarControl;
use crate::spec::caps::resizable_bar::ResizableBarReg;
use inspect::Inspect;
use reg_table::BlockRegister;
use reg_table::Change;
use reg_table::RegisterFile;
use reg_table::Reset;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

const CONTROLS: [ResizableBarReg; RESIZABLE_BARS_MAX] = [
    ResizableBarReg::Control0,
    ResizableBarReg::Control1,
    ResizableBarReg::Control2,
    ResizableBarReg::Control3,
    ResizableBarReg::Control4,
    ResizableBarReg::Control5,
];

const CAPABILITIES: [ResizableBarReg; RESIZABLE_BARS_MAX] = [
    ResizableBarReg::Capability0,
    ResizableBarReg::Capability1,
    ResizableBarReg::Capability2,
    ResizableBarReg::Capability3,
    ResizableBarReg::Capability4,
    ResizableBarReg::Capability5,
];

const MEBIBYTE: u64 = 1 << 20;

/// A BAR whose size software can choose.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct ResizableBar {
    /// Which BAR, 0 to 5.
    pub index: u8,
    /// Its sizes: bit n stands for 1 MiB shifted left by n, up to bit 27.
    pub supported_sizes: u32,
    /// Its size after a reset: 1 MiB shifted left by this.
    pub default_size: u8,
}

/// A BAR that software gave a size.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct ResizedBar {
    /// Which BAR.
    pub index: u8,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Resizable BARs that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResizableBarError {
    /// None, or too many.
    #[error("{count} resizable BARs; a function has 1 to {RESIZABLE_BARS_MAX}")]
    Count {
        /// How many.
        count: usize,
    },
    /// No such BAR, or the same one twice.
    #[error("BAR{index} cannot be resizable: it is not one of BAR0 to BAR5, or named twice")]
    Index {
        /// Which.
        index: u8,
    },
    /// Sizes outside 1 MiB to 128 TiB, or none.
    #[error("BAR{index}: sizes {supported_sizes:#x}; the mask has 28 bits and is not zero")]
    Sizes {
        /// Which.
        index: u8,
        /// The mask.
        supported_sizes: u32,
    },
    /// The size after a reset is not among the sizes.
    #[error(
        "BAR{index}: size {default_size} after a reset is not among its sizes {supported_sizes:#x}"
    )]
    DefaultSize {
        /// Which.
        index: u8,
        /// The size.
        default_size: u8,
        /// The mask.
        supported_sizes: u32,
    },
}

impl ResizableBar {
    /// Its sizes in bytes, ascending.
    pub fn sizes(self) -> impl Iterator<Item = u64> {
        (0..28u8)
            .filter(move |size| self.supports(*size))
            .map(|size| MEBIBYTE << size)
    }

    /// Its size after a reset, in bytes; 0 for a size that no BAR has.
    pub fn default_bytes(self) -> u64 {
        MEBIBYTE.checked_shl(self.default_size.into()).unwrap_or(0)
    }

    fn supports(&self, size: u8) -> bool {
        1u32.checked_shl(size.into())
            .is_some_and(|bit| self.supported_sizes & bit != 0)
    }

    fn check(&self) -> Result<(), ResizableBarError> {
        let Self {
            index,
            supported_sizes,
            default_size,
        } = *self;
        if usize::from(index) >= RESIZABLE_BARS_MAX {
            return Err(ResizableBarError::Index { index });
        }
        if supported_sizes == 0 || supported_sizes >> 28 != 0 {
            return Err(ResizableBarError::Sizes {
                index,
                supported_sizes,
            });
        }
        if !self.supports(default_size) {
            return Err(ResizableBarError::DefaultSize {
                index,
                default_size,
                supported_sizes,
            });
        }
        Ok(())
    }
}

/// The Resizable BAR capability.
///
/// ```
/// use pci_core::capabilities::extended::PciExtendedCapability;
/// use pci_core::capabilities::extended::resizable_bar::{ResizableBar, ResizableBarExtendedCapability};
///
/// let bar = ResizableBar { index: 2, supported_sizes: 0b101, default_size: 0 };
/// let mut rebar = ResizableBarExtendedCapability::new(&[bar])?;
/// rebar.write_u32(8, 2 << 8);
/// let resized = rebar.take_resized().map(|resized| (resized.index, resized.bytes));
/// assert_eq!(resized, Some((2, 4 << 20)));
/// assert!(ResizableBarExtendedCapability::new(&[]).is_err());
/// # Ok::<_, pci_core::capabilities::extended::resizable_bar::ResizableBarError>(())
/// ```
#[derive(Debug, Inspect)]
pub struct ResizableBarExtendedCapability {
    #[inspect(flatten)]
    registers: RegisterFile<ResizableBarReg>,
    #[inspect(skip)]
    bars: Vec<ResizableBar>,
    /// Entries whose new size the owner has not been told yet.
    #[inspect(binary)]
    resized: u8,
}

impl ResizableBarExtendedCapability {
    /// A capability for `bars`.
    ///
    /// # Errors
    ///
    /// [`ResizableBarError`] when there are none or more than 6, or one has an index above 5 or that of another, sizes outside
    /// 1 MiB to 128 TiB, or a size after a reset that is not among them.
    pub fn new(bars: &[ResizableBar]) -> Result<Self, ResizableBarError> {
        let count = u8::try_from(bars.len())
            .ok()
            .filter(|&count| count > 0 && usize::from(count) <= RESIZABLE_BARS_MAX)
            .ok_or(ResizableBarError::Count { count: bars.len() })?;
        let mut seen = 0u8;
        for bar in bars {
            bar.check()?;
            if seen & (1 << bar.index) != 0 {
                return Err(ResizableBarError::Index { index: bar.index });
            }
            seen |= 1 << bar.index;
        }
        let mut registers = RegisterFile::new(ResizableBarReg::Header);
        let mut bars_left = bars.iter();
        for (i, (capability, control)) in CAPABILITIES.into_iter().zip(CONTROLS).enumerate() {
            let Some(bar) = bars_left.next() else {
                registers.narrow(control, 0);
                continue;
            };
            registers.init(
                capability,
                ResizableBarCapability::new()
                    .with_supported_sizes(bar.supported_sizes)
                    .into_bits(),
            );
            registers.init(
                control,
                ResizableBarControl::new()
                    .with_bar_index(bar.index)
                    .with_number_of_resizable_bars(if i == 0 { count } else { 0 })
                    .with_bar_size(bar.default_size)
                    .into_bits(),
            );
        }
        Ok(Self {
            registers,
            bars: bars.to_vec(),
            resized: 0,
        })
    }

    /// The BARs, as they were composed.
    pub fn bars(&self) -> &[ResizableBar] {
        &self.bars
    }

    fn entries(&self) -> impl Iterator<Item = (usize, ResizableBarReg, &ResizableBar)> {
        let entries = CONTROLS.into_iter().zip(&self.bars).enumerate();
        entries.map(|(i, (control, bar))| (i, control, bar))
    }

    fn size(&self, control: ResizableBarReg) -> u8 {
        ResizableBarControl::from_bits(self.registers.get(control)).bar_size()
    }

    /// The size of a BAR in bytes; none where it is not resizable.
    pub fn bar_bytes(&self, index: u8) -> Option<u64> {
        self.entries()
            .find(|(_, _, bar)| bar.index == index)
            .map(|(_, control, _)| 1 << (20 + self.size(control)))
    }

    /// A BAR whose size changed since the last call, by software, a reset or a restored state; call until there is none.
    pub fn take_resized(&mut self) -> Option<ResizedBar> {
        let (i, index) = self
            .entries()
            .find(|(i, ..)| self.resized & (1 << i) != 0)
            .map(|(i, _, bar)| (i, bar.index))?;
        self.resized &= !(1 << i);
        let bytes = self.bar_bytes(index)?;
        Some(ResizedBar { index, bytes })
    }

    /// Runs a change of all registers and takes note of the sizes that differ afterwards.
    fn note_resized(&mut self, change: impl FnOnce(&Self)) {
        let before = CONTROLS.map(|control| self.size(control));
        change(self);
        for (i, (control, before)) in CONTROLS.into_iter().zip(before).enumerate() {
            if self.size(control) != before {
                self.resized |= 1 << i;
            }
        }
    }

    /// What a write to a control register leads to. A size that the BAR does not have is not taken; the specification
    /// leaves it open.
    fn control_written(&mut self, control: ResizableBarReg, old: u32) {
        let Some((i, _, bar)) = self.entries().find(|(_, c, _)| *c == control) else {
            return;
        };
        let size = self.size(control);
        if !bar.supports(size) {
            self.registers.set(control, old);
        } else if size != ResizableBarControl::from_bits(old).bar_size() {
            self.resized |= 1 << i;
        }
    }
}

impl RegisterBlock for ResizableBarExtendedCapability {
    type Register = ResizableBarReg;

    fn file(&self) -> &RegisterFile<ResizableBarReg> {
        &self.registers
    }

    fn file_mut(&mut self) -> &mut RegisterFile<ResizableBarReg> {
        &mut self.registers
    }

    fn written(&mut self, change: Change<ResizableBarReg>) {
        // The header and the capability registers are read-only.
        if CONTROLS.contains(&change.register) {
            self.control_written(change.register, change.old);
        }
    }

    fn reset_registers(&mut self, kind: Reset) {
        self.note_resized(|this| this.registers.reset(kind));
    }
}

impl ExtendedBlock for ResizableBarExtendedCapability {}

impl SaveRestore for ResizableBarExtendedCapability {
    type SavedState = saved_registers::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(saved_registers::save(self))
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        saved_registers::check(self, state)?;
        for (_, control, bar) in self.entries() {
            let value = saved_registers::value(self, state, control);
            let size = ResizableBarControl::from_bits(value).bar_size();
            if !bar.supports(size) {
                return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                    "BAR{}: size {size} in the saved state ({}); its sizes are {:#x}",
                    bar.index,
                    control.register().name,
                    bar.supported_sizes
                )));
            }
        }
        Ok(())
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        self.note_resized(|this| saved_registers::restore(this, &state));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::PciExtendedCapability;
    use super::super::assert_extended_header_contract;
    use super::*;

    const BAR0: ResizableBar = ResizableBar {
        index: 0,
        supported_sizes: 0b1011,
        default_size: 1,
    };
    const BAR2: ResizableBar = ResizableBar {
        index: 2,
        supported_sizes: 1 << 27,
        default_size: 27,
    };

    fn two() -> ResizableBarExtendedCapability {
        ResizableBarExtendedCapability::new(&[BAR0, BAR2]).unwrap()
    }

    #[test]
    fn shows_the_bars_and_their_sizes() {
        let rebar = two();
        assert_extended_header_contract(&rebar);
        assert_eq!(
            [4, 8, 0xc, 0x10, 0x14].map(|o| rebar.read_u32(o)),
            [0xb0, 0x0140, 0x8000_0000, 0x1b02, 0]
        );
        assert_eq!(
            [0, 1, 2].map(|index| rebar.bar_bytes(index)),
            [Some(2 << 20), None, Some(128 << 40)]
        );
    }

    #[test]
    fn a_supported_size_is_an_effect_and_others_are_not_taken() {
        let mut rebar = two();
        rebar.write_u32(8, 0x300);
        let resized = ResizedBar {
            index: 0,
            bytes: 8 << 20,
        };
        assert_eq!(
            (rebar.take_resized(), rebar.take_resized()),
            (Some(resized), None)
        );
        for size in [2, 4, 63] {
            rebar.write_u32(8, size << 8);
            assert_eq!((rebar.read_u32(8), rebar.take_resized()), (0x340, None));
        }
        rebar.write_u32(8, 0x300);
        assert_eq!(rebar.take_resized(), None, "the same size again");
        rebar.write_u32(0x18, u32::MAX);
        assert_eq!(rebar.read_u32(0x18), 0, "there are two BARs");
        rebar.reset_by(Reset::Hot);
        assert_eq!(rebar.take_resized().map(|r| r.bytes), Some(2 << 20));
    }

    #[test]
    fn mistakes_are_named() {
        let with = |bars: &[ResizableBar]| {
            ResizableBarExtendedCapability::new(bars)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(with(&[]), "0 resizable BARs; a function has 1 to 6");
        assert_eq!(with(&[BAR0; 7]), "7 resizable BARs; a function has 1 to 6");
        let named_twice = "BAR0 cannot be resizable: it is not one of BAR0 to BAR5, or named twice";
        assert_eq!(with(&[BAR0, BAR2, BAR0]), named_twice);
        let sixth = ResizableBar { index: 6, ..BAR0 };
        assert_eq!(with(&[sixth]), named_twice.replacen("BAR0", "BAR6", 1));
        for supported_sizes in [0, 1 << 28] {
            let bar = ResizableBar {
                supported_sizes,
                ..BAR0
            };
            assert!(with(&[bar]).starts_with("BAR0: sizes 0x"));
        }
        for default_size in [2, 32, 255] {
            let bar = ResizableBar {
                default_size,
                ..BAR0
            };
            assert!(with(&[bar]).contains("after a reset"));
        }
    }

    #[test]
    fn a_saved_size_must_be_one_of_the_sizes() {
        let mut rebar = two();
        rebar.write_u32(8, 0x300);
        let state = rebar.save().unwrap();
        let mut target = two();
        target.restore(state).unwrap();
        assert_eq!(target.take_resized().map(|r| r.bytes), Some(8 << 20));
        let fixed = ResizableBar {
            supported_sizes: 1,
            default_size: 0,
            ..BAR0
        };
        let mut smaller = ResizableBarExtendedCapability::new(&[fixed, BAR2]).unwrap();
        assert!(smaller.restore(rebar.save().unwrap()).is_err());
        assert_eq!(smaller.bar_bytes(0), Some(1 << 20));
    }
}
