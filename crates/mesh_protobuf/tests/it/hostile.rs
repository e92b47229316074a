//! Input that no encoder wrote.

use crate::types::*;
use mesh_protobuf::DecodeLimits;
use mesh_protobuf::ErrorKind;
use mesh_protobuf::Protobuf;
use mesh_protobuf::decode;
use mesh_protobuf::decode_with_limits;
use mesh_protobuf::encode;
use proptest::prelude::*;

/// Decodes as every type there is; what matters is that it returns.
fn decode_as_all(bytes: &[u8]) {
    let _ = decode::<Scalars>(bytes);
    let _ = decode::<Sequences>(bytes);
    let _ = decode::<Arrays>(bytes);
    let _ = decode::<Options>(bytes);
    let _ = decode::<Nested>(bytes);
    let _ = decode::<Tree>(bytes);
    let _ = decode::<Event>(bytes);
    let _ = decode::<Positions>(bytes);
    let _ = decode::<Vec<Vector>>(bytes);
}

#[test]
fn garbage_is_decoded_or_refused() {
    for_each(prop::collection::vec(any::<u8>(), 0..200), |bytes| {
        decode_as_all(&bytes)
    });
    // Small bytes are valid keys and lengths, and so get further in.
    for_each(prop::collection::vec(0..0x60u8, 0..200), |bytes| {
        decode_as_all(&bytes)
    });
}

#[test]
fn truncated_messages_are_decoded_or_refused() {
    for_each(sequences(), |value| {
        let bytes = encode(value);
        for end in 0..bytes.len() {
            decode_as_all(&bytes[..end]);
        }
    });
}

#[test]
fn mutated_messages_are_decoded_or_refused() {
    for_each(
        (sequences(), any::<prop::sample::Index>(), any::<u8>()),
        |(value, index, byte)| {
            let mut bytes = encode(value);
            if !bytes.is_empty() {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            decode_as_all(&bytes);
        },
    );
}

fn refusal<T: Protobuf>(bytes: &[u8]) -> String {
    match decode::<T>(bytes) {
        Ok(_) => panic!("{bytes:02x?} is accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn malformed_values_are_refused_with_their_place() {
    // A length that is longer than the rest, and the longest that there is.
    assert_eq!(
        refusal::<Sequences>(&[0x12, 5, 1]),
        "test.Sequences.bytes: the value has 5 bytes, but only 1 are left"
    );
    let longest = [
        0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ];
    assert_eq!(
        refusal::<Sequences>(&longest),
        "test.Sequences.bytes: the value has 18446744073709551615 bytes, but only 0 are left"
    );
    // A nested length may not reach beyond the message around it.
    assert_eq!(
        refusal::<Sequences>(&[0x52, 0, 0x52, 3, 0x0a, 2, b'a', b'b']),
        "test.Sequences.pairs[1].item_1: the value has 2 bytes, but only 1 are left"
    );
    assert_eq!(
        refusal::<Sequences>(&[0x0a, 1, 0xff]),
        "test.Sequences.text: the string is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0"
    );
    // Another wire type than the field's.
    assert!(refusal::<Scalars>(&[0x12, 0]).starts_with("test.Scalars.byte: malformed data"));
    assert!(refusal::<Sequences>(&[0x10, 0]).starts_with("test.Sequences.bytes: malformed data"));
    assert!(
        refusal::<Sequences>(&[0x1d, 0, 0, 0, 0])
            .starts_with("test.Sequences.halves: malformed data")
    );
    // A varint that does not end, and one of more than 64 bits.
    assert!(refusal::<Scalars>(&[0x10, 0x80]).starts_with("test.Scalars.byte: malformed data"));
    assert!(
        refusal::<Scalars>(&[&[0x28][..], &[0xff; 10]].concat())
            .starts_with("test.Scalars.long: malformed data")
    );
    // Keys: field number 0, wire types 6 and 7, the end of a group that did not begin.
    for key in [0x00, 0x16, 0x17] {
        assert!(
            refusal::<Scalars>(&[key, 0]).starts_with("test.Scalars: malformed data"),
            "{key:#x}"
        );
    }
    assert!(refusal::<Scalars>(&[0x7c]).starts_with("test.Scalars.#15: malformed data"));
}

/// A tree of one branch.
fn branch(depth: usize) -> Vec<u8> {
    let mut tree = Tree::default();
    for _ in 0..depth {
        tree = Tree {
            children: vec![tree],
        };
    }
    encode(tree)
}

#[test]
fn deep_nesting_is_refused() {
    let depth = |mut tree: Tree| {
        let mut depth = 0;
        while let Some(child) = tree.children.pop() {
            (tree, depth) = (child, depth + 1);
        }
        depth
    };
    assert_eq!(depth(decode(&branch(64)).unwrap()), 64);
    let error = decode::<Tree>(&branch(65)).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::TooDeep { limit: 64 }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with("test.Tree.children[0].children[0]"),
        "{error}"
    );

    let limits = DecodeLimits {
        depth_max: 2,
        ..DecodeLimits::default()
    };
    assert_eq!(depth(decode_with_limits(&branch(2), limits).unwrap()), 2);
    assert!(decode_with_limits::<Tree>(&branch(3), limits).is_err());

    // Far deeper than any stack: each length counts all that follows.
    let mut bytes = Vec::new();
    while bytes.len() < 100_000 {
        let mut head = vec![0x0a];
        prost::encode_length_delimiter(bytes.len(), &mut head).unwrap();
        bytes.splice(0..0, head);
    }
    let error = decode::<Tree>(&bytes).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::TooDeep { limit: 64 }),
        "{error}"
    );
    // Groups are only ever skipped, but they nest as well.
    let error = decode::<Tree>(&[0x7b; 1 << 20]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
}

#[test]
fn large_messages_are_refused() {
    let limits = DecodeLimits {
        size_bytes_max: 3,
        ..DecodeLimits::default()
    };
    let value = Sequences {
        bytes: vec![7],
        ..Sequences::default()
    };
    assert_eq!(
        decode_with_limits::<Sequences>(&[0x12, 1, 7], limits).unwrap(),
        value
    );
    let error = decode_with_limits::<Sequences>(&[0x12, 2, 7, 7], limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the message has 4 bytes, more than the limit of 3"
    );
    assert_eq!(DecodeLimits::default().size_bytes_max, 64 * 1024 * 1024);
    let bytes = vec![0; (64 << 20) + 1];
    assert!(matches!(
        decode::<Scalars>(&bytes).unwrap_err().kind(),
        ErrorKind::TooLarge { .. }
    ));
}
