//! Text.

use crate::Error;
use crate::ErrorKind;
use crate::FieldType;
use crate::Key;
use crate::Presence;
use crate::Protobuf;
use crate::Reader;
use crate::ValueType;
use crate::Writer;
use std::borrow::Cow;

impl Protobuf for String {
    type Draft = String;

    const TYPE: FieldType<'static> = FieldType::once(ValueType::String);

    fn write(&self, number: u32, presence: Presence, writer: &mut Writer) {
        writer.text(number, presence, self);
    }

    fn read(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
        let text = std::str::from_utf8(reader.bytes(key)?).map_err(ErrorKind::NotUtf8)?;
        text.clone_into(draft);
        Ok(())
    }

    fn finish(draft: Self::Draft) -> Result<Self, Error> {
        Ok(draft)
    }
}

/// Text that is mostly a constant of the program; the same on the wire as a `String`.
impl Protobuf for Cow<'static, str> {
    type Draft = String;

    const TYPE: FieldType<'static> = String::TYPE;

    fn write(&self, number: u32, presence: Presence, writer: &mut Writer) {
        writer.text(number, presence, self);
    }

    fn read(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
        String::read(draft, key, reader)
    }

    fn finish(draft: Self::Draft) -> Result<Self, Error> {
        Ok(Cow::Owned(draft))
    }
}
