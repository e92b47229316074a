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

mod save_restore;

#[cfg(test)]
mod tests;
