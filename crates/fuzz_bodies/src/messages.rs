//! Bytes as messages: every shape of field that the encoding has, and the saved states of devices.

use mesh_protobuf::Protobuf;
use mesh_protobuf::ProtobufAny;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pcie::root::GenericPcieRootComplex;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedStateBlob;

/// Every shape of field.
#[derive(Debug, PartialEq, Protobuf)]
#[mesh(package = "fuzz_bodies")]
struct Shapes {
    #[mesh(1)]
    flag: bool,
    #[mesh(2)]
    byte: u8,
    #[mesh(3)]
    half: u16,
    #[mesh(4)]
    word: u32,
    #[mesh(5)]
    long: u64,
    #[mesh(6)]
    signed: i32,
    #[mesh(7)]
    text: String,
    #[mesh(8)]
    bytes: Vec<u8>,
    #[mesh(9)]
    words: Vec<u32>,
    #[mesh(10)]
    six: Option<[u32; 6]>,
    #[mesh(11)]
    texts: Vec<String>,
    #[mesh(12)]
    pairs: Vec<(String, ProtobufAny)>,
    #[mesh(13)]
    choice: Option<Choice>,
    #[mesh(14)]
    nested: Vec<Shapes>,
}

#[derive(Debug, PartialEq, Protobuf)]
#[mesh(package = "fuzz_bodies")]
enum Choice {
    #[mesh(1)]
    Nothing,
    #[mesh(2)]
    Number(#[mesh(1)] u16),
    #[mesh(3)]
    Both {
        #[mesh(1)]
        left: u8,
        #[mesh(2)]
        right: String,
    },
}

/// Decodes the bytes as several messages; what decodes, encodes to bytes that decode to the same.
///
/// # Panics
///
/// - what was encoded does not decode, or to something else.
pub fn run(data: &[u8]) {
    if let Ok(shapes) = mesh_protobuf::decode::<Shapes>(data) {
        let shown = format!("{shapes:?}");
        let bytes = mesh_protobuf::encode(shapes);
        let again = mesh_protobuf::decode::<Shapes>(&bytes).unwrap();
        assert_eq!(format!("{again:?}"), shown);
    }
    encodes_the_same::<SavedStateBlob>(data);
    encodes_the_same::<<GenericPcieRootComplex as SaveRestore>::SavedState>(data);
    encodes_the_same::<<ConfigSpaceType0Emulator as SaveRestore>::SavedState>(data);
}

fn encodes_the_same<T: Protobuf>(data: &[u8]) {
    if let Ok(value) = mesh_protobuf::decode::<T>(data) {
        let bytes = mesh_protobuf::encode(value);
        let again = mesh_protobuf::decode::<T>(&bytes).unwrap();
        assert_eq!(mesh_protobuf::encode(again), bytes);
    }
}
