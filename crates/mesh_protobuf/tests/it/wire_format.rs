//! What is on the wire, byte by byte. The bytes are worked out by hand from the Protobuf encoding guide: a key is
//! number * 8 + wire type, with type 0 for a varint and 2 for a value with a length.

use crate::types::*;
use mesh_protobuf::EncodedList;
use mesh_protobuf::Message;
use mesh_protobuf::Protobuf;
use mesh_protobuf::decode;
use mesh_protobuf::encode;
use std::fmt::Debug;

/// Checks that `value` encodes to `bytes`, and the bytes decode to the value.
#[track_caller]
fn check<T: Protobuf + Clone + Debug + PartialEq>(value: T, bytes: &[u8]) {
    assert_eq!(encode(value.clone()), bytes, "encoding of {value:?}");
    assert_eq!(
        decode::<T>(bytes).unwrap(),
        value,
        "decoding of {bytes:02x?}"
    );
}

/// Checks that `bytes` decode to `value`, though an encoder of ours would write it otherwise.
#[track_caller]
fn check_accepted<T: Protobuf + Debug + PartialEq>(bytes: &[u8], value: T) {
    assert_eq!(
        decode::<T>(bytes).unwrap(),
        value,
        "decoding of {bytes:02x?}"
    );
}

#[track_caller]
fn check_refused<T: Protobuf + Debug>(bytes: &[u8], message: &str) {
    assert_eq!(
        decode::<T>(bytes).unwrap_err().to_string(),
        message,
        "decoding of {bytes:02x?}"
    );
}

#[test]
fn unsigned_integers_are_varints_and_zero_is_omitted() {
    let zero = Scalars::default();
    check(zero.clone(), &[]);
    check(
        Scalars {
            flag: true,
            ..zero.clone()
        },
        &[0x08, 1],
    );
    check(
        Scalars {
            byte: 255,
            ..zero.clone()
        },
        &[0x10, 0xff, 0x01],
    );
    // 300 = 0b10_0101100, the guide's own example.
    check(
        Scalars {
            half: 300,
            ..zero.clone()
        },
        &[0x18, 0xac, 0x02],
    );
    check(
        Scalars {
            word: u32::MAX,
            ..zero.clone()
        },
        &[0x20, 0xff, 0xff, 0xff, 0xff, 0x0f],
    );
    let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    check(
        Scalars {
            long: u64::MAX,
            ..zero.clone()
        },
        &[&[0x28][..], &max].concat(),
    );
    check(
        Scalars {
            size: 1 << 7,
            ..zero
        },
        &[0x30, 0x80, 0x01],
    );
}

#[test]
fn signed_integers_are_zig_zag() {
    let zero = Scalars::default();
    check(
        Scalars {
            signed_byte: -1,
            ..zero.clone()
        },
        &[0x38, 1],
    );
    check(
        Scalars {
            signed_byte: i8::MIN,
            ..zero.clone()
        },
        &[0x38, 0xff, 0x01],
    );
    check(
        Scalars {
            signed_half: 1,
            ..zero.clone()
        },
        &[0x40, 2],
    );
    check(
        Scalars {
            signed_word: i32::MIN,
            ..zero.clone()
        },
        &[0x48, 0xff, 0xff, 0xff, 0xff, 0x0f],
    );
    check(
        Scalars {
            signed_word: i32::MAX,
            ..zero.clone()
        },
        &[0x48, 0xfe, 0xff, 0xff, 0xff, 0x0f],
    );
    let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    check(
        Scalars {
            signed_long: i64::MIN,
            ..zero
        },
        &[&[0x50][..], &max].concat(),
    );
}

#[test]
fn integers_out_of_range_are_refused() {
    check_refused::<Scalars>(
        &[0x10, 0x80, 0x02],
        "test.Scalars.byte: 256 is out of range for u8",
    );
    check_refused::<Scalars>(
        &[0x18, 0x80, 0x80, 0x04],
        "test.Scalars.half: 65536 is out of range for u16",
    );
    check_refused::<Scalars>(
        &[0x20, 0x80, 0x80, 0x80, 0x80, 0x10],
        "test.Scalars.word: 4294967296 is out of range for u32",
    );
    // Zig-zag 257 is -129.
    check_refused::<Scalars>(
        &[0x38, 0x81, 0x02],
        "test.Scalars.signed_byte: -129 is out of range for i8",
    );
    check_accepted(
        &[0x08, 0x02],
        Scalars {
            flag: true,
            ..Scalars::default()
        },
    );
}

#[test]
fn sequences_are_bytes_packed_or_repeated() {
    let empty = Sequences::default();
    check(empty.clone(), &[]);
    check(
        Sequences {
            text: "é".into(),
            ..empty.clone()
        },
        &[0x0a, 2, 0xc3, 0xa9],
    );
    check(
        Sequences {
            bytes: vec![0, 200],
            ..empty.clone()
        },
        &[0x12, 2, 0, 200],
    );
    check(
        Sequences {
            halves: vec![1, 0, 300],
            ..empty.clone()
        },
        &[0x1a, 4, 1, 0, 0xac, 0x02],
    );
    check(
        Sequences {
            longs: vec![0],
            ..empty.clone()
        },
        &[0x22, 1, 0],
    );
    check(
        Sequences {
            signed: vec![-2, 2],
            ..empty.clone()
        },
        &[0x2a, 2, 3, 4],
    );
    check(
        Sequences {
            flags: vec![false, true],
            ..empty.clone()
        },
        &[0x32, 2, 0, 1],
    );
    let texts = vec!["a".into(), String::new(), "b".into()];
    check(
        Sequences {
            texts,
            ..empty.clone()
        },
        &[0x3a, 1, b'a', 0x3a, 0, 0x3a, 1, b'b'],
    );
    let chunks = vec![vec![], vec![7]];
    check(
        Sequences {
            chunks,
            ..empty.clone()
        },
        &[0x42, 0, 0x42, 1, 7],
    );
    let scalars = vec![
        Scalars::default(),
        Scalars {
            byte: 9,
            ..Scalars::default()
        },
    ];
    check(
        Sequences {
            scalars,
            ..empty.clone()
        },
        &[0x4a, 0, 0x4a, 2, 0x10, 9],
    );
    let pairs = vec![("msi".into(), 5), (String::new(), 0), (String::new(), 1)];
    let bytes = [
        0x52, 7, 0x0a, 3, b'm', b's', b'i', 0x10, 5, 0x52, 0, 0x52, 2, 0x10, 1,
    ];
    check(Sequences { pairs, ..empty }, &bytes);
}

#[test]
fn long_values_have_long_lengths() {
    // 200 = 0xc8 takes two bytes as a varint.
    let bytes = [&[0x12, 0xc8, 0x01][..], &[7; 200]].concat();
    check(
        Sequences {
            bytes: vec![7; 200],
            ..Sequences::default()
        },
        &bytes,
    );
}

#[test]
fn sequences_of_integers_may_be_unpacked_or_in_pieces() {
    let empty = Sequences::default();
    let halves = vec![1, 2, 3, 4];
    check_accepted(
        &[0x18, 1, 0x1a, 2, 2, 3, 0x18, 4],
        Sequences {
            halves,
            ..empty.clone()
        },
    );
    // Bytes and texts are single values.
    check_accepted(
        &[0x12, 2, 1, 2, 0x12, 1, 3],
        Sequences {
            bytes: vec![3],
            ..empty.clone()
        },
    );
    check_accepted(
        &[0x0a, 2, b'a', b'b', 0x0a, 1, b'c'],
        Sequences {
            text: "c".into(),
            ..empty
        },
    );
}

#[test]
fn arrays_have_exactly_their_length_and_are_never_omitted() {
    let zero = Arrays {
        words: [0; 3],
        bytes: [0; 2],
        pairs: [(0, 0); 2],
    };
    let bytes = [0x0a, 3, 0, 0, 0, 0x12, 2, 0, 0, 0x1a, 0, 0x1a, 0];
    check(zero, &bytes);
    let some = Arrays {
        words: [1, 300, 2],
        bytes: [3, 255],
        pairs: [(4, 0), (0, 5)],
    };
    let bytes = [
        0x0a, 4, 1, 0xac, 0x02, 2, 0x12, 2, 3, 255, 0x1a, 2, 0x08, 4, 0x1a, 2, 0x10, 5,
    ];
    check(some.clone(), &bytes);
    // The same with the words one by one, two of them packed.
    let bytes = [
        0x08, 1, 0x0a, 3, 0xac, 0x02, 2, 0x12, 2, 3, 255, 0x1a, 2, 0x08, 4, 0x1a, 2, 0x10, 5,
    ];
    check_accepted(&bytes, some);

    check_refused::<Arrays>(&[], "test.Arrays.words: the required field is missing");
    check_refused::<Arrays>(
        &[0x0a, 2, 1, 2],
        "test.Arrays.words: the array has 2 elements instead of 3",
    );
    check_refused::<Arrays>(
        &[0x0a, 4, 1, 2, 3, 4],
        "test.Arrays.words: the array has 4 elements instead of 3",
    );
    let bytes = [0x0a, 3, 0, 0, 0, 0x12, 3, 0, 0, 0];
    check_refused::<Arrays>(
        &bytes,
        "test.Arrays.bytes: the array has 3 elements instead of 2",
    );
    let bytes = [0x0a, 3, 0, 0, 0, 0x12, 2, 0, 0];
    check_refused::<Arrays>(&bytes, "test.Arrays.pairs: the required field is missing");
}

#[test]
fn a_struct_with_an_array_has_no_default() {
    #[derive(Debug, Protobuf)]
    #[mesh(package = "test")]
    struct Port {
        #[mesh(2)]
        cfg_space: Arrays,
    }
    check_refused::<Port>(
        &[],
        "test.Port.cfg_space.words: the required field is missing",
    );
}

#[test]
fn an_option_is_present_if_it_is_some() {
    let none = Options::default();
    check(none.clone(), &[]);
    check(
        Options {
            word: Some(0),
            ..none.clone()
        },
        &[0x08, 0],
    );
    check(
        Options {
            text: Some(String::new()),
            ..none.clone()
        },
        &[0x12, 0],
    );
    check(
        Options {
            bytes: Some(vec![]),
            ..none.clone()
        },
        &[0x1a, 0],
    );
    check(
        Options {
            scalars: Some(Scalars::default()),
            ..none.clone()
        },
        &[0x22, 0],
    );
    check(
        Options {
            words: Some([0, 1]),
            ..none
        },
        &[0x2a, 2, 0, 1],
    );
}

#[test]
fn nested_messages_are_omitted_if_they_are_empty() {
    let empty = Nested::default();
    check(empty.clone(), &[]);
    let scalars = Scalars {
        word: 300,
        ..Scalars::default()
    };
    check(
        Nested {
            scalars: scalars.clone(),
            ..empty.clone()
        },
        &[0x0a, 3, 0x20, 0xac, 0x02],
    );
    check(
        Nested {
            pair: (1, Scalars::default()),
            ..empty.clone()
        },
        &[0x12, 2, 0x08, 1],
    );
    check(
        Nested {
            pair: (0, scalars),
            ..empty
        },
        &[0x12, 5, 0x12, 3, 0x20, 0xac, 0x02],
    );
}

#[test]
fn fields_come_in_any_order_and_the_last_wins() {
    let value = Scalars {
        byte: 4,
        half: 3,
        ..Scalars::default()
    };
    check_accepted(&[0x18, 3, 0x10, 4], value.clone());
    check_accepted(&[0x10, 1, 0x18, 3, 0x10, 4], value);
    // A nested message in two pieces is merged: the byte stays, the word is replaced.
    let bytes = [0x0a, 4, 0x10, 1, 0x20, 2, 0x0a, 2, 0x20, 3];
    let scalars = Scalars {
        byte: 1,
        word: 3,
        ..Scalars::default()
    };
    check_accepted(
        &bytes,
        Nested {
            scalars,
            ..Nested::default()
        },
    );
    // Merging completes what neither piece has alone.
    let bytes = [0x22, 2, 0x10, 1, 0x22, 2, 0x20, 3];
    let scalars = Scalars {
        byte: 1,
        word: 3,
        ..Scalars::default()
    };
    check_accepted(
        &bytes,
        Options {
            scalars: Some(scalars),
            ..Options::default()
        },
    );
}

#[test]
fn unknown_fields_are_skipped() {
    let value = Scalars {
        byte: 4,
        ..Scalars::default()
    };
    // Number 15 with each wire type: varint, 64 bits, length, group (holding a varint), 32 bits.
    check_accepted(&[0x78, 0x80, 0x01, 0x10, 4], value.clone());
    check_accepted(&[0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 4], value.clone());
    check_accepted(&[0x7a, 2, 0xff, 0xff, 0x10, 4], value.clone());
    check_accepted(&[0x7b, 0x08, 1, 0x7c, 0x10, 4], value.clone());
    check_accepted(&[0x7d, 1, 2, 3, 4, 0x10, 4], value);
}

#[test]
fn enums_are_messages_with_one_field() {
    check(Event::Removed, &[0x0a, 0]);
    check(Event::Moved { from: 0, to: 0 }, &[0x12, 0]);
    check(
        Event::Moved { from: 1, to: 300 },
        &[0x12, 5, 0x08, 1, 0x10, 0xac, 0x02],
    );
    check(Event::Renamed(String::new()), &[0x1a, 0]);
    check(Event::Renamed("a".into()), &[0x1a, 1, b'a']);
    check(Event::Grown(2), &[0x22, 2, 0x38, 2]);

    // The last variant wins, and nothing is left of an earlier occurrence.
    check_accepted(
        &[0x12, 2, 0x08, 1, 0x0a, 0, 0x12, 2, 0x10, 2],
        Event::Moved { from: 0, to: 2 },
    );
    check_accepted(
        &[0x12, 2, 0x08, 1, 0x12, 2, 0x10, 2],
        Event::Moved { from: 1, to: 2 },
    );
    check_accepted(&[0x0a, 2, 0x08, 1, 0x78, 1], Event::Removed);
    check_refused::<Event>(&[0x78, 1], "test.Event: no known variant is present");
    check_refused::<Event>(
        &[0x12, 4, 0x08, 0x80, 0x80, 0x04],
        "test.Event.Moved.from: 65536 is out of range for u16",
    );
}

#[test]
fn positions_number_the_fields_of_types_without_package() {
    check(Positions(1, "a".into()), &[0x08, 1, 0x12, 1, b'a']);
    #[derive(Clone, Debug, PartialEq, Protobuf)]
    enum Positional {
        First,
        #[mesh(5)]
        Fifth,
        Third(u8),
    }
    check(Positional::First, &[0x0a, 0]);
    check(Positional::Fifth, &[0x2a, 0]);
    check(Positional::Third(1), &[0x1a, 2, 0x08, 1]);
}

#[test]
fn a_transparent_struct_is_its_field() {
    #[derive(Clone, Debug, PartialEq, Protobuf)]
    #[mesh(transparent)]
    struct Wrapper {
        scalars: Scalars,
    }
    let scalars = Scalars {
        byte: 4,
        ..Scalars::default()
    };
    check(
        Wrapper {
            scalars: scalars.clone(),
        },
        &[0x10, 4],
    );
    check((0u8, Wrapper { scalars }), &[0x12, 2, 0x10, 4]);
    check(
        (vec![Vector(1), Vector(300)], Vector(0)),
        &[0x0a, 3, 1, 0xac, 0x02],
    );
    check(
        ([Vector(1), Vector(0)], Some(Vector(0))),
        &[0x0a, 2, 1, 0, 0x10, 0],
    );
    // The index counts from the first piece on.
    check_refused::<(Vec<Vector>, u8)>(
        &[0x0a, 2, 1, 2, 0x08, 0x80, 0x80, 0x04],
        "(tuple).item_1[2]: 65536 is out of range for u16",
    );
}

#[test]
fn a_value_that_is_no_message_is_field_1_of_one() {
    check(5u32, &[0x08, 5]);
    check(0u32, &[]);
    check("a".to_owned(), &[0x0a, 1, b'a']);
    check(vec![Vector(3)], &[0x0a, 1, 3]);
    check_accepted(&[0x10, 9, 0x08, 5], 5u32);
}

#[test]
fn generic_structs_bound_their_parameters() {
    check(
        Generic {
            value: 5u32,
            others: vec![1, 2],
        },
        &[0x08, 5, 0x12, 2, 1, 2],
    );
    let generic = Generic {
        value: "a".to_owned(),
        others: vec![String::new()],
    };
    check(generic, &[0x0a, 1, b'a', 0x12, 0]);

    #[derive(Clone, Debug, PartialEq, Protobuf)]
    #[mesh(bound = "I: Iterator, I::Item: Protobuf")]
    struct Items<I: Iterator>(Vec<I::Item>)
    where
        I::Item: Clone + Debug + PartialEq;
    let decoded = decode::<Items<std::vec::IntoIter<u16>>>(&[0x0a, 1, 7]).unwrap();
    assert_eq!(decoded.0, [7]);
}

#[test]
fn unit_structs_are_empty_messages() {
    #[derive(Clone, Debug, PartialEq, Protobuf)]
    #[mesh(package = "test")]
    struct Nothing;
    check(Nothing, &[]);
    check(vec![Nothing, Nothing], &[0x0a, 0, 0x0a, 0]);
    check_accepted(&[0x08, 1], Nothing);
}

#[test]
fn an_encoding_stands_in_for_a_foreign_type() {
    use mesh_protobuf::BoxError;
    use mesh_protobuf::Encoding;

    struct AsCode;
    impl Encoding<char> for AsCode {
        type Wire = u32;
        fn to_wire(value: &char) -> u32 {
            (*value).into()
        }
        fn from_wire(wire: u32) -> Result<char, BoxError> {
            char::from_u32(wire).ok_or_else(|| format!("{wire:#x} is no character").into())
        }
    }

    #[derive(Clone, Debug, PartialEq, Protobuf)]
    #[mesh(package = "test")]
    struct Key {
        #[mesh(2, encoding = "AsCode")]
        label: char,
    }
    #[derive(Clone, Debug, PartialEq, Protobuf)]
    #[mesh(transparent)]
    struct Letter(#[mesh(encoding = "AsCode")] char);

    check(Key { label: 'A' }, &[0x10, 65]);
    check_accepted(&[], Key { label: '\0' });
    check_refused::<Key>(
        &[0x10, 0x80, 0xb0, 0x03],
        "test.Key.label: invalid value: 0xd800 is no character",
    );
    check(Letter('A'), &[0x08, 65]);
    check(vec![Letter('A'), Letter('B')], &[0x08, 65, 0x08, 66]);
}

#[test]
fn a_transparent_struct_may_be_a_list_or_optional() {
    #[derive(Clone, Debug, PartialEq, Protobuf)]
    #[mesh(transparent)]
    struct List(Vec<u16>);
    #[derive(Clone, Debug, PartialEq, Protobuf)]
    #[mesh(transparent)]
    struct Maybe(Option<u16>);
    check((List(vec![1, 2]), Maybe(None)), &[0x0a, 2, 1, 2]);
    check((List(vec![]), Maybe(Some(0))), &[0x10, 0]);
}

#[test]
fn an_encoded_list_is_a_list() {
    type Plain = Vec<(u32, String)>;
    type Encoded = EncodedList<(u32, String)>;
    let elements: Plain = vec![
        (0, String::new()),
        (7, "a".repeat(200)),
        (300, "b".to_owned()),
    ];
    let mut encoded = Encoded::default();
    check((1u32, encoded.clone()), &[0x08, 1]);
    for (number, text) in &elements {
        let failed = encoded.push_with(|writer| {
            (*number, text.clone()).write_fields(writer);
            Err("half way")
        });
        assert_eq!(failed, Err("half way"));
        encoded
            .push_with(|writer| {
                (*number, text.clone()).write_fields(writer);
                Ok::<(), ()>(())
            })
            .unwrap();
    }
    assert_eq!(encoded, Encoded::from(elements.clone()));
    assert_eq!(encoded.elements().unwrap(), elements);
    check((1u32, encoded), &encode((1u32, elements)));
    let not_a_string = [0x12, 3, 0x12, 1, 0xff];
    assert_eq!(
        decode::<(u32, Encoded)>(&not_a_string)
            .unwrap_err()
            .to_string(),
        decode::<(u32, Plain)>(&not_a_string)
            .unwrap_err()
            .to_string(),
    );
}

#[test]
fn every_value_round_trips() {
    fn round_trip<T: Protobuf + Clone + Debug + PartialEq>(value: T) {
        assert_eq!(decode::<T>(&encode(value.clone())).unwrap(), value);
    }
    for_each(scalars(), round_trip);
    for_each(sequences(), round_trip);
    for_each(arrays(), round_trip);
    for_each(options(), round_trip);
    for_each(event(), round_trip);
    for_each((scalars(), event()), round_trip);
}
