//! BARs and an expansion ROM that a port has beside those of the fabric, and what its author puts behind them.

use super::PortBarDefinition;
use super::PortBarHolder;
use super::PortBarSubregionKind;
use super::PortError;
use super::check_memory_access;
use anyhow::anyhow;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use inspect::Inspect;
use pci_core::cfg_space_emu::DeviceBars;
use reg_table::Reset;
use std::fmt;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

/// BARs in a Type 1 header (PCIe 6.2 section 7.5.1.3).
const BARS: u8 = 2;

/// An I/O request is of one dword (PCIe 6.2 section 2.2.7), and an I/O BAR may be no longer.
const IO_ACCESS_MAX: usize = 4;

/// What answers accesses to the BARs and the expansion ROM that a port's author gave it.
///
/// The port calls with the number of the BAR ([`EXPANSION_ROM`](pci_core::cfg_space_emu::EXPANSION_ROM) for the ROM) and the offset into it,
/// and only for accesses of 1, 2, 4 or, in memory space, 8 bytes that are naturally aligned and lie in the BAR, while Memory or I/O Space
/// Enable, the ROM's own enable bit and the bridges above let them through. An implementation must not block.
pub trait PortRegisters: Inspect + Send {
    /// Fills `data` with what is at `offset` of BAR `bar`.
    fn read(&mut self, bar: u8, offset: u64, data: &mut [u8]) -> IoResult;

    /// Writes `data` at `offset` of BAR `bar`. A ROM ignores it.
    fn write(&mut self, bar: u8, offset: u64, data: &[u8]) -> IoResult;

    /// The port was reset.
    fn reset(&mut self, kind: Reset);

    /// What is saved and restored with the port; `None` (the default) where there is nothing that outlives an access. A saved state without
    /// it, of a port that had nothing there, restores as [`Reset::Cold`].
    fn state(&mut self) -> Option<&mut dyn ProtobufSaveRestore> {
        None
    }
}

/// BARs and an expansion ROM of a port's own: two BARs at most, or one of 64 bits (PCIe 6.2 section 7.5.1.3).
///
/// ```
/// use pci_core::cfg_space_emu::{BarKind, BarMemoryKind, DeviceBars};
/// use pcie::{PortBars, PortConfig, switch::SwitchConfig};
/// use pci_core::msi::MsiTarget;
///
/// let port = |index| {
///     let bars = DeviceBars::new().with(index, BarKind::Io, 16, BarMemoryKind::Dummy).rom(0x1_0000, BarMemoryKind::Dummy);
///     PortConfig::new("dsp0", 0, 0).with_bars(PortBars::new(bars))
/// };
/// let mut config = SwitchConfig::new("sw0");
/// config.ports = vec![port(1)];
/// assert!(config.build(&MsiTarget::disconnected(), None).is_ok());
///
/// let mut config = SwitchConfig::new("sw0");
/// config.ports = vec![port(2)];
/// let error = config.build(&MsiTarget::disconnected(), None).err().unwrap();
/// assert_eq!(error.to_string(), "port 'dsp0': BAR2 asked for; a port has BAR0 and BAR1");
/// ```
#[derive(Default)]
pub struct PortBars {
    bars: DeviceBars,
    registers: Option<Box<dyn PortRegisters>>,
}

impl fmt::Debug for PortBars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortBars")
            .field("bars", &self.bars)
            .finish_non_exhaustive()
    }
}

impl PortBars {
    /// BARs with nothing behind them but what `bars` names: accesses that come to the port read zero, and writes are ignored.
    pub fn new(bars: DeviceBars) -> Self {
        Self {
            bars,
            registers: None,
        }
    }

    /// With `registers` to answer accesses that come to the port.
    pub fn with_registers(self, registers: Box<dyn PortRegisters>) -> Self {
        Self {
            registers: Some(registers),
            ..self
        }
    }

    /// What the configuration space is composed of, and what answers.
    pub(crate) fn into_parts(self) -> (DeviceBars, OwnRegisters) {
        (self.bars, OwnRegisters(self.registers))
    }
}

/// Refuses BARs for which port `port` has no place beside `fabric`, which takes both.
pub(crate) fn check(
    port: &str,
    bars: &PortBars,
    fabric: Option<&PortBarDefinition>,
) -> Result<(), PortError> {
    for index in bars.bars.numbers() {
        let port = || port.to_owned();
        if index >= BARS {
            return Err(PortError::BarNumber {
                port: port(),
                index,
            });
        }
        if let Some(fabric) = fabric {
            return Err(PortError::BarTaken {
                port: port(),
                index,
                holder: holder(fabric),
            });
        }
    }
    Ok(())
}

fn holder(bar: &PortBarDefinition) -> PortBarHolder {
    let has = |kind| bar.subregions.iter().any(|region| region.kind == kind);
    if has(PortBarSubregionKind::CxlComponentRegisters) {
        PortBarHolder::CxlComponentRegisters
    } else if has(PortBarSubregionKind::MsiXTable) {
        PortBarHolder::Msix
    } else {
        PortBarHolder::Plain
    }
}

/// What answers behind a port's own BARs, if anything does.
#[derive(Default)]
pub(crate) struct OwnRegisters(Option<Box<dyn PortRegisters>>);

impl OwnRegisters {
    /// For inspection.
    pub(crate) fn shown(&self) -> Option<&dyn PortRegisters> {
        self.0.as_deref()
    }

    pub(crate) fn read(&mut self, bar: u8, offset: u64, data: &mut [u8]) -> IoResult {
        if let Err(error) = check_memory_access(offset, data.len()) {
            return IoResult::Err(error);
        }
        match &mut self.0 {
            Some(registers) => registers.read(bar, offset, data),
            None => {
                data.fill(0);
                IoResult::Ok
            }
        }
    }

    pub(crate) fn write(&mut self, bar: u8, offset: u64, data: &[u8]) -> IoResult {
        if let Err(error) = check_memory_access(offset, data.len()) {
            return IoResult::Err(error);
        }
        match &mut self.0 {
            Some(registers) => registers.write(bar, offset, data),
            None => IoResult::Ok,
        }
    }

    /// As [`Self::read`], from an I/O BAR.
    pub(crate) fn io_read(&mut self, bar: u8, offset: u64, data: &mut [u8]) -> IoResult {
        match data.len() {
            ..=IO_ACCESS_MAX => self.read(bar, offset, data),
            _ => IoResult::Err(IoError::InvalidAccessSize),
        }
    }

    /// As [`Self::write`], to an I/O BAR.
    pub(crate) fn io_write(&mut self, bar: u8, offset: u64, data: &[u8]) -> IoResult {
        match data.len() {
            ..=IO_ACCESS_MAX => self.write(bar, offset, data),
            _ => IoResult::Err(IoError::InvalidAccessSize),
        }
    }

    pub(crate) fn reset(&mut self, kind: Reset) {
        if let Some(registers) = &mut self.0 {
            registers.reset(kind);
        }
    }

    fn state(&mut self) -> Option<&mut dyn ProtobufSaveRestore> {
        self.0.as_mut()?.state()
    }

    pub(crate) fn save(&mut self) -> Result<Option<SavedStateBlob>, SaveError> {
        self.state().map(|state| state.save()).transpose()
    }

    /// Says whether the registers of port `port` would take a state.
    pub(crate) fn check(
        &mut self,
        port: &str,
        saved: Option<&SavedStateBlob>,
    ) -> Result<(), RestoreError> {
        match (saved, self.state()) {
            (Some(saved), Some(state)) => state.check(saved),
            (Some(_), None) => Err(RestoreError::InvalidSavedState(anyhow!(
                "port '{port}' has no registers behind BARs of its own; the saved state has"
            ))),
            // What was saved before the port had any.
            (None, _) => Ok(()),
        }
    }

    /// Restores a state that was checked.
    pub(crate) fn restore(&mut self, saved: Option<SavedStateBlob>) -> Result<(), RestoreError> {
        match (saved, self.state()) {
            (Some(saved), Some(state)) => state.restore(saved),
            (_, _) => {
                self.reset(Reset::Cold);
                Ok(())
            }
        }
    }
}
