//! Sub-dword writes that wait for their read.

use super::DeferredMerge;
use super::DeferredToken;
use super::DeferredWrite;
use super::defer_write;
use crate::io::IoError;
use crate::io::IoResult;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

/// The sub-dword configuration writes that a bus has under way, each with the address `K` it goes to.
///
/// A device that only knows dwords and defers its reads turns a sub-dword write into a read, a merge and a write. The bus
/// hands the merge to [`push`](Self::push), gives the result to its caller, and calls [`poll`](Self::poll) from its
/// [`PollDevice`](crate::poll_device::PollDevice); the queue completes the write when the device has taken the dword.
///
/// The read and the write are two accesses: another virtual processor may reach the same register between them.
///
/// A guest has at most one access under way for each virtual processor. The queue is bounded nevertheless; a write beyond
/// the bound fails with [`IoError::NoResponse`].
#[derive(Debug)]
pub struct MergeQueue<K> {
    entries: Vec<Entry<K>>,
    len_max: usize,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Entry<K> {
    address: K,
    stage: Stage,
    caller: DeferredWrite,
}

#[derive(Debug)]
enum Stage {
    Reading(DeferredMerge),
    Writing(DeferredToken),
}

impl<K> MergeQueue<K> {
    /// How many writes a queue of [`new`](Self::new) takes.
    pub const LEN_MAX: usize = 64;

    /// An empty queue for [`LEN_MAX`](Self::LEN_MAX) writes.
    pub const fn new() -> Self {
        Self::with_len_max(Self::LEN_MAX)
    }

    /// An empty queue for `len_max` writes.
    pub const fn with_len_max(len_max: usize) -> Self {
        Self {
            entries: Vec::new(),
            len_max,
            waker: None,
        }
    }

    /// The number of writes under way.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no write is under way.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The addresses of the writes under way.
    pub fn addresses(&self) -> impl Iterator<Item = &K> + Clone {
        self.entries.iter().map(|entry| &entry.address)
    }

    /// Gives up all writes; their callers get [`IoError::NoResponse`].
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Takes a merge of a write to `address`, wakes whoever polls the queue, and returns the result for the caller.
    pub fn push(&mut self, address: K, merge: DeferredMerge) -> IoResult {
        if self.entries.len() >= self.len_max {
            return IoResult::Err(IoError::NoResponse);
        }
        let (caller, token) = defer_write();
        self.entries.push(Entry {
            address,
            stage: Stage::Reading(merge),
            caller,
        });
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
        IoResult::Defer(token)
    }

    /// [`push`](Self::push) for the result of a byte-enabled write: a merge token is taken, anything else is returned as it
    /// is.
    pub fn intercept(&mut self, address: K, result: IoResult) -> IoResult {
        match result {
            IoResult::Defer(token) => match token.into_merge() {
                Ok(merge) => self.push(address, merge),
                Err(token) => IoResult::Defer(token),
            },
            result @ (IoResult::Ok | IoResult::Err(_)) => result,
        }
    }

    /// Proceeds with every write as far as possible. `write` writes a whole dword to the function and register at an address.
    pub fn poll(&mut self, cx: &mut Context<'_>, mut write: impl FnMut(&K, u32) -> IoResult) {
        self.waker = Some(cx.waker().clone());
        let entries = std::mem::take(&mut self.entries);
        self.entries = entries
            .into_iter()
            .filter_map(|entry| entry.proceed(cx, &mut write))
            .collect();
    }
}

impl<K> Default for MergeQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Entry<K> {
    /// Returns the entry if it is still waiting.
    fn proceed(
        mut self,
        cx: &mut Context<'_>,
        write: &mut impl FnMut(&K, u32) -> IoResult,
    ) -> Option<Self> {
        if let Stage::Reading(merge) = &mut self.stage {
            match merge.poll(cx) {
                Poll::Pending => return Some(self),
                Poll::Ready(Err(error)) => return self.finish(Err(error)),
                Poll::Ready(Ok(dword)) => match write(&self.address, dword) {
                    IoResult::Ok => return self.finish(Ok(())),
                    IoResult::Err(error) => return self.finish(Err(error)),
                    IoResult::Defer(token) => self.stage = Stage::Writing(token),
                },
            }
        }
        if let Stage::Writing(token) = &mut self.stage {
            match token.poll_write(cx) {
                Poll::Pending => return Some(self),
                Poll::Ready(result) => return self.finish(result),
            }
        }
        Some(self)
    }

    fn finish(self, result: Result<(), IoError>) -> Option<Self> {
        match result {
            Ok(()) => self.caller.complete(),
            Err(error) => self.caller.complete_error(error),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::deferred::DeferredRead;
    use crate::io::deferred::defer_read;
    use crate::pci::ByteEnables;
    use crate::pci::DwordMerge;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::task::Wake;

    /// A write of 0xaa to the lowest byte.
    fn merge() -> (DeferredRead, DeferredMerge) {
        let (read, token) = defer_read();
        let enables = ByteEnables::for_access(0, 1).unwrap();
        let token = DwordMerge::new(0x40, 0xaa, enables).defer(token);
        (read, token.into_merge().unwrap())
    }

    fn token(result: IoResult) -> DeferredToken {
        match result {
            IoResult::Defer(token) => token,
            other => panic!("{other:?}"),
        }
    }

    fn poll(token: &mut DeferredToken) -> Poll<Result<(), IoError>> {
        token.poll_write(&mut Context::from_waker(Waker::noop()))
    }

    fn never(_: &u8, _: u32) -> IoResult {
        panic!("nothing to write")
    }

    #[test]
    fn read_then_write_then_completion() {
        let mut queue = MergeQueue::new();
        let mut cx = Context::from_waker(Waker::noop());
        let (read, merge) = merge();
        let mut caller = token(queue.push(7_u8, merge));
        queue.poll(&mut cx, never);
        assert_eq!(poll(&mut caller), Poll::Pending);

        read.complete(&0x1122_3344_u32.to_ne_bytes());
        let mut writes = Vec::new();
        let (write, deferred) = defer_write();
        let mut deferred = Some(deferred);
        queue.poll(&mut cx, |&address, dword| {
            writes.push((address, dword));
            IoResult::Defer(deferred.take().unwrap())
        });
        assert_eq!(writes, [(7, 0x1122_33aa)]);
        assert_eq!(poll(&mut caller), Poll::Pending);
        assert_eq!(queue.addresses().collect::<Vec<_>>(), [&7]);

        write.complete();
        queue.poll(&mut cx, never);
        assert_eq!(poll(&mut caller), Poll::Ready(Ok(())));
        assert!(queue.is_empty());
    }

    #[test]
    fn errors_of_either_half_reach_the_caller() {
        let mut queue = MergeQueue::new();
        let mut cx = Context::from_waker(Waker::noop());
        let (failing, first) = merge();
        let (read, second) = merge();
        let mut first = token(queue.push(1_u8, first));
        let mut second = token(queue.push(2, second));
        failing.complete_error(IoError::InvalidRegister);
        read.complete(&[0; 4]);
        queue.poll(&mut cx, |&address, _| {
            assert_eq!(address, 2, "nothing is written after a failed read");
            IoResult::Err(IoError::UnalignedAccess)
        });
        assert_eq!(poll(&mut first), Poll::Ready(Err(IoError::InvalidRegister)));
        assert_eq!(
            poll(&mut second),
            Poll::Ready(Err(IoError::UnalignedAccess))
        );
    }

    #[test]
    fn bounded() {
        let mut queue = MergeQueue::with_len_max(2);
        let mut reads = Vec::new();
        for n in 0..2_u8 {
            let (read, merge) = merge();
            reads.push(read);
            assert!(matches!(queue.push(n, merge), IoResult::Defer(_)));
        }
        let (_read, third) = merge();
        assert!(matches!(
            queue.push(2, third),
            IoResult::Err(IoError::NoResponse)
        ));
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn clearing_ends_the_writes() {
        let mut queue = MergeQueue::new();
        let (_read, merge) = merge();
        let mut caller = token(queue.push(0_u8, merge));
        queue.clear();
        assert_eq!(poll(&mut caller), Poll::Ready(Err(IoError::NoResponse)));
    }

    #[test]
    fn push_and_completion_wake_the_poller() {
        #[derive(Default)]
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut queue = MergeQueue::new();
        queue.poll(&mut cx, never);
        let (read, merge) = merge();
        let _caller = queue.push(0_u8, merge);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        queue.poll(&mut cx, never);
        read.complete(&[0; 4]);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn intercept_takes_merges_only() {
        let mut queue = MergeQueue::new();
        queue.intercept(0_u8, IoResult::Ok).unwrap();
        let (_write, plain) = defer_write();
        assert!(matches!(
            queue.intercept(0, IoResult::Defer(plain)),
            IoResult::Defer(_)
        ));
        assert!(queue.is_empty());
        let (read, pending) = defer_read();
        let merge = DwordMerge::new(0, 0, ByteEnables::for_access(0, 1).unwrap());
        let _caller = queue.intercept(0, IoResult::Defer(merge.defer(pending)));
        assert_eq!(queue.len(), 1);
        drop(read);
    }
}
