//! Storage in the host's memory, forgotten with the controller.

use super::Storage;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::io;

/// Bytes of a chunk, allocated when it is first written.
const CHUNK: u64 = 64 << 10;
/// Locks among which the chunks are shared out.
const SHARDS: u64 = 16;

type Chunks = RwLock<BTreeMap<u64, Box<[u8]>>>;

/// Sparse memory: what was never written takes no room and reads zero.
///
/// ```
/// use nvme::{MemoryStorage, Storage};
///
/// let storage = MemoryStorage::new(1 << 40);
/// storage.write_at(0x1_2345, b"hello")?;
/// let mut data = [0xff; 7];
/// storage.read_at(0x1_2344, &mut data)?;
/// assert_eq!(&data, b"\0hello\0");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct MemoryStorage {
    len: u64,
    /// Chunk `n` is in shard `n % SHARDS`.
    shards: Vec<Chunks>,
}

impl MemoryStorage {
    /// Storage of `len` bytes, all zero.
    pub fn new(len: u64) -> Self {
        Self {
            len,
            shards: (0..SHARDS).map(|_| Chunks::default()).collect(),
        }
    }

    /// Hands over what was written and not discarded since, in chunks of 64 KiB, each with its offset; the last may be shorter. No order.
    ///
    /// # Errors
    ///
    /// The first error of `take`, which ends it.
    pub fn for_each_chunk(
        &self,
        mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for shard in &self.shards {
            for (number, chunk) in &*shard.read() {
                let offset = number * CHUNK;
                let len = usize::try_from((self.len - offset).min(CHUNK)).unwrap_or(chunk.len());
                take(offset, chunk.get(..len).unwrap_or(chunk))?;
            }
        }
        Ok(())
    }

    fn shard(&self, chunk: u64) -> io::Result<&Chunks> {
        let shard = usize::try_from(chunk % SHARDS).ok();
        shard
            .and_then(|shard| self.shards.get(shard))
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn check(&self, offset: u64, len: u64) -> io::Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The pieces of a range that lie in one chunk each: chunk, offset in it, bytes.
fn pieces(offset: u64, len: u64) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset.saturating_add(len);
    std::iter::from_fn(move || {
        let within = at % CHUNK;
        let len = (CHUNK - within).min(end.checked_sub(at)?);
        if len == 0 {
            return None;
        }
        let piece = (
            at / CHUNK,
            usize::try_from(within).ok()?,
            usize::try_from(len).ok()?,
        );
        at += len;
        Some(piece)
    })
}

impl Storage for MemoryStorage {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.check(offset, data.len() as u64)?;
        let mut rest = data;
        for (chunk, within, len) in pieces(offset, rest.len() as u64) {
            let Some((data, after)) = rest.split_at_mut_checked(len) else {
                break;
            };
            let chunks = self.shard(chunk)?.read();
            match chunks.get(&chunk).and_then(|c| c.get(within..within + len)) {
                Some(stored) => data.copy_from_slice(stored),
                None => data.fill(0),
            }
            rest = after;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(offset, data.len() as u64)?;
        let mut rest = data;
        for (chunk, within, len) in pieces(offset, rest.len() as u64) {
            let Some((data, after)) = rest.split_at_checked(len) else {
                break;
            };
            let mut chunks = self.shard(chunk)?.write();
            let stored = chunks
                .entry(chunk)
                .or_insert_with(|| (0..CHUNK).map(|_| 0).collect());
            if let Some(stored) = stored.get_mut(within..within + len) {
                stored.copy_from_slice(data);
            }
            rest = after;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check(offset, len)?;
        for (chunk, within, len) in pieces(offset, len) {
            let mut chunks = self.shard(chunk)?.write();
            if len as u64 == CHUNK {
                chunks.remove(&chunk);
            } else if let Some(stored) = chunks
                .get_mut(&chunk)
                .and_then(|c| c.get_mut(within..within + len))
            {
                stored.fill(0);
            }
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len: u64, _deallocate: bool) -> io::Result<()> {
        self.discard(offset, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_across_chunks_are_kept_and_forgotten() {
        let storage = MemoryStorage::new(4 * CHUNK);
        let data: Vec<u8> = (0..3 * CHUNK).map(|n| (n % 251) as u8 + 1).collect();
        storage.write_at(100, &data).unwrap();
        let mut read = vec![0; data.len()];
        storage.read_at(100, &mut read).unwrap();
        assert!(read == data);
        storage.discard(CHUNK - 1, CHUNK + 2).unwrap();
        storage.read_at(0, &mut read).unwrap();
        let chunk = usize::try_from(CHUNK).unwrap();
        assert_eq!(read[chunk - 2], data[chunk - 102]);
        assert!(read[chunk - 1..2 * chunk + 1].iter().all(|byte| *byte == 0));
        assert_eq!(read[2 * chunk + 1], data[2 * chunk - 99]);
    }

    #[test]
    fn there_is_nothing_past_the_end() {
        let storage = MemoryStorage::new(CHUNK + 512);
        assert!(storage.write_at(CHUNK, &[0; 513]).is_err());
        assert!(storage.read_at(u64::MAX, &mut [0; 2]).is_err());
        assert!(storage.discard(CHUNK + 512, 1).is_err());
    }
}
