//! What stands behind the BARs that a description gives a port: scratch memory, and an image in the expansion ROM.

use crate::layout::PAGE_SIZE;
use anyhow::anyhow;
use chipset_device::io::IoResult;
use inspect::Inspect;
use pci_core::cfg_space_emu::EXPANSION_ROM;
use pcie::PortRegisters;
use reg_table::Reset;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "pcie_topology.port")]
    pub(crate) struct SavedState {
        /// Those with something other than zeros.
        #[mesh(1)]
        pub bars: Vec<BarState>,
    }

    #[derive(Protobuf)]
    #[mesh(package = "pcie_topology.port")]
    pub(crate) struct BarState {
        #[mesh(1)]
        pub index: u8,
        /// Without the zeros at its end.
        #[mesh(2)]
        pub scratch: Vec<u8>,
    }
}

use state::BarState;

/// Scratch memory in BARs of a port: reads what was written, zero after a reset, and zero beyond the first 4 KiB.
pub(crate) struct PortScratch {
    bars: Vec<Scratch>,
    /// What the expansion ROM begins with.
    rom: Vec<u8>,
}

struct Scratch {
    bar: u8,
    len: usize,
    /// `len` bytes, or nothing while all of them are zero since the last reset.
    bytes: Vec<u8>,
}

impl PortScratch {
    /// Scratch memory in BARs of these numbers and sizes.
    pub(crate) fn new(bars: impl Iterator<Item = (u8, u64)>, rom: Vec<u8>) -> Self {
        let scratch = |(bar, len): (u8, u64)| Scratch {
            bar,
            len: usize::try_from(len.min(PAGE_SIZE)).unwrap_or(usize::MAX),
            bytes: Vec::new(),
        };
        Self {
            bars: bars.map(scratch).collect(),
            rom,
        }
    }

    fn scratch(&mut self, bar: u8) -> Option<&mut Scratch> {
        self.bars.iter_mut().find(|scratch| scratch.bar == bar)
    }
}

impl Inspect for PortScratch {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        for scratch in &self.bars {
            let used = scratch.used();
            resp.hex(&format!("bar{}_bytes_used", scratch.bar), used);
        }
    }
}

impl Scratch {
    /// Bytes up to the last that is not zero.
    fn used(&self) -> usize {
        let last = self.bytes.iter().rposition(|byte| *byte != 0);
        last.map_or(0, |last| last + 1)
    }
}

impl PortRegisters for PortScratch {
    fn read(&mut self, bar: u8, offset: u64, data: &mut [u8]) -> IoResult {
        data.fill(0);
        let bytes = match bar {
            EXPANSION_ROM => Some(&self.rom),
            _ => self.scratch(bar).map(|scratch| &scratch.bytes),
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        for (byte, value) in data
            .iter_mut()
            .zip(bytes.into_iter().flatten().skip(offset))
        {
            *byte = *value;
        }
        IoResult::Ok
    }

    fn write(&mut self, bar: u8, offset: u64, data: &[u8]) -> IoResult {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(scratch) = self.scratch(bar)
            && offset < scratch.len
        {
            scratch.bytes.resize(scratch.len, 0);
            for (byte, value) in scratch.bytes.iter_mut().skip(offset).zip(data) {
                *byte = *value;
            }
        }
        IoResult::Ok
    }

    fn reset(&mut self, _kind: Reset) {
        for scratch in &mut self.bars {
            scratch.bytes = Vec::new();
        }
    }

    fn state(&mut self) -> Option<&mut dyn ProtobufSaveRestore> {
        Some(self)
    }
}

impl SaveRestore for PortScratch {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let used = self.bars.iter().filter(|scratch| scratch.used() != 0);
        let bars = used.map(|scratch| BarState {
            index: scratch.bar,
            scratch: scratch.bytes.iter().take(scratch.used()).copied().collect(),
        });
        Ok(state::SavedState {
            bars: bars.collect(),
        })
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        for saved in &state.bars {
            let (index, used) = (saved.index, saved.scratch.len());
            let room = self.scratch(index).map_or(0, |scratch| scratch.len);
            if used > room {
                return Err(RestoreError::InvalidSavedState(anyhow!(
                    "{used} bytes of scratch memory of BAR {index} in the saved state; there are {room}"
                )));
            }
        }
        Ok(())
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        SaveRestore::check(self, &state)?;
        self.reset(Reset::Cold);
        for saved in state.bars {
            if let Some(scratch) = self.scratch(saved.index) {
                scratch.bytes = saved.scratch;
                scratch.bytes.resize(scratch.len, 0);
            }
        }
        Ok(())
    }
}
