//! Taking down what happens, fast enough not to be noticed.
//!
//! A record is three words, put into a chunk. A thread writes full chunks out, and moves the clock that the records are stamped with, so
//! that taking down an access asks no clock and makes no call. When nothing comes for a while the thread sleeps; the clock says so, and the
//! next record, which finds it stopped, asks for the time itself and wakes the thread.

use crate::MessageLog;
use crate::Operation;
use crate::format::Words;
use crate::format::head;
use crate::format::kind;
use crate::format::message_words;
use crate::format::pad;
use std::fmt;
use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;
use zerocopy::IntoBytes;

/// Records of a chunk.
const CHUNK_RECORDS: usize = 4096;
/// Full chunks that wait to be written: 6 MiB. When the disk is slower than the guest for so long, the guest waits.
const CHUNKS_WAITING: usize = 64;
/// How far records may be from their time.
const TICK: Duration = Duration::from_millis(1);
/// How often the clock ticks after it was woken.
const TICKS_AWAKE: u32 = 100;
/// What the clock shows while nobody moves it.
const STOPPED: u64 = u64::MAX;

type Chunk = Box<[Words]>;

/// Takes down what happens to a hierarchy. See the [crate's documentation](crate).
///
/// Its owner calls it after each access, with the hierarchy's lock held; [`Recorded`](crate::Recorded) does. Taking down an access puts
/// three words into memory; now and then it hands a full chunk to a thread that writes. A recorder that is dropped loses nothing, but says
/// nothing of a full disk.
pub struct Recorder {
    chunk: Chunk,
    used: usize,
    clock: Arc<AtomicU64>,
    messages: Arc<MessageLog>,
    /// `None` once it ended.
    writer: Option<Writer>,
    start: Instant,
    /// Records in the chunks that were handed over.
    handed_over: u64,
    message_count: u64,
    operation_count: u64,
}

struct Writer {
    output: SyncSender<Output>,
    /// Chunks that were written, to be filled again.
    empty: Receiver<Chunk>,
    thread: JoinHandle<io::Result<()>>,
}

enum Output {
    /// So many of a chunk's records.
    Records(Chunk, usize),
    Text(String),
    /// Nothing, but the clock is to move.
    Wake,
}

/// What was taken down.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Reads and writes.
    pub accesses: u64,
    /// Messages.
    pub messages: u64,
    /// Operations.
    pub operations: u64,
}

/// A line: `1200 accesses, 3 messages and 2 operations recorded`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accesses,
            messages,
            operations,
        } = self;
        write!(
            f,
            "{accesses} accesses, {messages} messages and {operations} operations recorded"
        )
    }
}

impl Recorder {
    /// Begins a recording of a hierarchy that was composed of `description`, to which nothing has been done yet.
    ///
    /// # Errors
    ///
    /// - the head cannot be written;
    /// - the thread cannot be started.
    pub fn start(description: &str, mut output: impl Write + Send + 'static) -> io::Result<Self> {
        output.write_all(&head(description))?;
        let (sender, chunks) = sync_channel(CHUNKS_WAITING);
        let (written, empty) = sync_channel(CHUNKS_WAITING);
        let clock = Arc::new(AtomicU64::new(0));
        let ticking = clock.clone();
        let start = now();
        let thread = std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || write_out(&chunks, &written, &ticking, start, output))?;
        Ok(Self {
            chunk: new_chunk(),
            used: 0,
            clock,
            messages: MessageLog::new(None),
            writer: Some(Writer {
                output: sender,
                empty,
                thread,
            }),
            start,
            handed_over: 0,
            message_count: 0,
            operation_count: 0,
        })
    }

    /// Takes down the messages that pass `messages`, too.
    pub fn with_messages(mut self, messages: Arc<MessageLog>) -> Self {
        messages.listen();
        self.messages = messages;
        self
    }

    /// The guest read `data` from `address`: 1 to 8 bytes.
    #[inline]
    pub fn read(&mut self, address: u64, data: &[u8]) {
        self.access(kind::READ, address, data);
    }

    /// The guest wrote `data` to `address`: 1 to 8 bytes.
    #[inline]
    pub fn write(&mut self, address: u64, data: &[u8]) {
        self.access(kind::WRITE, address, data);
    }

    /// The guest read `data` from a port.
    pub fn port_read(&mut self, port: u16, data: &[u8]) {
        self.access(kind::PORT_READ, port.into(), data);
    }

    /// The guest wrote `data` to a port.
    pub fn port_write(&mut self, port: u16, data: &[u8]) {
        self.access(kind::PORT_WRITE, port.into(), data);
    }

    #[inline]
    fn access(&mut self, kind: u8, address: u64, data: &[u8]) {
        let (len, value) = match *data {
            [a, b, c, d] => (4, u32::from_le_bytes([a, b, c, d]).into()),
            _ => of_any_length(data),
        };
        self.push(Words::new(kind, len, self.time_us(), address, value));
        if self.messages.has_some() {
            self.take_messages();
        }
    }

    /// An operator did something, or the monitor.
    pub fn operation(&mut self, operation: &Operation) {
        let text = serde_json::to_string(operation).unwrap_or_default();
        let len = text.len() as u64;
        self.push(Words::new(kind::OPERATION, 0, self.time_us(), len, 0));
        self.hand_over();
        self.send(Output::Text(text));
        self.operation_count += 1;
        self.take_messages();
    }

    #[cold]
    #[inline(never)]
    fn take_messages(&mut self) {
        for message in self.messages.take() {
            self.push(message_words(self.time_us(), message));
            self.message_count += 1;
        }
    }

    #[inline]
    fn time_us(&self) -> u64 {
        match self.clock.load(Ordering::Relaxed) {
            STOPPED => self.wake_clock(),
            time => time,
        }
    }

    /// Starts the clock again.
    #[cold]
    #[inline(never)]
    fn wake_clock(&self) -> u64 {
        let time = micros_since(self.start);
        self.clock.store(time, Ordering::Relaxed);
        self.send(Output::Wake);
        time
    }

    #[inline]
    fn push(&mut self, words: Words) {
        if self.used == CHUNK_RECORDS {
            self.hand_over();
        }
        if let Some(slot) = self.chunk.get_mut(self.used) {
            *slot = words;
            self.used += 1;
        }
    }

    /// Gives the chunk to the thread, and goes on with an empty one.
    #[cold]
    #[inline(never)]
    fn hand_over(&mut self) {
        let empty = self
            .writer
            .as_ref()
            .and_then(|writer| writer.empty.try_recv().ok());
        let full = std::mem::replace(&mut self.chunk, empty.unwrap_or_else(new_chunk));
        let used = std::mem::take(&mut self.used);
        self.handed_over += used as u64;
        self.send(Output::Records(full, used));
    }

    fn send(&self, output: Output) {
        // A thread that ended could not write; `finish` says why.
        if let Some(writer) = &self.writer {
            drop(writer.output.send(output));
        }
    }

    /// Ends the recording.
    ///
    /// # Errors
    ///
    /// A part of it could not be written: the recording is of use up to there.
    pub fn finish(mut self) -> io::Result<Summary> {
        self.end()?;
        // All but the last, which says that it is the end.
        let records = self.handed_over - 1;
        Ok(Summary {
            accesses: records - self.message_count - self.operation_count,
            messages: self.message_count,
            operations: self.operation_count,
        })
    }

    fn end(&mut self) -> io::Result<()> {
        if self.writer.is_none() {
            return Ok(());
        }
        let records = self.handed_over + self.used as u64;
        self.push(Words::new(kind::END, 0, self.time_us(), records, 0));
        self.hand_over();
        let Some(Writer { output, thread, .. }) = self.writer.take() else {
            return Ok(());
        };
        drop(output);
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that writes died")))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Nobody is left to be told.
        drop(self.end());
    }
}

/// Length and value of an access that is not a dword.
#[cold]
fn of_any_length(data: &[u8]) -> (u8, u64) {
    let mut bytes = [0; 8];
    let mut len = 0;
    for (to, from) in bytes.iter_mut().zip(data) {
        *to = *from;
        len += 1;
    }
    (len, u64::from_le_bytes(bytes))
}

fn new_chunk() -> Chunk {
    vec![Words::default(); CHUNK_RECORDS].into_boxed_slice()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a recording says when things happened"
)]
fn now() -> Instant {
    Instant::now()
}

fn micros_since(start: Instant) -> u64 {
    u64::try_from(now().duration_since(start).as_micros()).unwrap_or(STOPPED - 1)
}

/// Writes out what comes, and moves the clock meanwhile.
fn write_out(
    chunks: &Receiver<Output>,
    written: &SyncSender<Chunk>,
    clock: &AtomicU64,
    start: Instant,
    mut output: impl Write,
) -> io::Result<()> {
    let mut ticks = 0;
    loop {
        let received = if ticks < TICKS_AWAKE {
            chunks.recv_timeout(TICK)
        } else {
            clock.store(STOPPED, Ordering::Relaxed);
            chunks.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match received {
            Ok(Output::Records(records, used)) => {
                output.write_all(records.get(..used).unwrap_or_default().as_bytes())?;
                // Without room, it is one chunk more to allocate.
                drop(written.try_send(records));
            }
            Ok(Output::Text(text)) => {
                let mut bytes = text.into_bytes();
                pad(&mut bytes);
                output.write_all(&bytes)?;
            }
            Ok(Output::Wake) => ticks = 0,
            Err(RecvTimeoutError::Timeout) => ticks += 1,
            Err(RecvTimeoutError::Disconnected) => return output.flush(),
        }
        if ticks < TICKS_AWAKE {
            clock.store(micros_since(start), Ordering::Relaxed);
        }
    }
}
