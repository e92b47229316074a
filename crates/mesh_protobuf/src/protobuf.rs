//! What every encodable type provides: how it is written and read as a field.

use crate::BoxError;
use crate::Error;
use crate::FieldType;
use crate::Key;
use crate::MessageDescription;
use crate::Reader;
use crate::Writer;

/// Whether a field is written when its value is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The default is omitted: absence means the default.
    Implicit,
    /// The value is written whatever it is: presence has a meaning of its own.
    Explicit,
}

/// A type that can be a field of a message. Derive it; for a foreign type, use an [`Encoding`].
///
/// Reading goes through a [`Draft`](Self::Draft), because the fields of a message come in any order, more than once,
/// or not at all, and some types have no default: only [`finish`](Self::finish) knows whether the value is complete.
pub trait Protobuf: Sized {
    /// What has been read of a value so far.
    type Draft: Default;

    /// The type in the message's description.
    const TYPE: FieldType<'static>;

    /// Writes the value as field `number`.
    fn write(&self, number: u32, presence: Presence, writer: &mut Writer);

    /// Reads one occurrence of the field.
    ///
    /// # Errors
    ///
    /// The occurrence is not of this type.
    fn read(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error>;

    /// Completes the value after the last occurrence of the field, or after none.
    ///
    /// # Errors
    ///
    /// What was read is not a complete value.
    fn finish(draft: Self::Draft) -> Result<Self, Error>;

    /// The type of a sequence of such values. `None` where there can be none: Protobuf cannot repeat what is optional or
    /// repeated itself.
    const SEQUENCE: Option<FieldType<'static>> = Self::TYPE.repeated();

    /// Writes a sequence of values as field `number`.
    fn write_sequence<'a>(
        values: impl Iterator<Item = &'a Self>,
        number: u32,
        _presence: Presence,
        writer: &mut Writer,
    ) where
        Self: 'a,
    {
        for value in values {
            value.write(number, Presence::Explicit, writer);
        }
    }

    /// Reads one occurrence of a field that is a sequence of such values.
    ///
    /// # Errors
    ///
    /// The occurrence is not of this type.
    fn read_sequence(
        values: &mut Vec<Self>,
        key: Key,
        reader: &mut Reader<'_>,
    ) -> Result<(), Error> {
        let mut draft = Self::Draft::default();
        let value = Self::read(&mut draft, key, reader).and_then(|()| Self::finish(draft));
        values.push(value.map_err(|error| error.in_element(values.len()))?);
        Ok(())
    }

    /// Writes the value as a message of its own.
    fn write_root(&self, writer: &mut Writer) {
        self.write(1, Presence::Implicit, writer);
    }

    /// Reads a message that [`write_root`](Self::write_root) wrote.
    ///
    /// # Errors
    ///
    /// The message is malformed, or a field is not of its type.
    fn read_root(draft: &mut Self::Draft, reader: &mut Reader<'_>) -> Result<(), Error> {
        const WRAPPER: &MessageDescription<'static> = &MessageDescription {
            package: "",
            name: "(value)",
            fields: &[],
            one_of: false,
        };
        reader.fields(WRAPPER, |key, reader| match key.number() {
            1 => Self::read(draft, key, reader),
            _ => reader.skip(key),
        })
    }
}

/// An encoding of `T` by way of another type, for a field with `#[mesh(encoding = "…")]`.
///
/// ```
/// use mesh_protobuf::{BoxError, Encoding, Protobuf, decode, encode};
/// use std::time::Duration;
///
/// struct Milliseconds;
///
/// impl Encoding<Duration> for Milliseconds {
///     type Wire = u32;
///     fn to_wire(value: &Duration) -> u32 {
///         u32::try_from(value.as_millis()).unwrap_or(u32::MAX)
///     }
///     fn from_wire(wire: u32) -> Result<Duration, BoxError> {
///         Ok(Duration::from_millis(wire.into()))
///     }
/// }
///
/// #[derive(Protobuf)]
/// struct Timer {
///     #[mesh(1, encoding = "Milliseconds")]
///     due: Duration,
/// }
///
/// let bytes = encode(Timer { due: Duration::from_secs(1) });
/// assert_eq!(bytes, [0x08, 0xe8, 0x07]);
/// assert_eq!(decode::<Timer>(&bytes)?.due, Duration::from_secs(1));
/// # Ok::<(), mesh_protobuf::Error>(())
/// ```
pub trait Encoding<T> {
    /// What is encoded in place of `T`.
    type Wire: Protobuf;

    /// Converts a value to what is encoded.
    fn to_wire(value: &T) -> Self::Wire;

    /// Converts what was decoded back to a value.
    ///
    /// # Errors
    ///
    /// What was decoded stands for no `T`.
    fn from_wire(wire: Self::Wire) -> Result<T, BoxError>;
}
