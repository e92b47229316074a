//! MSI-X (PCIe 6.2 section 7.7.2): the capability, and the vector table and pending bits that live in a BAR.

use super::CapabilityRegisters;
use super::ConfigSlot;
use super::PciCapability;
use super::vector::Message;
use super::vector::Sender;
use super::vector::Vector;
use crate::msi::MsiTarget;
use crate::spec::caps::CapabilityId;
use crate::spec::caps::msix::MSIX_TABLE_ENTRY;
use crate::spec::caps::msix::MsixMessageControl;
use crate::spec::caps::msix::MsixReg;
use crate::spec::caps::msix::MsixVectorControl;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use reg_table::RegisterFile;
use reg_table::Reset;
use std::sync::Arc;
use vmcore::event::Event;
use vmcore::interrupt::Interrupt;
use vmcore::interrupt::InterruptTarget;

/// The most vectors a function can have.
pub const MSIX_VECTORS_MAX: u16 = 2048;

const ENTRY_BYTES: u32 = MSIX_TABLE_ENTRY.bytes as u32;
const VECTOR_CONTROL_MASK_BIT: u32 = MsixVectorControl::new().with_mask(true).into_bits();

/// Where a function keeps its MSI-X table and pending-bit array. Offsets are bytes from the start of the BAR.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MsixLayout {
    /// BAR number, 0 to 5.
    pub bar: u8,
    /// Vectors, 1 to 2048.
    pub count: u16,
    /// Start of the table, a multiple of 8.
    pub table_offset: u32,
    /// Start of the pending-bit array, a multiple of 8.
    pub pba_offset: u32,
}

/// A layout that cannot be.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MsixLayoutError {
    /// No such BAR.
    #[error("MSI-X table in BAR {0}; a function has BARs 0 to 5")]
    Bar(u8),
    /// Too few or too many vectors.
    #[error("{0} MSI-X vectors; a function has 1 to {MSIX_VECTORS_MAX}")]
    Count(u16),
    /// An offset whose low bits the registers have no room for.
    #[error("MSI-X table or pending bits at offset {0:#x}; offsets are multiples of 8")]
    Unaligned(u32),
    /// The two regions share bytes.
    #[error("the MSI-X table at {table:#x} and the pending bits at {pba:#x} overlap")]
    Overlap {
        /// Start of the table.
        table: u32,
        /// Start of the pending-bit array.
        pba: u32,
    },
}

impl MsixLayout {
    /// Table first, pending bits right after it.
    pub const fn packed(bar: u8, count: u16) -> Self {
        Self {
            bar,
            count,
            table_offset: 0,
            pba_offset: count as u32 * ENTRY_BYTES,
        }
    }

    /// Bytes of the table.
    pub fn table_len(&self) -> u64 {
        u64::from(self.count) * u64::from(ENTRY_BYTES)
    }

    /// Bytes of the pending-bit array.
    pub fn pba_len(&self) -> u64 {
        u64::from(self.count.div_ceil(32)) * 4
    }

    fn check(&self) -> Result<(), MsixLayoutError> {
        if self.bar > 5 {
            return Err(MsixLayoutError::Bar(self.bar));
        }
        if !(1..=MSIX_VECTORS_MAX).contains(&self.count) {
            return Err(MsixLayoutError::Count(self.count));
        }
        for offset in [self.table_offset, self.pba_offset] {
            if !offset.is_multiple_of(8) {
                return Err(MsixLayoutError::Unaligned(offset));
            }
        }
        let (table, pba) = (u64::from(self.table_offset), u64::from(self.pba_offset));
        if table < pba + self.pba_len() && pba < table + self.table_len() {
            return Err(MsixLayoutError::Overlap {
                table: self.table_offset,
                pba: self.pba_offset,
            });
        }
        Ok(())
    }
}

/// The vector table and pending bits of a function. The device forwards BAR accesses here and raises [`Self::interrupt`]s.
#[derive(Clone)]
pub struct MsixEmulator {
    state: Arc<Sender<State>>,
    layout: MsixLayout,
}

struct State {
    registers: RegisterFile<MsixReg>,
    /// The function may issue requests.
    bus_master: bool,
    entries: Vec<Entry>,
}

/// A table entry: address low and high, data, vector control.
struct Entry {
    words: [u32; 4],
    vector: Vector,
}

impl Entry {
    fn new() -> Self {
        Self {
            words: Self::reset_words(),
            vector: Vector::default(),
        }
    }

    fn reset_words() -> [u32; 4] {
        let mut words = [0; 4];
        for (word, mask) in words.iter_mut().zip(MSIX_TABLE_ENTRY.masks) {
            *word = mask.reset;
        }
        words
    }

    #[must_use]
    fn sync(&mut self, function_live: bool) -> Option<Message> {
        let [low, high, data, control] = self.words;
        let live = function_live && control & VECTOR_CONTROL_MASK_BIT == 0;
        let address = (u64::from(high) << 32) | u64::from(low);
        self.vector.program(live.then_some((address, data)))
    }
}

impl State {
    fn control(&self) -> MsixMessageControl {
        MsixMessageControl::from_bits(self.registers.get16(MsixReg::MessageControl))
    }

    fn function_live(&self) -> bool {
        let control = self.control();
        self.bus_master && control.msix_enable() && !control.function_mask()
    }

    #[must_use]
    fn sync(&mut self) -> Vec<Message> {
        let live = self.function_live();
        self.entries
            .iter_mut()
            .filter_map(|entry| entry.sync(live))
            .collect()
    }
}

/// What lies at an offset of the BAR.
enum Place {
    Table { index: usize, word: usize },
    Pending { first: usize },
}

impl MsixEmulator {
    /// The emulator and the capability of a function with `count` vectors in BAR `bar`: the table at offset 0, the pending bits
    /// right after it.
    ///
    /// # Panics
    ///
    /// Where [`Self::with_layout`] gives an error: `bar` above 5, `count` zero or above 2048.
    #[expect(
        clippy::panic,
        reason = "documented; callers with values that are not constants use `with_layout`"
    )]
    pub fn new(bar: u8, count: u16, msi_target: &MsiTarget) -> (Self, impl PciCapability + use<>) {
        match Self::with_layout(MsixLayout::packed(bar, count), msi_target) {
            Ok(made) => made,
            Err(error) => panic!("{error}"),
        }
    }

    /// The emulator and the capability of a function whose table and pending bits lie where `layout` says.
    ///
    /// # Errors
    ///
    /// [`MsixLayoutError`] names what is out of range, misaligned or overlapping.
    pub fn with_layout(
        layout: MsixLayout,
        msi_target: &MsiTarget,
    ) -> Result<(Self, impl PciCapability + use<>), MsixLayoutError> {
        layout.check()?;
        let mut registers = RegisterFile::new(MsixReg::MessageControl);
        registers.init(
            MsixReg::MessageControl,
            MsixMessageControl::new()
                .with_table_size(layout.count - 1)
                .into_bits(),
        );
        registers.init(
            MsixReg::TableOffset,
            layout.table_offset | u32::from(layout.bar),
        );
        registers.init(
            MsixReg::PbaOffset,
            layout.pba_offset | u32::from(layout.bar),
        );
        let state = State {
            registers,
            bus_master: true,
            entries: std::iter::repeat_with(Entry::new)
                .take(layout.count.into())
                .collect(),
        };
        let state = Arc::new(Sender::new(state, msi_target));
        let emulator = Self { state, layout };
        Ok((emulator.clone(), MsixCapability(emulator)))
    }

    /// Bytes of the BAR that the table and the pending bits take, from its start.
    pub fn bar_len(&self) -> u64 {
        let table = u64::from(self.layout.table_offset) + self.layout.table_len();
        table.max(u64::from(self.layout.pba_offset) + self.layout.pba_len())
    }

    /// Whether the guest enabled MSI-X.
    pub fn enabled(&self) -> bool {
        self.state.lock().control().msix_enable()
    }

    fn place(&self, offset: u64) -> Option<Place> {
        if !offset.is_multiple_of(4) {
            return None;
        }
        let within = |start: u32, len| offset.checked_sub(start.into()).filter(|&at| at < len);
        if let Some(at) = within(self.layout.table_offset, self.layout.table_len()) {
            return Some(Place::Table {
                index: usize::try_from(at / u64::from(ENTRY_BYTES)).ok()?,
                word: usize::try_from(at % u64::from(ENTRY_BYTES) / 4).ok()?,
            });
        }
        let at = within(self.layout.pba_offset, self.layout.pba_len())?;
        Some(Place::Pending {
            first: usize::try_from(at * 8).ok()?,
        })
    }

    /// Reads the dword at an offset of the BAR. Elsewhere, and where the offset is not a multiple of 4, zero.
    pub fn read_u32(&self, offset: u64) -> u32 {
        let mut state = self.state.lock();
        match self.place(offset) {
            Some(Place::Table { index, word }) => state
                .entries
                .get(index)
                .and_then(|e| e.words.get(word))
                .copied()
                .unwrap_or(0),
            Some(Place::Pending { first }) => {
                let entries = state.entries.iter_mut().skip(first).take(32);
                (0..).zip(entries).fold(0, |bits, (n, entry)| {
                    bits | (u32::from(entry.vector.poll_pending()) << n)
                })
            }
            None => 0,
        }
    }

    /// Writes the dword at an offset of the BAR. Elsewhere, and where the offset is not a multiple of 4, nothing happens.
    pub fn write_u32(&mut self, offset: u64, val: u32) {
        self.write_bytes(offset, val, ByteEnables::ALL);
    }

    /// Writes the enabled bytes of the dword at an offset of the BAR; elsewhere as [`Self::write_u32`].
    pub fn write_bytes(&mut self, offset: u64, val: u32, enables: ByteEnables) {
        let Some(Place::Table { index, word }) = self.place(offset) else {
            tracelimit::warn_ratelimited!(offset, val, "write outside of the MSI-X table");
            return;
        };
        self.state.change(|state| {
            let live = state.function_live();
            let entry = state.entries.get_mut(index)?;
            if let (Some(value), Some(mask)) =
                (entry.words.get_mut(word), MSIX_TABLE_ENTRY.masks.get(word))
            {
                *value = mask.write(*value, val, enables.mask());
            }
            entry.sync(live)
        });
    }

    /// The interrupt of a vector; `None` past the last.
    pub fn interrupt(&self, index: u16) -> Option<Interrupt> {
        (index < self.layout.count).then(|| {
            Interrupt::from_target(MsixVector {
                state: self.state.clone(),
                index: index.into(),
            })
        })
    }

    /// Marks a vector pending, without sending it even where it could be.
    pub fn set_pending_bit(&self, index: u16) {
        match self.state.lock().entries.get_mut(usize::from(index)) {
            Some(entry) => entry.vector.pending = true,
            None => tracelimit::warn_ratelimited!(
                index,
                count = self.layout.count,
                "no such MSI-X vector"
            ),
        }
    }

    /// Takes the mark away.
    #[cfg(test)]
    fn clear_pending_bit(&self, index: u8) {
        self.state.lock().entries[usize::from(index)].vector.pending = false;
    }
}

struct MsixVector {
    state: Arc<Sender<State>>,
    index: usize,
}

impl InterruptTarget for MsixVector {
    fn deliver(&self) {
        self.state
            .change(|state| state.entries.get_mut(self.index)?.vector.deliver());
    }

    fn event(&self) -> Option<Arc<Event>> {
        let mut state = self.state.lock();
        let vector = &mut state.entries.get_mut(self.index)?.vector;
        let route = vector.route(self.state.target())?;
        Some(Arc::new(route.event().clone()))
    }
}

/// The capability in configuration space.
struct MsixCapability(MsixEmulator);

impl Inspect for MsixCapability {
    fn inspect(&self, req: inspect::Request<'_>) {
        let state = self.0.state.lock();
        let mut resp = req.respond();
        resp.merge(&state.registers);
        resp.field("vectors", inspect::iter_by_index(&state.entries));
    }
}

impl Inspect for Entry {
    fn inspect(&self, req: inspect::Request<'_>) {
        let [low, high, data, control] = self.words;
        req.respond()
            .hex("address", (u64::from(high) << 32) | u64::from(low))
            .hex("data", data)
            .field("masked", control & VECTOR_CONTROL_MASK_BIT != 0)
            .field("pending", self.vector.pending);
    }
}

impl PciCapability for MsixCapability {
    fn label(&self) -> &str {
        "msi-x"
    }

    fn capability_id(&self) -> CapabilityId {
        CapabilityId::MSIX
    }

    fn len(&self) -> usize {
        self.0.state.lock().registers.block().bytes.into()
    }

    fn read_u32(&self, offset: u16) -> u32 {
        self.0.state.lock().registers.read(offset)
    }

    fn write_u32(&mut self, offset: u16, val: u32) {
        self.write_bytes(offset, val, ByteEnables::ALL);
    }

    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) {
        self.0.state.change(|state| {
            let before = state.function_live();
            state.registers.write(offset, val, enables.mask());
            // Every vector follows the function's two bits; nothing else here concerns them.
            if state.function_live() == before {
                Vec::new()
            } else {
                state.sync()
            }
        });
    }

    fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    fn reset_by(&mut self, kind: Reset) {
        let mut state = self.0.state.lock();
        state.registers.reset(kind);
        for entry in &mut state.entries {
            entry.words = Entry::reset_words();
            entry.vector.reset();
        }
    }

    /// A message that Bus Master Enable holds back is pending (PCIe 6.2 section 7.7.2.9: a pending bit says that the function has a
    /// message for the entry), so that software finds it there, and gets it when it sets the bit.
    fn bus_master_changed(&mut self, enabled: bool) {
        self.0.state.change(|state| {
            state.bus_master = enabled;
            state.sync()
        });
    }

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        slot.attach(&mut self.0.state.lock().registers)
    }

    fn registers(&self) -> Option<CapabilityRegisters> {
        Some((&self.0.state.lock().registers).into())
    }
}

mod save_restore;

#[cfg(test)]
mod tests;
