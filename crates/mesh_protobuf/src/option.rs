//! Values that may be absent.

use crate::Error;
use crate::FieldType;
use crate::Key;
use crate::Presence;
use crate::Protobuf;
use crate::Reader;
use crate::Writer;

impl<T: Protobuf> Protobuf for Option<T> {
    type Draft = Option<T::Draft>;

    const TYPE: FieldType<'static> = T::TYPE.optional();

    fn write(&self, number: u32, _presence: Presence, writer: &mut Writer) {
        if let Some(value) = self {
            value.write(number, Presence::Explicit, writer);
        }
    }

    fn read(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
        T::read(draft.get_or_insert_default(), key, reader)
    }

    fn finish(draft: Self::Draft) -> Result<Self, Error> {
        draft.map(T::finish).transpose()
    }
}
