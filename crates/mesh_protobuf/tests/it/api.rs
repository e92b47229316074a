//! Every derive attribute as others write it, and the names that they use: this file compiles, or the interface has changed.

use mesh_protobuf::BoxError;
use mesh_protobuf::DescribedProtobuf;
use mesh_protobuf::Encoding;
use mesh_protobuf::Error;
use mesh_protobuf::MessageDescription;
use mesh_protobuf::Protobuf;
use mesh_protobuf::ProtobufAny;
use mesh_protobuf::decode;
use mesh_protobuf::encode;
use std::time::Duration;

struct Millis;

impl Encoding<Duration> for Millis {
    type Wire = u64;
    fn to_wire(value: &Duration) -> u64 {
        u64::try_from(value.as_millis()).unwrap_or(u64::MAX)
    }
    fn from_wire(wire: u64) -> Result<Duration, BoxError> {
        Ok(Duration::from_millis(wire))
    }
}

#[derive(Clone, Debug, PartialEq, Protobuf)]
#[mesh(transparent)]
struct Blob(Vec<u8>);

#[derive(Clone, Debug, PartialEq, Protobuf)]
#[mesh(package = "test.api")]
struct Nothing;

#[derive(Clone, Debug, PartialEq, Protobuf)]
struct Entry {
    control: u8,
    blob: Blob,
}

#[derive(Clone, Debug, PartialEq, Protobuf)]
#[mesh(package = "test.api", rename = "State")]
struct Device {
    #[mesh(27)]
    last: bool,
    #[mesh(1)]
    command: u16,
    #[mesh(2)]
    base_addresses: [u32; 3],
    #[mesh(3)]
    capabilities: Vec<(String, Blob)>,
    #[mesh(4)]
    entries: Vec<Entry>,
    #[mesh(5, encoding = "Millis")]
    timeout: Duration,
    #[mesh(6)]
    slot: Option<u32>,
    #[mesh(7)]
    nothing: Nothing,
    #[mesh(8)]
    kind: Option<Kind>,
}

#[derive(Clone, Debug, PartialEq, Protobuf)]
#[mesh(package = "test.api")]
enum Kind {
    #[mesh(1)]
    Empty,
    #[mesh(2, transparent)]
    Port(u8),
}

#[derive(Clone, Debug, PartialEq, Protobuf)]
#[mesh(bound = "T: Protobuf")]
struct Bound<T>(T, #[mesh(3)] i32);

#[test]
fn derive_attributes() {
    let device = Device {
        last: true,
        command: 6,
        base_addresses: [1, 0, 300],
        capabilities: vec![("msi".into(), Blob(vec![9]))],
        entries: vec![Entry {
            control: 1,
            blob: Blob(vec![]),
        }],
        timeout: Duration::from_millis(5),
        slot: Some(0),
        nothing: Nothing,
        kind: Some(Kind::Port(0)),
    };
    let mut bytes = vec![0xd8, 0x01, 1, 0x08, 6];
    bytes.extend([0x12, 4, 1, 0, 0xac, 2]);
    bytes.extend([0x1a, 8, 0x0a, 3, b'm', b's', b'i', 0x12, 1, 9]);
    bytes.extend([0x22, 2, 0x08, 1]);
    bytes.extend([0x28, 5, 0x30, 0]);
    bytes.extend([0x42, 2, 0x10, 0]);
    assert_eq!(
        encode(device.clone()),
        bytes,
        "fields in order of declaration"
    );
    assert_eq!(decode::<Device>(&bytes).unwrap(), device);
    let missing: Error = decode::<Device>(&[0x08, 6]).unwrap_err();
    assert!(missing.to_string().contains("base_addresses"), "{missing}");

    let description: &MessageDescription<'static> = Device::DESCRIPTION;
    assert_eq!(description.full_name(), "test.api.State");
    let numbers: Vec<u32> = description
        .fields
        .iter()
        .map(|field| field.number)
        .collect();
    assert_eq!(numbers, [27, 1, 2, 3, 4, 5, 6, 7, 8]);

    assert_eq!(encode(Bound("a".to_owned(), -1)), [0x0a, 1, b'a', 0x18, 1]);
    assert_eq!(encode(Nothing), []);
}

#[test]
fn any() {
    fn described<T: DescribedProtobuf>(_: &T) {}
    described(&Nothing);
    let any = ProtobufAny::new(Nothing);
    let _: (&String, &Vec<u8>) = (&any.type_url, &any.value);
    assert_eq!(any.type_url, "type.googleapis.com/test.api.Nothing");
    let parsed: Result<Nothing, Error> = any.parse();
    assert_eq!(parsed.unwrap(), Nothing);
    any.parse::<Kind>().unwrap_err();
    let url = format!("https://{}", any.type_url);
    let prefixed = ProtobufAny {
        type_url: url,
        ..any
    };
    prefixed.parse::<Nothing>().unwrap();
}
