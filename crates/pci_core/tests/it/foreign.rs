//! Capabilities written elsewhere, against the traits' required methods alone: their registers stay their own.

use crate::function::Config;
use crate::function::endpoint_ids;
use crate::function::port_ids;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use mesh_protobuf::Protobuf;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::PciExtendedCapability;
use pci_core::capabilities::ReadOnlyCapability;
use pci_core::capabilities::extended::acs::AcsExtendedCapability;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::spec::caps::CapabilityId;
use pci_core::spec::caps::pci_express::DevicePortType;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedStateRoot;

/// A control register in bits 15:0 and events, cleared by writing one, in bits 31:16 of the second dword.
#[derive(Inspect)]
pub(crate) struct Foreign {
    #[inspect(skip)]
    label: &'static str,
    pub(crate) word: u32,
    /// Restoring a state with this word fails, which `check` does not foresee.
    #[inspect(skip)]
    pub(crate) refused: Option<u32>,
    /// Dword writes only, as callers that know no byte enables implement it.
    #[inspect(skip)]
    dwords_only: bool,
}

impl Foreign {
    pub(crate) fn new(label: &'static str) -> Self {
        Self {
            label,
            word: 0xffff_0000,
            refused: None,
            dwords_only: false,
        }
    }

    fn write(&mut self, val: u32, lanes: u32) {
        let events = self.word & 0xffff_0000 & !(val & lanes);
        let control = (self.word & !lanes | val & lanes) & 0xffff;
        self.word = events | control;
    }
}

impl PciCapability for Foreign {
    fn label(&self) -> &str {
        self.label
    }
    fn capability_id(&self) -> CapabilityId {
        CapabilityId::VENDOR_SPECIFIC
    }
    fn len(&self) -> usize {
        8
    }
    fn read_u32(&self, offset: u16) -> u32 {
        match offset {
            0 => 0x0008_0009,
            4 => self.word,
            _ => panic!("{offset:#x} is outside"),
        }
    }
    fn write_u32(&mut self, offset: u16, val: u32) {
        assert!(offset <= 4, "{offset:#x} is outside");
        if offset == 4 {
            self.write(val, u32::MAX);
        }
    }
    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) {
        match offset {
            4 if !self.dwords_only => self.write(val, enables.mask()),
            4 => {
                let mask = enables.mask();
                self.write_u32(4, (self.word & !mask) | (val & mask));
            }
            _ => {}
        }
    }
    fn reset(&mut self) {
        self.word = 0xffff_0000;
    }
}

#[derive(Protobuf, SavedStateRoot)]
#[mesh(package = "test.foreign")]
pub(crate) struct ForeignState {
    #[mesh(1)]
    word: u32,
}

impl SaveRestore for Foreign {
    type SavedState = ForeignState;
    fn save(&mut self) -> Result<ForeignState, SaveError> {
        Ok(ForeignState { word: self.word })
    }
    fn restore(&mut self, state: ForeignState) -> Result<(), RestoreError> {
        if self.refused == Some(state.word) {
            return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                "refused {:#x}",
                state.word
            )));
        }
        self.word = state.word;
        Ok(())
    }
}

/// As [`Foreign`], in the extended list; the first dword is followed by one that can be written.
#[derive(Inspect)]
struct ForeignExtended(u32);

impl PciExtendedCapability for ForeignExtended {
    fn label(&self) -> &str {
        "foreign extended"
    }
    fn extended_capability_id(&self) -> u16 {
        0x000b
    }
    fn capability_version(&self) -> u8 {
        2
    }
    fn len(&self) -> usize {
        8
    }
    fn read_u32(&self, offset: u16) -> u32 {
        if offset == 0 { 0x0002_000b } else { self.0 }
    }
    fn write_u32(&mut self, offset: u16, val: u32) {
        if offset == 4 {
            self.0 = val;
        }
    }
    fn reset(&mut self) {
        self.0 = 0;
    }
}

impl SaveRestore for ForeignExtended {
    type SavedState = ForeignState;
    fn save(&mut self) -> Result<ForeignState, SaveError> {
        Ok(ForeignState { word: self.0 })
    }
    fn restore(&mut self, state: ForeignState) -> Result<(), RestoreError> {
        self.0 = state.word;
        Ok(())
    }
}

#[test]
fn next_pointers_are_injected_and_the_rest_comes_from_the_capability() {
    let mut port = ConfigSpaceType1Emulator::new(
        port_ids(),
        vec![
            Box::new(Foreign::new("a")),
            Box::new(PciExpressCapability::new(DevicePortType::RootPort, None)),
            Box::new(Foreign::new("b")),
        ],
        vec![
            Box::new(ForeignExtended(0)),
            Box::new(AcsExtendedCapability::new()),
            Box::new(ForeignExtended(0)),
        ],
    );
    port.shows(&[
        (0x34, 0x40),
        (0x40, 0x0008_4809),
        (0x44, 0xffff_0000),
        (0x48, 0x0042_8410),
        (0x84, 0x0008_0009),
        (0x88, 0xffff_0000),
        (0x8c, 0),
        (0x100, 0x1082_000b),
        (0x104, 0),
        (0x108, 0x1141_000d),
        (0x114, 0x0002_000b),
        (0x118, 0),
        (0x11c, 0),
    ]);
    port.write(0x44, 0x0001_1234);
    port.write(0x118, 0xabcd_ef01);
    port.shows(&[
        (0x44, 0xfffe_1234),
        (0x88, 0xffff_0000),
        (0x118, 0xabcd_ef01),
    ]);
    port.reset();
    port.shows(&[(0x44, 0xffff_0000), (0x118, 0)]);
}

#[test]
fn byte_enables_reach_the_capability() {
    let mut port =
        ConfigSpaceType1Emulator::new(port_ids(), vec![Box::new(Foreign::new("a"))], vec![]);
    let _ = port.write_lanes(0x44, u32::MAX, 0b0001);
    port.shows(&[(0x44, 0xffff_00ff)]);
    let _ = port.write_lanes(0x44, u32::MAX, 0b0100);
    port.shows(&[(0x44, 0xff00_00ff)]);
}

#[test]
fn one_that_knows_only_dwords_gets_what_it_reads_merged() {
    let mut extended = ForeignExtended(0x1122_3344);
    extended.write_bytes(4, u32::MAX, ByteEnables::new(0b0010).unwrap());
    assert_eq!(extended.0, 0x1122_ff44);
    let mut legacy = Foreign::new("a");
    legacy.dwords_only = true;
    legacy.write_bytes(4, 0, ByteEnables::new(0b0001).unwrap());
    assert_eq!(legacy.word, 0, "which is why one with events overrides it");
}

#[test]
fn a_foreign_capability_alone_has_no_next() {
    let function = ConfigSpaceType0Emulator::new(
        endpoint_ids(),
        vec![
            Box::new(ReadOnlyCapability::new("foo", 0i32)),
            Box::new(Foreign::new("a")),
        ],
        vec![],
        DeviceBars::new(),
    );
    function.shows(&[(0x40, 0x4400), (0x44, 0x0008_0009), (0x4c, 0)]);
}

#[test]
fn an_image_reads_what_the_emulator_does_and_leaves_the_rest_to_it() {
    let foreign: Box<dyn PciCapability> = Box::new(Foreign::new("a"));
    let express = || Box::new(PciExpressCapability::new(DevicePortType::Endpoint, None));
    let function = |capabilities| {
        ConfigSpaceType0Emulator::new(endpoint_ids(), capabilities, vec![], DeviceBars::new())
    };
    for (mut function, end) in [
        (function(vec![]), 0x100),
        (function(vec![express()]), 0x1000),
        // Reads of a foreign capability are calls: nothing is read past the emulator.
        (function(vec![express(), foreign]), 0),
    ] {
        let image = function.image().clone();
        function.write(0x3c, 0x5a);
        for offset in 0..=0x1001 {
            let expected = (offset < end && offset % 4 == 0).then(|| function.read(offset));
            assert_eq!(image.read(offset), expected, "{offset:#x} of {end:#x}");
        }
        if end != 0 {
            assert_eq!(image.read(0x3c), Some(0x5a), "as it is now");
            function.reset();
            assert_eq!(image.read(0x3c), Some(0));
        }
    }
}
