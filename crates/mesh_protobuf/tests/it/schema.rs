//! Descriptions of messages.

use crate::types::*;
use expect_test::expect;
use mesh_protobuf::DescribedProtobuf;
use mesh_protobuf::Protobuf;
use mesh_protobuf::ProtobufAny;
use mesh_protobuf::reachable_messages;
use mesh_protobuf::to_proto;
use mesh_protobuf::to_proto_files;

#[derive(Protobuf)]
#[mesh(package = "test.deep")]
struct Root {
    #[mesh(3)]
    options: Vec<Options>,
    #[mesh(1)]
    capabilities: Vec<(String, ProtobufAny)>,
    #[mesh(2)]
    event: Event,
    #[mesh(9)]
    r#type: [u8; 4],
    #[mesh(10)]
    base_addresses: [u32; 6],
    #[mesh(11)]
    tree: Option<Tree>,
    #[mesh(12)]
    vectors: Vec<Vector>,
}

#[test]
fn every_message_is_reachable_from_the_root() {
    let messages = reachable_messages([Root::DESCRIPTION]);
    let names: Vec<_> = messages.iter().map(|message| message.full_name()).collect();
    let expected = [
        "google.protobuf.Any",
        "test.Event",
        "test.Options",
        "test.Scalars",
        "test.Tree",
        "test.deep.Root",
    ];
    assert_eq!(names, expected);
}

#[test]
fn fields_are_described_as_they_are_declared() {
    let fields: Vec<_> = Root::DESCRIPTION
        .fields
        .iter()
        .map(|f| format!("{} {}: {}", f.number, f.name, f.field_type))
        .collect();
    let expected = [
        "3 options: Vec<test.Options>",
        "1 capabilities: Vec<(String, google.protobuf.Any)>",
        "2 event: test.Event",
        "9 type: [u8; 4]",
        "10 base_addresses: [u32; 6]",
        "11 tree: Option<test.Tree>",
        "12 vectors: Vec<u16>",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn descriptions_are_valid_proto_text() {
    expect![[r#"
        syntax = "proto3";
        message google {
          message protobuf {
            message Any {
              string type_url = 1; // String
              bytes value = 2; // Vec<u8>
            }
          }
        }
        message test {
          message Event {
            message RemovedItem {
            }
            message MovedItem {
              uint32 from = 1; // u16
              uint32 to = 2; // u16
            }
            message GrownItem {
              uint32 item_7 = 7; // u32
            }
            oneof variant {
              RemovedItem Removed = 1; // Removed
              MovedItem Moved = 2; // Moved
              string Renamed = 3; // String
              GrownItem Grown = 4; // Grown
            }
          }
          message Options {
            optional uint32 word = 1; // Option<u32>
            optional string text = 2; // Option<String>
            optional bytes bytes = 3; // Option<Vec<u8>>
            optional .test.Scalars scalars = 4; // Option<test.Scalars>
            repeated uint32 words = 5; // Option<[u32; 2]>
          }
          message Scalars {
            bool flag = 1; // bool
            uint32 byte = 2; // u8
            uint32 half = 3; // u16
            uint32 word = 4; // u32
            uint64 long = 5; // u64
            uint64 size = 6; // u64
            sint32 signed_byte = 7; // i8
            sint32 signed_half = 8; // i16
            sint32 signed_word = 9; // i32
            sint64 signed_long = 10; // i64
          }
          message Tree {
            repeated .test.Tree children = 1; // Vec<test.Tree>
          }
          message deep {
            message Root {
              message CapabilitiesItem {
                string item_1 = 1; // String
                .google.protobuf.Any item_2 = 2; // google.protobuf.Any
              }
              repeated .test.Options options = 3; // Vec<test.Options>
              repeated CapabilitiesItem capabilities = 1; // Vec<(String, google.protobuf.Any)>
              .test.Event event = 2; // test.Event
              bytes type = 9; // [u8; 4]
              repeated uint32 base_addresses = 10; // [u32; 6]
              optional .test.Tree tree = 11; // Option<test.Tree>
              repeated uint32 vectors = 12; // Vec<u16>
            }
          }
        }
    "#]]
    .assert_eq(&to_proto(&[Root::DESCRIPTION]));
}

#[test]
fn a_file_declares_one_package_and_imports_the_others() {
    let files = to_proto_files(&[Root::DESCRIPTION]);
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["google.protobuf.proto", "test.deep.proto", "test.proto"]
    );
    expect![[r#"
        syntax = "proto3";

        package test.deep;

        import "google.protobuf.proto";
        import "test.proto";

        message Root {
          message CapabilitiesItem {
            string item_1 = 1; // String
            .google.protobuf.Any item_2 = 2; // google.protobuf.Any
          }
          repeated .test.Options options = 3; // Vec<test.Options>
          repeated CapabilitiesItem capabilities = 1; // Vec<(String, google.protobuf.Any)>
          .test.Event event = 2; // test.Event
          bytes type = 9; // [u8; 4]
          repeated uint32 base_addresses = 10; // [u32; 6]
          optional .test.Tree tree = 11; // Option<test.Tree>
          repeated uint32 vectors = 12; // Vec<u16>
        }
    "#]]
    .assert_eq(&files["test.deep.proto"]);
}

/// What the description says of absence is what the decoder does, type by type.
#[test]
fn a_field_that_may_be_absent_decodes_from_nothing() {
    fn check<T: Protobuf>() {
        let absent = mesh_protobuf::decode::<(T, u8)>(&[]);
        assert_eq!(T::TYPE.may_be_absent(), absent.is_ok(), "{}", T::TYPE);
    }
    check::<u32>();
    check::<String>();
    check::<Vec<u8>>();
    check::<[u8; 4]>();
    check::<[u32; 2]>();
    check::<Option<[u32; 2]>>();
    check::<Vec<(String, ProtobufAny)>>();
    check::<(u8, [u16; 3])>();
    check::<Options>();
    check::<Tree>();
    check::<Option<Tree>>();
    check::<Event>();
    check::<Option<Event>>();
}
