//! A message together with its name.

use crate::DescribedProtobuf;
use crate::Error;
use crate::ErrorKind;
use crate::Presence;
use crate::Protobuf;
use crate::Writer;
use crate::decode;
use crate::encode;

/// An encoded message with the name of its type: `google.protobuf.Any`.
///
/// The name is a [`String`], or with a `Url` of `Cow<'static, str>` mostly a constant of the program, which is the same on the
/// wire. Holding one proves nothing about its contents; [`parse`](Self::parse) does.
#[derive(Clone, Debug, PartialEq, Eq, Protobuf)]
#[mesh(package = "google.protobuf")]
pub struct Any<Url> {
    /// [`DescribedProtobuf::TYPE_URL`] of the message.
    #[mesh(1)]
    pub type_url: Url,
    /// The encoded message.
    #[mesh(2)]
    pub value: Vec<u8>,
}

/// An encoded message with the name of its type, which it owns.
pub type ProtobufAny = Any<String>;

impl<Url: From<&'static str> + AsRef<str>> Any<Url> {
    /// Encodes a message.
    pub fn new<T: DescribedProtobuf>(message: T) -> Self {
        Self {
            type_url: T::TYPE_URL.into(),
            value: encode(message),
        }
    }

    /// Encodes a message that `make` gives in parts: what decodes is the parts merged, as Protobuf has it for messages one
    /// after the other. Lists are joined; of the other fields, the last that is there counts.
    ///
    /// # Errors
    ///
    /// As `make`.
    pub fn of_parts<T: DescribedProtobuf, E>(
        make: impl FnOnce(&mut dyn FnMut(T)) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut writer = Writer::new();
        make(&mut |part| part.write_root(&mut writer))?;
        Ok(Self {
            type_url: T::TYPE_URL.into(),
            value: writer.into_bytes(),
        })
    }

    /// Writes what [`of_parts`](Self::of_parts) would make as field `number`, without making it.
    ///
    /// # Errors
    ///
    /// As `make`. The field is incomplete then.
    pub fn write_parts<T: DescribedProtobuf, E>(
        number: u32,
        writer: &mut Writer,
        make: impl FnOnce(&mut dyn FnMut(T)) -> Result<(), E>,
    ) -> Result<(), E> {
        writer.length_delimited(number, Presence::Implicit, |writer| {
            writer.text(1, Presence::Implicit, T::TYPE_URL);
            writer.length_delimited(2, Presence::Implicit, |writer| {
                make(&mut |part| part.write_root(writer))
            })
        })
    }

    /// Whether the message is named as `T` is.
    pub fn is_message<T: DescribedProtobuf>(&self) -> bool {
        let url = self.type_url.as_ref();
        url.strip_prefix("https://").unwrap_or(url) == T::TYPE_URL
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
                actual: self.type_url.as_ref().to_owned(),
            }
            .into());
        }
        decode(&self.value)
    }
}
