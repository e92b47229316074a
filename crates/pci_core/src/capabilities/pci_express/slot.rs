//! What a slot has (PCIe 6.2 section 7.5.3.9).

use super::PHYSICAL_SLOT_NUMBER_MAX;
use crate::spec::caps::pci_express::DevicePortType;
use crate::spec::caps::pci_express::SlotCapabilities;
use crate::spec::caps::pci_express::SlotCapabilities2;
use crate::spec::caps::pci_express::SlotControl;
use crate::spec::caps::pci_express::SlotIndicator;

/// The power that a slot may give to its card (PCIe 6.2 section 7.5.3.9).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotPowerLimit {
    /// In units of the scale; 0xf0 to 0xff stand for 250 W upwards at scale 0.
    pub value: u8,
    /// 0: 1 W; 1: 0.1 W; 2: 0.01 W; 3: 0.001 W.
    pub scale: u8,
}

/// What a slot has.
///
/// ```
/// use pci_core::capabilities::pci_express::{PciExpressCapability, SlotConfig, SlotError};
/// use pci_core::spec::caps::pci_express::DevicePortType;
///
/// let port = || PciExpressCapability::new(DevicePortType::RootPort, None);
/// let slot = port().with_slot(SlotConfig::full(3))?;
/// slot.press_attention_button()?;
/// assert!(slot.slot_status().attention_button_pressed());
///
/// let blind = SlotConfig { out_of_band_presence: false, ..SlotConfig::full(3) };
/// assert_eq!(port().with_slot(blind).err(), Some(SlotError::PowerWithoutPresence { number: 3 }));
/// # Ok::<(), SlotError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotConfig {
    /// Physical Slot Number, at most [`PHYSICAL_SLOT_NUMBER_MAX`]; unique in the chassis.
    pub number: u32,
    /// An attention button, with which an operator asks for a card to be added or removed.
    pub attention_button: bool,
    /// A power controller: the guest turns the card's power on and off.
    pub power_controller: bool,
    /// A sensor for the manually operated retention latch.
    pub mrl_sensor: bool,
    /// An attention indicator.
    pub attention_indicator: bool,
    /// A power indicator.
    pub power_indicator: bool,
    /// Cards may leave without notice.
    pub hot_plug_surprise: bool,
    /// Events interrupt, and commands are accepted.
    pub hot_plug_capable: bool,
    /// A lock that holds the card until the guest releases it.
    pub electromechanical_interlock: bool,
    /// The end of each command is an event; if not, No Command Completed Support is set.
    pub command_completed: bool,
    /// The power that the slot gives.
    pub power_limit: SlotPowerLimit,
    /// A presence pin, beside what the link sees. Without it a card is seen only while it has power.
    pub out_of_band_presence: bool,
    /// The guest may leave what the link sees out of Presence Detect State.
    pub in_band_presence_disable: bool,
}

impl SlotConfig {
    /// A hot-plug slot without button, indicators or power controller: cards come and go by surprise.
    pub const fn surprise(number: u32) -> Self {
        Self {
            number,
            attention_button: false,
            power_controller: false,
            mrl_sensor: false,
            attention_indicator: false,
            power_indicator: false,
            hot_plug_surprise: true,
            hot_plug_capable: true,
            electromechanical_interlock: false,
            command_completed: false,
            power_limit: SlotPowerLimit { value: 0, scale: 0 },
            out_of_band_presence: true,
            in_band_presence_disable: false,
        }
    }

    /// A hot-plug slot with everything that makes adding and removing orderly.
    pub const fn full(number: u32) -> Self {
        Self {
            number,
            attention_button: true,
            power_controller: true,
            mrl_sensor: true,
            attention_indicator: true,
            power_indicator: true,
            hot_plug_surprise: false,
            hot_plug_capable: true,
            electromechanical_interlock: true,
            command_completed: true,
            power_limit: SlotPowerLimit {
                value: 75,
                scale: 0,
            },
            out_of_band_presence: true,
            in_band_presence_disable: true,
        }
    }

    pub(super) fn check(&self, port_type: DevicePortType) -> Result<(), SlotError> {
        let number = self.number;
        if !is_downstream(port_type) {
            return Err(SlotError::NoSlot { port_type });
        }
        if number > PHYSICAL_SLOT_NUMBER_MAX {
            return Err(SlotError::Number { number });
        }
        if self.power_limit.scale > 3 {
            return Err(SlotError::PowerLimitScale {
                number,
                scale: self.power_limit.scale,
            });
        }
        if self.power_controller && !self.out_of_band_presence {
            return Err(SlotError::PowerWithoutPresence { number });
        }
        if self.in_band_presence_disable && !self.out_of_band_presence {
            return Err(SlotError::PresenceWithoutPin { number });
        }
        Ok(())
    }

    pub(super) fn capabilities(&self) -> SlotCapabilities {
        SlotCapabilities::new()
            .with_attention_button_present(self.attention_button)
            .with_power_controller_present(self.power_controller)
            .with_mrl_sensor_present(self.mrl_sensor)
            .with_attention_indicator_present(self.attention_indicator)
            .with_power_indicator_present(self.power_indicator)
            .with_hot_plug_surprise(self.hot_plug_surprise)
            .with_hot_plug_capable(self.hot_plug_capable)
            .with_slot_power_limit_value(self.power_limit.value.into())
            .with_slot_power_limit_scale(self.power_limit.scale.into())
            .with_electromechanical_interlock_present(self.electromechanical_interlock)
            .with_no_command_completed_support(!self.command_completed)
            .with_physical_slot_number(self.number)
    }

    pub(super) fn capabilities_2(&self) -> SlotCapabilities2 {
        SlotCapabilities2::new().with_in_band_pd_disable_supported(self.in_band_presence_disable)
    }

    /// Slot Control after a reset: power is on, so that firmware finds the cards that are there, and the power indicator says
    /// so; an indicator's reset value must not be the reserved 0 (PCIe 6.2 section 7.5.3.10).
    pub(super) fn control(&self) -> SlotControl {
        let shows = |present, state: SlotIndicator| if present { state.0 } else { 0 };
        SlotControl::new()
            .with_attention_indicator_control(shows(self.attention_indicator, SlotIndicator::Off))
            .with_power_indicator_control(shows(self.power_indicator, SlotIndicator::On))
    }
}

/// The ports that lead downstream, and so may have slots and report on their link.
pub(super) fn is_downstream(port_type: DevicePortType) -> bool {
    matches!(
        port_type,
        DevicePortType::RootPort | DevicePortType::DownstreamSwitchPort
    )
}

/// What the slot has decides which bits of Slot Control can be written (PCIe 6.2 section 7.5.3.10).
pub(super) fn writable(has: &SlotCapabilities, has_2: &SlotCapabilities2) -> SlotControl {
    let indicator = |present| if present { 0b11 } else { 0 };
    SlotControl::new()
        .with_attention_button_pressed_enable(has.attention_button_present())
        .with_power_fault_detected_enable(true)
        .with_mrl_sensor_changed_enable(has.mrl_sensor_present())
        .with_presence_detect_changed_enable(true)
        .with_command_completed_interrupt_enable(!has.no_command_completed_support())
        .with_hot_plug_interrupt_enable(has.hot_plug_capable())
        .with_attention_indicator_control(indicator(has.attention_indicator_present()))
        .with_power_indicator_control(indicator(has.power_indicator_present()))
        .with_power_controller_control(has.power_controller_present())
        .with_electromechanical_interlock_control(has.electromechanical_interlock_present())
        .with_data_link_layer_state_changed_enable(true)
        .with_auto_slot_power_limit_enable(true)
        .with_in_band_pd_disable(has_2.in_band_pd_disable_supported())
}

/// Why a port cannot have such a slot, or why a slot cannot do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// Only root ports and a switch's downstream ports have slots.
    #[error("a slot is not valid for device port type {port_type:?}")]
    NoSlot {
        /// What it is.
        port_type: DevicePortType,
    },
    /// The number does not fit the register.
    #[error("the physical slot number is {number}; it is at most {PHYSICAL_SLOT_NUMBER_MAX}")]
    Number {
        /// The number given.
        number: u32,
    },
    /// No such scale.
    #[error("slot {number}: the power limit's scale is {scale}; it is at most 3")]
    PowerLimitScale {
        /// The slot.
        number: u32,
        /// The scale given.
        scale: u8,
    },
    /// A card without power could not be seen, so nobody would turn its power on (PCIe 6.2 section 7.5.3.11).
    #[error("slot {number}: a power controller needs out-of-band presence detection")]
    PowerWithoutPresence {
        /// The slot.
        number: u32,
    },
    /// With in-band presence detection disabled, nothing would detect cards.
    #[error("slot {number}: disabling in-band presence detection needs out-of-band detection")]
    PresenceWithoutPin {
        /// The slot.
        number: u32,
    },
    /// The slot has no such part.
    #[error("slot {number} has no {part}")]
    Absent {
        /// The slot; 0 for a port without slot.
        number: u32,
        /// What it would take.
        part: &'static str,
    },
    /// The electromechanical interlock holds the card.
    #[error("slot {number}: the electromechanical interlock is engaged and holds the card")]
    InterlockEngaged {
        /// The slot.
        number: u32,
    },
}
