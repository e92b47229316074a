//! Integers and booleans: varints.

use crate::Error;
use crate::ErrorKind;
use crate::FieldType;
use crate::Key;
use crate::Presence;
use crate::Protobuf;
use crate::Reader;
use crate::ValueType;
use crate::Writer;

/// A value that is one varint.
trait Scalar: Copy {
    fn to_varint(self) -> u64;
    fn from_varint(varint: u64) -> Result<Self, Error>;
}

impl Scalar for bool {
    fn to_varint(self) -> u64 {
        self.into()
    }

    fn from_varint(varint: u64) -> Result<Self, Error> {
        Ok(varint != 0)
    }
}

fn out_of_range<T>(value: impl Into<i128>) -> Error {
    ErrorKind::OutOfRange {
        value: value.into(),
        type_name: std::any::type_name::<T>(),
    }
    .into()
}

macro_rules! unsigned {
    ($($scalar:ty),*) => {$(
        impl Scalar for $scalar {
            // `usize` has no `Into<u64>`, though no target has more than 64 bits.
            fn to_varint(self) -> u64 {
                self as u64
            }

            fn from_varint(varint: u64) -> Result<Self, Error> {
                Self::try_from(varint).map_err(|_| out_of_range::<Self>(varint))
            }
        }
    )*};
}
unsigned!(u8, u16, u32, u64, usize);

macro_rules! signed {
    ($($scalar:ty),*) => {$(
        impl Scalar for $scalar {
            // Zig-zag: 0, -1, 1, -2, … are 0, 1, 2, 3, … so that small negative numbers are short. Widening to 64 bits
            // first gives the same varint as the 32-bit form.
            fn to_varint(self) -> u64 {
                let wide = i64::from(self);
                ((wide << 1) ^ (wide >> 63)).cast_unsigned()
            }

            fn from_varint(varint: u64) -> Result<Self, Error> {
                let wide = (varint >> 1).cast_signed() ^ -(varint & 1).cast_signed();
                Self::try_from(wide).map_err(|_| out_of_range::<Self>(wide))
            }
        }
    )*};
}
signed!(i8, i16, i32, i64);

/// The items of `impl Protobuf` that are the same for every scalar.
macro_rules! varint_items {
    ($value:expr) => {
        type Draft = Option<Self>;

        const TYPE: FieldType<'static> = FieldType::once($value);

        fn write(&self, number: u32, presence: Presence, writer: &mut Writer) {
            let varint = self.to_varint();
            if varint != 0 || presence == Presence::Explicit {
                writer.varint_field(number, varint);
            }
        }

        fn read(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
            *draft = Some(Self::from_varint(reader.varint_field(key)?)?);
            Ok(())
        }

        fn finish(draft: Self::Draft) -> Result<Self, Error> {
            Ok(draft.unwrap_or_default())
        }
    };
}

macro_rules! packed {
    ($($scalar:ty: $value:expr),* $(,)?) => {$(
        impl Protobuf for $scalar {
            varint_items!($value);

            fn write_sequence<'a>(
                values: impl Iterator<Item = &'a Self>,
                number: u32,
                presence: Presence,
                writer: &mut Writer,
            ) {
                writer.length_delimited(number, presence, |writer| {
                    values.for_each(|value| writer.varint(value.to_varint()));
                });
            }

            fn read_sequence(values: &mut Vec<Self>, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
                let mut read = |reader: &mut Reader<'_>| {
                    let value = reader.varint().and_then(Self::from_varint);
                    values.push(value.map_err(|error| error.in_element(values.len()))?);
                    Ok(())
                };
                if key.is_varint() {
                    return read(reader);
                }
                let mut packed = reader.length_delimited(key)?;
                while !packed.is_empty() {
                    read(&mut packed)?;
                }
                Ok(())
            }
        }
    )*};
}
packed! {
    bool: ValueType::Bool,
    u16: ValueType::Unsigned(16),
    u32: ValueType::Unsigned(32),
    u64: ValueType::Unsigned(64),
    // The width of a `usize` differs from host to host; the wire has room for the widest.
    usize: ValueType::Unsigned(64),
    i8: ValueType::Signed(8),
    i16: ValueType::Signed(16),
    i32: ValueType::Signed(32),
    i64: ValueType::Signed(64),
}

impl Protobuf for u8 {
    varint_items!(ValueType::Unsigned(8));

    const SEQUENCE: Option<FieldType<'static>> = Some(FieldType::once(ValueType::Bytes));

    fn write_sequence<'a>(
        values: impl Iterator<Item = &'a Self>,
        number: u32,
        presence: Presence,
        writer: &mut Writer,
    ) {
        writer.length_delimited(number, presence, |writer| writer.raw(values.copied()));
    }

    /// Bytes are one value rather than a sequence of them: the last occurrence wins.
    fn read_sequence(
        values: &mut Vec<Self>,
        key: Key,
        reader: &mut Reader<'_>,
    ) -> Result<(), Error> {
        let bytes = reader.bytes(key)?;
        values.clear();
        values.extend_from_slice(bytes);
        Ok(())
    }
}
