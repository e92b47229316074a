//! Saving and restoring a function's configuration space, both header types with one message.

use super::ConfigSpaceCommonHeaderEmulator;
use super::ConfigSpaceType0Emulator;
use super::ConfigSpaceType1Emulator;
use super::header::Header;
use super::header::each;
use crate::spec::cfg_space::Command;
use crate::spec::cfg_space::MEMORY_BASE_LIMIT_ADDRESS_MASK;
use crate::spec::cfg_space::PREFETCH_MEMORY_BASE_LIMIT_64BIT;
use crate::spec::cfg_space::Type0HeaderReg;
use crate::spec::cfg_space::Type1HeaderReg;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedStateBlob;

/// Bits of Command that software can set.
const COMMAND_WRITABLE: u16 = 0x077f;

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateBlob;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "pci.cfg_space_emu")]
    pub struct SavedState {
        #[mesh(1)]
        pub command: u16,
        #[mesh(2)]
        pub base_addresses: [u32; 6],
        #[mesh(3)]
        pub interrupt_line: u8,
        #[mesh(4)]
        pub latency_timer: u8,
        #[mesh(5)]
        pub capabilities: Vec<(String, SavedStateBlob)>,
        #[mesh(6)]
        pub subordinate_bus_number: u8,
        #[mesh(7)]
        pub secondary_bus_number: u8,
        #[mesh(8)]
        pub primary_bus_number: u8,
        #[mesh(9)]
        pub memory_base: u16,
        #[mesh(10)]
        pub memory_limit: u16,
        #[mesh(11)]
        pub prefetch_base: u16,
        #[mesh(12)]
        pub prefetch_limit: u16,
        #[mesh(13)]
        pub prefetch_base_upper: u32,
        #[mesh(14)]
        pub prefetch_limit_upper: u32,
        #[mesh(15)]
        pub bridge_control: u16,
        #[mesh(16)]
        pub extended_capabilities: Vec<(String, SavedStateBlob)>,
        /// Error bits of Status.
        #[mesh(17)]
        pub status: u16,
        /// Error bits of Secondary Status.
        #[mesh(18)]
        pub secondary_status: u16,
        /// The function's INTx interrupt is raised.
        #[mesh(19)]
        pub interrupt_status: bool,
    }
}

/// Bits of Status and Secondary Status that software clears by writing one.
const STATUS_RW1C: u16 = 0xf900;

impl<const N: usize> SaveRestore for ConfigSpaceCommonHeaderEmulator<N> {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let mut base_addresses = [0; 6];
        for (saved, address) in base_addresses.iter_mut().zip(self.base_addresses()) {
            *saved = *address;
        }
        let type0 = |register: Type0HeaderReg| match &self.header {
            Header::Type0(file) => file.get(register),
            Header::Type1(_) => 0,
        };
        let type1 = |register: Type1HeaderReg| match &self.header {
            Header::Type1(file) => file.get(register),
            Header::Type0(_) => 0,
        };
        let (byte, half) = (|value: u32| value.to_le_bytes()[0], |value: u32| (value & 0xffff) as u16);
        let mut state = state::SavedState {
            command: self.command().into_bits(),
            base_addresses,
            interrupt_line: self.interrupt_line(),
            latency_timer: byte(type0(Type0HeaderReg::MinGnt)),
            capabilities: Vec::new(),
            subordinate_bus_number: byte(type1(Type1HeaderReg::SubordinateBusNumber)),
            secondary_bus_number: byte(type1(Type1HeaderReg::SecondaryBusNumber)),
            primary_bus_number: byte(type1(Type1HeaderReg::PrimaryBusNumber)),
            memory_base: half(type1(Type1HeaderReg::MemoryBase)),
            memory_limit: half(type1(Type1HeaderReg::MemoryLimit)),
            prefetch_base: half(type1(Type1HeaderReg::PrefetchableMemoryBase)) & MEMORY_BASE_LIMIT_ADDRESS_MASK,
            prefetch_limit: half(type1(Type1HeaderReg::PrefetchableMemoryLimit)) & MEMORY_BASE_LIMIT_ADDRESS_MASK,
            prefetch_base_upper: type1(Type1HeaderReg::PrefetchableBaseUpper),
            prefetch_limit_upper: type1(Type1HeaderReg::PrefetchableLimitUpper),
            bridge_control: half(type1(Type1HeaderReg::BridgeControl)),
            extended_capabilities: Vec::new(),
            status: each!(&self.header, (file, Reg) => file.get16(Reg::Status)) & STATUS_RW1C,
            secondary_status: half(type1(Type1HeaderReg::SecondaryStatus)) & STATUS_RW1C,
            interrupt_status: self.intx.as_ref().is_some_and(|intx| intx.status()),
        };
        state.capabilities = save_all(self.capabilities.iter_mut().map(|c| (c.label().to_owned(), c.as_mut() as _)))?;
        state.extended_capabilities =
            save_all(self.extended_capabilities.iter_mut().map(|c| (c.label().to_owned(), c.as_mut() as _)))?;
        Ok(state)
    }
}
