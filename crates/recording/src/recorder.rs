//! Taking down what happens, fast enough not to be noticed.
//!
//! A record is three words, put on a stage, and from there with others into a chunk. A thread writes full chunks out, and moves a clock. So
//! taking down an access asks no clock and makes no call: it stores the words, with the time as it was known last, and looks at one flag. That
//! is raised when the clock moved, or a device sent a message; then the time is set right.
//!
//! The thread looks for chunks when it moves the clock, and is woken when many wait. When nothing comes for a while it sleeps, and the clock
//! says so: the next access asks for the time itself and wakes the thread.

use crate::MessageLog;
use crate::Operation;
use crate::format::Words;
use crate::format::head;
use crate::format::kind;
use crate::format::message_words;
use crate::format::pad;
use crate::format::time_bits;
use std::fmt;
use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TryRecvError;
use std::sync::mpsc::TrySendError;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;
use zerocopy::IntoBytes;

/// Records of a chunk.
const CHUNK_RECORDS: usize = 4096;
/// Full chunks that wait to be written: 6 MiB. When the disk is slower than the guest for so long, the guest waits.
const CHUNKS_WAITING: usize = 64;
/// Records that wait to be put into a chunk. They stay in the nearest cache, which a chunk does not fit: the lock that is released after each
/// access waits until what was stored before has arrived there.
const STAGE_RECORDS: usize = 64;
/// How far records may be from their time.
const TICK: Duration = Duration::from_millis(10);
/// How often the clock ticks after the last record that came.
const TICKS_AWAKE: u32 = 10;
/// Full chunks after which the thread is woken before its time: a wake is a system call.
const CHUNKS_BEFORE_WAKE: u64 = 8;
/// What the clock shows while nobody moves it.
const STOPPED: u64 = u64::MAX;

/// Takes down what happens to a hierarchy. See the [crate's documentation](crate).
///
/// Its owner calls it after each access, with the hierarchy's lock held; [`Recorded`](crate::Recorded) does. Taking down an access puts
/// three words into memory; now and then it hands a full chunk to a thread that writes. A recorder that is dropped loses nothing, but says
/// nothing of a full disk.
pub struct Recorder {
    stage: [Words; STAGE_RECORDS],
    staged: usize,
    chunk: Vec<Words>,
    /// The time that records are stamped with, as bits of their first word.
    time: u64,
    clock: Arc<Clock>,
    /// Raised when the clock moved or a message came.
    attention: Arc<AtomicBool>,
    messages: Option<Arc<MessageLog>>,
    /// `None` once it ended.
    writer: Option<Writer>,
    /// Records in the chunks that were handed over.
    handed_over: u64,
    /// Chunks that have not come back.
    unwritten: u64,
    message_count: u64,
    operation_count: u64,
}

/// A clock that the thread moves.
struct Clock {
    start: Instant,
    /// Microseconds since then, or [`STOPPED`].
    shown: AtomicU64,
}

struct Writer {
    output: SyncSender<Output>,
    /// Chunks that were written, to be filled again.
    empty: Receiver<Vec<Words>>,
    thread: JoinHandle<io::Result<()>>,
}

enum Output {
    Records(Vec<Words>),
    Text(String),
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
        // One more is in the thread's hands.
        let (written, empty) = sync_channel(CHUNKS_WAITING + 1);
        let clock = Arc::new(Clock {
            start: now(),
            shown: AtomicU64::new(0),
        });
        let attention = Arc::<AtomicBool>::default();
        let (ticking, flag) = (clock.clone(), attention.clone());
        let thread = std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || write_out(&chunks, &written, &ticking, &flag, output))?;
        Ok(Self {
            stage: [Words::default(); STAGE_RECORDS],
            staged: 0,
            chunk: Vec::with_capacity(CHUNK_RECORDS),
            time: 0,
            clock,
            attention,
            messages: None,
            writer: Some(Writer {
                output: sender,
                empty,
                thread,
            }),
            handed_over: 0,
            unwritten: 0,
            message_count: 0,
            operation_count: 0,
        })
    }

    /// Takes down the messages that pass `messages`, too.
    pub fn with_messages(mut self, messages: Arc<MessageLog>) -> Self {
        messages.listen(self.attention.clone());
        self.messages = Some(messages);
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
        self.push(Words::new(kind, len, self.time, address, value));
        if self.attention.load(Ordering::Relaxed) {
            self.attend();
        }
    }

    /// An operator did something, or the monitor.
    pub fn operation(&mut self, operation: &Operation) {
        self.tell_time();
        let text = serde_json::to_string(operation).unwrap_or_default();
        let len = text.len() as u64;
        self.push(Words::new(kind::OPERATION, 0, self.time, len, 0));
        self.clear_stage();
        self.hand_over();
        self.send(Output::Text(text));
        self.operation_count += 1;
        self.take_messages();
    }

    /// Sets the time of the last record right, and takes the messages that were sent by it.
    #[cold]
    #[inline(never)]
    fn attend(&mut self) {
        // What is raised from here on is for the next time.
        self.attention.swap(false, Ordering::AcqRel);
        self.tell_time();
        let last = self.staged.checked_sub(1);
        if let Some(last) = last.and_then(|last| self.stage.get_mut(last)) {
            *last = last.at(self.time);
        }
        self.take_messages();
    }

    fn take_messages(&mut self) {
        let sent = self.messages.as_ref().map(|messages| messages.take());
        for message in sent.unwrap_or_default() {
            self.push(message_words(self.time, message));
            self.message_count += 1;
        }
    }

    /// Sees what the clock shows, and starts it again if it stopped.
    fn tell_time(&mut self) {
        let mut shown = self.clock.shown.load(Ordering::Relaxed);
        if shown == STOPPED {
            shown = self.clock.move_on();
            self.wake();
        }
        self.time = time_bits(shown);
    }

    #[inline]
    fn push(&mut self, words: Words) {
        if let Some(slot) = self.stage.get_mut(self.staged) {
            *slot = words;
            self.staged += 1;
        } else {
            self.clear_stage();
            self.push_first(words);
        }
    }

    /// Onto an empty stage.
    fn push_first(&mut self, words: Words) {
        if let Some(slot) = self.stage.first_mut() {
            *slot = words;
            self.staged = 1;
        }
    }

    /// Puts what is on the stage into the chunk.
    #[cold]
    #[inline(never)]
    fn clear_stage(&mut self) {
        let staged = self.stage.get(..self.staged).unwrap_or_default();
        self.chunk.extend_from_slice(staged);
        self.staged = 0;
        if self.chunk.len() + STAGE_RECORDS > CHUNK_RECORDS {
            self.hand_over();
        }
    }

    /// Gives the chunk to the thread, and goes on with an empty one.
    fn hand_over(&mut self) {
        let empty = self
            .writer
            .as_ref()
            .and_then(|writer| writer.empty.try_recv().ok());
        self.unwritten += 1 - u64::from(empty.is_some());
        let empty = empty.unwrap_or_else(|| Vec::with_capacity(CHUNK_RECORDS));
        let full = std::mem::replace(&mut self.chunk, empty);
        self.handed_over += full.len() as u64;
        self.send(Output::Records(full));
        if self.unwritten >= CHUNKS_BEFORE_WAKE {
            self.wake();
        }
    }

    /// Gives something to the thread. When it is behind by too much, it is waited for.
    fn send(&self, output: Output) {
        let Some(writer) = &self.writer else {
            return;
        };
        // A thread that ended could not write; `finish` says why.
        if let Err(TrySendError::Full(output)) = writer.output.try_send(output) {
            self.wake();
            drop(writer.output.send(output));
        }
    }

    fn wake(&self) {
        if let Some(writer) = &self.writer {
            writer.thread.thread().unpark();
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
        let records = self.handed_over + (self.chunk.len() + self.staged) as u64;
        self.push(Words::new(kind::END, 0, self.time, records, 0));
        self.clear_stage();
        self.hand_over();
        let Some(Writer { output, thread, .. }) = self.writer.take() else {
            return Ok(());
        };
        drop(output);
        thread.thread().unpark();
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

#[expect(
    clippy::disallowed_methods,
    reason = "a recording says when things happened"
)]
fn now() -> Instant {
    Instant::now()
}

impl Clock {
    /// Shows what time it is.
    fn move_on(&self) -> u64 {
        let time = now().duration_since(self.start).as_micros();
        let time = u64::try_from(time).unwrap_or(STOPPED - 1);
        self.shown.store(time, Ordering::Relaxed);
        time
    }
}

/// Writes out what comes, and moves the clock meanwhile.
fn write_out(
    chunks: &Receiver<Output>,
    written: &SyncSender<Vec<Words>>,
    clock: &Clock,
    attention: &AtomicBool,
    mut output: impl Write,
) -> io::Result<()> {
    let mut ticks = 0;
    loop {
        match chunks.try_recv() {
            Ok(received) => {
                ticks = 0;
                write_one(received, written, &mut output)?;
                continue;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return output.flush(),
        }
        if ticks < TICKS_AWAKE {
            ticks += 1;
            clock.move_on();
            attention.store(true, Ordering::Release);
            std::thread::park_timeout(TICK);
        } else {
            clock.shown.store(STOPPED, Ordering::Relaxed);
            attention.store(true, Ordering::Release);
            std::thread::park();
            ticks = 0;
        }
    }
}

fn write_one(
    received: Output,
    written: &SyncSender<Vec<Words>>,
    output: &mut impl Write,
) -> io::Result<()> {
    match received {
        Output::Records(mut records) => {
            output.write_all(records.as_bytes())?;
            records.clear();
            // There is room for all that there are.
            drop(written.try_send(records));
        }
        Output::Text(text) => {
            let mut bytes = text.into_bytes();
            pad(&mut bytes);
            output.write_all(&bytes)?;
        }
    }
    Ok(())
}
