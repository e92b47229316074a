//! The saved state. Field numbers are for ever.

use super::PciExpressCapability;
use super::link::LinkRate;
use crate::spec::Bdf;
use crate::spec::caps::pci_express::LinkSpeed;
use crate::spec::caps::pci_express::LinkWidth;
use crate::spec::caps::pci_express::PciExpressReg;
use std::collections::BTreeSet;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

use state::Card;
use state::Hardware;

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "pci.capabilities.pci_express")]
    pub struct SavedState {
        #[mesh(1)]
        pub device_control: u16,
        #[mesh(2)]
        pub device_status: u16,
        #[mesh(3)]
        pub link_control: u16,
        #[mesh(4)]
        pub link_status: u16,
        #[mesh(5)]
        pub slot_control: u16,
        #[mesh(6)]
        pub slot_status: u16,
        #[mesh(7)]
        pub root_control: u16,
        #[mesh(8)]
        pub root_status: u32,
        #[mesh(9)]
        pub device_control_2: u16,
        #[mesh(10)]
        pub device_status_2: u16,
        #[mesh(11)]
        pub link_control_2: u16,
        #[mesh(12)]
        pub link_status_2: u16,
        #[mesh(13)]
        pub slot_control_2: u16,
        #[mesh(14)]
        pub slot_status_2: u16,
        /// Absent in states of versions that had no such facts.
        #[mesh(15)]
        pub hardware: Option<Hardware>,
        /// Requester IDs of the PMEs behind the one that Root Status shows, longest first.
        #[mesh(16)]
        pub pending_pmes: Vec<u16>,
    }

    /// The facts that no register holds.
    #[derive(Protobuf)]
    #[mesh(package = "pci.capabilities.pci_express")]
    pub struct Hardware {
        #[mesh(1)]
        pub card: Option<Card>,
        #[mesh(2)]
        pub presence_pin: bool,
        #[mesh(3)]
        pub mrl_open: bool,
        #[mesh(4)]
        pub power_fault: bool,
    }

    /// What the other end of the link can.
    #[derive(Protobuf)]
    #[mesh(package = "pci.capabilities.pci_express")]
    pub struct Card {
        #[mesh(1)]
        pub speed: u32,
        #[mesh(2)]
        pub width: u32,
    }
}

impl SaveRestore for PciExpressCapability {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let get = |register| self.registers.get16(register);
        let machine = self.machine.get_mut();
        Ok(state::SavedState {
            device_control: get(PciExpressReg::DeviceControl),
            device_status: get(PciExpressReg::DeviceStatus),
            link_control: get(PciExpressReg::LinkControl),
            link_status: get(PciExpressReg::LinkStatus),
            slot_control: get(PciExpressReg::SlotControl),
            slot_status: get(PciExpressReg::SlotStatus),
            root_control: get(PciExpressReg::RootControl),
            root_status: self.registers.get(PciExpressReg::RootStatus),
            device_control_2: get(PciExpressReg::DeviceControl2),
            device_status_2: get(PciExpressReg::DeviceStatus2),
            link_control_2: get(PciExpressReg::LinkControl2),
            link_status_2: get(PciExpressReg::LinkStatus2),
            slot_control_2: get(PciExpressReg::SlotControl2),
            slot_status_2: get(PciExpressReg::SlotStatus2),
            hardware: Some(state::Hardware {
                card: machine.card.map(|card| state::Card {
                    speed: card.speed.0,
                    width: card.width.0,
                }),
                presence_pin: machine.presence_pin,
                mrl_open: machine.mrl_open,
                power_fault: machine.power_fault,
            }),
            pending_pmes: machine.pending_pmes.iter().map(|pme| pme.bits()).collect(),
        })
    }

    /// The values go back as they are, bits that no longer mean anything included: states of other versions of this
    /// capability are to be saved again as they came. Not so [with standard registers](Self::with_standard_registers), where nobody
    /// could turn off again what the function does not have.
    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        for (register, value) in [
            (PciExpressReg::DeviceControl, state.device_control),
            (PciExpressReg::LinkControl, state.link_control),
            (PciExpressReg::SlotControl, state.slot_control),
            (PciExpressReg::RootControl, state.root_control),
            (PciExpressReg::DeviceControl2, state.device_control_2),
            (PciExpressReg::LinkControl2, state.link_control_2),
            (PciExpressReg::SlotControl2, state.slot_control_2),
        ] {
            self.restore_control(register, value);
        }
        for (register, value) in [
            (PciExpressReg::DeviceStatus, state.device_status),
            (PciExpressReg::LinkStatus, state.link_status),
            (PciExpressReg::SlotStatus, state.slot_status),
            (PciExpressReg::DeviceStatus2, state.device_status_2),
            (PciExpressReg::LinkStatus2, state.link_status_2),
            (PciExpressReg::SlotStatus2, state.slot_status_2),
        ] {
            self.restore_status(register, value);
        }
        self.registers
            .set(PciExpressReg::RootStatus, state.root_status);
        let slot = self.slot_implemented();
        let seen = self.slot_status();
        let mut machine = self.machine.lock();
        let Hardware {
            card,
            presence_pin,
            mrl_open,
            power_fault,
        } = state.hardware.unwrap_or_else(|| {
            // A state of a version that knew of cards by the registers alone.
            let present = !slot || seen.presence_detect_state() != 0;
            Hardware {
                card: present.then_some(Card {
                    speed: LinkRate::MAX.speed.0,
                    width: LinkRate::MAX.width.0,
                }),
                presence_pin: present,
                mrl_open: false,
                power_fault: false,
            }
        });
        machine.card = card.map(|card| LinkRate {
            speed: LinkSpeed(card.speed),
            width: LinkWidth(card.width),
        });
        machine.presence_pin = presence_pin;
        machine.mrl_open = mrl_open;
        machine.power_fault = power_fault;
        let mut seen = BTreeSet::new();
        let pending = state.pending_pmes.into_iter();
        machine.pending_pmes = pending
            .filter(|requester| seen.insert(*requester))
            .map(Bdf::from_bits)
            .collect();
        self.after_restore(&mut machine);
        Ok(())
    }
}
