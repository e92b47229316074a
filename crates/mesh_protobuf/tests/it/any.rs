//! Messages with their names.

use mesh_protobuf::ErrorKind;
use mesh_protobuf::Protobuf;
use mesh_protobuf::ProtobufAny;
use mesh_protobuf::decode;
use mesh_protobuf::encode;

mod acs {
    use super::*;

    #[derive(Debug, PartialEq, Protobuf)]
    #[mesh(package = "pci.capabilities.extended.acs")]
    pub(super) struct SavedState {
        #[mesh(1)]
        pub(super) control: u16,
    }
}

mod msi {
    use super::*;

    #[derive(Debug, PartialEq, Protobuf)]
    #[mesh(package = "pci.caps.msi")]
    pub(super) struct SavedState {
        #[mesh(1)]
        pub(super) enabled: bool,
    }
}

#[derive(Debug, Protobuf)]
#[mesh(package = "pci.capabilities.extended.acs", rename = "Other")]
struct Renamed;

const ACS_URL: &str = "type.googleapis.com/pci.capabilities.extended.acs.SavedState";

#[test]
fn an_acs_state_encodes_as_existing_states_do() {
    let any = ProtobufAny::new(acs::SavedState { control: 0x1f });
    let mut expected = vec![0x0a, 0x3c];
    expected.extend(ACS_URL.as_bytes());
    expected.extend([0x12, 0x02, 0x08, 0x1f]);
    assert_eq!(encode(any.clone()), expected);
    assert_eq!(decode::<ProtobufAny>(&expected).unwrap(), any);
    assert_eq!(
        any.parse::<acs::SavedState>().unwrap(),
        acs::SavedState { control: 0x1f }
    );
}

#[test]
fn a_message_is_told_by_its_full_name() {
    let named = |type_url: &str| ProtobufAny {
        type_url: type_url.to_owned(),
        value: vec![0x08, 1],
    };
    assert!(named(ACS_URL).is_message::<acs::SavedState>());
    assert!(named(&format!("https://{ACS_URL}")).is_message::<acs::SavedState>());
    for other in [
        "",
        "pci.capabilities.extended.acs.SavedState",
        "type.googleapis.com/pci.capabilities.extended.acs.Other",
        "type.googleapis.com/pci.capabilities.extended.SavedState",
        "type.googleapis.com/SavedState",
        "type.googleapis.com/pci.capabilities.extended.acs.SavedState2",
        "https://https://type.googleapis.com/pci.capabilities.extended.acs.SavedState",
    ] {
        let any = named(other);
        assert!(!any.is_message::<acs::SavedState>(), "{other}");
        let error = any.parse::<acs::SavedState>().unwrap_err();
        let ErrorKind::MessageType { expected, actual } = error.kind() else {
            panic!("{error}")
        };
        assert_eq!(
            (expected.as_str(), actual.as_str()),
            ("pci.capabilities.extended.acs.SavedState", other)
        );
    }
    let any = ProtobufAny::new(msi::SavedState { enabled: true });
    assert!(any.is_message::<msi::SavedState>());
    assert!(!any.is_message::<acs::SavedState>());
    assert!(ProtobufAny::new(Renamed).is_message::<Renamed>());
    assert_eq!(
        ProtobufAny::new(Renamed).type_url,
        "type.googleapis.com/pci.capabilities.extended.acs.Other"
    );
}

#[test]
fn a_message_in_parts_is_the_parts_merged() {
    #[derive(Debug, Default, PartialEq, Protobuf)]
    #[mesh(package = "test")]
    struct List {
        #[mesh(1)]
        first: u8,
        #[mesh(2)]
        items: Vec<String>,
    }
    let whole = || List {
        first: 2,
        items: vec!["a".to_owned(), "b".to_owned()],
    };
    let parts = |part: &mut dyn FnMut(List)| {
        part(List {
            first: 2,
            ..List::default()
        });
        for item in whole().items {
            part(List {
                first: 0,
                items: vec![item],
            });
        }
        Ok::<(), ()>(())
    };
    let any = ProtobufAny::of_parts(parts).unwrap();
    assert_eq!(any, ProtobufAny::new(whole()));
    assert_eq!(any.parse::<List>().unwrap(), whole());
    let failed: Result<ProtobufAny, _> = ProtobufAny::of_parts(|_: &mut dyn FnMut(List)| Err(5));
    assert_eq!(failed, Err(5));
}
