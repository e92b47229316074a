//! Leaf values, and how they want to be written.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

/// What a leaf holds.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueKind {
    /// A signed integer.
    Signed(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A single-precision number.
    Float(f32),
    /// A double-precision number.
    Double(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A leaf: what it holds and how it wants to be written.
///
/// Its [`Display`](fmt::Display) honours the flags for integers: `16`, `0x10`, `0b10000`, and `-0x10` for a
/// negative one. Text is quoted and escaped as in Rust; bytes are hexadecimal between angle brackets, `<0a0b>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What the leaf holds.
    pub kind: ValueKind,
    /// How it wants to be written.
    pub flags: ValueFlags,
}

/// How a number wants to be written: as decimal (the default), hexadecimal, binary, or as a counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ValueFlags(Format);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Decimal,
    Hex,
    Binary,
    Counter,
    /// The number is no value, but that of an answer that is to come.
    #[cfg(feature = "defer")]
    Awaited,
}

impl ValueFlags {
    /// Decimal.
    pub const DECIMAL: Self = Self(Format::Decimal);
    /// Hexadecimal, with `0x`.
    pub const HEX: Self = Self(Format::Hex);
    /// Binary, with `0b`.
    pub const BINARY: Self = Self(Format::Binary);
    /// Decimal, of a number that only grows: the difference of two snapshots is a rate.
    pub const COUNTER: Self = Self(Format::Counter);

    /// Of a number that stands for an answer that is to come; none leaves this crate.
    #[cfg(feature = "defer")]
    pub(crate) const AWAITED: Self = Self(Format::Awaited);

    /// Whether the number is written as hexadecimal.
    pub const fn hex(self) -> bool {
        matches!(self.0, Format::Hex)
    }

    /// Whether the number is written as binary.
    pub const fn binary(self) -> bool {
        matches!(self.0, Format::Binary)
    }

    /// Whether the number is a counter.
    pub const fn count(self) -> bool {
        matches!(self.0, Format::Counter)
    }
}

impl ValueKind {
    /// The value with `flags`.
    pub fn with_flags(self, flags: ValueFlags) -> Value {
        Value { kind: self, flags }
    }
}

impl From<ValueKind> for Value {
    fn from(kind: ValueKind) -> Self {
        kind.with_flags(ValueFlags::default())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ValueKind::Signed(v) => {
                let sign = if *v < 0 { "-" } else { "" };
                let magnitude = v.unsigned_abs();
                match self.flags.0 {
                    Format::Hex => write!(f, "{sign}{magnitude:#x}"),
                    Format::Binary => write!(f, "{sign}{magnitude:#b}"),
                    _ => write!(f, "{v}"),
                }
            }
            ValueKind::Unsigned(v) => match self.flags.0 {
                Format::Hex => write!(f, "{v:#x}"),
                Format::Binary => write!(f, "{v:#b}"),
                _ => write!(f, "{v}"),
            },
            ValueKind::Float(v) => write!(f, "{v}"),
            ValueKind::Double(v) => write!(f, "{v}"),
            ValueKind::Bool(v) => write!(f, "{v}"),
            ValueKind::String(v) => write!(f, "{v:?}"),
            ValueKind::Bytes(v) => {
                f.write_str("<")?;
                write_hex_bytes(f, v)?;
                f.write_str(">")
            }
        }
    }
}

pub(crate) fn write_hex_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! from {
    ($variant:ident: $($ty:ty),*) => {
        $(impl From<$ty> for ValueKind {
            fn from(v: $ty) -> Self {
                Self::$variant(v.into())
            }
        })*
    };
}

from!(Signed: i8, i16, i32, i64);
from!(Unsigned: u8, u16, u32, u64);
from!(Float: f32);
from!(Double: f64);
from!(Bool: bool);
from!(String: &str, String, Cow<'_, str>, char);
from!(Bytes: &[u8], Vec<u8>);

impl From<isize> for ValueKind {
    fn from(v: isize) -> Self {
        Self::Signed(v as i64)
    }
}

impl From<usize> for ValueKind {
    fn from(v: usize) -> Self {
        Self::Unsigned(v as u64)
    }
}

/// A number beyond 64 bits becomes text.
impl From<u128> for ValueKind {
    fn from(v: u128) -> Self {
        u64::try_from(v).map_or_else(|_| Self::String(v.to_string()), Self::Unsigned)
    }
}

/// A number beyond 64 bits becomes text.
impl From<i128> for ValueKind {
    fn from(v: i128) -> Self {
        i64::try_from(v).map_or_else(|_| Self::String(v.to_string()), Self::Signed)
    }
}

impl From<&String> for ValueKind {
    fn from(v: &String) -> Self {
        Self::String(v.clone())
    }
}

impl<const N: usize> From<[u8; N]> for ValueKind {
    fn from(v: [u8; N]) -> Self {
        Self::Bytes(v.into())
    }
}

impl<const N: usize> From<&[u8; N]> for ValueKind {
    fn from(v: &[u8; N]) -> Self {
        Self::Bytes(v.into())
    }
}

impl From<fmt::Arguments<'_>> for ValueKind {
    fn from(v: fmt::Arguments<'_>) -> Self {
        Self::String(v.to_string())
    }
}
