//! The same messages through prost's own derive: each side reads what the other writes.

use crate::types;
use mesh_protobuf::Protobuf;
use mesh_protobuf::decode;
use mesh_protobuf::encode;
use prost::Message;
use std::fmt::Debug;

#[derive(Clone, PartialEq, Message)]
struct Scalars {
    #[prost(bool, tag = "1")]
    flag: bool,
    #[prost(uint32, tag = "2")]
    byte: u32,
    #[prost(uint32, tag = "3")]
    half: u32,
    #[prost(uint32, tag = "4")]
    word: u32,
    #[prost(uint64, tag = "5")]
    long: u64,
    #[prost(uint64, tag = "6")]
    size: u64,
    #[prost(sint32, tag = "7")]
    signed_byte: i32,
    #[prost(sint32, tag = "8")]
    signed_half: i32,
    #[prost(sint32, tag = "9")]
    signed_word: i32,
    #[prost(sint64, tag = "10")]
    signed_long: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sequences {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(bytes = "vec", tag = "2")]
    bytes: Vec<u8>,
    #[prost(uint32, repeated, tag = "3")]
    halves: Vec<u32>,
    #[prost(uint64, repeated, tag = "4")]
    longs: Vec<u64>,
    #[prost(sint32, repeated, tag = "5")]
    signed: Vec<i32>,
    #[prost(bool, repeated, tag = "6")]
    flags: Vec<bool>,
    #[prost(string, repeated, tag = "7")]
    texts: Vec<String>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    chunks: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "9")]
    scalars: Vec<Scalars>,
    #[prost(message, repeated, tag = "10")]
    pairs: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(uint32, tag = "2")]
    value: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Options {
    #[prost(uint32, optional, tag = "1")]
    word: Option<u32>,
    #[prost(string, optional, tag = "2")]
    text: Option<String>,
    #[prost(bytes = "vec", optional, tag = "3")]
    bytes: Option<Vec<u8>>,
    #[prost(message, optional, tag = "4")]
    scalars: Option<Scalars>,
    #[prost(uint32, repeated, tag = "5")]
    words: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(oneof = "Variant", tags = "1, 2, 3, 4")]
    variant: Option<Variant>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Variant {
    #[prost(message, tag = "1")]
    Removed(()),
    #[prost(message, tag = "2")]
    Moved(Moved),
    #[prost(string, tag = "3")]
    Renamed(String),
    #[prost(message, tag = "4")]
    Grown(Grown),
}

#[derive(Clone, PartialEq, Message)]
struct Moved {
    #[prost(uint32, tag = "1")]
    from: u32,
    #[prost(uint32, tag = "2")]
    to: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Grown {
    #[prost(uint32, tag = "7")]
    item: u32,
}

impl From<types::Scalars> for Scalars {
    fn from(ours: types::Scalars) -> Self {
        Self {
            flag: ours.flag,
            byte: ours.byte.into(),
            half: ours.half.into(),
            word: ours.word,
            long: ours.long,
            size: ours.size as u64,
            signed_byte: ours.signed_byte.into(),
            signed_half: ours.signed_half.into(),
            signed_word: ours.signed_word,
            signed_long: ours.signed_long,
        }
    }
}

impl From<types::Sequences> for Sequences {
    fn from(ours: types::Sequences) -> Self {
        Self {
            text: ours.text,
            bytes: ours.bytes,
            halves: ours.halves.into_iter().map(u32::from).collect(),
            longs: ours.longs,
            signed: ours.signed,
            flags: ours.flags,
            texts: ours.texts,
            chunks: ours.chunks,
            scalars: ours.scalars.into_iter().map(Scalars::from).collect(),
            pairs: ours
                .pairs
                .into_iter()
                .map(|(key, value)| Pair { key, value })
                .collect(),
        }
    }
}

impl From<types::Options> for Options {
    fn from(ours: types::Options) -> Self {
        Self {
            word: ours.word,
            text: ours.text,
            bytes: ours.bytes,
            scalars: ours.scalars.map(Scalars::from),
            words: ours.words.map_or_else(Vec::new, Vec::from),
        }
    }
}

impl From<types::Event> for Event {
    fn from(ours: types::Event) -> Self {
        let variant = match ours {
            types::Event::Removed => Variant::Removed(()),
            types::Event::Moved { from, to } => Variant::Moved(Moved {
                from: from.into(),
                to: to.into(),
            }),
            types::Event::Renamed(name) => Variant::Renamed(name),
            types::Event::Grown(item) => Variant::Grown(Grown { item }),
        };
        Self {
            variant: Some(variant),
        }
    }
}

/// Both sides write the same bytes, and read them as the same value.
fn check<Ours, Theirs>(ours: Ours)
where
    Ours: Protobuf + Clone + Debug + PartialEq,
    Theirs: From<Ours> + Message + Default + Debug + PartialEq,
{
    let theirs = Theirs::from(ours.clone());
    let bytes = encode(ours.clone());
    assert_eq!(bytes, theirs.encode_to_vec());
    assert_eq!(Theirs::decode(bytes.as_slice()).unwrap(), theirs);
    assert_eq!(decode::<Ours>(&bytes).unwrap(), ours);
}

#[test]
fn both_encoders_agree() {
    types::for_each(types::scalars(), check::<_, Scalars>);
    types::for_each(types::sequences(), check::<_, Sequences>);
    types::for_each(types::options(), check::<_, Options>);
    types::for_each(types::event(), check::<_, Event>);
}

#[test]
fn both_decoders_merge_alike() {
    // The concatenation of two encodings is an encoding of the merged messages.
    types::for_each((types::options(), types::options()), |(first, second)| {
        let second = types::Options {
            words: None,
            ..second
        };
        let bytes = [encode(first), encode(second)].concat();
        let merged: types::Options = decode(&bytes).unwrap();
        assert_eq!(
            Options::from(merged),
            Options::decode(bytes.as_slice()).unwrap()
        );
    });
    types::for_each(
        (types::sequences(), types::sequences()),
        |(first, second)| {
            let bytes = [encode(first), encode(second)].concat();
            let merged: types::Sequences = decode(&bytes).unwrap();
            assert_eq!(
                Sequences::from(merged),
                Sequences::decode(bytes.as_slice()).unwrap()
            );
        },
    );
    types::for_each((types::event(), types::event()), |(first, second)| {
        let bytes = [encode(first), encode(second)].concat();
        let merged: types::Event = decode(&bytes).unwrap();
        assert_eq!(
            Event::from(merged),
            Event::decode(bytes.as_slice()).unwrap()
        );
    });
}
