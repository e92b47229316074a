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

mod save_restore {
    use super::*;
    use vmcore::save_restore::RestoreError;
    use vmcore::save_restore::SaveError;
    use vmcore::save_restore::SaveRestore;

    #[expect(unreachable_pub, reason = "reached as `SaveRestore::SavedState`")]
    mod state {
        use mesh_protobuf::Protobuf;
        use vmcore::save_restore::SavedStateRoot;

        #[derive(Debug, Protobuf)]
        #[mesh(package = "pci.caps.msix")]
        pub struct SavedMsixMessageTableEntryState {
            #[mesh(1)]
            pub address: u64,
            #[mesh(2)]
            pub data: u32,
            #[mesh(3)]
            pub control: u32,
            #[mesh(4)]
            pub is_pending: bool,
        }

        #[derive(Debug, Protobuf, SavedStateRoot)]
        #[mesh(package = "pci.caps.msix")]
        pub struct SavedState {
            #[mesh(2)]
            pub enabled: bool,
            #[mesh(3)]
            pub vectors: Vec<SavedMsixMessageTableEntryState>,
            #[mesh(4)]
            pub function_mask: bool,
        }
    }

    impl SaveRestore for MsixCapability {
        type SavedState = state::SavedState;

        fn save(&mut self) -> Result<Self::SavedState, SaveError> {
            let mut state = self.0.state.lock();
            let control = state.control();
            let vectors = state.entries.iter_mut().map(|entry| {
                let [low, high, data, control] = entry.words;
                state::SavedMsixMessageTableEntryState {
                    address: (u64::from(high) << 32) | u64::from(low),
                    data,
                    control,
                    is_pending: entry.vector.poll_pending(),
                }
            });
            Ok(state::SavedState {
                vectors: vectors.collect(),
                enabled: control.msix_enable(),
                function_mask: control.function_mask(),
            })
        }

        fn check(&mut self, saved: &Self::SavedState) -> Result<(), RestoreError> {
            let (count, found) = (self.0.layout.count, saved.vectors.len());
            if found != usize::from(count) {
                return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                    "MSI-X: {found} vectors in the saved state; the function has {count}"
                )));
            }
            Ok(())
        }

        fn restore(&mut self, saved: Self::SavedState) -> Result<(), RestoreError> {
            self.check(&saved)?;
            self.0.state.change(|state| {
                let control = state
                    .control()
                    .with_msix_enable(saved.enabled)
                    .with_function_mask(saved.function_mask);
                state
                    .registers
                    .set(MsixReg::MessageControl, control.into_bits());
                for (entry, saved) in state.entries.iter_mut().zip(saved.vectors) {
                    let [low, high] = [saved.address & 0xffff_ffff, saved.address >> 32]
                        .map(|half| u32::try_from(half).unwrap_or(0));
                    entry.words = [low, high, saved.data, saved.control];
                    entry.vector.reset();
                    entry.vector.pending = saved.is_pending;
                }
                state.sync()
            });
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus_range::AssignedBusRange;
    use crate::msi::MsiConnection;
    use crate::msi::SignalMsi;
    use crate::test_helpers::TestPciInterruptController;
    use parking_lot::Mutex;
    use vmcore::irqfd::IrqFd;
    use vmcore::irqfd::IrqFdRoute;
    use vmcore::save_restore::ProtobufSaveRestore;

    fn connected(count: u16) -> (MsixEmulator, impl PciCapability, TestPciInterruptController) {
        let controller = TestPciInterruptController::new();
        let connection = MsiConnection::new(AssignedBusRange::new(), 0);
        connection.connect(controller.signal_msi());
        let (emulator, capability) = MsixEmulator::new(2, count, connection.target());
        (emulator, capability, controller)
    }

    fn program(emulator: &mut MsixEmulator, index: u64, address: u64, data: u32) {
        emulator.write_u32(index * 16, (address & 0xffff_ffff).try_into().unwrap());
        emulator.write_u32(index * 16 + 4, (address >> 32).try_into().unwrap());
        emulator.write_u32(index * 16 + 8, data);
        emulator.write_u32(index * 16 + 12, 0);
    }

    #[test]
    fn the_capability_says_where_things_are() {
        let (emulator, mut capability, _) = connected(64);
        assert_eq!(emulator.bar_len(), 64 * 16 + 8);
        assert_eq!(
            [0, 4, 8].map(|o| capability.read_u32(o)),
            [0x003f_0011, 2, 0x402]
        );
        capability.write_u32(0, u32::MAX);
        capability.write_u32(4, u32::MAX);
        assert_eq!(
            [0, 4, 8].map(|o| capability.read_u32(o)),
            [0xc03f_0011, 2, 0x402]
        );
    }

    #[test]
    fn a_vector_is_sent_when_enabled_and_unmasked_and_pending_until_then() {
        let (mut emulator, mut capability, controller) = connected(3);
        program(&mut emulator, 1, 0x1_fee0_0000, 0x55);
        emulator.interrupt(1).unwrap().deliver();
        assert_eq!(emulator.read_u32(3 * 16), 0x2, "disabled: pending");
        capability.write_u32(0, 0xc000_0000);
        assert_eq!(
            controller.get_next_interrupt(),
            None,
            "the function mask holds it back"
        );
        capability.write_u32(0, 0x8000_0000);
        assert_eq!(controller.get_next_interrupt(), Some((0x1_fee0_0000, 0x55)));
        assert_eq!(emulator.read_u32(3 * 16), 0);
        emulator.write_u32(16 + 12, 1);
        emulator.interrupt(1).unwrap().deliver();
        assert_eq!(emulator.read_u32(3 * 16), 0x2, "masked: pending");
        emulator.write_u32(16 + 12, 0);
        assert_eq!(controller.get_next_interrupt(), Some((0x1_fee0_0000, 0x55)));
        assert!(emulator.interrupt(3).is_none());
    }

    #[test]
    fn the_pending_array_is_read_only_and_covers_all_vectors() {
        let (mut emulator, _capability, _) = connected(40);
        emulator.set_pending_bit(0);
        emulator.set_pending_bit(39);
        emulator.set_pending_bit(40);
        assert_eq!((emulator.read_u32(640), emulator.read_u32(644)), (1, 0x80));
        emulator.write_u32(640, 0);
        assert_eq!(emulator.read_u32(640), 1);
        emulator.clear_pending_bit(0);
        assert_eq!(emulator.read_u32(640), 0);
    }

    #[test]
    fn odd_offsets_do_no_harm() {
        let (mut emulator, _capability, _) = connected(1);
        for offset in [1, 2, 3, 13, 20, 24, u64::MAX, u64::MAX - 3] {
            emulator.write_u32(offset, u32::MAX);
            assert_eq!(emulator.read_u32(offset), 0, "{offset:#x}");
        }
        assert_eq!(emulator.read_u32(12), 1);
        emulator.write_u32(12, 0x456);
        assert_eq!(
            emulator.read_u32(12),
            0x456,
            "reserved bits of vector control are kept"
        );
    }

    #[test]
    fn layouts_are_checked() {
        let layout = MsixLayout::packed(0, 4);
        let error = |layout| MsixEmulator::with_layout(layout, &MsiTarget::disconnected()).err();
        assert_eq!(
            error(MsixLayout { count: 0, ..layout }),
            Some(MsixLayoutError::Count(0))
        );
        assert_eq!(
            error(MsixLayout {
                count: 2049,
                ..layout
            }),
            Some(MsixLayoutError::Count(2049))
        );
        assert_eq!(
            error(MsixLayout { bar: 6, ..layout }),
            Some(MsixLayoutError::Bar(6))
        );
        assert_eq!(
            error(MsixLayout {
                pba_offset: 0x44,
                ..layout
            }),
            Some(MsixLayoutError::Unaligned(0x44))
        );
        assert_eq!(
            error(MsixLayout {
                pba_offset: 0x38,
                ..layout
            }),
            Some(MsixLayoutError::Overlap {
                table: 0,
                pba: 0x38
            })
        );
        let apart = MsixLayout {
            table_offset: 0x2000,
            pba_offset: 0x1000,
            ..layout
        };
        let (emulator, capability) =
            MsixEmulator::with_layout(apart, &MsiTarget::disconnected()).unwrap();
        assert_eq!(
            (capability.read_u32(4), capability.read_u32(8)),
            (0x2000, 0x1000)
        );
        assert_eq!((emulator.read_u32(0x200c), emulator.bar_len()), (1, 0x2040));
    }

    #[test]
    fn restore_re_arms_live_vectors_and_keeps_pending_ones() {
        let (mut emulator, mut capability, _) = connected(2);
        program(&mut emulator, 0, 0xfee0_0000, 7);
        capability.write_u32(0, 0x8000_0000);
        emulator.interrupt(1).unwrap().deliver();
        let saved = ProtobufSaveRestore::save(&mut capability).unwrap();
        let (mut emulator, mut capability, controller) = connected(2);
        ProtobufSaveRestore::restore(&mut capability, saved.clone()).unwrap();
        emulator.interrupt(0).unwrap().deliver();
        assert_eq!(controller.get_next_interrupt(), Some((0xfee0_0000, 7)));
        assert_eq!(emulator.read_u32(32), 2);
        program(&mut emulator, 1, 0xfee0_1000, 8);
        assert_eq!(controller.get_next_interrupt(), Some((0xfee0_1000, 8)));

        let (_, mut smaller, _) = connected(1);
        let error = ProtobufSaveRestore::restore(&mut smaller, saved).unwrap_err();
        assert!(
            format!("{error:?}").contains("2 vectors in the saved state; the function has 1"),
            "{error:?}"
        );
        assert_eq!(
            smaller.read_u32(0),
            0x0000_0011,
            "a refused state changes nothing"
        );
    }

    #[derive(Clone, Default)]
    struct Routes(Arc<Mutex<Vec<String>>>);

    struct Route {
        event: Event,
        log: Routes,
    }

    impl IrqFd for Routes {
        fn new_irqfd_route(&self) -> anyhow::Result<Box<dyn IrqFdRoute>> {
            Ok(Box::new(Route {
                event: Event::new(),
                log: self.clone(),
            }))
        }
    }

    impl IrqFdRoute for Route {
        fn event(&self) -> &Event {
            &self.event
        }
        fn enable(&self, address: u64, data: u32, devid: Option<u32>) {
            self.log
                .0
                .lock()
                .push(format!("enable {address:#x} {data} {devid:?}"));
        }
        fn disable(&self) {
            self.log.0.lock().push("disable".into());
        }
    }

    #[test]
    fn routes_follow_the_vector() {
        let routes = Routes::default();
        let range = AssignedBusRange::new();
        range.set_bus_range(2, 2);
        let connection = MsiConnection::new(range, 8);
        connection.connect_irqfd(Arc::new(routes.clone()));
        let (mut emulator, mut capability) = MsixEmulator::new(0, 1, connection.target());
        let interrupt = emulator.interrupt(0).unwrap();
        let event = interrupt.event().unwrap();
        capability.write_u32(0, 0x8000_0000);
        program(&mut emulator, 0, 0xfee0_0000, 1);
        emulator.write_u32(8, 2);
        let log = std::mem::take(&mut *routes.0.lock());
        assert_eq!(log.last().unwrap(), "enable 0xfee00000 2 Some(520)");
        emulator.write_u32(12, 1);
        capability.write_u32(0, 0);
        assert_eq!(routes.0.lock().first().unwrap(), "disable");
        event.signal();
        assert_eq!(emulator.read_u32(16), 1, "a signal while masked is pending");
        assert!(!event.try_wait(), "and taken from the event");
    }

    #[test]
    fn a_sink_may_look_at_the_device_it_hears_from() {
        struct Nosy(Mutex<Option<MsixEmulator>>);
        impl SignalMsi for Nosy {
            fn signal_msi(&self, _: Option<u32>, _: u64, _: u32) {
                if let Some(emulator) = &*self.0.lock() {
                    emulator.read_u32(0);
                }
            }
        }
        let sink = Arc::new(Nosy(Mutex::new(None)));
        let connection = MsiConnection::new(AssignedBusRange::new(), 0);
        connection.connect(sink.clone());
        let (mut emulator, mut capability) = MsixEmulator::new(0, 1, connection.target());
        *sink.0.lock() = Some(emulator.clone());
        capability.write_u32(0, 0x8000_0000);
        program(&mut emulator, 0, 0, 0);
        emulator.interrupt(0).unwrap().deliver();
    }
}
