//! A message together with its name.

use crate::DescribedProtobuf;
use crate::Error;
use crate::ErrorKind;
use crate::Protobuf;
use crate::decode;
use crate::encode;

/// An encoded message with the name of its type: `google.protobuf.Any`.
///
/// Holding one proves nothing about its contents; [`parse`](Self::parse) does.
#[derive(Clone, Debug, PartialEq, Eq, Protobuf)]
#[mesh(package = "google.protobuf", rename = "Any")]
pub struct ProtobufAny {
    /// `type.googleapis.com/` and the full name of the message. This is a name, not an address: nothing is fetched.
    #[mesh(1)]
    pub type_url: String,
    /// The encoded message.
    #[mesh(2)]
    pub value: Vec<u8>,
}

const TYPE_URL_PREFIX: &str = "type.googleapis.com/";

impl ProtobufAny {
    /// Encodes a message.
    pub fn new<T: DescribedProtobuf>(message: T) -> Self {
        Self {
            type_url: [
                TYPE_URL_PREFIX,
                T::DESCRIPTION.package,
                ".",
                T::DESCRIPTION.name,
            ]
            .concat(),
            value: encode(message),
        }
    }

    /// Whether the message is named as `T` is.
    pub fn is_message<T: DescribedProtobuf>(&self) -> bool {
        let url = self
            .type_url
            .strip_prefix("https://")
            .unwrap_or(&self.type_url);
        url.strip_prefix(TYPE_URL_PREFIX) == Some(&T::DESCRIPTION.full_name())
    }

    /// Decodes the message.
    ///
    /// # Errors
    ///
    /// - the message is not named as `T` is ([`ErrorKind::MessageType`]);
    /// - it does not decode: see [`decode`].
    pub fn parse<T: DescribedProtobuf>(&self) -> Result<T, Error> {
        if !self.is_message::<T>() {
            return Err(ErrorKind::MessageType {
                expected: T::DESCRIPTION.full_name(),
                actual: self.type_url.clone(),
            }
            .into());
        }
        decode(&self.value)
    }
}
