//! One function of an endpoint: its configuration space, and what is in its BARs.

use super::DOORBELL_OFFSET;
use super::INTX_ACKNOWLEDGE;
use crate::layout::PAGE_SIZE;
use crate::layout::Region;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use cxl_spec::CxlComponentRegisters;
use inspect::Inspect;
use pci_core::PciInterruptPin;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::EXPANSION_ROM;
use pci_core::cfg_space_emu::IntxInterrupt;
use pci_core::spec::caps::power_management::PowerState;
use reg_table::Reset;
use std::sync::Arc;

/// The BAR that begins with the scratch page.
const SCRATCH_BAR: u8 = 0;
/// Bytes of scratch memory.
pub(super) const SCRATCH_SIZE: usize = 0xffc;

const _: () = assert!(SCRATCH_SIZE as u64 == DOORBELL_OFFSET);

/// MSI-X of a function.
pub(super) struct Msix {
    pub(super) bar: u8,
    pub(super) table: Region,
    pub(super) pba: Region,
    pub(super) emulator: MsixEmulator,
}

/// Component registers of a function.
pub(super) struct ComponentRegisters {
    pub(super) bar: u8,
    pub(super) region: Region,
    pub(super) registers: CxlComponentRegisters,
}

/// A function.
pub(super) struct EndpointFunction {
    pub(super) cfg_space: ConfigSpaceType0Emulator,
    /// `SCRATCH_SIZE` bytes, or nothing while all of them are zero since the last reset.
    pub(super) scratch: Vec<u8>,
    pub(super) msix: Option<Msix>,
    pub(super) msi: Option<MsiCapability>,
    pub(super) cxl: Option<ComponentRegisters>,
    pub(super) intx: Option<(PciInterruptPin, Arc<IntxInterrupt>)>,
    /// What the expansion ROM begins with.
    pub(super) rom: Vec<u8>,
    /// Writes to the doorbell since it was composed, whether they raised an interrupt or not.
    pub(super) doorbell_rings: u64,
}

impl Inspect for EndpointFunction {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        resp.field("cfg_space", &self.cfg_space)
            .counter("doorbell_rings", self.doorbell_rings);
        if let Some(cxl) = &self.cxl {
            resp.field("cxl_component_registers", &cxl.registers);
        }
    }
}

/// What lies at an offset of a BAR, and the offset into it.
enum Part {
    Scratch(usize),
    Msix,
    ComponentRegisters(u16),
    Rom(usize),
    Nothing,
}

/// What a configuration write led to that the fabric is to know.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Consequences {
    pub(super) was_reset: bool,
    /// The power state, if it is another.
    pub(super) power_state: Option<PowerState>,
    /// A PME message may be due.
    pub(super) pme: bool,
}

impl Consequences {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl EndpointFunction {
    /// Writes the configuration space, and does the reset of the function that the write may have asked for.
    pub(super) fn write_config(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> (IoResult, Consequences) {
        match self.cfg_space.write_bytes(offset, value, enables) {
            Ok(effects) => {
                if effects.function_reset {
                    self.reset(Reset::FunctionLevel);
                }
                self.follow_messages();
                let consequences = Consequences {
                    was_reset: effects.function_reset,
                    power_state: effects.power_state.then(|| self.cfg_space.power_state()),
                    pme: effects.pme,
                };
                (IoResult::Ok, consequences)
            }
            Err(error) => (IoResult::Err(error), Consequences::default()),
        }
    }

    /// INTx falls silent when the guest turns to MSI or MSI-X.
    fn follow_messages(&self) {
        if let Some((_, intx)) = &self.intx
            && intx.is_raised()
            && self.sends_messages()
        {
            intx.set_level(false);
        }
    }

    /// Whether the guest uses MSI or MSI-X, and so no INTx (PCIe 6.2 section 7.7.1.2).
    fn sends_messages(&self) -> bool {
        self.msi.as_ref().is_some_and(MsiCapability::enabled)
            || self
                .msix
                .as_ref()
                .is_some_and(|msix| msix.emulator.enabled())
    }

    /// Reads from an I/O BAR.
    pub(super) fn io_read(&mut self, offset: u64, data: &mut [u8]) -> IoResult {
        if let Err(error) = check_access(&Part::Nothing, offset, data.len()) {
            return IoResult::Err(error);
        }
        self.read_scratch(usize::try_from(offset).unwrap_or(usize::MAX), data);
        IoResult::Ok
    }

    /// Writes to an I/O BAR.
    pub(super) fn io_write(&mut self, offset: u64, data: &[u8]) -> IoResult {
        if let Err(error) = check_access(&Part::Nothing, offset, data.len()) {
            return IoResult::Err(error);
        }
        self.write_scratch(usize::try_from(offset).unwrap_or(usize::MAX), data);
        IoResult::Ok
    }

    fn read_scratch(&self, offset: usize, data: &mut [u8]) {
        data.fill(0);
        for (byte, value) in data.iter_mut().zip(self.scratch.iter().skip(offset)) {
            *byte = *value;
        }
    }

    pub(super) fn reset(&mut self, kind: Reset) {
        self.cfg_space.reset_by(kind);
        self.scratch = Vec::new();
        // A function-level reset does not touch the CXL.mem side of the device (CXL 3.1 section 9.5).
        if let Some(cxl) = &mut self.cxl
            && kind != Reset::FunctionLevel
        {
            cxl.registers.reset();
        }
    }

    fn part(&self, bar: u8, offset: u64) -> Part {
        let within = |region: &Region| {
            offset
                .checked_sub(region.offset)
                .filter(|at| *at < region.len)
        };
        if bar == SCRATCH_BAR && offset < PAGE_SIZE {
            return Part::Scratch(usize::try_from(offset).unwrap_or(usize::MAX));
        }
        if bar == EXPANSION_ROM {
            return Part::Rom(usize::try_from(offset).unwrap_or(usize::MAX));
        }
        if let Some(msix) = self.msix.as_ref().filter(|msix| msix.bar == bar)
            && (within(&msix.table).is_some() || within(&msix.pba).is_some())
        {
            return Part::Msix;
        }
        let cxl = self.cxl.as_ref().filter(|cxl| cxl.bar == bar);
        match cxl
            .and_then(|cxl| within(&cxl.region))
            .and_then(|at| u16::try_from(at).ok())
        {
            Some(offset) => Part::ComponentRegisters(offset),
            None => Part::Nothing,
        }
    }

    /// Reads from a BAR. `InvalidAccessSize` and `UnalignedAccess` unless the access is one that the part takes.
    pub(super) fn mmio_read(&mut self, bar: u8, offset: u64, data: &mut [u8]) -> IoResult {
        let part = self.part(bar, offset);
        if let Err(error) = check_access(&part, offset, data.len()) {
            return IoResult::Err(error);
        }
        data.fill(0);
        match part {
            Part::Scratch(offset) => self.read_scratch(offset, data),
            Part::Rom(offset) => {
                for (byte, value) in data.iter_mut().zip(self.rom.iter().skip(offset)) {
                    *byte = *value;
                }
            }
            Part::Msix => {
                for (dword, offset) in data.chunks_mut(4).zip((offset..).step_by(4)) {
                    let value = self
                        .msix
                        .as_ref()
                        .map_or(0, |msix| msix.emulator.read_u32(offset));
                    dword.copy_from_slice(&value.to_le_bytes());
                }
            }
            Part::ComponentRegisters(offset) => {
                let Some(cxl) = &self.cxl else {
                    return IoResult::Ok;
                };
                return match cxl.registers.read(offset, data) {
                    // What does not exist reads zero.
                    IoResult::Err(IoError::InvalidRegister) => {
                        data.fill(0);
                        IoResult::Ok
                    }
                    result => result,
                };
            }
            Part::Nothing => {}
        }
        IoResult::Ok
    }

    /// Writes to a BAR. Errors as [`Self::mmio_read`].
    pub(super) fn mmio_write(&mut self, bar: u8, offset: u64, data: &[u8]) -> IoResult {
        let part = self.part(bar, offset);
        if let Err(error) = check_access(&part, offset, data.len()) {
            return IoResult::Err(error);
        }
        match part {
            Part::Scratch(offset) => self.write_scratch(offset, data),
            Part::Msix => {
                if let Some(msix) = &mut self.msix {
                    for (dword, offset) in data.chunks(4).zip((offset..).step_by(4)) {
                        let value = dword
                            .first_chunk()
                            .map_or(0, |bytes| u32::from_le_bytes(*bytes));
                        msix.emulator.write_u32(offset, value);
                    }
                }
            }
            Part::ComponentRegisters(offset) => {
                let Some(cxl) = &mut self.cxl else {
                    return IoResult::Ok;
                };
                return match cxl.registers.write(offset, data) {
                    IoResult::Err(IoError::InvalidRegister) => IoResult::Ok,
                    result => result,
                };
            }
            Part::Rom(_) | Part::Nothing => {}
        }
        IoResult::Ok
    }

    fn write_scratch(&mut self, offset: usize, data: &[u8]) {
        // The doorbell alone needs no memory.
        if self.scratch.is_empty() && offset < SCRATCH_SIZE {
            self.scratch = vec![0; SCRATCH_SIZE];
        }
        for (byte, value) in self.scratch.iter_mut().skip(offset).zip(data) {
            *byte = *value;
        }
        // The page ends with the doorbell, and an aligned access that reaches its end has the whole of it or less.
        let reaches_end = offset.saturating_add(data.len()) == SCRATCH_SIZE + 4;
        if let Some(doorbell) = data.last_chunk().filter(|_| reaches_end) {
            self.ring(u32::from_le_bytes(*doorbell));
        }
    }

    /// Raises vector `vector`; nothing happens where there is no such vector.
    fn ring(&mut self, vector: u32) {
        self.doorbell_rings += 1;
        if let Some((_, intx)) = &self.intx
            && (vector == INTX_ACKNOWLEDGE || !self.sends_messages())
        {
            intx.set_level(vector != INTX_ACKNOWLEDGE);
            return;
        }
        let interrupt = match &self.msix {
            Some(msix) if msix.emulator.enabled() || self.msi.is_none() => u16::try_from(vector)
                .ok()
                .and_then(|vector| msix.emulator.interrupt(vector)),
            Some(_) | None => self.msi.as_ref().and_then(|msi| {
                let vector = u8::try_from(vector).ok()?;
                msi.vector(vector)
            }),
        };
        interrupt.unwrap_or_default().deliver();
    }
}

fn check_access(part: &Part, offset: u64, len: usize) -> Result<(), IoError> {
    let takes = match part {
        Part::Msix | Part::ComponentRegisters(_) => matches!(len, 4 | 8),
        Part::Scratch(_) | Part::Rom(_) | Part::Nothing => matches!(len, 1 | 2 | 4 | 8),
    };
    match takes {
        false => Err(IoError::InvalidAccessSize),
        true if offset.is_multiple_of(len as u64) => Ok(()),
        true => Err(IoError::UnalignedAccess),
    }
}
