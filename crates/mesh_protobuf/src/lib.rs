//! Protobuf encoding of saved state, with a derive for ordinary Rust types.
//!
//! A saved state is a plain struct. [`macro@Protobuf`] gives it an encoding in the
//! [Protobuf wire format](https://protobuf.dev/programming-guides/encoding/), so that states outlive the
//! program that wrote them and other tools can read them:
//!
//! ```
//! use mesh_protobuf::{Protobuf, ProtobufAny, decode, encode};
//!
//! #[derive(Debug, PartialEq, Protobuf)]
//! #[mesh(package = "example")]
//! struct SavedState {
//!     #[mesh(1)]
//!     control: u16,
//!     #[mesh(2)]
//!     vectors: Vec<u32>,
//! }
//!
//! let state = SavedState { control: 0x1f, vectors: vec![] };
//! let bytes = encode(state);
//! assert_eq!(bytes, [0x08, 0x1f]);
//! let state = decode::<SavedState>(&bytes)?;
//! assert_eq!(state.control, 0x1f);
//!
//! // A blob names its type, so that parsing it as another type fails.
//! let any = ProtobufAny::new(state);
//! assert_eq!(any.type_url, "type.googleapis.com/example.SavedState");
//! # Ok::<(), mesh_protobuf::Error>(())
//! ```
//!
//! # How Rust types are encoded
//!
//! | Rust type | encoding | omitted when | if absent |
//! |---|---|---|---|
//! | `u8` to `u64`, `usize`, `bool` | varint | zero, `false` | zero, `false` |
//! | `i8` to `i64` | zig-zag varint | zero | zero |
//! | `String` | UTF-8 bytes | empty | empty |
//! | `Vec<u8>` | bytes | empty | empty |
//! | `[u8; N]` | bytes, exactly `N` | never | error |
//! | `Vec` of other integers or `bool` | packed varints | empty | empty |
//! | `[T; N]` of other integers or `bool` | packed varints, exactly `N` | never | error |
//! | `Vec` of anything else | one field an element | empty | empty |
//! | `Option<T>` | as `T`, even if zero or empty | `None` | `None` |
//! | tuple | message with fields 1, 2, … | every item is omitted | default of each item |
//! | struct | message | every field is omitted | default of each field |
//! | enum | message with one field, the variant | never | error |
//!
//! The decoder takes fields in any order and skips unknown ones. Of a field that occurs more than once the last
//! value wins; nested messages are merged and sequences are joined. Sequences of integers may be packed or not.
//! An integer that is out of its Rust type's range is an error rather than truncated.
//!
//! Protobuf has no sequences of sequences and no optional ones, so such a field does not compile:
//!
//! ```compile_fail
//! # use mesh_protobuf::{Protobuf, encode};
//! #[derive(Protobuf)]
//! struct Matrix(Vec<Vec<u16>>);
//! encode(Matrix(vec![]));
//! ```
//!
//! ```compile_fail
//! # use mesh_protobuf::{Protobuf, encode};
//! #[derive(Protobuf)]
//! struct Sparse(Option<Vec<u16>>);
//! encode(Sparse(None));
//! ```
//!
//! # Hostile input
//!
//! A decoder never panics; its memory is bounded by the length of its input times the size of the types it fills, and
//! [`DecodeLimits`] bounds that length and the depth of nesting.

#![forbid(unsafe_code)]

// The derive names this crate by its absolute path, in here too.
extern crate self as mesh_protobuf;

mod any;
mod description;
mod encoded_list;
mod error;
mod message;
mod option;
mod proto_text;
mod protobuf;
mod scalar;
mod sequence;
mod string;
mod tuple;
mod wire;

pub use any::Any;
pub use any::ProtobufAny;
pub use description::FieldDescription;
pub use description::FieldType;
pub use description::MessageDescription;
pub use description::Repeat;
pub use description::ValueType;
pub use description::reachable_messages;
pub use encoded_list::EncodedList;
pub use error::BoxError;
pub use error::Error;
pub use error::ErrorKind;
pub use mesh_derive::Protobuf;
pub use message::DescribedProtobuf;
pub use message::Message;
pub use proto_text::to_proto;
pub use proto_text::to_proto_files;
pub use protobuf::Encoding;
pub use protobuf::Presence;
pub use protobuf::Protobuf;
pub use wire::DecodeLimits;
pub use wire::Key;
pub use wire::Reader;
pub use wire::Writer;

/// Encodes `value` as a message.
///
/// A value whose type is not a message (an integer, say) is encoded as the only field, number 1, of one.
pub fn encode<T: Protobuf>(value: T) -> Vec<u8> {
    let mut writer = Writer::new();
    value.write_root(&mut writer);
    writer.into_bytes()
}

/// Decodes a message that [`encode`] or any other Protobuf encoder wrote, within the default [`DecodeLimits`].
///
/// # Errors
///
/// As [`decode_with_limits`].
pub fn decode<T: Protobuf>(bytes: &[u8]) -> Result<T, Error> {
    decode_with_limits(bytes, DecodeLimits::default())
}

/// Decodes a message within `limits`.
///
/// # Errors
///
/// Each error names the message and the path of the field. The [kinds](ErrorKind):
/// - `bytes` is longer than [`DecodeLimits::size_bytes_max`], or nests deeper than [`DecodeLimits::depth_max`];
/// - `bytes` is not Protobuf wire format, or a value ends early;
/// - a field's wire type is not the one its Rust type has;
/// - an integer is out of range, a string is not UTF-8, an array has another length;
/// - an array or an enum is missing;
/// - the [`Encoding`] of a field refuses the value.
pub fn decode_with_limits<T: Protobuf>(bytes: &[u8], limits: DecodeLimits) -> Result<T, Error> {
    let mut reader = Reader::new(bytes, limits)?;
    let mut draft = T::Draft::default();
    T::read_root(&mut draft, &mut reader)?;
    T::finish(draft)
}
