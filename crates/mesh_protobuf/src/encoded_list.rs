//! A list that is kept encoded.

use crate::Error;
use crate::FieldType;
use crate::Key;
use crate::Message;
use crate::Presence;
use crate::Protobuf;
use crate::Reader;
use crate::Writer;
use crate::decode;
use std::convert::Infallible;
use std::marker::PhantomData;

/// A list of messages that is kept as they are encoded: on the wire the same as `Vec<T>`.
///
/// An element is written straight to where the list is: neither it nor what it is made of need exist but as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedList<T> {
    /// Each element after its [`Length`].
    bytes: Vec<u8>,
    element: PhantomData<fn(T)>,
}

/// Has one size, so that it can be put in when the element has been written.
type Length = u64;

impl<T> Default for EncodedList<T> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            element: PhantomData,
        }
    }
}

impl<T: Message> EncodedList<T> {
    /// The first element allocates so much: a short list takes one allocation.
    const USUAL_BYTES: usize = 256;

    /// Appends an element whose fields `write` writes, as [`Message::write_fields`] of a `T` would.
    ///
    /// # Errors
    ///
    /// As `write`. The list is as before.
    pub fn push_with<E>(
        &mut self,
        write: impl FnOnce(&mut Writer) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.bytes.is_empty() {
            self.bytes.reserve(Self::USUAL_BYTES);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&Length::to_le_bytes(0));
        let mut writer = Writer::after(std::mem::take(&mut self.bytes));
        let written = write(&mut writer);
        self.bytes = writer.into_bytes();
        if written.is_err() {
            self.bytes.truncate(start);
        } else if let Some((length, element)) = self
            .bytes
            .get_mut(start..)
            .and_then(<[u8]>::split_first_chunk_mut)
        {
            *length = Length::to_le_bytes(element.len() as Length);
        }
        written
    }

    fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (length, elements) = rest.split_first_chunk()?;
            let length = usize::try_from(Length::from_le_bytes(*length)).ok()?;
            let (element, others) = elements.split_at_checked(length)?;
            rest = others;
            Some(element)
        })
    }

    /// The elements.
    ///
    /// # Errors
    ///
    /// What was given to [`push_with`](Self::push_with) wrote something else than a `T`.
    pub fn elements(&self) -> Result<Vec<T>, Error> {
        self.encoded().map(decode).collect()
    }
}

impl<T: Message> From<Vec<T>> for EncodedList<T> {
    fn from(elements: Vec<T>) -> Self {
        let mut list = Self::default();
        for element in elements {
            let Ok(()) = list.push_with(|writer| {
                element.write_fields(writer);
                Ok::<(), Infallible>(())
            });
        }
        list
    }
}

impl<T: Message> Protobuf for EncodedList<T> {
    type Draft = Vec<T>;

    const TYPE: FieldType<'static> = <Vec<T>>::TYPE;

    fn write(&self, number: u32, _presence: Presence, writer: &mut Writer) {
        for element in self.encoded() {
            writer.bytes(number, Presence::Explicit, element);
        }
    }

    fn read(draft: &mut Vec<T>, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
        <Vec<T>>::read(draft, key, reader)
    }

    fn finish(draft: Vec<T>) -> Result<Self, Error> {
        Ok(draft.into())
    }
}
