//! Saving and restoring a function's configuration space, both header types with one message.

use super::ConfigSpaceCommonHeaderEmulator;
use super::ConfigSpaceType0Emulator;
use super::ConfigSpaceType1Emulator;
use super::header::Header;
use super::header::each;
use crate::spec::cfg_space::Command;
use crate::spec::cfg_space::IO_BASE_LIMIT_ADDRESS_MASK;
use crate::spec::cfg_space::MEMORY_BASE_LIMIT_ADDRESS_MASK;
use crate::spec::cfg_space::Type0HeaderReg;
use crate::spec::cfg_space::Type1HeaderReg;
use reg_table::BlockRegister;
use vmcore::save_restore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedParts;
use vmcore::save_restore::SavedStateBlob;

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedParts;
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
        pub capabilities: SavedParts,
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
        pub extended_capabilities: SavedParts,
        /// Error bits of Status.
        #[mesh(17)]
        pub status: u16,
        /// Error bits of Secondary Status.
        #[mesh(18)]
        pub secondary_status: u16,
        /// The function's INTx interrupt is raised.
        #[mesh(19)]
        pub interrupt_status: bool,
        #[mesh(20)]
        pub expansion_rom: u32,
        #[mesh(21)]
        pub io_base: u8,
        #[mesh(22)]
        pub io_limit: u8,
        #[mesh(23)]
        pub io_base_upper: u16,
        #[mesh(24)]
        pub io_limit_upper: u16,
        #[mesh(25)]
        pub cache_line_size: u8,
    }
}

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
        let (byte, half) = (
            |value: u32| value.to_le_bytes()[0],
            |value: u32| (value & 0xffff) as u16,
        );
        let mut state = state::SavedState {
            command: self.command().into_bits(),
            base_addresses,
            interrupt_line: self.interrupt_line(),
            latency_timer: byte(type0(Type0HeaderReg::MinGnt)),
            capabilities: SavedParts::default(),
            subordinate_bus_number: byte(type1(Type1HeaderReg::SubordinateBusNumber)),
            secondary_bus_number: byte(type1(Type1HeaderReg::SecondaryBusNumber)),
            primary_bus_number: byte(type1(Type1HeaderReg::PrimaryBusNumber)),
            memory_base: half(type1(Type1HeaderReg::MemoryBase)),
            memory_limit: half(type1(Type1HeaderReg::MemoryLimit)),
            prefetch_base: half(type1(Type1HeaderReg::PrefetchableMemoryBase))
                & MEMORY_BASE_LIMIT_ADDRESS_MASK,
            prefetch_limit: half(type1(Type1HeaderReg::PrefetchableMemoryLimit))
                & MEMORY_BASE_LIMIT_ADDRESS_MASK,
            prefetch_base_upper: type1(Type1HeaderReg::PrefetchableBaseUpper),
            prefetch_limit_upper: type1(Type1HeaderReg::PrefetchableLimitUpper),
            bridge_control: half(type1(Type1HeaderReg::BridgeControl)),
            extended_capabilities: SavedParts::default(),
            status: each!(&self.header, (file, Reg) => half(file.get(Reg::Status) & file.writable(Reg::Status))),
            secondary_status: half(type1(Type1HeaderReg::SecondaryStatus)),
            interrupt_status: self.intx.as_ref().is_some_and(|intx| intx.is_raised()),
            expansion_rom: self.header.rom(),
            io_base: byte(type1(Type1HeaderReg::IoBase)) & IO_BASE_LIMIT_ADDRESS_MASK,
            io_limit: byte(type1(Type1HeaderReg::IoLimit)) & IO_BASE_LIMIT_ADDRESS_MASK,
            io_base_upper: half(type1(Type1HeaderReg::IoBaseUpper)),
            io_limit_upper: half(type1(Type1HeaderReg::IoLimitUpper)),
            cache_line_size: each!(&self.header, (file, Reg) => file.get8(Reg::CacheLineSize)),
        };
        for capability in &mut self.capabilities {
            state
                .capabilities
                .save(capability.as_mut(), |c| c.label())?;
        }
        for capability in &mut self.extended_capabilities {
            state
                .extended_capabilities
                .save(capability.as_mut(), |c| c.label())?;
        }
        Ok(state)
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        // Of any header: one of an earlier version could set bits that mean nothing on PCI Express.
        let fields = Type0HeaderReg::Command.register().fields;
        let known = fields.iter().fold(0, |bits, field| bits | field.mask());
        let unknown = u32::from(state.command) & !known;
        if unknown != 0 {
            return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                "Command is {:#06x}; bits {unknown:#06x} cannot be set",
                state.command
            )));
        }
        for (label, blob, item) in self.owners(state)? {
            item.check(&blob).map_err(|error| error.in_child(label))?;
        }
        Ok(())
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        // A capability from elsewhere may still refuse; then everything goes back.
        let before = self
            .save()
            .map_err(|error| RestoreError::Other(error.into()))?;
        let applied = self.apply(&state);
        if applied.is_err() {
            self.apply(&before)?;
        }
        applied
    }
}

impl<const N: usize> ConfigSpaceCommonHeaderEmulator<N> {
    /// Each saved capability with the capability that it belongs to.
    fn owners(&mut self, state: &state::SavedState) -> Result<Vec<Owned<'_>>, RestoreError> {
        let legacy = self.capabilities.iter_mut();
        let extended = self.extended_capabilities.iter_mut();
        let mut owners = match_labels(
            "capability",
            legacy
                .map(|c| (c.label().to_owned(), c.as_mut() as _))
                .collect(),
            &state.capabilities,
        )?;
        owners.extend(match_labels(
            "extended capability",
            extended
                .map(|c| (c.label().to_owned(), c.as_mut() as _))
                .collect(),
            &state.extended_capabilities,
        )?);
        Ok(owners)
    }

    fn apply(&mut self, state: &state::SavedState) -> Result<(), RestoreError> {
        // What is pending waits until it is known whether the function may send it.
        self.update_bus_master(Command::new());
        for (label, blob, item) in self.owners(state)? {
            item.restore(blob).map_err(|error| error.in_child(label))?;
        }
        // BARs move while nothing decodes, so that none passes through a place it is not meant for.
        self.set_command(Command::new());
        self.follow_resized();
        let mut base_addresses = [0; N];
        for (address, saved) in base_addresses.iter_mut().zip(state.base_addresses) {
            *address = saved;
        }
        self.set_base_addresses(&base_addresses);
        each!(&self.header, (file, Reg) => {
            file.set(Reg::InterruptLine, state.interrupt_line);
            file.set_writable(Reg::CacheLineSize, state.cache_line_size);
            file.set_writable(Reg::Status, state.status);
            file.set_writable(Reg::ExpansionRomBaseAddress, state.expansion_rom);
        });
        match &self.header {
            Header::Type0(file) => {
                file.set_writable(Type0HeaderReg::MinGnt, state.latency_timer);
                self.header.show_latency();
            }
            Header::Type1(file) => {
                use Type1HeaderReg::*;
                for (register, value) in [
                    (PrimaryBusNumber, state.primary_bus_number.into()),
                    (SecondaryBusNumber, state.secondary_bus_number.into()),
                    (SubordinateBusNumber, state.subordinate_bus_number.into()),
                    (SecondaryStatus, state.secondary_status.into()),
                    (MemoryBase, state.memory_base.into()),
                    (MemoryLimit, state.memory_limit.into()),
                    (PrefetchableMemoryBase, state.prefetch_base.into()),
                    (PrefetchableMemoryLimit, state.prefetch_limit.into()),
                    (PrefetchableBaseUpper, state.prefetch_base_upper),
                    (PrefetchableLimitUpper, state.prefetch_limit_upper),
                    (BridgeControl, state.bridge_control.into()),
                    (IoBase, state.io_base.into()),
                    (IoLimit, state.io_limit.into()),
                    (IoBaseUpper, state.io_base_upper.into()),
                    (IoLimitUpper, state.io_limit_upper.into()),
                ] {
                    file.set_writable(register, value);
                }
            }
        }
        each!(&self.header, (file, Reg) => file.set_writable(Reg::Command, state.command));
        let command = self.command();
        if let Some(intx) = &self.intx {
            intx.restore(state.interrupt_status, self.intx_disabled(command));
        }
        self.update_bus_master(command);
        self.place_bars();
        Ok(())
    }
}

impl SaveRestore for ConfigSpaceType0Emulator {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        self.common.save()
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        self.common.check(state)
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.common.restore(state)
    }
}

impl SaveRestore for ConfigSpaceType1Emulator {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        self.common.save()
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        self.common.check(state)
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        let restored = self.common.restore(state);
        self.publish_bus_range();
        restored
    }
}

/// A saved capability: its label, its state, and the capability that it belongs to.
type Owned<'a> = (
    String,
    SavedStateBlob,
    &'a mut dyn save_restore::ProtobufSaveRestore,
);

/// Finds the owner of each state: the second state of a label belongs to the second item of that label.
fn match_labels<'a>(
    what: &str,
    mut items: Vec<(String, &'a mut dyn save_restore::ProtobufSaveRestore)>,
    states: &SavedParts,
) -> Result<Vec<Owned<'a>>, RestoreError> {
    states
        .states()?
        .into_iter()
        .map(|(label, state)| {
            let found = items.iter().position(|(own, _)| *own == label);
            let Some(position) = found else {
                return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                    "the saved state has {what} '{label}', which this function does not have, or not so often"
                )));
            };
            Ok((label, state, items.remove(position).1))
        })
        .collect()
}
