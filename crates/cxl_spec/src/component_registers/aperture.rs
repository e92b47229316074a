//! The space of component registers.

use super::CxlComponentRegister;
use super::layout::ComponentRegisterError;
use super::layout::Content;
use super::layout::Shape;
use super::layout::Span;
use super::layout::check;
use super::layout::lay_out;
use crate::spec::CXL_COMPONENT_REG_RANGE_CACHEMEM_EXTENDED_OFFSET;
use crate::spec::CXL_COMPONENT_REGISTERS_SIZE_BYTES;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use inspect::Inspect;
use reg_table::Reset;
use std::any::Any;

/// The 64 KiB of component registers of one CXL component.
///
/// The primary range at 0x1000 begins with a directory; blocks follow it in the order they were added, and where one goes
/// may change until the last is added. Blocks of the extended type go to the ranges at 0x2000 and up, each with a directory
/// of its own; a block of that type that is alone stays in the primary range.
///
/// ```
/// use cxl_spec::component_registers::{CxlComponentRegisters, CxlHdmDecoderCapability, CxlRasCapability};
///
/// let mut registers = CxlComponentRegisters::new();
/// registers.try_add_register(Box::new(CxlRasCapability::new()))?;
/// registers.try_add_register(Box::new(CxlHdmDecoderCapability::new()?))?;
/// assert_eq!(registers.capability_offset(2), Some(0x1010));
/// let mut header = [0; 4];
/// registers.read(0x1000, &mut header).unwrap();
/// assert_eq!(u32::from_le_bytes(header), 0x0211_0001);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CxlComponentRegisters {
    blocks: Vec<Box<dyn CxlComponentRegister>>,
    /// In order of offset.
    spans: Vec<Span>,
}

impl Default for CxlComponentRegisters {
    fn default() -> Self {
        Self::new()
    }
}

/// What a dword of the space is.
enum Dword<'a> {
    Directory(u32),
    Block(usize, &'a dyn CxlComponentRegister, u16),
}

impl CxlComponentRegisters {
    /// Without blocks: an empty directory.
    pub fn new() -> Self {
        Self {
            blocks: Vec::new(),
            // No blocks always fit.
            spans: lay_out(&[]).unwrap_or_default(),
        }
    }

    /// Bytes of the space.
    #[expect(clippy::len_without_is_empty, reason = "the space is never empty")]
    #[expect(clippy::cast_possible_truncation, reason = "64 KiB")]
    pub fn len(&self) -> usize {
        CXL_COMPONENT_REGISTERS_SIZE_BYTES as usize
    }

    /// Adds a block; false, with nothing changed, where [`Self::try_add_register`] has an error.
    pub fn add_register(&mut self, register: Box<dyn CxlComponentRegister>) -> bool {
        self.try_add_register(register).is_ok()
    }

    /// Adds a block and returns its offset in the space, as things are now: adding another may move it
    /// ([`Self::capability_offset`]).
    ///
    /// # Errors
    ///
    /// With nothing changed,
    /// - the block is one of the arbiter/multiplexer's;
    /// - its length is zero or no multiple of 4;
    /// - its ID is 0, 1 or 0xA, which are not for blocks;
    /// - it is of the extended type and its ID is one that must be in the primary range;
    /// - its version is above 15;
    /// - it does not fit, or its directory's growth moves another block out of the range.
    pub fn try_add_register(
        &mut self,
        register: Box<dyn CxlComponentRegister>,
    ) -> Result<u16, ComponentRegisterError> {
        let added = shape(register.as_ref());
        check(&added)?;
        let shapes: Vec<_> = self
            .blocks
            .iter()
            .map(|block| shape(block.as_ref()))
            .chain([added])
            .collect();
        self.spans = lay_out(&shapes)?;
        self.blocks.push(register);
        Ok(self.block_offset(self.blocks.len() - 1).unwrap_or(0))
    }

    fn block_offset(&self, index: usize) -> Option<u16> {
        self.spans
            .iter()
            .find(|span| span.content == Content::Block(index))
            .map(|span| span.bytes.start)
    }

    /// Offset in the space of the first block with this ID.
    pub fn capability_offset(&self, capability_id: u16) -> Option<u16> {
        let mut blocks = self.blocks.iter();
        let index = blocks.position(|block| block.capability_id() == capability_id)?;
        self.block_offset(index)
    }

    /// The first block with this ID.
    pub fn find(&self, capability_id: u16) -> Option<&dyn CxlComponentRegister> {
        self.blocks
            .iter()
            .map(AsRef::as_ref)
            .find(|block| block.capability_id() == capability_id)
    }

    /// The first block of this type.
    pub fn get<T: CxlComponentRegister>(&self) -> Option<&T> {
        self.blocks.iter().find_map(|block| {
            let block: &dyn Any = block.as_ref();
            block.downcast_ref()
        })
    }

    /// The first block of this type.
    pub fn get_mut<T: CxlComponentRegister>(&mut self) -> Option<&mut T> {
        self.blocks.iter_mut().find_map(|block| {
            let block: &mut dyn Any = block.as_mut();
            block.downcast_mut()
        })
    }

    fn dword(&self, offset: u16) -> Option<Dword<'_>> {
        let after = self
            .spans
            .partition_point(|span| span.bytes.start <= offset);
        let span = self.spans.get(after.checked_sub(1)?)?;
        let within = offset - span.bytes.start;
        if offset >= span.bytes.end {
            return None;
        }
        match &span.content {
            Content::Words(words) => words
                .get(usize::from(within) / 4)
                .map(|&word| Dword::Directory(word)),
            &Content::Block(index) => self
                .blocks
                .get(index)
                .map(|block| Dword::Block(index, block.as_ref(), within)),
        }
    }

    fn read_dword(&self, offset: u16) -> Option<u32> {
        match self.dword(offset)? {
            Dword::Directory(word) => Some(word),
            Dword::Block(_, block, within) => block.read_u32(within),
        }
    }

    /// The block and the offset in it that a write of this dword goes to, if it would be accepted.
    fn writable(&self, offset: u16) -> Option<(usize, u16)> {
        match self.dword(offset)? {
            Dword::Directory(_) => None,
            Dword::Block(index, block, within) => {
                block.accepts_write(within).then_some((index, within))
            }
        }
    }

    /// Reads 4 or 8 bytes, naturally aligned; every other access, and one that touches a dword without register, is
    /// [`IoError::InvalidRegister`] and leaves `data` as it is.
    pub fn read(&self, offset: u16, data: &mut [u8]) -> IoResult {
        if !aligned(offset, data.len()) {
            return IoResult::Err(IoError::InvalidRegister);
        }
        let mut values = [0; 2];
        for (value, offset) in values.iter_mut().zip(dwords(offset, data.len())) {
            match self.read_dword(offset) {
                Some(read) => *value = read,
                None => return IoResult::Err(IoError::InvalidRegister),
            }
        }
        for (bytes, value) in data.chunks_exact_mut(4).zip(values) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        IoResult::Ok
    }

    /// Writes 4 or 8 bytes, naturally aligned; every other access, and one that touches a dword that cannot be written, is
    /// [`IoError::InvalidRegister`] and changes nothing. Of 8 bytes the low dword is written first.
    pub fn write(&mut self, offset: u16, data: &[u8]) -> IoResult {
        if !aligned(offset, data.len()) {
            return IoResult::Err(IoError::InvalidRegister);
        }
        let mut targets = [None; 2];
        for (target, offset) in targets.iter_mut().zip(dwords(offset, data.len())) {
            *target = self.writable(offset);
            if target.is_none() {
                return IoResult::Err(IoError::InvalidRegister);
            }
        }
        let values = data.chunks_exact(4).filter_map(|bytes| bytes.first_chunk());
        for ((index, within), value) in targets.into_iter().flatten().zip(values) {
            let written = self
                .blocks
                .get_mut(index)
                .is_some_and(|block| block.write_u32(within, u32::from_le_bytes(*value)));
            if !written {
                return IoResult::Err(IoError::InvalidRegister);
            }
        }
        IoResult::Ok
    }

    /// Resets every block to the state after power-on.
    pub fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    /// Resets every block as `kind` says. A function-level reset leaves CXL.cache and CXL.mem alone (CXL 3.1 section 9.5).
    pub fn reset_by(&mut self, kind: Reset) {
        match kind {
            Reset::Cold | Reset::Hot => {
                for block in &mut self.blocks {
                    block.reset_by(kind);
                }
            }
            Reset::FunctionLevel => {}
        }
    }
}

fn shape(block: &dyn CxlComponentRegister) -> Shape {
    Shape {
        label: block.label().to_owned(),
        register_type: block.register_type(),
        id: block.capability_id(),
        version: block.capability_version(),
        len: block.len(),
    }
}

fn aligned(offset: u16, len: usize) -> bool {
    matches!(len, 4 | 8) && usize::from(offset).is_multiple_of(len)
}

/// The offsets of the dwords of an aligned access, which cannot leave the space.
fn dwords(offset: u16, len: usize) -> impl Iterator<Item = u16> {
    (offset..=offset | 4).step_by(4).take(len / 4)
}

impl Inspect for CxlComponentRegisters {
    fn inspect(&self, req: inspect::Request<'_>) {
        let primary = CXL_COMPONENT_REG_RANGE_CACHEMEM_EXTENDED_OFFSET;
        let in_primary = |span: &&Span| {
            matches!(span.content, Content::Block(_)) && u64::from(span.bytes.start) < primary
        };
        let mut resp = req.respond();
        resp.hex("aperture_len", self.len())
            .field("mapped_register_count", self.blocks.len())
            .field(
                "cachemem_primary_page_count",
                self.spans.iter().filter(in_primary).count(),
            );
        for (index, block) in self.blocks.iter().enumerate() {
            let offset = self.block_offset(index).unwrap_or(0);
            resp.field(&format!("{offset:#06x}-{}", block.label()), block);
        }
    }
}

mod save_restore {
    use super::*;
    use vmcore::save_restore::ProtobufSaveRestore;
    use vmcore::save_restore::RestoreError;
    use vmcore::save_restore::SaveError;
    use vmcore::save_restore::SaveRestore;
    use vmcore::save_restore::SavedParts;
    use vmcore::save_restore::SavedStateBlob;

    mod state {
        use mesh_protobuf::Protobuf;
        use vmcore::save_restore::SavedParts;
        use vmcore::save_restore::SavedStateRoot;

        #[derive(Protobuf, SavedStateRoot)]
        #[mesh(package = "cxl.component_registers")]
        pub struct SavedState {
            #[mesh(1)]
            pub registers: SavedParts,
        }
    }

    impl CxlComponentRegisters {
        /// The saved state of each block, in the order of the blocks: of blocks with one label, the first gets the first.
        fn matched(&self, state: &state::SavedState) -> Result<Vec<SavedStateBlob>, RestoreError> {
            let mut left = state.registers.states()?;
            let mut matched = Vec::new();
            for block in &self.blocks {
                let position = left.iter().position(|(label, _)| label == block.label());
                let position = position.ok_or_else(|| {
                    RestoreError::InvalidSavedState(anyhow::anyhow!(
                        "the saved state has no component register block '{}'",
                        block.label()
                    ))
                })?;
                matched.push(left.remove(position).1);
            }
            match left.first() {
                None => Ok(matched),
                Some((label, _)) => Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                    "the saved state has a component register block '{label}' that is not here"
                ))),
            }
        }

        fn check_all(&mut self, blobs: &[SavedStateBlob]) -> Result<(), RestoreError> {
            for (block, blob) in self.blocks.iter_mut().zip(blobs) {
                ProtobufSaveRestore::check(block.as_mut(), blob)
                    .map_err(|error| error.in_child(block.label()))?;
            }
            Ok(())
        }
    }

    impl SaveRestore for CxlComponentRegisters {
        type SavedState = state::SavedState;

        fn save(&mut self) -> Result<Self::SavedState, SaveError> {
            let mut registers = SavedParts::default();
            for block in &mut self.blocks {
                registers.save(block.as_mut(), |block| block.label())?;
            }
            Ok(state::SavedState { registers })
        }

        fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
            let blobs = self.matched(&state)?;
            self.check_all(&blobs)?;
            for (block, blob) in self.blocks.iter_mut().zip(blobs) {
                ProtobufSaveRestore::restore(block.as_mut(), blob)
                    .map_err(|error| error.in_child(block.label()))?;
            }
            Ok(())
        }

        fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
            self.check_all(&self.matched(state)?)
        }
    }
}

#[cfg(test)]
mod tests;
