//! Types that the tests encode, with strategies that generate them.

use mesh_protobuf::Protobuf;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::fmt::Debug;

#[derive(Clone, Debug, Default, PartialEq, Protobuf)]
#[mesh(package = "test")]
pub(crate) struct Scalars {
    #[mesh(1)]
    pub(crate) flag: bool,
    #[mesh(2)]
    pub(crate) byte: u8,
    #[mesh(3)]
    pub(crate) half: u16,
    #[mesh(4)]
    pub(crate) word: u32,
    #[mesh(5)]
    pub(crate) long: u64,
    #[mesh(6)]
    pub(crate) size: usize,
    #[mesh(7)]
    pub(crate) signed_byte: i8,
    #[mesh(8)]
    pub(crate) signed_half: i16,
    #[mesh(9)]
    pub(crate) signed_word: i32,
    #[mesh(10)]
    pub(crate) signed_long: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Protobuf)]
#[mesh(package = "test")]
pub(crate) struct Sequences {
    #[mesh(1)]
    pub(crate) text: String,
    #[mesh(2)]
    pub(crate) bytes: Vec<u8>,
    #[mesh(3)]
    pub(crate) halves: Vec<u16>,
    #[mesh(4)]
    pub(crate) longs: Vec<u64>,
    #[mesh(5)]
    pub(crate) signed: Vec<i32>,
    #[mesh(6)]
    pub(crate) flags: Vec<bool>,
    #[mesh(7)]
    pub(crate) texts: Vec<String>,
    #[mesh(8)]
    pub(crate) chunks: Vec<Vec<u8>>,
    #[mesh(9)]
    pub(crate) scalars: Vec<Scalars>,
    #[mesh(10)]
    pub(crate) pairs: Vec<(String, u32)>,
}

#[derive(Clone, Debug, PartialEq, Protobuf)]
#[mesh(package = "test")]
pub(crate) struct Arrays {
    #[mesh(1)]
    pub(crate) words: [u32; 3],
    #[mesh(2)]
    pub(crate) bytes: [u8; 2],
    #[mesh(3)]
    pub(crate) pairs: [(u8, u8); 2],
}

#[derive(Clone, Debug, Default, PartialEq, Protobuf)]
#[mesh(package = "test")]
pub(crate) struct Options {
    #[mesh(1)]
    pub(crate) word: Option<u32>,
    #[mesh(2)]
    pub(crate) text: Option<String>,
    #[mesh(3)]
    pub(crate) bytes: Option<Vec<u8>>,
    #[mesh(4)]
    pub(crate) scalars: Option<Scalars>,
    #[mesh(5)]
    pub(crate) words: Option<[u32; 2]>,
}

#[derive(Clone, Debug, Default, PartialEq, Protobuf)]
#[mesh(package = "test")]
pub(crate) struct Nested {
    #[mesh(1)]
    pub(crate) scalars: Scalars,
    #[mesh(2)]
    pub(crate) pair: (u8, Scalars),
}

/// Contains itself.
#[derive(Clone, Debug, Default, PartialEq, Protobuf)]
#[mesh(package = "test")]
pub(crate) struct Tree {
    #[mesh(1)]
    pub(crate) children: Vec<Tree>,
}

#[derive(Clone, Debug, PartialEq, Protobuf)]
#[mesh(package = "test")]
pub(crate) enum Event {
    #[mesh(1)]
    Removed,
    #[mesh(2)]
    Moved {
        #[mesh(1)]
        from: u16,
        #[mesh(2)]
        to: u16,
    },
    #[mesh(3, transparent)]
    Renamed(String),
    #[mesh(4)]
    Grown(#[mesh(7)] u32),
}

/// Numbers are positions; a type without package.
#[derive(Clone, Debug, Default, PartialEq, Protobuf)]
pub(crate) struct Positions(pub(crate) u32, pub(crate) String);

#[derive(Clone, Copy, Debug, PartialEq, Protobuf)]
#[mesh(transparent)]
pub(crate) struct Vector(pub(crate) u16);

#[derive(Clone, Debug, PartialEq, Protobuf)]
#[mesh(package = "test")]
pub(crate) struct Generic<T> {
    #[mesh(1)]
    pub(crate) value: T,
    #[mesh(2)]
    pub(crate) others: Vec<T>,
}

pub(crate) fn scalars() -> impl Strategy<Value = Scalars> {
    let unsigned = (
        any::<bool>(),
        any::<u8>(),
        any::<u16>(),
        any::<u32>(),
        any::<u64>(),
        any::<usize>(),
    );
    let signed = (any::<i8>(), any::<i16>(), any::<i32>(), any::<i64>());
    (unsigned, signed).prop_map(|((flag, byte, half, word, long, size), signed)| Scalars {
        flag,
        byte,
        half,
        word,
        long,
        size,
        signed_byte: signed.0,
        signed_half: signed.1,
        signed_word: signed.2,
        signed_long: signed.3,
    })
}

pub(crate) fn sequences() -> impl Strategy<Value = Sequences> {
    fn some<T: Debug>(element: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
        prop::collection::vec(element, 0..4)
    }
    let text = || some(any::<char>()).prop_map(String::from_iter);
    let plain = (
        text(),
        some(any::<u8>()),
        some(any::<u16>()),
        some(any::<u64>()),
        some(any::<i32>()),
    );
    let nested = (
        some(any::<bool>()),
        some(text()),
        some(some(any::<u8>())),
        some(scalars()),
        some((text(), any::<u32>())),
    );
    (plain, nested).prop_map(
        |((text, bytes, halves, longs, signed), (flags, texts, chunks, scalars, pairs))| {
            Sequences {
                text,
                bytes,
                halves,
                longs,
                signed,
                flags,
                texts,
                chunks,
                scalars,
                pairs,
            }
        },
    )
}

pub(crate) fn arrays() -> impl Strategy<Value = Arrays> {
    any::<([u32; 3], [u8; 2], [(u8, u8); 2])>().prop_map(|(words, bytes, pairs)| Arrays {
        words,
        bytes,
        pairs,
    })
}

pub(crate) fn options() -> impl Strategy<Value = Options> {
    let text =
        prop::option::of(prop::collection::vec(any::<char>(), 0..3).prop_map(String::from_iter));
    let plain = any::<(Option<u32>, Option<Vec<u8>>, Option<[u32; 2]>)>();
    (plain, text, prop::option::of(scalars())).prop_map(|((word, bytes, words), text, scalars)| {
        Options {
            word,
            text,
            bytes,
            scalars,
            words,
        }
    })
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Removed),
        any::<(u16, u16)>().prop_map(|(from, to)| Event::Moved { from, to }),
        any::<char>().prop_map(|name| Event::Renamed(name.to_string())),
        any::<u32>().prop_map(Event::Grown),
    ]
}

/// Calls `test` with generated values, the same on every run.
pub(crate) fn for_each<T: Debug>(strategy: impl Strategy<Value = T>, mut test: impl FnMut(T)) {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..512 {
        test(strategy.new_tree(&mut runner).unwrap().current());
    }
}
