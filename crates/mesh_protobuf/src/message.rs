//! Types that are messages: structs, enums and tuples.

use crate::Error;
use crate::FieldType;
use crate::Key;
use crate::MessageDescription;
use crate::Presence;
use crate::Protobuf;
use crate::Reader;
use crate::ValueType;
use crate::Writer;

/// A type that is encoded as a message. The derive implements it; every message is [`Protobuf`] thereby.
pub trait Message: Sized {
    /// What has been read of a message so far.
    type Draft: Default;

    /// The name and the fields.
    const MESSAGE: &'static MessageDescription<'static>;

    /// Writes every field.
    fn write_fields(&self, writer: &mut Writer);

    /// Reads one occurrence of a field, or skips a field that is not known.
    ///
    /// # Errors
    ///
    /// The value is malformed or not of the field's type.
    fn read_field(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error>;

    /// Completes the message.
    ///
    /// # Errors
    ///
    /// A field is incomplete.
    fn finish_fields(draft: Self::Draft) -> Result<Self, Error>;
}

/// A message with a package, whose full name therefore means the same everywhere.
pub trait DescribedProtobuf: Protobuf {
    /// The name and the fields.
    const DESCRIPTION: &'static MessageDescription<'static>;

    /// `type.googleapis.com/` and the full name. This is a name, not an address: nothing is fetched.
    const TYPE_URL: &'static str;
}

fn description_of<T: Message>() -> &'static MessageDescription<'static> {
    T::MESSAGE
}

impl<T: Message> Protobuf for T {
    type Draft = T::Draft;

    const TYPE: FieldType<'static> = FieldType::once(ValueType::Message(description_of::<T>));

    fn write(&self, number: u32, presence: Presence, writer: &mut Writer) {
        writer.length_delimited(number, presence, |writer| self.write_fields(writer));
    }

    fn read(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
        reader.message(key, T::MESSAGE, |key, reader| {
            T::read_field(draft, key, reader)
        })
    }

    fn finish(draft: Self::Draft) -> Result<Self, Error> {
        T::finish_fields(draft)
    }

    fn write_root(&self, writer: &mut Writer) {
        self.write_fields(writer);
    }

    fn read_root(draft: &mut Self::Draft, reader: &mut Reader<'_>) -> Result<(), Error> {
        reader.fields(T::MESSAGE, |key, reader| T::read_field(draft, key, reader))
    }
}
