//! The NVM command set (NVM 1.0 section 3).

use crate::controller::Controller;
use crate::controller::Live;
use crate::controller::Scratch;
use crate::namespace::NSID;
use crate::prp;
use crate::prp::Prp;
use crate::spec::IoOpcode;
use crate::spec::Status;
use crate::spec::SubmissionEntry;
use crate::spec::command::ALL_NAMESPACES;
use zerocopy::FromBytes;
use zerocopy::FromZeros;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;
use zerocopy::little_endian::U32;
use zerocopy::little_endian::U64;

/// The largest transfer is this many of the smallest memory pages, as a power of two: 512 KiB.
pub(crate) const TRANSFER_PAGES_EXPONENT: u8 = 7;
pub(crate) const TRANSFER_MAX: usize = 4096 << TRANSFER_PAGES_EXPONENT;

/// Force Unit Access, in command dword 12 (NVM 1.0 figure 36).
const FUA: u32 = 1 << 30;
/// Deallocate, in command dword 12 of Write Zeroes (NVM 1.0 figure 63).
const DEALLOCATE: u32 = 1 << 25;
/// Attribute Deallocate, in command dword 11 of Dataset Management (NVM 1.0 figure 39).
const ATTRIBUTE_DEALLOCATE: u32 = 1 << 2;

/// A range of Dataset Management (NVM 1.0 figure 41).
#[derive(Copy, Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Range {
    attributes: U32,
    blocks: U32,
    first: U64,
}

/// Fused operations and SGLs are not supported (NVMe 2.0 figure 87).
pub(crate) fn check_flags(command: &SubmissionEntry) -> Result<(), Status> {
    const FUSED: u8 = 0b11;
    const SGL: u8 = 0b11 << 6;
    match command.flags & (FUSED | SGL) {
        0 => Ok(()),
        _ => Err(Status::INVALID_FIELD),
    }
}

impl SubmissionEntry {
    /// The first block, and the number of blocks.
    fn blocks(&self) -> (u64, u64) {
        let first = (u64::from(self.cdw(11)) << 32) | u64::from(self.cdw(10));
        (first, u64::from(self.cdw_halves(12).0) + 1)
    }

    /// Its data pointer.
    pub(crate) fn prp(&self, live: &Live) -> Prp {
        Prp {
            prp1: self.prp1.get(),
            prp2: self.prp2.get(),
            page_size: live.page_size,
        }
    }
}

/// The first `len` bytes of `buffer`, which is made larger if it must be.
fn room(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    buffer.get_mut(..len).unwrap_or_default()
}

impl Controller {
    /// Carries out an I/O command.
    pub(crate) fn execute_io(
        &self,
        live: &Live,
        command: &SubmissionEntry,
        scratch: &mut Scratch,
    ) -> Result<(), Status> {
        check_flags(command)?;
        let opcode = IoOpcode::from_opcode(command.opcode).ok_or(Status::INVALID_OPCODE)?;
        match command.nsid.get() {
            NSID => {}
            ALL_NAMESPACES if opcode == IoOpcode::Flush => {}
            _ => return Err(Status::INVALID_NAMESPACE),
        }
        if opcode.writes() && self.namespace.storage.read_only() {
            return Err(Status::WRITE_PROTECTED);
        }
        match opcode {
            IoOpcode::Flush => self.media(self.namespace.storage.flush(), Status::WRITE_FAULT),
            IoOpcode::Read => self.read(live, command, scratch),
            IoOpcode::Write => self.write(live, command, scratch),
            IoOpcode::Compare => self.compare(live, command, scratch),
            IoOpcode::WriteZeroes => self.write_zeroes(command),
            IoOpcode::DatasetManagement => self.dataset_management(live, command, scratch),
        }
    }

    /// The storage's answer, as the guest is told.
    fn media(&self, result: std::io::Result<()>, status: Status) -> Result<(), Status> {
        result.map_err(|error| {
            tracelimit::error_ratelimited!(serial = %self.identity.serial, %error, "the storage failed");
            self.statistics.media_errors.add(1);
            status
        })
    }

    /// Checks the range of a command that transfers data, and finds where in memory the data is: offset and length.
    fn transfer(
        &self,
        live: &Live,
        command: &SubmissionEntry,
        scratch: &mut Scratch,
    ) -> Result<(u64, usize), Status> {
        let (first, count) = command.blocks();
        let len = count << self.namespace.block_exponent;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > TRANSFER_MAX {
            return Err(Status::INVALID_FIELD);
        }
        let range = self.namespace.range(first, count);
        let (offset, _) = range.ok_or(Status::LBA_OUT_OF_RANGE)?;
        command
            .prp(live)
            .segments(&self.dma, len, &mut scratch.segments)?;
        Ok((offset, len))
    }

    fn read(
        &self,
        live: &Live,
        command: &SubmissionEntry,
        scratch: &mut Scratch,
    ) -> Result<(), Status> {
        let (offset, len) = self.transfer(live, command, scratch)?;
        let data = room(&mut scratch.data, len);
        let read = self.namespace.storage.read_at(offset, data);
        self.media(read, Status::UNRECOVERED_READ_ERROR)?;
        prp::write(&self.dma, &scratch.segments, data)?;
        self.statistics.reads.add(1);
        self.statistics.bytes_read.add(len as u64);
        Ok(())
    }

    fn write(
        &self,
        live: &Live,
        command: &SubmissionEntry,
        scratch: &mut Scratch,
    ) -> Result<(), Status> {
        let (offset, len) = self.transfer(live, command, scratch)?;
        let data = room(&mut scratch.data, len);
        prp::read(&self.dma, &scratch.segments, data)?;
        let written = self.namespace.storage.write_at(offset, data);
        self.media(written, Status::WRITE_FAULT)?;
        self.statistics.writes.add(1);
        self.statistics.bytes_written.add(len as u64);
        self.write_through(command)
    }

    /// Makes what was written last, where the command or the guest's settings ask for it.
    fn write_through(&self, command: &SubmissionEntry) -> Result<(), Status> {
        let storage = &self.namespace.storage;
        let asked = command.cdw(12) & FUA != 0 || !self.namespace.write_cache();
        if asked && storage.volatile_write_cache() {
            return self.media(storage.flush(), Status::WRITE_FAULT);
        }
        Ok(())
    }

    fn compare(
        &self,
        live: &Live,
        command: &SubmissionEntry,
        scratch: &mut Scratch,
    ) -> Result<(), Status> {
        let (offset, len) = self.transfer(live, command, scratch)?;
        let data = room(&mut scratch.data, len);
        prp::read(&self.dma, &scratch.segments, data)?;
        let stored = room(&mut scratch.compared, len);
        let read = self.namespace.storage.read_at(offset, stored);
        self.media(read, Status::UNRECOVERED_READ_ERROR)?;
        match data == stored {
            true => Ok(()),
            false => Err(Status::COMPARE_FAILURE),
        }
    }

    fn write_zeroes(&self, command: &SubmissionEntry) -> Result<(), Status> {
        let (first, count) = command.blocks();
        let range = self.namespace.range(first, count);
        let (offset, len) = range.ok_or(Status::LBA_OUT_OF_RANGE)?;
        let deallocate = command.cdw(12) & DEALLOCATE != 0;
        let written = self.namespace.storage.write_zeroes(offset, len, deallocate);
        self.media(written, Status::WRITE_FAULT)?;
        self.write_through(command)
    }

    fn dataset_management(
        &self,
        live: &Live,
        command: &SubmissionEntry,
        scratch: &mut Scratch,
    ) -> Result<(), Status> {
        let [last, ..] = command.cdw(10).to_le_bytes();
        let mut ranges = vec![Range::new_zeroed(); usize::from(last) + 1];
        let bytes = ranges.as_mut_bytes();
        command
            .prp(live)
            .segments(&self.dma, bytes.len(), &mut scratch.segments)?;
        prp::read(&self.dma, &scratch.segments, bytes)?;
        if command.cdw(11) & ATTRIBUTE_DEALLOCATE == 0 {
            // The other attributes are hints for an optimisation that isn't made.
            return Ok(());
        }
        let found = ranges.iter().map(|range| {
            self.namespace
                .range(range.first.get(), range.blocks.get().into())
        });
        let found: Option<Vec<_>> = found.collect();
        for (offset, len) in found.ok_or(Status::LBA_OUT_OF_RANGE)? {
            if len > 0 {
                let discarded = self.namespace.storage.discard(offset, len);
                self.media(discarded, Status::WRITE_FAULT)?;
            }
        }
        Ok(())
    }
}
