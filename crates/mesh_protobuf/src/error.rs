//! What is wrong with bytes that do not decode, and where.

use crate::MessageDescription;
use std::fmt;
use thiserror::Error;

/// The error of an [`Encoding`](crate::Encoding), which any error type and any text converts to.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why bytes could not be decoded: what is wrong, in which field of which message.
///
/// ```
/// # use mesh_protobuf::{Protobuf, decode};
/// #[derive(Debug, Protobuf)]
/// #[mesh(package = "example")]
/// struct SavedState {
///     #[mesh(1)]
///     vectors: Vec<u16>,
/// }
///
/// let error = decode::<SavedState>(&[0x0a, 4, 7, 0x80, 0x80, 4]).unwrap_err();
/// assert_eq!(error.to_string(), "example.SavedState.vectors[1]: 65536 is out of range for u16");
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// The outermost message that the error passed through on its way out.
    message: Option<&'static MessageDescription<'static>>,
    /// Innermost first.
    path: Vec<Segment>,
    kind: ErrorKind,
}

#[derive(Debug)]
enum Segment {
    Field(&'static str),
    UnknownField(u32),
    Element(usize),
}

/// What is wrong with bytes that do not decode.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The message is longer than the [limit](crate::DecodeLimits::size_bytes_max).
    #[error("the message has {size_bytes} bytes, more than the limit of {limit_bytes}")]
    TooLarge {
        /// Length of the message in bytes.
        size_bytes: usize,
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// Messages are nested deeper than the [limit](crate::DecodeLimits::depth_max).
    #[error("messages are nested deeper than the limit of {limit}")]
    TooDeep {
        /// The limit, in messages below the outermost.
        limit: u32,
    },
    /// The bytes are not Protobuf wire format, or have another wire type than the field.
    #[error("malformed data: {0}")]
    Malformed(#[source] prost::DecodeError),
    /// A length prefix promises more bytes than there are.
    #[error("the value has {length_bytes} bytes, but only {available_bytes} are left")]
    Truncated {
        /// The length prefix.
        length_bytes: u64,
        /// Bytes left in the message.
        available_bytes: usize,
    },
    /// An integer does not fit the Rust type of its field.
    #[error("{value} is out of range for {type_name}")]
    OutOfRange {
        /// The integer on the wire.
        value: i128,
        /// The Rust type of the field.
        type_name: &'static str,
    },
    /// A string is not UTF-8.
    #[error("the string is not UTF-8: {0}")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// A field without default is absent.
    #[error("the required field is missing")]
    Missing,
    /// A fixed-size array has another number of elements.
    #[error("the array has {actual} elements instead of {expected}")]
    ElementCount {
        /// Elements of the Rust type.
        expected: usize,
        /// Elements on the wire.
        actual: usize,
    },
    /// The message of an enum holds none of the variants known here.
    #[error("no known variant is present")]
    NoKnownVariant,
    /// A [`ProtobufAny`](crate::ProtobufAny) holds another message than the one asked for.
    #[error("the message is '{actual}' instead of '{expected}'")]
    MessageType {
        /// Full name of the message asked for.
        expected: String,
        /// The type URL found.
        actual: String,
    },
    /// The value's type, or the field's [`Encoding`](crate::Encoding), refuses the value.
    #[error("invalid value: {0}")]
    InvalidValue(#[source] BoxError),
}

impl Error {
    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Where: the full name of the message, then the path of the field, such as
    /// `pcie.root.SavedState.ports[3].cfg_space`. Empty if the whole input is refused before any field is read.
    pub fn location(&self) -> String {
        let mut location = self.0.message.map_or_else(String::new, |m| m.full_name());
        for segment in self.0.path.iter().rev() {
            match segment {
                Segment::Field(name) => location.extend([".", name]),
                Segment::UnknownField(number) => location += &format!(".#{number}"),
                Segment::Element(index) => location += &format!("[{index}]"),
            }
        }
        location
    }

    /// The fields are well-formed, but what they say stands for no value of the type.
    pub fn invalid_value(error: BoxError) -> Self {
        ErrorKind::InvalidValue(error).into()
    }

    /// The message of an enum holds none of its variants.
    #[doc(hidden)]
    pub fn no_known_variant(message: &'static MessageDescription<'static>) -> Self {
        Self::from(ErrorKind::NoKnownVariant).in_message(message)
    }

    /// Records that the error is within the field `number` of `message`.
    #[doc(hidden)]
    #[must_use]
    pub fn in_field(mut self, message: &'static MessageDescription<'static>, number: u32) -> Self {
        let field = message.field(number);
        self.0
            .path
            .push(field.map_or(Segment::UnknownField(number), |f| Segment::Field(f.name)));
        self.in_message(message)
    }

    /// Counts an element's index from behind `count` further elements.
    #[doc(hidden)]
    #[must_use]
    pub fn after_elements(mut self, count: usize) -> Self {
        if let Some(Segment::Element(index)) = self.0.path.last_mut() {
            *index += count;
        }
        self
    }

    pub(crate) fn in_message(mut self, message: &'static MessageDescription<'static>) -> Self {
        self.0.message = Some(message);
        self
    }

    pub(crate) fn in_element(mut self, index: usize) -> Self {
        self.0.path.push(Segment::Element(index));
        self
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            message: None,
            path: Vec::new(),
            kind,
        }))
    }
}

impl From<prost::DecodeError> for Error {
    fn from(error: prost::DecodeError) -> Self {
        ErrorKind::Malformed(error).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = self.location();
        if !location.is_empty() {
            write!(f, "{location}: ")?;
        }
        self.0.kind.fmt(f)
    }
}

impl std::error::Error for Error {
    // The text of an underlying error is part of the kind's own: it is offered for its type, not to be printed again.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.kind.source()
    }
}
