//! Physical Region Pages: where in guest memory a command's data is (NVMe 2.0 section 4.1.1).

use crate::dma::Dma;
use crate::spec::Status;
use zerocopy::little_endian::U64;

/// Entries of a list that are read at once.
const ENTRIES_READ: usize = 64;
const ENTRY_BYTES: u64 = size_of::<u64>() as u64;

/// A run of guest memory.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) gpa: u64,
    pub(crate) len: usize,
}

/// What a command says of its data.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Prp {
    pub(crate) prp1: u64,
    pub(crate) prp2: u64,
    pub(crate) page_size: u64,
}

impl Prp {
    /// Finds the `len` bytes, in order.
    ///
    /// PRP Offset Invalid for an entry that doesn't begin where it must; Data Transfer Error for a list that is not in memory. A list
    /// that leads in a circle ends with the bytes: each of its pages but the first holds at least 511 entries.
    pub(crate) fn segments(
        self,
        dma: &Dma,
        len: usize,
        segments: &mut Vec<Segment>,
    ) -> Result<(), Status> {
        segments.clear();
        if !self.prp1.is_multiple_of(4) {
            return Err(Status::PRP_OFFSET_INVALID);
        }
        let mut walk = Walk {
            page_size: self.page_size,
            rest: len as u64,
            segments,
        };
        walk.push(self.prp1, self.page_size - self.prp1 % self.page_size);
        if walk.rest == 0 {
            return Ok(());
        }
        if walk.rest <= self.page_size {
            return walk.page(self.prp2);
        }
        walk.lists(dma, self.prp2)
    }
}

struct Walk<'a> {
    page_size: u64,
    /// Bytes not found yet.
    rest: u64,
    segments: &'a mut Vec<Segment>,
}

impl Walk<'_> {
    fn push(&mut self, gpa: u64, room: u64) {
        let len = self.rest.min(room);
        self.rest -= len;
        let len = usize::try_from(len).unwrap_or(0);
        // Most buffers are in one piece; then one copy does.
        match self.segments.last_mut() {
            Some(last) if last.gpa.checked_add(last.len as u64) == Some(gpa) => last.len += len,
            _ if len == 0 => {}
            _ => self.segments.push(Segment { gpa, len }),
        }
    }

    fn page(&mut self, gpa: u64) -> Result<(), Status> {
        if !gpa.is_multiple_of(self.page_size) {
            return Err(Status::PRP_OFFSET_INVALID);
        }
        self.push(gpa, self.page_size);
        Ok(())
    }

    /// Follows the list at `list`, and those it leads to.
    fn lists(&mut self, dma: &Dma, mut list: u64) -> Result<(), Status> {
        if !list.is_multiple_of(ENTRY_BYTES) {
            return Err(Status::PRP_OFFSET_INVALID);
        }
        while self.rest > 0 {
            let fit = (self.page_size - list % self.page_size) / ENTRY_BYTES;
            let needed = self.rest.div_ceil(self.page_size);
            // The last entry of a page leads on if there are more than fit.
            let (pages, leads_on) = if needed <= fit {
                (needed, false)
            } else {
                (fit - 1, true)
            };
            self.list(dma, list, pages)?;
            if leads_on {
                list = dma.read_value::<U64>(list + pages * ENTRY_BYTES)?.get();
                if !list.is_multiple_of(self.page_size) {
                    return Err(Status::PRP_OFFSET_INVALID);
                }
            }
        }
        Ok(())
    }

    fn list(&mut self, dma: &Dma, list: u64, pages: u64) -> Result<(), Status> {
        let mut at = list;
        let mut left = usize::try_from(pages).unwrap_or(0);
        let mut entries = [[0; size_of::<u64>()]; ENTRIES_READ];
        while left > 0 {
            let count = left.min(ENTRIES_READ);
            let Some(entries) = entries.get_mut(..count) else {
                break;
            };
            dma.read(at, entries.as_flattened_mut())?;
            for entry in entries {
                self.page(u64::from_le_bytes(*entry))?;
            }
            at += count as u64 * ENTRY_BYTES;
            left -= count;
        }
        Ok(())
    }
}

/// Fills the segments from `data`.
pub(crate) fn write(dma: &Dma, segments: &[Segment], data: &[u8]) -> Result<(), Status> {
    let mut rest = data;
    for segment in segments {
        let Some((data, after)) = rest.split_at_checked(segment.len) else {
            break;
        };
        dma.write(segment.gpa, data)?;
        rest = after;
    }
    Ok(())
}

/// Fills `data` from the segments.
pub(crate) fn read(dma: &Dma, segments: &[Segment], data: &mut [u8]) -> Result<(), Status> {
    let mut rest = data;
    for segment in segments {
        let Some((data, after)) = rest.split_at_mut_checked(segment.len) else {
            break;
        };
        dma.read(segment.gpa, data)?;
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VmMemory;
    use pci_core::bus_master::BusMaster;
    use std::sync::Arc;
    use vm_memory::GuestAddress;
    use vm_memory::GuestMemoryMmap;
    use vmcore::guest_memory::GuestMemory;

    const PAGE: u64 = 4096;

    fn memory() -> (Arc<dyn GuestMemory>, Dma) {
        let memory: GuestMemoryMmap =
            GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
        let memory: Arc<dyn GuestMemory> = Arc::new(VmMemory(memory));
        let dma = Dma::new(memory.clone(), BusMaster::always());
        (memory, dma)
    }

    fn find(dma: &Dma, prp1: u64, prp2: u64, len: usize) -> Result<Vec<(u64, usize)>, Status> {
        let mut segments = Vec::new();
        let prp = Prp {
            prp1,
            prp2,
            page_size: PAGE,
        };
        prp.segments(dma, len, &mut segments)?;
        Ok(segments.iter().map(|s| (s.gpa, s.len)).collect())
    }

    fn put_list(memory: &Arc<dyn GuestMemory>, at: u64, entries: impl IntoIterator<Item = u64>) {
        for (entry, at) in entries.into_iter().zip((at..).step_by(8)) {
            memory.write(at, &entry.to_le_bytes()).unwrap();
        }
    }

    #[test]
    fn one_and_two_pages() {
        let (_, dma) = memory();
        assert_eq!(find(&dma, 0x1000, 1, 4096), Ok(vec![(0x1000, 4096)]));
        assert_eq!(
            find(&dma, 0x1ffc, 0x5000, 512),
            Ok(vec![(0x1ffc, 4), (0x5000, 508)])
        );
        assert_eq!(find(&dma, 0x1000, 0x2000, 8192), Ok(vec![(0x1000, 8192)]));
        assert_eq!(find(&dma, 0x1001, 0, 4), Err(Status::PRP_OFFSET_INVALID));
        assert_eq!(
            find(&dma, 0x1000, 0x2004, 8192),
            Err(Status::PRP_OFFSET_INVALID)
        );
    }

    #[test]
    fn list_of_just_the_entries_needed() {
        let (memory, dma) = memory();
        // Begins where two entries fit, which is all that three pages need.
        put_list(&memory, 0x8ff0, [0x3000, 0x1000]);
        assert_eq!(
            find(&dma, 0x5000, 0x8ff0, 3 * 4096),
            Ok(vec![(0x5000, 4096), (0x3000, 4096), (0x1000, 4096)])
        );
        assert_eq!(
            find(&dma, 0x5000, 0x8ff4, 3 * 4096),
            Err(Status::PRP_OFFSET_INVALID)
        );
        put_list(&memory, 0x8ff8, [0x1008]);
        assert_eq!(
            find(&dma, 0x5000, 0x8ff0, 3 * 4096),
            Err(Status::PRP_OFFSET_INVALID)
        );
    }

    #[test]
    fn last_entry_of_a_page_leads_on() {
        let (memory, dma) = memory();
        put_list(&memory, 0x8ff0, [0x3000, 0x9000]);
        put_list(&memory, 0x9000, [0xa000, 0xc000]);
        assert_eq!(
            find(&dma, 0x5000, 0x8ff0, 4 * 4096),
            Ok(vec![
                (0x5000, 4096),
                (0x3000, 4096),
                (0xa000, 4096),
                (0xc000, 4096)
            ])
        );
        put_list(&memory, 0x8ff8, [0x9008]);
        assert_eq!(
            find(&dma, 0x5000, 0x8ff0, 4 * 4096),
            Err(Status::PRP_OFFSET_INVALID)
        );
    }

    #[test]
    fn circle_and_nowhere_end() {
        let (memory, dma) = memory();
        put_list(
            &memory,
            0x8000,
            (0..512).map(|n| if n == 511 { 0x8000 } else { 0x4000 }),
        );
        let found = find(&dma, 0x5000, 0x8000, 2000 * 4096).unwrap();
        assert_eq!(found.iter().map(|(_, len)| len).sum::<usize>(), 2000 * 4096);
        assert_eq!(
            find(&dma, 0x5000, 1 << 20, 4 * 4096),
            Err(Status::DATA_TRANSFER_ERROR)
        );
        assert_eq!(
            find(&dma, 0x5000, !0xfff, 4 * 4096),
            Err(Status::DATA_TRANSFER_ERROR)
        );
    }
}
