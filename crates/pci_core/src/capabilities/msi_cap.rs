//! MSI (PCIe 6.2 section 7.7.1): 1 to 32 vectors, 32- or 64-bit address, with or without per-vector masking.

use super::CapabilityRegisters;
use super::ConfigSlot;
use super::PciCapability;
use super::vector::Message;
use super::vector::Sender;
use super::vector::Vector;
use crate::msi::MsiTarget;
use crate::spec::caps::CapabilityId;
use crate::spec::caps::msi::MessageControl;
use crate::spec::caps::msi::Msi32MaskedReg;
use crate::spec::caps::msi::Msi32Reg;
use crate::spec::caps::msi::Msi64MaskedReg;
use crate::spec::caps::msi::Msi64Reg;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use reg_table::RegisterFile;
use reg_table::Reset;
use std::fmt;
use std::sync::Arc;
use vmcore::event::Event;
use vmcore::interrupt::Interrupt;
use vmcore::interrupt::InterruptTarget;

/// log2 of the most vectors a function can have.
const MULTIPLE_MESSAGE_MAX: u8 = 5;

/// The MSI capability of a function. Clones share state: a device keeps one to raise interrupts, the emulator owns the other.
///
/// ```
/// use pci_core::capabilities::{PciCapability, msi_cap::MsiCapability};
/// use pci_core::msi::MsiTarget;
///
/// let msi = MsiCapability::new(2, true, false, &MsiTarget::disconnected());
/// assert_eq!(msi.read_u32(0), 0x0084_0005); // 4 vectors, 64-bit address
/// ```
#[derive(Clone)]
pub struct MsiCapability {
    state: Arc<Sender<State>>,
    multiple_message_capable: u8,
}

struct State {
    registers: Registers,
    /// The function may issue requests.
    bus_master: bool,
    vectors: Vec<Vector>,
}

/// The four layouts of PCIe 6.2 figures 7-40 to 7-43.
enum Registers {
    Msi32(RegisterFile<Msi32Reg>),
    Msi64(RegisterFile<Msi64Reg>),
    Msi32Masked(RegisterFile<Msi32MaskedReg>),
    Msi64Masked(RegisterFile<Msi64MaskedReg>),
}

/// Runs one expression on whichever layout it is; `$reg` is the layout's register enum.
macro_rules! each {
    ($registers:expr, ($file:ident, $reg:ident) => $body:expr) => {
        match $registers {
            Registers::Msi32($file) => {
                type $reg = Msi32Reg;
                $body
            }
            Registers::Msi64($file) => {
                type $reg = Msi64Reg;
                $body
            }
            Registers::Msi32Masked($file) => {
                type $reg = Msi32MaskedReg;
                $body
            }
            Registers::Msi64Masked($file) => {
                type $reg = Msi64MaskedReg;
                $body
            }
        }
    };
}

impl Registers {
    fn new(control: MessageControl) -> Self {
        let mut registers = match (
            control.address_64_bit_capable(),
            control.per_vector_masking_capable(),
        ) {
            (false, false) => Self::Msi32(RegisterFile::new(Msi32Reg::MessageControl)),
            (true, false) => Self::Msi64(RegisterFile::new(Msi64Reg::MessageControl)),
            (false, true) => Self::Msi32Masked(RegisterFile::new(Msi32MaskedReg::MessageControl)),
            (true, true) => Self::Msi64Masked(RegisterFile::new(Msi64MaskedReg::MessageControl)),
        };
        each!(&mut registers, (file, Reg) => file.init(Reg::MessageControl, control.into_bits()));
        registers
    }

    /// log2 of the vectors the guest allocated.
    fn allocated(&self) -> u8 {
        self.control()
            .multiple_message_enable()
            .min(MULTIPLE_MESSAGE_MAX)
    }

    fn control(&self) -> MessageControl {
        MessageControl::from_bits(each!(self, (file, Reg) => file.get16(Reg::MessageControl)))
    }

    fn set_control(&self, control: MessageControl) {
        each!(self, (file, Reg) => file.set(Reg::MessageControl, control.into_bits()));
    }

    fn address(&self) -> u64 {
        let low = each!(self, (file, Reg) => file.get(Reg::MessageAddress));
        let high = match self {
            Self::Msi64(file) => file.get(Msi64Reg::MessageUpperAddress),
            Self::Msi64Masked(file) => file.get(Msi64MaskedReg::MessageUpperAddress),
            Self::Msi32(_) | Self::Msi32Masked(_) => 0,
        };
        (u64::from(high) << 32) | u64::from(low)
    }

    fn set_address(&self, address: u64) {
        let [low, high] =
            [address & 0xffff_ffff, address >> 32].map(|half| u32::try_from(half).unwrap_or(0));
        each!(self, (file, Reg) => file.set(Reg::MessageAddress, low));
        match self {
            Self::Msi64(file) => file.set(Msi64Reg::MessageUpperAddress, high),
            Self::Msi64Masked(file) => file.set(Msi64MaskedReg::MessageUpperAddress, high),
            Self::Msi32(_) | Self::Msi32Masked(_) => {}
        }
    }

    fn data(&self) -> u16 {
        each!(self, (file, Reg) => file.get16(Reg::MessageData))
    }

    fn mask(&self) -> u32 {
        match self {
            Self::Msi32Masked(file) => file.get(Msi32MaskedReg::MaskBits),
            Self::Msi64Masked(file) => file.get(Msi64MaskedReg::MaskBits),
            Self::Msi32(_) | Self::Msi64(_) => 0,
        }
    }

    fn set_mask(&self, mask: u32) {
        match self {
            Self::Msi32Masked(file) => file.set(Msi32MaskedReg::MaskBits, mask),
            Self::Msi64Masked(file) => file.set(Msi64MaskedReg::MaskBits, mask),
            Self::Msi32(_) | Self::Msi64(_) => {}
        }
    }

    fn set_pending(&self, pending: u32) {
        match self {
            Self::Msi32Masked(file) => file.set(Msi32MaskedReg::PendingBits, pending),
            Self::Msi64Masked(file) => file.set(Msi64MaskedReg::PendingBits, pending),
            Self::Msi32(_) | Self::Msi64(_) => {}
        }
    }
}

impl State {
    /// Makes the vectors follow the registers; returns the messages that became due.
    #[must_use]
    fn sync(&mut self) -> Vec<Message> {
        let (control, mask) = (self.registers.control(), self.registers.mask());
        let (address, data) = (self.registers.address(), u32::from(self.registers.data()));
        let allocated = self.registers.allocated();
        let due = (0..)
            .zip(&mut self.vectors)
            .filter_map(|(n, vector)| {
                let n = shared(n, allocated);
                let live = self.bus_master && control.msi_enable() && mask & (1 << n) == 0;
                // A function tells its vectors apart in the low bits of the data (PCIe 6.2 section 6.1.4.3).
                vector.program(live.then_some((address, data | n)))
            })
            .collect();
        self.show_pending();
        due
    }

    /// The vectors with an interrupt not yet sent, a bit each.
    fn pending(&self) -> u32 {
        self.pending_by(|n| n)
    }

    fn pending_by(&self, bit: impl Fn(u32) -> u32) -> u32 {
        (0..)
            .zip(&self.vectors)
            .filter(|(_, vector)| vector.pending)
            .fold(0, |bits, (n, _)| bits | (1 << bit(n)))
    }

    fn show_pending(&self) {
        let allocated = self.registers.allocated();
        self.registers
            .set_pending(self.pending_by(|n| shared(n, allocated)));
    }
}

/// The allocated vector that vector `n` is sent as: those beyond the `1 << allocated` that the guest allocated share them
/// (PCIe 6.2 section 6.1.4.2).
fn shared(n: u32, allocated: u8) -> u32 {
    n & ((1 << allocated) - 1)
}

impl MsiCapability {
    /// A capability for `1 << multiple_message_capable` vectors.
    ///
    /// # Panics
    ///
    /// When `multiple_message_capable` is above 5: a function has at most 32 vectors.
    pub fn new(
        multiple_message_capable: u8,
        addr_64bit: bool,
        per_vector_masking: bool,
        msi_target: &MsiTarget,
    ) -> Self {
        assert!(
            multiple_message_capable <= MULTIPLE_MESSAGE_MAX,
            "multiple_message_capable is {multiple_message_capable}; it is log2 of the vectors, at most {MULTIPLE_MESSAGE_MAX}"
        );
        let control = MessageControl::new()
            .with_multiple_message_capable(multiple_message_capable)
            .with_address_64_bit_capable(addr_64bit)
            .with_per_vector_masking_capable(per_vector_masking);
        let vectors = 1usize << multiple_message_capable;
        let mut registers = Registers::new(control);
        let implemented = u32::MAX >> (32 - vectors);
        match &mut registers {
            Registers::Msi32Masked(file) => file.narrow(Msi32MaskedReg::MaskBits, implemented),
            Registers::Msi64Masked(file) => file.narrow(Msi64MaskedReg::MaskBits, implemented),
            Registers::Msi32(_) | Registers::Msi64(_) => {}
        }
        Self {
            state: Arc::new(Sender::new(
                State {
                    registers,
                    bus_master: true,
                    vectors: std::iter::repeat_with(Vector::default)
                        .take(vectors)
                        .collect(),
                },
                msi_target,
            )),
            multiple_message_capable,
        }
    }

    /// The interrupt of vector 0.
    pub fn interrupt(&self) -> Option<Interrupt> {
        self.vector(0)
    }

    /// The interrupt of a vector; `None` past the vectors this function is capable of. While the guest allocated fewer, those above
    /// share them.
    pub fn vector(&self, index: u8) -> Option<Interrupt> {
        (index < 1 << self.multiple_message_capable).then(|| {
            Interrupt::from_target(MsiVector {
                state: self.state.clone(),
                index: index.into(),
            })
        })
    }

    /// Whether the guest enabled MSI.
    pub fn enabled(&self) -> bool {
        self.state.lock().registers.control().msi_enable()
    }
}

impl fmt::Debug for MsiCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("MsiCapability")
            .field("control", &state.registers.control())
            .field("address", &format_args!("{:#x}", state.registers.address()))
            .field("data", &format_args!("{:#x}", state.registers.data()))
            .finish_non_exhaustive()
    }
}

impl Inspect for MsiCapability {
    fn inspect(&self, req: inspect::Request<'_>) {
        let state = self.state.lock();
        let mut resp = req.respond();
        each!(&state.registers, (file, Reg) => {
            let file: &RegisterFile<Reg> = file;
            resp.merge(file);
        });
        resp.hex("pending_vectors", state.pending());
    }
}

struct MsiVector {
    state: Arc<Sender<State>>,
    index: usize,
}

impl InterruptTarget for MsiVector {
    fn deliver(&self) {
        self.state.change(|state| {
            let due = state.vectors.get_mut(self.index).and_then(Vector::deliver);
            state.show_pending();
            due
        });
    }

    fn event(&self) -> Option<Arc<Event>> {
        let mut state = self.state.lock();
        let vector = state.vectors.get_mut(self.index)?;
        let route = vector.route(self.state.target())?;
        Some(Arc::new(route.event().clone()))
    }
}

impl PciCapability for MsiCapability {
    fn label(&self) -> &str {
        "msi"
    }

    fn capability_id(&self) -> CapabilityId {
        CapabilityId::MSI
    }

    fn len(&self) -> usize {
        each!(&self.state.lock().registers, (file, Reg) => {
            let file: &RegisterFile<Reg> = file;
            file.block().bytes.into()
        })
    }

    fn read_u32(&self, offset: u16) -> u32 {
        each!(&self.state.lock().registers, (file, Reg) => {
            let file: &RegisterFile<Reg> = file;
            file.read(offset)
        })
    }

    fn write_u32(&mut self, offset: u16, val: u32) {
        self.write_bytes(offset, val, ByteEnables::ALL);
    }

    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) {
        self.state.change(|state| {
            each!(&state.registers, (file, Reg) => {
                let file: &RegisterFile<Reg> = file;
                file.write(offset, val, enables.mask());
            });
            // A guest that allocates more vectors than there are gets those there are.
            let control = state.registers.control();
            if control.multiple_message_enable() > self.multiple_message_capable {
                state.registers.set_control(
                    control.with_multiple_message_enable(self.multiple_message_capable),
                );
            }
            state.sync()
        });
    }

    fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    fn reset_by(&mut self, kind: Reset) {
        let mut state = self.state.lock();
        each!(&state.registers, (file, Reg) => {
            let file: &RegisterFile<Reg> = file;
            file.reset(kind);
        });
        state.vectors.iter_mut().for_each(Vector::reset);
        state.show_pending();
    }

    /// Without pending bits a message that Bus Master Enable held back is lost: software would have no way to know of it, and would
    /// be surprised by it whenever it sets the bit again. With pending bits it stays pending, as while its vector is masked.
    fn bus_master_changed(&mut self, enabled: bool) {
        self.state.change(|state| {
            let control = state.registers.control();
            if !state.bus_master && control.msi_enable() && !control.per_vector_masking_capable() {
                state.vectors.iter_mut().for_each(Vector::reset);
            }
            state.bus_master = enabled;
            state.sync()
        });
    }

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        each!(&mut self.state.lock().registers, (file, Reg) => {
            let file: &mut RegisterFile<Reg> = file;
            slot.attach(file)
        })
    }

    fn registers(&self) -> Option<CapabilityRegisters> {
        Some(each!(&self.state.lock().registers, (file, Reg) => {
            let file: &RegisterFile<Reg> = file;
            file.into()
        }))
    }

    fn as_msi_cap(&self) -> Option<&MsiCapability> {
        Some(self)
    }

    fn as_msi_cap_mut(&mut self) -> Option<&mut MsiCapability> {
        Some(self)
    }
}

mod save_restore {
    use super::*;
    use vmcore::save_restore::RestoreError;
    use vmcore::save_restore::SaveError;
    use vmcore::save_restore::SaveRestore;

    mod state {
        use mesh_protobuf::Protobuf;
        use vmcore::save_restore::SavedStateRoot;

        #[derive(Debug, Protobuf, SavedStateRoot)]
        #[mesh(package = "pci.caps.msi")]
        pub struct SavedState {
            #[mesh(1)]
            pub enabled: bool,
            #[mesh(2)]
            pub multiple_message_enable: u8,
            #[mesh(3)]
            pub address: u64,
            #[mesh(4)]
            pub data: u16,
            #[mesh(5)]
            pub mask_bits: u32,
            /// Vectors with an interrupt not yet sent, whether or not the layout has a register for them.
            #[mesh(6)]
            pub pending_bits: u32,
        }
    }

    impl SaveRestore for MsiCapability {
        type SavedState = state::SavedState;

        fn save(&mut self) -> Result<Self::SavedState, SaveError> {
            let mut state = self.state.lock();
            for vector in &mut state.vectors {
                vector.poll_pending();
            }
            state.show_pending();
            let control = state.registers.control();
            Ok(state::SavedState {
                enabled: control.msi_enable(),
                multiple_message_enable: state.registers.allocated(),
                address: state.registers.address(),
                data: state.registers.data(),
                mask_bits: state.registers.mask(),
                pending_bits: state.pending(),
            })
        }

        fn check(&mut self, saved: &Self::SavedState) -> Result<(), RestoreError> {
            let enable = saved.multiple_message_enable;
            if enable > MULTIPLE_MESSAGE_MAX {
                return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                    "MSI: multiple message enable is {enable}; it is at most {MULTIPLE_MESSAGE_MAX}"
                )));
            }
            Ok(())
        }

        fn restore(&mut self, saved: Self::SavedState) -> Result<(), RestoreError> {
            self.check(&saved)?;
            self.state.change(|state| {
                let control = state
                    .registers
                    .control()
                    .with_msi_enable(saved.enabled)
                    .with_multiple_message_enable(
                        saved
                            .multiple_message_enable
                            .min(self.multiple_message_capable),
                    );
                state.registers.set_control(control);
                state.registers.set_address(saved.address);
                each!(&state.registers, (file, Reg) => file.set(Reg::MessageData, saved.data));
                let implemented = u32::MAX >> (32 - state.vectors.len());
                state.registers.set_mask(saved.mask_bits & implemented);
                for (n, vector) in (0u32..).zip(&mut state.vectors) {
                    vector.reset();
                    vector.pending = saved.pending_bits & (1 << n) != 0;
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
    use crate::test_helpers::TestPciInterruptController;
    use vmcore::save_restore::SaveRestore;

    fn connected(mmc: u8, wide: bool, masked: bool) -> (MsiCapability, TestPciInterruptController) {
        let controller = TestPciInterruptController::new();
        let connection = MsiConnection::new(AssignedBusRange::new(), 0);
        connection.connect(controller.signal_msi());
        (
            MsiCapability::new(mmc, wide, masked, connection.target()),
            controller,
        )
    }

    #[test]
    fn lengths_and_reset_values_follow_the_layout() {
        for (wide, masked, len, control) in [
            (false, false, 12, 0x0002_0005),
            (true, false, 16, 0x0082_0005),
            (false, true, 20, 0x0102_0005),
            (true, true, 24, 0x0182_0005),
        ] {
            let (mut msi, _) = connected(1, wide, masked);
            assert_eq!((msi.len(), msi.read_u32(0)), (len, control));
            msi.write_u32(0, u32::MAX);
            msi.reset();
            assert_eq!(msi.read_u32(0), control);
        }
    }

    #[test]
    fn allocation_is_clamped_to_what_there_is() {
        let (mut msi, _) = connected(2, true, false);
        msi.write_u32(0, 0x0011_0005);
        assert_eq!(msi.read_u32(0), 0x0095_0005);
        msi.write_u32(0, 0x0071_0005);
        assert_eq!(msi.read_u32(0), 0x00a5_0005);
    }

    #[test]
    fn each_vector_has_its_data_and_surplus_ones_share() {
        let (mut msi, controller) = connected(2, false, false);
        msi.write_u32(4, 0xfee0_0000);
        msi.write_u32(8, 0x40);
        msi.write_u32(0, 0x0011_0000);
        for index in 0..4 {
            msi.vector(index).unwrap().deliver();
        }
        let sent: Vec<_> = std::iter::from_fn(|| controller.get_next_interrupt()).collect();
        assert_eq!(
            sent,
            [0x40, 0x41, 0x40, 0x41].map(|data| (0xfee0_0000, data))
        );
        msi.write_u32(0, 0);
        msi.vector(3).unwrap().deliver();
        msi.write_u32(0, 0x0021_0000);
        assert_eq!(
            controller.get_next_interrupt(),
            Some((0xfee0_0000, 0x43)),
            "pending since before the guest allocated: it keeps its number"
        );
        assert!(msi.vector(4).is_none());
    }

    #[test]
    fn masked_vectors_show_pending_and_send_when_unmasked() {
        for (wide, mask, pending) in [(false, 0x0c, 0x10), (true, 0x10, 0x14)] {
            let (mut msi, controller) = connected(1, wide, true);
            msi.write_u32(4, 0xfee0_0000);
            msi.write_u32(mask, 0x3);
            msi.write_u32(0, 0x0011_0000);
            msi.vector(1).unwrap().deliver();
            assert_eq!(controller.get_next_interrupt(), None);
            assert_eq!(msi.read_u32(pending), 0x2);
            msi.write_u32(mask, 0x1);
            assert_eq!(controller.get_next_interrupt(), Some((0xfee0_0000, 1)));
            assert_eq!(msi.read_u32(pending), 0);
        }
    }

    #[test]
    fn a_one_byte_write_of_control_leaves_the_rest() {
        let (mut msi, _) = connected(0, true, false);
        msi.write_bytes(0, u32::MAX, ByteEnables::new(0b0100).unwrap());
        assert_eq!(msi.read_u32(0), 0x0081_0005);
    }

    #[test]
    fn restore_re_arms_and_keeps_what_was_pending() {
        let (mut msi, _) = connected(0, true, true);
        msi.write_u32(4, 0x1000);
        msi.write_u32(8, 0x2);
        msi.write_u32(0xc, 0x33);
        msi.write_u32(0x10, 1);
        msi.write_u32(0, 0x0001_0000);
        msi.interrupt().unwrap().deliver();
        let saved = msi.save().unwrap();
        let (mut other, controller) = connected(0, true, true);
        other.restore(saved).unwrap();
        assert_eq!(other.read_u32(0x14), 1);
        other.write_u32(0x10, 0);
        assert_eq!(controller.get_next_interrupt(), Some((0x2_0000_1000, 0x33)));
        other.interrupt().unwrap().deliver();
        assert_eq!(controller.get_next_interrupt(), Some((0x2_0000_1000, 0x33)));
    }

    #[test]
    fn a_state_with_an_impossible_allocation_is_refused() {
        let (mut msi, _) = connected(5, true, false);
        let mut saved = msi.save().unwrap();
        saved.multiple_message_enable = 6;
        assert!(
            msi.restore(saved)
                .unwrap_err()
                .to_string()
                .contains("saved state")
        );
        assert_eq!(msi.read_u32(0), 0x008a_0005);
    }
}
