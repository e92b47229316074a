//! A CXL host bridge's component registers (CXL 3.1 section 8.2.3, CHBCR).

use crate::port::check_register_access;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::mmio::ControlMmioIntercept;
use cxl_spec::CxlComponentRegisters;
use inspect::Inspect;
use memory_range::MemoryRange;
use reg_table::Reset;

/// The registers, and where they are.
#[derive(Inspect)]
pub(super) struct HostBridge {
    #[inspect(display)]
    range: MemoryRange,
    #[inspect(skip)]
    _region: Box<dyn ControlMmioIntercept>,
    pub(super) registers: CxlComponentRegisters,
}

impl HostBridge {
    pub(super) fn new(
        range: MemoryRange,
        region: Box<dyn ControlMmioIntercept>,
        registers: CxlComponentRegisters,
    ) -> Self {
        Self {
            range,
            _region: region,
            registers,
        }
    }

    /// The offset of an address that is theirs.
    pub(super) fn offset(&self, address: u64) -> Option<u64> {
        address
            .checked_sub(self.range.start())
            .filter(|offset| *offset < self.range.len())
    }

    /// Reads 4 or 8 bytes, naturally aligned; what does not exist reads zero.
    pub(super) fn read(&self, offset: u64, data: &mut [u8]) -> IoResult {
        if let Err(error) = check_register_access(offset, data.len()) {
            return IoResult::Err(error);
        }
        let result = match u16::try_from(offset) {
            Ok(offset) => self.registers.read(offset, data),
            Err(_) => IoResult::Err(IoError::InvalidRegister),
        };
        match result {
            IoResult::Err(IoError::InvalidRegister) => {
                data.fill(0);
                IoResult::Ok
            }
            result => result,
        }
    }

    /// Writes 4 or 8 bytes, naturally aligned. What does not exist ignores writes; beyond the registers' 64 KiB,
    /// `InvalidRegister`.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> IoResult {
        if let Err(error) = check_register_access(offset, data.len()) {
            return IoResult::Err(error);
        }
        let Ok(offset) = u16::try_from(offset) else {
            return IoResult::Err(IoError::InvalidRegister);
        };
        match self.registers.write(offset, data) {
            IoResult::Err(IoError::InvalidRegister) => IoResult::Ok,
            result => result,
        }
    }

    pub(super) fn reset(&mut self, kind: Reset) {
        self.registers.reset_by(kind);
    }
}
