//! Taking down what happens, fast enough not to be noticed.
//!
//! A record is three words, appended to a chunk. A thread writes full chunks out, and moves the clock that the records are stamped with,
//! so that taking down an access asks no clock and makes no call.

use crate::MessageLog;
use crate::Operation;
use crate::format::Words;
use crate::format::head;
use crate::format::kind;
use crate::format::message_words;
use crate::format::pad;
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

/// Records of a chunk.
const CHUNK_RECORDS: usize = 4096;
/// Full chunks that wait to be written. When the disk is slower than the guest for so long, the guest waits.
const CHUNKS_WAITING: usize = 64;
/// How far records may be from their time.
const TICK: Duration = Duration::from_millis(1);

/// Takes down what happens to a hierarchy. See the [crate's documentation](crate).
///
/// Its owner calls it after each access, with the hierarchy's lock held. Taking down an access appends three words to memory; now and
/// then it hands a full chunk to a thread that writes. A recorder that is dropped loses nothing, but says nothing of a full disk.
pub struct Recorder {
    chunk: Vec<Words>,
    /// `None` once it ended.
    writer: Option<Writer>,
    clock: Arc<AtomicU64>,
    messages: Option<Arc<MessageLog>>,
    summary: Summary,
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

impl Summary {
    fn records(&self) -> u64 {
        self.accesses + self.messages + self.operations
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
        let thread = std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || write_out(&chunks, &written, &ticking, output))?;
        Ok(Self {
            chunk: Vec::with_capacity(CHUNK_RECORDS),
            writer: Some(Writer {
                output: sender,
                empty,
                thread,
            }),
            clock,
            messages: None,
            summary: Summary::default(),
        })
    }

    /// Takes down the messages that pass `messages`, too.
    pub fn with_messages(mut self, messages: Arc<MessageLog>) -> Self {
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

    #[inline]
    fn access(&mut self, kind: u8, address: u64, data: &[u8]) {
        let (len, value) = match *data {
            [a, b, c, d] => (4, u32::from_le_bytes([a, b, c, d]).into()),
            _ => of_any_length(data),
        };
        self.push(Words::new(kind, len, self.time_us(), address, value));
        self.summary.accesses += 1;
        let Some(messages) = &self.messages else {
            return;
        };
        let sent = messages.take();
        if !sent.is_empty() {
            self.sent(sent);
        }
    }

    /// An operator did something, or the monitor.
    pub fn operation(&mut self, operation: &Operation) {
        let text = serde_json::to_string(operation).unwrap_or_default();
        let len = text.len() as u64;
        self.push(Words::new(kind::OPERATION, 0, self.time_us(), len, 0));
        self.hand_over();
        self.send(Output::Text(text));
        self.summary.operations += 1;
        let sent = self.messages.as_ref().map(|messages| messages.take());
        self.sent(sent.unwrap_or_default());
    }

    #[cold]
    fn sent(&mut self, messages: Vec<crate::message::Message>) {
        for message in messages {
            self.push(message_words(self.time_us(), message));
            self.summary.messages += 1;
        }
    }

    #[inline]
    fn time_us(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    #[inline]
    fn push(&mut self, words: Words) {
        if self.chunk.len() == CHUNK_RECORDS {
            self.hand_over();
        }
        self.chunk.push(words);
    }

    /// Gives the chunk to the thread, and goes on with an empty one.
    #[cold]
    #[inline(never)]
    fn hand_over(&mut self) {
        let empty = self
            .writer
            .as_ref()
            .and_then(|writer| writer.empty.try_recv().ok());
        let empty = empty.unwrap_or_else(|| Vec::with_capacity(CHUNK_RECORDS));
        let full = std::mem::replace(&mut self.chunk, empty);
        self.send(Output::Records(full));
    }

    fn send(&mut self, output: Output) {
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
        Ok(self.summary)
    }

    fn end(&mut self) -> io::Result<()> {
        if self.writer.is_none() {
            return Ok(());
        }
        let records = self.summary.records();
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

/// Writes out what comes, and moves the clock meanwhile.
#[expect(
    clippy::disallowed_methods,
    reason = "a recording says when things happened"
)]
fn write_out(
    chunks: &Receiver<Output>,
    written: &SyncSender<Vec<Words>>,
    clock: &AtomicU64,
    mut output: impl Write,
) -> io::Result<()> {
    let start = Instant::now();
    let mut bytes = Vec::new();
    loop {
        let received = chunks.recv_timeout(TICK);
        let now = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        clock.store(now, Ordering::Relaxed);
        bytes.clear();
        match received {
            Ok(Output::Records(mut records)) => {
                bytes.extend(records.drain(..).flat_map(Words::bytes));
                // Without room, it is one chunk more to allocate.
                drop(written.try_send(records));
            }
            Ok(Output::Text(text)) => {
                bytes.extend(text.as_bytes());
                pad(&mut bytes);
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return output.flush(),
        }
        output.write_all(&bytes)?;
    }
}
