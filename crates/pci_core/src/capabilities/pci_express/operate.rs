//! A port as its owner works it: cards, buttons, latches and faults in; link, power, events and counters out.

use super::PciExpressCapability;
use super::events::PortCounters;
use super::events::PortEvents;
use super::link::LinkRate;
use super::machine::Cause;
use super::slot::SlotError;
use crate::spec::caps::pci_express::LinkSpeed;
use crate::spec::caps::pci_express::LinkWidth;
use crate::spec::caps::pci_express::SlotIndicator;
use crate::spec::caps::pci_express::SlotStatus;
use std::sync::atomic::Ordering;

/// Why hardware changed a link's bandwidth by itself (PCIe 6.2 section 7.5.3.8).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum BandwidthChange {
    /// To keep an unreliable link going.
    Reliability,
    /// For any other reason, such as saving power. Hardware Autonomous Width Disable and Speed Disable forbid it.
    Autonomous,
}

/// What the owner of a port does to it, and asks of it. None of these blocks; each may send an interrupt before it returns.
impl PciExpressCapability {
    /// Puts a card into the slot, or says what is soldered to a port without slot, or, in an endpoint or a switch's upstream port,
    /// what the port above can. The link comes up if power and Link Disable allow it. A card that is there already is taken out
    /// first.
    pub fn insert_card(&self, card: LinkRate) {
        self.act(Cause::Hardware, |machine| {
            if self.slot_implemented() && machine.card.is_some() {
                machine.place(None);
                self.settle(machine, Cause::Hardware);
            }
            machine.place(Some(card));
        });
    }

    /// Takes the card out, whether or not the guest agreed; [`Self::removal_permitted`] tells whether it did. In an empty slot,
    /// nothing happens.
    ///
    /// # Errors
    ///
    /// [`SlotError::InterlockEngaged`]: the guest locked the card in.
    pub fn remove_card(&self) -> Result<(), SlotError> {
        if self.interlock_engaged() {
            return Err(SlotError::InterlockEngaged {
                number: self.slot_number(),
            });
        }
        self.act(Cause::Hardware, |machine| machine.place(None));
        Ok(())
    }

    /// Moves the presence pin alone, as a card does that is not fully seated: the link may already be up. In a slot without out-of-band
    /// presence detection, nothing happens.
    pub fn set_presence_pin(&self, present: bool) {
        self.act(Cause::Hardware, |machine| machine.presence_pin = present);
    }

    /// Presses the attention button: asks the guest to take the card in, or to let it go (PCIe 6.2 section 6.7.1.5).
    ///
    /// # Errors
    ///
    /// [`SlotError::Absent`]: there is no button.
    pub fn press_attention_button(&self) -> Result<(), SlotError> {
        let has = self.slot_capabilities.attention_button_present();
        self.part("attention button", has)?;
        self.act(Cause::Hardware, |machine| {
            machine.counters.buttons += 1;
            machine.events.attention_button = true;
            self.raise(SlotStatus::new().with_attention_button_pressed(true));
        });
        Ok(())
    }

    /// Opens or closes the retention latch. While it is open, a power controller keeps main power off (PCIe 6.2 section 6.7.1.3).
    ///
    /// # Errors
    ///
    /// [`SlotError::Absent`]: there is no sensor.
    pub fn set_mrl(&self, open: bool) -> Result<(), SlotError> {
        self.part("MRL sensor", self.slot_capabilities.mrl_sensor_present())?;
        self.act(Cause::Hardware, |machine| {
            if std::mem::replace(&mut machine.mrl_open, open) != open {
                machine.counters.mrl_changes += 1;
                self.set_slot_status(|status| {
                    status
                        .with_mrl_sensor_state(open.into())
                        .with_mrl_sensor_changed(true)
                });
            }
        });
        Ok(())
    }

    /// The power controller finds a fault. It takes main power away until the guest turns power off and on again (PCIe 6.2 section
    /// 6.7.1.8).
    ///
    /// # Errors
    ///
    /// [`SlotError::Absent`]: there is no power controller.
    pub fn power_fault(&self) -> Result<(), SlotError> {
        let has = self.slot_capabilities.power_controller_present();
        self.part("power controller", has)?;
        self.act(Cause::Hardware, |machine| {
            machine.counters.power_faults += 1;
            machine.power_fault = !self.slot_control().power_controller_control();
            self.raise(SlotStatus::new().with_power_fault_detected(true));
        });
        Ok(())
    }

    /// The guest holds the link in hot reset, or lets it go, by Secondary Bus Reset in Bridge Control (PCIe 6.2 section
    /// 7.5.1.3.13). Meanwhile the link is down.
    pub fn hold_in_reset(&self, held: bool) {
        self.act(Cause::Guest, |machine| machine.held_in_reset = held);
    }

    /// As [`Self::hold_in_reset`], of a bridge whose registers were reset or restored: the "changed" bits stay.
    pub fn assume_held_in_reset(&self, held: bool) {
        self.act(Cause::Beginning, |machine| machine.held_in_reset = held);
    }

    /// Hardware changes what the other end of the link can, without the link going down. The guest is told if speed or width
    /// changed, in a port with bandwidth notification. Without anything at the other end, nothing happens.
    pub fn change_bandwidth(&self, rate: LinkRate, why: BandwidthChange) {
        self.act(Cause::Hardware, |machine| {
            let Some(card) = &mut machine.card else {
                return;
            };
            let before = machine.link;
            let fixed = |forbidden: bool| forbidden && why == BandwidthChange::Autonomous;
            if !fixed(self.link_control().hardware_autonomous_width_disable()) {
                card.width = rate.width;
            }
            if !fixed(self.link_control_2().hardware_autonomous_speed_disable()) {
                card.speed = rate.speed;
            }
            self.settle(machine, Cause::Hardware);
            if before.is_some() && machine.link.is_some() && before != machine.link {
                self.raise_bandwidth(why);
            }
        });
    }

    /// Whether packets pass the link: one atomic load. A port without slot always has a link unless it is disabled, or the owner
    /// took away what was at the other end.
    #[inline]
    pub fn downstream_reachable(&self) -> bool {
        self.link_up.load(Ordering::Relaxed)
    }

    /// Whether the link is up; the same as [`Self::downstream_reachable`].
    pub fn link_up(&self) -> bool {
        self.downstream_reachable()
    }

    /// The most that the port's own end of the link can.
    pub fn link_rate(&self) -> LinkRate {
        let can = self.link_capabilities();
        LinkRate {
            speed: LinkSpeed(can.max_link_speed()),
            width: LinkWidth(can.max_link_width()),
        }
    }

    /// The speed and width that the link trained to; `None` while it is down.
    pub fn negotiated_link(&self) -> Option<LinkRate> {
        self.machine.lock().link
    }

    /// Whether the slot's main power is on; always, without a power controller.
    pub fn slot_powered(&self) -> bool {
        self.machine.lock().powered
    }

    /// The card, as far as hardware knows it: what it can.
    pub fn card(&self) -> Option<LinkRate> {
        self.machine.lock().card
    }

    /// What the attention indicator shows; dark where there is none.
    pub fn attention_indicator(&self) -> SlotIndicator {
        let has = self.slot_capabilities.attention_indicator_present();
        let shown = SlotIndicator(self.slot_control().attention_indicator_control());
        if has { shown } else { SlotIndicator::Off }
    }

    /// What the power indicator shows; dark where there is none.
    pub fn power_indicator(&self) -> SlotIndicator {
        let has = self.slot_capabilities.power_indicator_present();
        let shown = SlotIndicator(self.slot_control().power_indicator_control());
        if has { shown } else { SlotIndicator::Off }
    }

    /// Whether the guest let the card go: power is off, the power indicator is dark and the interlock is released, as far as
    /// the slot has these (PCIe 6.2 section 6.7.1.1). A slot with none of them always permits removal.
    pub fn removal_permitted(&self) -> bool {
        let has = &self.slot_capabilities;
        !(has.power_controller_present() && self.slot_powered())
            && self.power_indicator() == SlotIndicator::Off
            && !self.interlock_engaged()
    }

    /// Whether the electromechanical interlock holds the card; never, without one.
    pub fn interlock_engaged(&self) -> bool {
        self.slot_capabilities.electromechanical_interlock_present()
            && self.slot_status().electromechanical_interlock_status() != 0
    }

    /// Takes what happened since the last call. An owner asks after each configuration write and reset of the port, and after
    /// what it does to the port itself.
    pub fn take_events(&self) -> PortEvents {
        std::mem::take(&mut self.machine.lock().events)
    }

    /// How often things happened.
    pub fn counters(&self) -> PortCounters {
        self.machine.lock().counters
    }

    /// Whether an event is pending that the guest enabled: the level of an INTx pin, and what makes a message due when it becomes
    /// true (PCIe 6.2 section 6.7.3.4).
    pub fn hot_plug_event(&self) -> bool {
        self.slot_control().hot_plug_interrupt_enable() && self.enabled_slot_events() != 0
    }

    /// The bits of Slot Status whose events are pending and which the guest enabled one by one.
    pub(super) fn enabled_slot_events(&self) -> u16 {
        let control = self.slot_control();
        let enabled = SlotStatus::new()
            .with_attention_button_pressed(control.attention_button_pressed_enable())
            .with_power_fault_detected(control.power_fault_detected_enable())
            .with_mrl_sensor_changed(control.mrl_sensor_changed_enable())
            .with_presence_detect_changed(control.presence_detect_changed_enable())
            .with_command_completed(control.command_completed_interrupt_enable())
            .with_data_link_layer_state_changed(control.data_link_layer_state_changed_enable());
        self.slot_status().into_bits() & enabled.into_bits()
    }

    /// Says whether the port is below D0. Then slot and link do not interrupt; a slot event that software enabled is
    /// [`PortEvents::woke`], for the owner to signal by PME (PCIe 6.2 section 6.7.3.4). One that is still pending when the port is back
    /// interrupts then.
    pub fn set_asleep(&self, asleep: bool) {
        if self.machine.lock().asleep != asleep {
            self.act(Cause::Guest, |machine| machine.asleep = asleep);
        }
    }

    /// As [`Self::set_asleep`], of a port whose registers were reset or restored: nothing interrupts.
    pub fn assume_asleep(&self, asleep: bool) {
        let mut machine = self.machine.lock();
        machine.asleep = asleep;
        self.assume_events(&mut machine);
    }

    /// Says whether messages of the port are held back: the guest enabled neither MSI nor MSI-X, or Bus Master Enable is clear. What is
    /// pending when they go out again interrupts then, once (PCIe 6.2 section 6.7.3.4).
    pub fn set_messages_held(&self, held: bool) {
        if self.machine.lock().messages_held != held {
            self.act(Cause::Guest, |machine| machine.messages_held = held);
        }
    }

    /// As [`Self::set_messages_held`], of a port whose registers were reset or restored: nothing interrupts.
    pub fn assume_messages_held(&self, held: bool) {
        let mut machine = self.machine.lock();
        machine.messages_held = held;
        self.assume_events(&mut machine);
    }

    /// Whether a bandwidth change is pending that the guest enabled (PCIe 6.2 section 7.5.3.7); as [`Self::hot_plug_event`].
    pub fn link_bandwidth_event(&self) -> bool {
        let (status, control) = (self.link_status(), self.link_control());
        status.link_bandwidth_management_status()
            && control.link_bandwidth_management_interrupt_enable()
            || status.link_autonomous_bandwidth_status()
                && control.link_autonomous_bandwidth_interrupt_enable()
    }

    /// Says that this card is in the slot, or soldered to the link, from power-on: the "changed" bits stay.
    pub fn begin_with_card(&self, card: LinkRate) {
        self.act(Cause::Beginning, |machine| machine.place(Some(card)));
    }

    /// Says that a card is or is not in the slot, as at power-on: the "changed" bits stay. Without a slot, nothing happens.
    pub fn set_presence_detect_state(&self, present: bool) {
        if self.slot_implemented() {
            self.act(Cause::Beginning, |machine| {
                machine.place(present.then(|| machine.card.unwrap_or(LinkRate::MAX)));
            });
        }
    }

    /// Records that presence and link state changed, and interrupts if the guest wants that.
    pub fn set_hotplug_changed_bits(&self) {
        self.act(Cause::Hardware, |_| self.raise_hotplug_changed());
    }

    /// Says that a card came or went: presence, link, and the "changed" bits; interrupts if the guest wants that. Without a slot,
    /// nothing happens.
    pub fn set_hotplug_state(&self, present: bool) {
        if self.slot_implemented() {
            self.act(Cause::Hardware, |machine| {
                machine.place(present.then(|| machine.card.unwrap_or(LinkRate::MAX)));
                self.raise_hotplug_changed();
            });
        }
    }

    fn raise_hotplug_changed(&self) {
        self.raise(
            SlotStatus::new()
                .with_presence_detect_changed(true)
                .with_data_link_layer_state_changed(true),
        );
    }

    fn part(&self, part: &'static str, has: bool) -> Result<(), SlotError> {
        let number = self.slot_number();
        has.then_some(()).ok_or(SlotError::Absent { number, part })
    }
}
