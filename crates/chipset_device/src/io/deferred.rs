//! Accesses that end later.
//!
//! A device that cannot answer at once keeps the completer ([`DeferredRead`], [`DeferredWrite`]) and returns the
//! [`DeferredToken`] in [`IoResult::Defer`](super::IoResult::Defer). Whoever made the access polls the token; the virtual
//! processor stays stopped meanwhile. A completer that is dropped completes with [`IoError::NoResponse`], so an access
//! always ends.
//!
//! ```
//! use chipset_device::io::IoResult;
//! use chipset_device::io::deferred::{DeferredRead, defer_read};
//!
//! # struct Device { pending: Option<DeferredRead> }
//! impl Device {
//!     fn mmio_read(&mut self) -> IoResult {
//!         let (read, token) = defer_read();
//!         self.pending = Some(read);
//!         IoResult::Defer(token.into())
//!     }
//!
//!     fn data_arrived(&mut self, data: u32) {
//!         if let Some(read) = self.pending.take() {
//!             read.complete(&data.to_ne_bytes());
//!         }
//!     }
//! }
//! ```
//!
//! Two transformations let a bus that splits and merges accesses pass tokens on: [`DeferredToken::narrow`] shows a part of
//! a wider read, and a *merge* token ([`DwordMerge::defer`](crate::pci::DwordMerge::defer)) stands for a sub-dword
//! configuration write whose read half is still under way. A merge token is for the bus: it takes it apart with
//! [`DeferredToken::into_merge`], usually by way of a [`MergeQueue`].

mod merge_queue;

pub use merge_queue::MergeQueue;

use super::IoError;
use crate::pci::DwordMerge;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::task::ready;

/// The most bytes that one access carries.
const BYTES_MAX: usize = 8;

/// Starts a deferred read.
pub fn defer_read() -> (DeferredRead, DeferredToken) {
    let (completer, outcome) = channel();
    let token = DeferredToken {
        kind: Box::new(Kind::Read(ReadOutcome {
            outcome,
            window: None,
            zeros_on_error: false,
        })),
    };
    (DeferredRead { completer }, token)
}

/// Starts a deferred write.
pub fn defer_write() -> (DeferredWrite, DeferredToken) {
    let (completer, outcome) = channel();
    let token = DeferredToken {
        kind: Box::new(Kind::Write(outcome)),
    };
    (DeferredWrite { completer }, token)
}

/// The device's half of a deferred read. Dropping it completes the read with [`IoError::NoResponse`].
#[derive(Debug)]
pub struct DeferredRead {
    completer: Completer,
}

impl DeferredRead {
    /// Completes the read with `bytes`, which must be as many as the access asked for.
    ///
    /// # Panics
    ///
    /// When there are more than 8 bytes.
    #[track_caller]
    pub fn complete(self, bytes: &[u8]) {
        self.completer.complete(Ok(Data::new(bytes)));
    }

    /// Completes the read as failed.
    pub fn complete_error(self, error: IoError) {
        self.completer.complete(Err(error));
    }
}

/// The device's half of a deferred write. Dropping it completes the write with [`IoError::NoResponse`].
#[derive(Debug)]
pub struct DeferredWrite {
    completer: Completer,
}

impl DeferredWrite {
    /// Completes the write.
    pub fn complete(self) {
        self.completer.complete(Ok(Data::default()));
    }

    /// Completes the write as failed.
    pub fn complete_error(self, error: IoError) {
        self.completer.complete(Err(error));
    }
}

/// The caller's half of a deferred access: of a read, a write, or a sub-dword write that is still reading.
#[derive(Debug)]
pub struct DeferredToken {
    // Boxed so that `IoResult`, which every access returns through every layer, fits in two registers.
    kind: Box<Kind>,
}

#[derive(Debug)]
enum Kind {
    Read(ReadOutcome),
    Write(Arc<Outcome>),
    Merge(DeferredMerge),
}

impl DeferredToken {
    /// Polls a deferred read; fills `bytes` when it is ready. Polling again after that gives the same answer.
    ///
    /// # Errors
    ///
    /// The error the device completed with, or [`IoError::NoResponse`] when it dropped the read.
    ///
    /// # Panics
    ///
    /// When this is not a read token, or the device completed with another number of bytes than `bytes` has: mistakes of
    /// the device's author.
    #[track_caller]
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<Result<(), IoError>> {
        self.as_read().poll(cx, bytes)
    }

    /// Polls a deferred write. Polling again after it was ready gives the same answer.
    ///
    /// A merge token can't complete a write by itself, since nobody would write: once its read is done it fails with
    /// [`IoError::NoResponse`].
    ///
    /// # Errors
    ///
    /// The error the device completed with, or [`IoError::NoResponse`] when it dropped the write.
    ///
    /// # Panics
    ///
    /// When this is a read token: a mistake of the device's author.
    #[track_caller]
    #[expect(clippy::panic, reason = "documented: a mistake of the device's author")]
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), IoError>> {
        match &mut *self.kind {
            Kind::Write(outcome) => outcome.poll(cx).map_ok(|_| ()),
            Kind::Merge(merge) => merge.poll(cx).map(|_| Err(IoError::NoResponse)),
            Kind::Read(_) => panic!("a read was polled as a write"),
        }
    }

    /// [`poll_read`](Self::poll_read) as a future.
    ///
    /// # Errors
    ///
    /// As [`poll_read`](Self::poll_read).
    ///
    /// # Panics
    ///
    /// As [`poll_read`](Self::poll_read).
    pub async fn read_future(mut self, bytes: &mut [u8]) -> Result<(), IoError> {
        poll_fn(|cx| self.poll_read(cx, bytes)).await
    }

    /// [`poll_write`](Self::poll_write) as a future.
    ///
    /// # Errors
    ///
    /// As [`poll_write`](Self::poll_write).
    ///
    /// # Panics
    ///
    /// As [`poll_write`](Self::poll_write).
    pub async fn write_future(mut self) -> Result<(), IoError> {
        poll_fn(|cx| self.poll_write(cx)).await
    }

    /// A token for the `len` bytes at `offset` of the bytes that this read will give: how a bus answers a byte access to a
    /// device that only reads dwords.
    ///
    /// Narrowing a narrowed token counts from the start of the first window.
    ///
    /// # Panics
    ///
    /// When this is not a read token, or the window reaches beyond 8 bytes or beyond the window it narrows. Polling panics
    /// when the device's completion does not reach to the end of the window.
    #[must_use]
    #[track_caller]
    pub fn narrow(mut self, offset: usize, len: usize) -> Self {
        let read = self.as_read();
        let outer = read.window.unwrap_or(Window {
            offset: 0,
            len: BYTES_MAX,
        });
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= outer.len),
            "{len} bytes at {offset} are not within {} bytes",
            outer.len
        );
        read.window = Some(Window {
            offset: outer.offset + offset,
            len,
        });
        self
    }

    /// A token for the same read which gives zeros where the device fails: the answer of PCI configuration space, for a bus
    /// that reaches it over a kind of access whose error value is another one.
    ///
    /// # Panics
    ///
    /// When this is not a read token.
    #[must_use]
    #[track_caller]
    pub fn zeros_on_error(mut self) -> Self {
        self.as_read().zeros_on_error = true;
        self
    }

    /// Takes a merge token apart.
    ///
    /// # Errors
    ///
    /// The token itself when it is a plain read or write token.
    pub fn into_merge(self) -> Result<DeferredMerge, Self> {
        match *self.kind {
            Kind::Merge(merge) => Ok(merge),
            kind @ (Kind::Read(_) | Kind::Write(_)) => Err(Self {
                kind: Box::new(kind),
            }),
        }
    }

    /// Makes a merge token of a read token of a dword.
    #[track_caller]
    #[expect(clippy::panic, reason = "documented: a mistake of the device's author")]
    pub(crate) fn with_merge(self, merge: DwordMerge) -> Self {
        match *self.kind {
            Kind::Read(read) => Self {
                kind: Box::new(Kind::Merge(DeferredMerge { read, merge })),
            },
            Kind::Write(_) | Kind::Merge(_) => panic!("a write was used as a read"),
        }
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "documented: a mistake of the device's author")]
    fn as_read(&mut self) -> &mut ReadOutcome {
        match &mut *self.kind {
            Kind::Read(read) => read,
            Kind::Write(_) | Kind::Merge(_) => panic!("a write was used as a read"),
        }
    }
}

/// A sub-dword write whose read half is under way.
///
/// Whoever holds it polls for the merged dword, writes that to the same register of the same function, and completes what it
/// promised its own caller. [`MergeQueue`] does this.
#[derive(Debug)]
pub struct DeferredMerge {
    read: ReadOutcome,
    merge: DwordMerge,
}

impl DeferredMerge {
    /// Polls for the dword to write.
    ///
    /// # Errors
    ///
    /// The error of the read. Nothing is to be written then.
    ///
    /// # Panics
    ///
    /// When the device completed the read with another number of bytes than four: a mistake of its author.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<u32, IoError>> {
        let mut bytes = [0; 4];
        self.read
            .poll(cx, &mut bytes)
            .map_ok(|()| self.merge.apply(u32::from_ne_bytes(bytes)))
    }
}

/// The caller's half of a read, and how to show what the device will give.
#[derive(Debug)]
struct ReadOutcome {
    outcome: Arc<Outcome>,
    window: Option<Window>,
    zeros_on_error: bool,
}

#[derive(Copy, Clone, Debug)]
struct Window {
    offset: usize,
    len: usize,
}

impl ReadOutcome {
    #[track_caller]
    fn poll(&self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<Result<(), IoError>> {
        let data = match ready!(self.outcome.poll(cx)) {
            Ok(data) => data,
            Err(_) if self.zeros_on_error => {
                bytes.fill(0);
                return Poll::Ready(Ok(()));
            }
            Err(error) => return Poll::Ready(Err(error)),
        };
        let completed = data.as_slice();
        let shown = match self.window {
            None => Some(completed),
            Some(window) => completed.get(window.offset..window.offset + window.len),
        };
        assert!(
            shown.is_some_and(|shown| shown.len() == bytes.len()),
            "a read of {} bytes (window {:?}) was completed with {} bytes",
            bytes.len(),
            self.window,
            completed.len()
        );
        bytes.copy_from_slice(shown.unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

/// Up to eight bytes in the order in which they lie in memory.
#[derive(Copy, Clone, Debug, Default)]
struct Data {
    bytes: [u8; BYTES_MAX],
    len: usize,
}

impl Data {
    #[track_caller]
    fn new(bytes: &[u8]) -> Self {
        assert!(
            bytes.len() <= BYTES_MAX,
            "a deferred read was completed with {} bytes; at most {BYTES_MAX} are possible",
            bytes.len()
        );
        let mut data = Self {
            bytes: [0; BYTES_MAX],
            len: bytes.len(),
        };
        for (to, from) in data.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        data
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// What the two halves share.
#[derive(Debug)]
struct Outcome {
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// The waker of the last poll.
    Pending(Option<Waker>),
    /// A result stays, so that polling once more is harmless.
    Done(Result<Data, IoError>),
}

impl Outcome {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Data, IoError>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Done(result) => Poll::Ready(*result),
            State::Pending(Some(waker)) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            State::Pending(none) => {
                *none = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The first result stands.
    fn complete(&self, result: Result<Data, IoError>) {
        let waker = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *state {
                State::Done(_) => None,
                State::Pending(waker) => {
                    let waker = waker.take();
                    *state = State::Done(result);
                    waker
                }
            }
        };
        // Outside the lock: a waker may poll at once.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[derive(Debug)]
struct Completer {
    outcome: Arc<Outcome>,
}

impl Completer {
    fn complete(self, result: Result<Data, IoError>) {
        self.outcome.complete(result);
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        self.outcome.complete(Err(IoError::NoResponse));
    }
}

fn channel() -> (Completer, Arc<Outcome>) {
    let outcome = Arc::new(Outcome {
        state: Mutex::new(State::Pending(None)),
    });
    let completer = Completer {
        outcome: outcome.clone(),
    };
    (completer, outcome)
}

const _: () = assert!(size_of::<Option<super::IoResult>>() <= 2 * size_of::<usize>());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::ByteEnables;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::task::Wake;

    fn poll_read<const N: usize>(token: &mut DeferredToken) -> Poll<Result<[u8; N], IoError>> {
        let mut bytes = [0; N];
        token
            .poll_read(&mut Context::from_waker(Waker::noop()), &mut bytes)
            .map_ok(|()| bytes)
    }

    fn poll_write(token: &mut DeferredToken) -> Poll<Result<(), IoError>> {
        token.poll_write(&mut Context::from_waker(Waker::noop()))
    }

    fn merge_token(value: u32, enables: ByteEnables) -> (DeferredRead, DeferredToken) {
        let (read, token) = defer_read();
        (read, DwordMerge::new(0x40, value, enables).defer(token))
    }

    #[test]
    fn read_is_pending_until_completed() {
        let (read, mut token) = defer_read();
        assert_eq!(poll_read::<4>(&mut token), Poll::Pending);
        read.complete(&[1, 2, 3, 4]);
        assert_eq!(poll_read(&mut token), Poll::Ready(Ok([1, 2, 3, 4])));
        assert_eq!(poll_read(&mut token), Poll::Ready(Ok([1, 2, 3, 4])));
    }

    #[test]
    fn write_is_pending_until_completed() {
        let (write, mut token) = defer_write();
        assert_eq!(poll_write(&mut token), Poll::Pending);
        write.complete();
        assert_eq!(poll_write(&mut token), Poll::Ready(Ok(())));
    }

    #[test]
    fn errors_arrive() {
        let (read, mut token) = defer_read();
        read.complete_error(IoError::InvalidRegister);
        assert_eq!(
            poll_read::<4>(&mut token),
            Poll::Ready(Err(IoError::InvalidRegister))
        );
        let (write, mut token) = defer_write();
        write.complete_error(IoError::UnalignedAccess);
        assert_eq!(
            poll_write(&mut token),
            Poll::Ready(Err(IoError::UnalignedAccess))
        );
    }

    #[test]
    fn dropped_completer_is_no_response() {
        let (read, mut token) = defer_read();
        drop(read);
        assert_eq!(
            poll_read::<1>(&mut token),
            Poll::Ready(Err(IoError::NoResponse))
        );
        let (write, mut token) = defer_write();
        drop(write);
        assert_eq!(
            poll_write(&mut token),
            Poll::Ready(Err(IoError::NoResponse))
        );
    }

    #[test]
    fn completing_after_the_token_is_gone_is_harmless() {
        let (read, token) = defer_read();
        drop(token);
        read.complete(&[0; 8]);
    }

    #[test]
    fn wakes_the_last_poller_once() {
        #[derive(Default)]
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (write, mut token) = defer_write();
        for count in [&first, &last] {
            let waker = Waker::from(count.clone());
            let pending = token.poll_write(&mut Context::from_waker(&waker));
            assert_eq!(pending, Poll::Pending);
        }
        write.complete();
        assert_eq!(first.0.load(Ordering::Relaxed), 0);
        assert_eq!(last.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn completion_on_another_thread_ends_the_future() {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let (read, token) = defer_read();
        let device = std::thread::spawn(move || read.complete(&7_u64.to_ne_bytes()));
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut bytes = [0; 8];
        {
            let mut future = std::pin::pin!(token.read_future(&mut bytes));
            let result = loop {
                match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(result) => break result,
                    Poll::Pending => std::thread::park(),
                }
            };
            assert_eq!(result, Ok(()));
        }
        assert_eq!(u64::from_ne_bytes(bytes), 7);
        device.join().unwrap();
    }

    #[test]
    fn narrow_shows_a_part() {
        let (read, token) = defer_read();
        let mut token = token.narrow(2, 2);
        assert_eq!(poll_read::<2>(&mut token), Poll::Pending);
        read.complete(&[1, 2, 3, 4]);
        assert_eq!(poll_read(&mut token), Poll::Ready(Ok([3, 4])));
    }

    #[test]
    fn narrow_composes() {
        let (read, token) = defer_read();
        read.complete(&[1, 2, 3, 4]);
        let mut token = token.narrow(1, 3).narrow(1, 2).narrow(1, 1);
        assert_eq!(poll_read(&mut token), Poll::Ready(Ok([4])));
    }

    #[test]
    #[should_panic(expected = "2 bytes at 1 are not within 2 bytes")]
    fn narrow_cannot_widen() {
        let (_read, token) = defer_read();
        let _ = token.narrow(1, 2).narrow(1, 2);
    }

    #[test]
    fn narrow_passes_errors_on() {
        let (read, token) = defer_read();
        read.complete_error(IoError::InvalidRegister);
        assert_eq!(
            poll_read::<1>(&mut token.narrow(3, 1)),
            Poll::Ready(Err(IoError::InvalidRegister))
        );
    }

    #[test]
    fn zeros_on_error_hides_the_error_only() {
        let (read, token) = defer_read();
        drop(read);
        let mut token = token.zeros_on_error().narrow(0, 2);
        assert_eq!(poll_read(&mut token), Poll::Ready(Ok([0, 0])));
        let (read, token) = defer_read();
        read.complete(&[9, 8]);
        assert_eq!(
            poll_read(&mut token.zeros_on_error()),
            Poll::Ready(Ok([9, 8]))
        );
    }

    #[test]
    #[should_panic(expected = "a read of 4 bytes")]
    fn wrong_length_panics() {
        let (read, mut token) = defer_read();
        read.complete(&[1, 2]);
        let _ = poll_read::<4>(&mut token);
    }

    #[test]
    #[should_panic(expected = "at most 8")]
    fn nine_bytes_panic() {
        let (read, _token) = defer_read();
        read.complete(&[0; 9]);
    }

    #[test]
    #[should_panic(expected = "used as a read")]
    fn reading_a_write_token_panics() {
        let (_write, mut token) = defer_write();
        let _ = poll_read::<4>(&mut token);
    }

    #[test]
    #[should_panic(expected = "polled as a write")]
    fn writing_a_read_token_panics() {
        let (_read, mut token) = defer_read();
        let _ = poll_write(&mut token);
    }

    #[test]
    fn merge_gives_the_merged_dword() {
        let (read, token) = merge_token(0x00aa_0000, ByteEnables::for_access(2, 1).unwrap());
        let mut merge = token.into_merge().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(merge.poll(&mut cx), Poll::Pending);
        read.complete(&0x1122_3344_u32.to_ne_bytes());
        assert_eq!(merge.poll(&mut cx), Poll::Ready(Ok(0x11aa_3344)));
    }

    #[test]
    fn merge_fails_with_its_read() {
        let (read, token) = merge_token(0, ByteEnables::for_access(0, 1).unwrap());
        drop(read);
        let mut merge = token.into_merge().unwrap();
        assert_eq!(
            merge.poll(&mut Context::from_waker(Waker::noop())),
            Poll::Ready(Err(IoError::NoResponse))
        );
    }

    #[test]
    fn merge_polled_as_a_write_fails_after_the_read() {
        let (read, mut token) = merge_token(0, ByteEnables::for_access(0, 1).unwrap());
        assert_eq!(poll_write(&mut token), Poll::Pending);
        read.complete(&[0; 4]);
        assert_eq!(
            poll_write(&mut token),
            Poll::Ready(Err(IoError::NoResponse))
        );
    }

    #[test]
    fn plain_tokens_are_no_merge() {
        let (write, token) = defer_write();
        let mut token = token.into_merge().unwrap_err();
        write.complete();
        assert_eq!(poll_write(&mut token), Poll::Ready(Ok(())));
    }
}
