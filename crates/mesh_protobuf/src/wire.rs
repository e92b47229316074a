//! Keys, varints and lengths: a thin layer over the wire primitives of `prost`.

use crate::Error;
use crate::ErrorKind;
use crate::MessageDescription;
use crate::Presence;
use prost::encoding;
use prost::encoding::WireType;

/// How much a decoder accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// How deep messages may be nested below the outermost. The default is 64.
    ///
    /// Each level costs stack: a limit in the thousands gives up the protection that this is for.
    pub depth_max: u32,
    /// How long a message may be, in bytes. The default is 64 MiB.
    pub size_bytes_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            depth_max: 64,
            size_bytes_max: 64 << 20,
        }
    }
}

/// What precedes a value on the wire: the field's number and the kind of value.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    number: u32,
    wire_type: WireType,
}

impl Key {
    /// The field number.
    pub fn number(self) -> u32 {
        self.number
    }

    /// Whether the value is a single varint rather than a packed sequence of them.
    pub(crate) fn is_varint(self) -> bool {
        self.wire_type == WireType::Varint
    }
}

fn key(number: u32, wire_type: WireType) -> u64 {
    u64::from(number) << 3 | wire_type as u64
}

/// Collects the bytes of a message.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Most messages are no longer than this, so that most take one allocation.
    const USUAL_BYTES: usize = 96;

    pub(crate) fn new() -> Self {
        Self::after(Vec::with_capacity(Self::USUAL_BYTES))
    }

    /// Writes after the bytes that are there.
    pub(crate) fn after(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes a field with a varint.
    #[inline]
    pub(crate) fn varint_field(&mut self, number: u32, value: u64) {
        let key = key(number, WireType::Varint);
        // Most keys and values are one byte.
        match (u8::try_from(key), u8::try_from(value)) {
            (Ok(key @ ..0x80), Ok(value @ ..0x80)) => self.bytes.extend_from_slice(&[key, value]),
            _ => {
                self.varint(key);
                self.varint(value);
            }
        }
    }

    /// Writes a varint without key, as an element of a packed sequence.
    pub(crate) fn varint(&mut self, mut value: u64) {
        // `prost` makes room anew for each byte, by which saving a hierarchy takes a quarter longer.
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                return self.bytes.push(low);
            }
            self.bytes.push(low | 0x80);
        }
    }

    /// Writes a field with text.
    pub fn text(&mut self, number: u32, presence: Presence, text: &str) {
        self.bytes(number, presence, text.as_bytes());
    }

    /// Writes a field with bytes.
    pub(crate) fn bytes(&mut self, number: u32, presence: Presence, bytes: &[u8]) {
        if !bytes.is_empty() || presence == Presence::Explicit {
            self.varint(key(number, WireType::LengthDelimited));
            self.varint(bytes.len() as u64);
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Writes bytes without key or length, as the body of a length-delimited field.
    pub(crate) fn raw(&mut self, bytes: impl Iterator<Item = u8>) {
        self.bytes.extend(bytes);
    }

    /// Writes a length-delimited field whose value `body` writes. Nothing is written if the value turns out empty and
    /// its presence is [`Implicit`](Presence::Implicit).
    pub fn length_delimited<R>(
        &mut self,
        number: u32,
        presence: Presence,
        body: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let field_start = self.bytes.len();
        self.varint(key(number, WireType::LengthDelimited));
        let length_at = self.bytes.len();
        self.bytes.push(0);
        let body_start = self.bytes.len();
        let result = body(self);
        let length = self.bytes.len() - body_start;
        if length == 0 && presence == Presence::Implicit {
            self.bytes.truncate(field_start);
            return result;
        }
        // The length is known only now. Nearly all fit into the byte that was left for it; moving the others' bodies is
        // cheaper than working out every length twice.
        let more = encoding::encoded_len_varint(length as u64) - 1;
        if more > 0 {
            self.bytes.resize(body_start + length + more, 0);
            self.bytes
                .copy_within(body_start..body_start + length, body_start + more);
        }
        if let Some(mut prefix) = self.bytes.get_mut(length_at..body_start + more) {
            encoding::encode_varint(length as u64, &mut prefix);
        }
        result
    }
}

/// The bytes of a message that are still to be decoded.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    depth: u32,
    depth_max: u32,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: DecodeLimits) -> Result<Self, Error> {
        if bytes.len() > limits.size_bytes_max {
            return Err(ErrorKind::TooLarge {
                size_bytes: bytes.len(),
                limit_bytes: limits.size_bytes_max,
            }
            .into());
        }
        Ok(Self {
            rest: bytes,
            depth: 0,
            depth_max: limits.depth_max,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Calls `field` for each field up to the end. `field` must consume the value, be it by [`skip`](Self::skip).
    pub(crate) fn fields(
        &mut self,
        message: &'static MessageDescription<'static>,
        mut field: impl FnMut(Key, &mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while !self.is_empty() {
            let (number, wire_type) = encoding::decode_key(&mut self.rest)
                .map_err(|error| Error::from(error).in_message(message))?;
            let key = Key { number, wire_type };
            field(key, self).map_err(|error| error.in_field(message, number))?;
        }
        Ok(())
    }

    /// Reads a nested message: calls `field` for each of its fields. `field` must consume the value, be it by
    /// [`skip`](Self::skip).
    ///
    /// # Errors
    ///
    /// - the value is not a message, or ends early;
    /// - it is nested deeper than the limit;
    /// - `field` fails.
    pub fn message(
        &mut self,
        key: Key,
        message: &'static MessageDescription<'static>,
        field: impl FnMut(Key, &mut Reader<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut nested = self.length_delimited(key)?;
        if self.depth >= self.depth_max {
            return Err(ErrorKind::TooDeep {
                limit: self.depth_max,
            }
            .into());
        }
        nested.depth += 1;
        nested.fields(message, field)
    }

    /// Skips a value.
    ///
    /// # Errors
    ///
    /// The value is malformed, or ends early.
    pub fn skip(&mut self, key: Key) -> Result<(), Error> {
        let context = encoding::DecodeContext::default();
        Ok(encoding::skip_field(
            key.wire_type,
            key.number,
            &mut self.rest,
            context,
        )?)
    }

    /// Reads a varint field's value.
    pub(crate) fn varint_field(&mut self, key: Key) -> Result<u64, Error> {
        encoding::check_wire_type(WireType::Varint, key.wire_type)?;
        self.varint()
    }

    /// Reads a varint.
    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        Ok(encoding::decode_varint(&mut self.rest)?)
    }

    /// Reads a length-delimited field's value.
    pub(crate) fn bytes(&mut self, key: Key) -> Result<&'a [u8], Error> {
        Ok(self.length_delimited(key)?.rest)
    }

    /// Splits off a length-delimited field's value.
    pub(crate) fn length_delimited(&mut self, key: Key) -> Result<Reader<'a>, Error> {
        encoding::check_wire_type(WireType::LengthDelimited, key.wire_type)?;
        let length = self.varint()?;
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let Some((value, rest)) = split else {
            return Err(ErrorKind::Truncated {
                length_bytes: length,
                available_bytes: self.rest.len(),
            }
            .into());
        };
        self.rest = rest;
        Ok(Reader {
            rest: value,
            ..*self
        })
    }
}
