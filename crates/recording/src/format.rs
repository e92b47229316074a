//! The file: a head with the hierarchy's description, then records of three words.
//!
//! All numbers are little-endian.
//!
//! | where | what |
//! | --- | --- |
//! | 8 bytes | `RPXRECRD` |
//! | u32 | version, 1 |
//! | u32, bytes | length of the description, and the description in TOML, padded with zeros to a multiple of 8 |
//! | 24 bytes each | records |
//!
//! A record's first word holds its kind in bits 7:0, a length in bits 15:8, and in bits 63:16 the microseconds since the recording began;
//! the other two are:
//!
//! | kind | length | second word | third word |
//! | --- | --- | --- | --- |
//! | 1, read | bytes | address | what was read |
//! | 2, write | bytes | address | what was written |
//! | 3, message | 1 with a requester ID | address | data in bits 31:0, requester ID in bits 63:32 |
//! | 4, operation | 0 | bytes of JSON that follow, padded to a multiple of 8 | 0 |
//! | 5, end | 0 | records before this one | 0 |
//! | 6, read from a port | bytes | port | what was read |
//! | 7, write to a port | bytes | port | what was written |

use crate::Operation;
use crate::message::Message;
use std::time::Duration;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::little_endian::U64;

pub(crate) const MAGIC: [u8; 8] = *b"RPXRECRD";
const VERSION: u32 = 1;
pub(crate) const RECORD_BYTES: usize = 24;
/// Longest description and operation that is read, in bytes.
const TEXT_MAX: u64 = 16 << 20;
const KIND_BITS: u32 = 8;
const TIME_SHIFT: u32 = 16;

/// The kinds of records.
pub(crate) mod kind {
    pub(crate) const READ: u8 = 1;
    pub(crate) const WRITE: u8 = 2;
    pub(crate) const MESSAGE: u8 = 3;
    pub(crate) const OPERATION: u8 = 4;
    pub(crate) const END: u8 = 5;
    pub(crate) const PORT_READ: u8 = 6;
    pub(crate) const PORT_WRITE: u8 = 7;
}

/// A record as it is in the file.
#[derive(Copy, Clone, Debug, Default, IntoBytes, Immutable)]
#[repr(transparent)]
pub(crate) struct Words([U64; 3]);

const _: () = assert!(size_of::<Words>() == RECORD_BYTES);

impl Words {
    /// `time` is that of [`time_bits`].
    #[inline]
    pub(crate) fn new(kind: u8, len: u8, time: u64, second: u64, third: u64) -> Self {
        let first = u64::from(kind) | (u64::from(len) << KIND_BITS) | time;
        Self([first, second, third].map(U64::new))
    }

    /// The same at another time.
    pub(crate) fn at(self, time: u64) -> Self {
        let Self([first, second, third]) = self;
        let kind_and_len = first.get() & ((1 << TIME_SHIFT) - 1);
        Self([U64::new(kind_and_len | time), second, third])
    }
}

/// A time as the bits of a record's first word.
pub(crate) fn time_bits(time_us: u64) -> u64 {
    time_us << TIME_SHIFT
}

/// The file's head.
pub(crate) fn head(description: &str) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    let len = u32::try_from(description.len()).unwrap_or(u32::MAX);
    head.extend(len.to_le_bytes());
    head.extend(description.as_bytes());
    pad(&mut head);
    head
}

pub(crate) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

/// What is wrong with a recording. `offset` counts the file's bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It begins otherwise.
    #[error("this is not a recording")]
    NotARecording,
    /// A version from elsewhere.
    #[error("the recording has version {version}; version {VERSION} can be read")]
    Version {
        /// The version.
        version: u32,
    },
    /// The head is not whole, or the description is no text.
    #[error("the description is cut off, or is not UTF-8")]
    Description,
    /// A record's kind, length or operation makes no sense.
    #[error("the record at byte {offset} is malformed: {reason}")]
    Record {
        /// Where it begins.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The guest read.
    Read {
        /// Where.
        address: u64,
        /// What it was given: 1 to 8 bytes.
        data: Vec<u8>,
    },
    /// The guest wrote.
    Write {
        /// Where.
        address: u64,
        /// What: 1 to 8 bytes.
        data: Vec<u8>,
    },
    /// The guest read from a port.
    PortRead {
        /// Which.
        port: u16,
        /// What it was given: 1 to 8 bytes.
        data: Vec<u8>,
    },
    /// The guest wrote to a port.
    PortWrite {
        /// Which.
        port: u16,
        /// What: 1 to 8 bytes.
        data: Vec<u8>,
    },
    /// A device sent a message, as an effect of the access or operation before.
    Message {
        /// Requester ID, where known.
        requester_id: Option<u32>,
        /// Address.
        address: u64,
        /// Data.
        data: u32,
    },
    /// The operator did something, or the monitor.
    Operation(Operation),
}

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Since the recording began, to ten milliseconds.
    pub time: Duration,
    /// What.
    pub event: Event,
}

/// A recording, checked as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The hierarchy's description, in TOML.
    pub description: String,
    /// What happened, in order.
    pub records: Vec<Record>,
    /// Whether the recording was finished. Of one that was not, such as that of a monitor which died, the last records are missing.
    pub is_finished: bool,
}

impl Recording {
    /// Reads a file's bytes.
    ///
    /// # Errors
    ///
    /// [`FormatError`] says what is wrong, and where. That the end is missing is none: see [`Self::is_finished`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader { bytes, offset: 0 };
        if reader.take(MAGIC.len()) != Some(&MAGIC) {
            return Err(FormatError::NotARecording);
        }
        let version = reader.u32().ok_or(FormatError::Description)?;
        if version != VERSION {
            return Err(FormatError::Version { version });
        }
        let description = reader
            .u32()
            .and_then(|len| reader.text(len.into()))
            .ok_or(FormatError::Description)?
            .to_owned();
        let mut recording = Self {
            description,
            records: Vec::new(),
            is_finished: false,
        };
        while let Some(words) = reader.words() {
            let offset = reader.offset - RECORD_BYTES;
            match reader.record(words) {
                Ok(Some(record)) => recording.records.push(record),
                Ok(None) => {
                    recording.is_finished = true;
                    return Ok(recording);
                }
                // The operation's text is not all there.
                Err(None) => break,
                Err(Some(reason)) => return Err(FormatError::Record { offset, reason }),
            }
        }
        Ok(recording)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.offset.checked_add(len)?;
        let taken = self.bytes.get(self.offset..end)?;
        self.offset = end;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().copied().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().copied().map(u64::from_le_bytes)
    }

    fn words(&mut self) -> Option<[u64; 3]> {
        let mut whole = Self {
            bytes: self.take(RECORD_BYTES)?,
            offset: 0,
        };
        Some([whole.u64()?, whole.u64()?, whole.u64()?])
    }

    fn text(&mut self, len: u64) -> Option<&'a str> {
        let len = usize::try_from(len.min(TEXT_MAX + 1)).ok()?;
        let text = self.take(len)?;
        self.take(len.next_multiple_of(8) - len)?;
        std::str::from_utf8(text).ok()
    }

    /// `None` for the end. Errors: the reason, or none if the file ends too early.
    fn record(
        &mut self,
        [first, second, third]: [u64; 3],
    ) -> Result<Option<Record>, Option<String>> {
        let [kind, len, ..] = first.to_le_bytes();
        let data = || match len {
            1..=8 => Ok(third.to_le_bytes().into_iter().take(len.into()).collect()),
            _ => Err(Some(format!("an access of {len} bytes; it has 1 to 8"))),
        };
        let event = match kind {
            kind::READ => Event::Read {
                address: second,
                data: data()?,
            },
            kind::WRITE => Event::Write {
                address: second,
                data: data()?,
            },
            kind::PORT_READ => Event::PortRead {
                port: port(second)?,
                data: data()?,
            },
            kind::PORT_WRITE => Event::PortWrite {
                port: port(second)?,
                data: data()?,
            },
            kind::MESSAGE => {
                let [data, id] = [third, third >> 32].map(low_half);
                Event::Message {
                    requester_id: (len != 0).then_some(id),
                    address: second,
                    data,
                }
            }
            kind::OPERATION => {
                if second > TEXT_MAX {
                    return Err(Some(format!(
                        "an operation of {second} bytes; at most {TEXT_MAX} are read"
                    )));
                }
                let text = self.text(second).ok_or(None)?;
                let operation =
                    serde_json::from_str(text).map_err(|error| Some(error.to_string()))?;
                Event::Operation(operation)
            }
            kind::END => return Ok(None),
            _ => return Err(Some(format!("kind {kind}; there are 1 to 7"))),
        };
        let time = Duration::from_micros(first >> TIME_SHIFT);
        Ok(Some(Record { time, event }))
    }
}

fn port(word: u64) -> Result<u16, Option<String>> {
    u16::try_from(word).map_err(|_| Some(format!("port {word:#x}; there are 0 to 0xffff")))
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is asked for")]
fn low_half(word: u64) -> u32 {
    word as u32
}

pub(crate) fn message_words(time: u64, (id, address, data): Message) -> Words {
    let value = u64::from(data) | (u64::from(id.unwrap_or(0)) << 32);
    Words::new(kind::MESSAGE, id.is_some().into(), time, address, value)
}
