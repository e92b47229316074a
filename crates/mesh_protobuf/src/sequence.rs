//! Sequences: vectors and arrays. Whether they are bytes, packed or repeated is the element type's matter.

use crate::Error;
use crate::ErrorKind;
use crate::FieldType;
use crate::Key;
use crate::Presence;
use crate::Protobuf;
use crate::Reader;
use crate::Writer;

#[expect(
    clippy::panic,
    reason = "evaluated at compile time, where a panic is a compile error"
)]
const fn sequence_of<T: Protobuf>() -> FieldType<'static> {
    match T::SEQUENCE {
        Some(sequence) => sequence,
        None => panic!(
            "Protobuf cannot repeat a field that is optional or repeated: put it into a struct"
        ),
    }
}

impl<T: Protobuf> Protobuf for Vec<T> {
    type Draft = Vec<T>;

    const TYPE: FieldType<'static> = sequence_of::<T>();

    fn write(&self, number: u32, presence: Presence, writer: &mut Writer) {
        T::write_sequence(self.iter(), number, presence, writer);
    }

    fn read(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
        T::read_sequence(draft, key, reader)
    }

    fn finish(draft: Self::Draft) -> Result<Self, Error> {
        Ok(draft)
    }
}

impl<T: Protobuf, const N: usize> Protobuf for [T; N] {
    type Draft = Vec<T>;

    const TYPE: FieldType<'static> = sequence_of::<T>().exactly(N);

    fn write(&self, number: u32, presence: Presence, writer: &mut Writer) {
        T::write_sequence(self.iter(), number, presence, writer);
    }

    fn read(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
        T::read_sequence(draft, key, reader)
    }

    fn finish(draft: Self::Draft) -> Result<Self, Error> {
        <[T; N]>::try_from(draft).map_err(|elements| {
            let kind = match elements.len() {
                0 => ErrorKind::Missing,
                actual => ErrorKind::ElementCount {
                    expected: N,
                    actual,
                },
            };
            kind.into()
        })
    }
}
