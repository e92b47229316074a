//! The slot and the link as a machine: what hardware and guest do, and what follows (PCIe 6.2 section 6.7).
//!
//! Inputs are facts: a card is there, the latch is open, the guest wants power off. [`PciExpressCapability::act`] takes one
//! input, then derives power, link and presence from all of them, shows the result in the registers, records changes, and
//! sends the messages that became due. What follows never depends on the order in which facts came about.
//!
//! Not emulated: time. Commands complete, power rises and links train at once.

use super::PciExpressCapability;
use super::events::EdgeInterrupt;
use super::events::PortCounters;
use super::events::PortEvents;
use super::link::LinkRate;
use super::low_half;
use super::operate::BandwidthChange;
use super::slot::is_downstream;
use crate::spec::Bdf;
use crate::spec::caps::pci_express::DeviceCapabilities2;
use crate::spec::caps::pci_express::DeviceControl2;
use crate::spec::caps::pci_express::LinkCapabilities;
use crate::spec::caps::pci_express::LinkControl;
use crate::spec::caps::pci_express::LinkControl2;
use crate::spec::caps::pci_express::LinkSpeed;
use crate::spec::caps::pci_express::LinkStatus;
use crate::spec::caps::pci_express::LinkStatus2;
use crate::spec::caps::pci_express::PciExpressReg;
use crate::spec::caps::pci_express::SlotControl;
use crate::spec::caps::pci_express::SlotStatus;
use reg_table::Change;
use reg_table::Reset;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

/// The facts about a port that no register holds, and what was derived from them last.
pub(super) struct Machine {
    /// The other end of the link.
    pub(super) card: Option<LinkRate>,
    /// What the presence pin says; a slot without pin ignores it.
    pub(super) presence_pin: bool,
    pub(super) mrl_open: bool,
    /// The power controller's latch: a fault took the power away.
    pub(super) power_fault: bool,
    /// Downstream Port Containment holds the link down.
    pub(super) contained: bool,
    /// The guest holds the link in hot reset, by a register of the bridge (PCIe 6.2 section 7.5.1.3.13).
    pub(super) held_in_reset: bool,
    pub(super) powered: bool,
    pub(super) link: Option<LinkRate>,
    pub(super) events: PortEvents,
    pub(super) counters: PortCounters,
    pub(super) hot_plug: EdgeInterrupt,
    pub(super) bandwidth: EdgeInterrupt,
    pub(super) pme: EdgeInterrupt,
    /// Requesters behind the one that Root Status shows, each once.
    pub(super) pending_pmes: VecDeque<Bdf>,
    /// Interrupts sent for power management events.
    pub(super) pme_interrupts: u64,
    /// The port is below D0: slot and link do not interrupt.
    pub(super) asleep: bool,
    /// Messages do not go out.
    pub(super) messages_held: bool,
}

impl Default for Machine {
    /// Without a slot, something is soldered to the link and trains at whatever the port can.
    fn default() -> Self {
        Self {
            card: Some(LinkRate::MAX),
            presence_pin: true,
            mrl_open: false,
            power_fault: false,
            contained: false,
            held_in_reset: false,
            powered: true,
            link: None,
            events: PortEvents::default(),
            counters: PortCounters::default(),
            hot_plug: EdgeInterrupt::default(),
            bandwidth: EdgeInterrupt::default(),
            pme: EdgeInterrupt::default(),
            pending_pmes: VecDeque::new(),
            pme_interrupts: 0,
            asleep: false,
            messages_held: false,
        }
    }
}

impl Machine {
    pub(super) fn place(&mut self, card: Option<LinkRate>) {
        self.card = card;
        self.presence_pin = card.is_some();
    }
}

/// Who made something happen, and so what is said of it.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The guest, by a register.
    Guest,
    /// The operator or the hardware.
    Hardware,
    /// Power-on, composition or a reset: a new beginning, of which no "changed" bit tells.
    Beginning,
}

/// What follows from an input.
impl PciExpressCapability {
    /// Takes one input and all that follows from it. The condition of each interrupt is looked at before as well: a write
    /// that clears the pending events and causes a new one makes an edge of its own.
    pub(super) fn act(&self, cause: Cause, input: impl FnOnce(&mut Machine)) {
        let mut machine = self.machine.lock();
        let machine_ref = &mut *machine;
        self.evaluate(machine_ref);
        let before = self.slot_status();
        input(machine_ref);
        self.settle(machine_ref, cause);
        self.evaluate(machine_ref);
        let fresh = self.enabled_slot_events() & !before.into_bits() != 0;
        machine_ref.events.woke |= machine_ref.asleep && fresh;
        let counters = &mut machine_ref.counters;
        let due = [
            machine_ref
                .hot_plug
                .take_due(&mut counters.hot_plug_interrupts),
            machine_ref
                .bandwidth
                .take_due(&mut counters.link_interrupts),
            machine_ref.pme.take_due(&mut machine_ref.pme_interrupts),
        ];
        drop(machine);
        for interrupt in due.into_iter().flatten() {
            interrupt.deliver();
        }
    }

    /// The guest wrote Slot Control: one command, whatever it changes (PCIe 6.2 section 6.7.3.2).
    pub(super) fn slot_control_written(&self, change: Change<PciExpressReg>) {
        let [old, new, strobes] = [change.old, change.new, change.strobes]
            .map(|bits| SlotControl::from_bits(low_half(bits)));
        let has = &self.slot_capabilities;
        self.act(Cause::Guest, |machine| {
            if new.power_controller_control() {
                machine.power_fault = false;
            }
            if strobes.electromechanical_interlock_control() {
                machine.events.interlock_changed = true;
                self.set_slot_status(|status| {
                    let engaged = status.electromechanical_interlock_status() ^ 1;
                    status.with_electromechanical_interlock_status(engaged)
                });
            }
            machine.events.indicators_changed |= old.attention_indicator_control()
                != new.attention_indicator_control()
                || old.power_indicator_control() != new.power_indicator_control();
            if has.hot_plug_capable() {
                machine.counters.commands += 1;
                self.raise(
                    SlotStatus::new().with_command_completed(!has.no_command_completed_support()),
                );
            }
        });
    }

    /// The guest wrote Link Control. Retraining leaves the link up and is recorded (PCIe 6.2 section 7.5.3.8).
    pub(super) fn link_control_written(&self, change: Change<PciExpressReg>) {
        let strobes = LinkControl::from_bits(low_half(change.strobes));
        self.act(Cause::Guest, |machine| {
            let before = machine.link;
            self.settle(machine, Cause::Guest);
            if strobes.retrain_link() && before.is_some() && machine.link.is_some() {
                self.raise_bandwidth(BandwidthChange::Reliability);
            }
        });
    }

    /// The guest cleared events, or did not: the interrupts have to know.
    pub(super) fn status_written(&self) {
        self.act(Cause::Guest, |_| {});
    }

    /// The guest wrote Link Control 2: the link follows the target speed at once, without waiting to be retrained.
    pub(super) fn link_control_2_written(&self) {
        self.act(Cause::Guest, |_| self.clamp_target_speed());
    }

    /// The registers were reset: what is derived from the facts shows again, and the fault latch is released with the power
    /// controller's own state.
    pub(super) fn after_reset(&self, kind: Reset) {
        self.act(Cause::Beginning, |machine| {
            self.clamp_target_speed();
            machine.power_fault &= kind == Reset::FunctionLevel;
            machine.pending_pmes.clear();
        });
    }

    /// The registers hold a restored state: takes it for what was shown last. Interrupts for what is pending went out before the
    /// state was saved, and nobody waits for events of another life.
    pub(super) fn after_restore(&self, machine: &mut Machine) {
        machine.powered = self.power_good(machine);
        machine.link = self.trained(machine);
        machine.events = PortEvents::default();
        self.show_pme(machine);
        self.assume_events(machine);
        self.link_up
            .store(machine.link.is_some(), Ordering::Relaxed);
    }

    /// Takes what is pending for what was told.
    pub(super) fn assume_events(&self, machine: &mut Machine) {
        let [hot_plug, bandwidth, pme] = self.conditions(machine);
        machine.hot_plug.assume(hot_plug);
        machine.bandwidth.assume(bandwidth);
        machine.pme.assume(pme);
    }

    fn evaluate(&self, machine: &mut Machine) {
        let [hot_plug, bandwidth, pme] = self.conditions(machine);
        machine.hot_plug.evaluate(hot_plug);
        machine.bandwidth.evaluate(bandwidth);
        machine.pme.evaluate(pme);
    }

    /// What makes the messages of slot, link and power management events due.
    fn conditions(&self, machine: &Machine) -> [bool; 3] {
        let sends = !machine.messages_held;
        let awake = sends && !machine.asleep;
        [
            awake && self.hot_plug_event(),
            awake && self.link_bandwidth_event(),
            sends && self.pme_event(),
        ]
    }

    /// Derives power, link and presence, and shows them.
    pub(super) fn settle(&self, machine: &mut Machine, cause: Cause) {
        let powered = self.power_good(machine);
        machine.events.power_changed |= powered != machine.powered;
        machine.powered = powered;
        let link = self.trained(machine);
        self.record_link(machine, link, cause);
        self.show_link(link, cause);
        if self.slot_implemented() {
            self.show_presence(machine, cause);
        }
    }

    /// Main power is on unless the guest, a fault or an open latch keeps it off.
    fn power_good(&self, machine: &Machine) -> bool {
        !self.slot_capabilities.power_controller_present()
            || !(self.slot_control().power_controller_control()
                || machine.power_fault
                || machine.mrl_open)
    }

    /// What the link trains to, if it does.
    fn trained(&self, machine: &Machine) -> Option<LinkRate> {
        let disabled = self.is_downstream() && self.link_control().link_disable();
        let card = machine
            .card
            .filter(|_| machine.powered && !disabled)
            .filter(|_| !machine.held_in_reset && !machine.contained)?;
        // An end that leads upstream shows what both ends agreed on; Target Link Speed limits the other end (PCIe 6.2 section 7.5.3.19).
        let told = !self.is_downstream() && card != LinkRate::MAX;
        let target = if told {
            LinkSpeed::Speed64_0GtS
        } else {
            LinkSpeed(self.link_control_2().target_link_speed().into())
        };
        let mut own = self.link_rate();
        // 64.0 GT/s is Flit Mode only (PCIe 6.2 section 4.2.3).
        if self.link_control().flit_mode_disable() {
            own.speed = own.speed.min(LinkSpeed::Speed32_0GtS);
        }
        own.negotiate(card, target)
    }

    fn record_link(&self, machine: &mut Machine, link: Option<LinkRate>, cause: Cause) {
        match (std::mem::replace(&mut machine.link, link), link) {
            (None, None) => return,
            (Some(old), Some(new)) => {
                machine.events.link_rate_changed |= old != new;
                return;
            }
            (Some(_), None) => {
                machine.events.link_went_down = true;
                // What was restored says itself what it remembers.
                if cause != Cause::Beginning {
                    self.forget_ltr();
                }
                machine.events.surprise_down |= cause == Cause::Hardware
                    && self.link_capabilities().surprise_down_error_reporting()
                    && !self.slot_capabilities.hot_plug_surprise();
            }
            (None, Some(_)) => machine.events.link_came_up = true,
        }
        machine.counters.link_changes += 1;
        self.link_up.store(link.is_some(), Ordering::Relaxed);
    }

    /// LTR Mechanism Enable of a downstream port does not outlive its link (PCIe 6.2 section 7.5.3.16): what comes next has not been
    /// told to send messages, nor its latencies.
    fn forget_ltr(&self) {
        let can =
            DeviceCapabilities2::from_bits(self.registers.get(PciExpressReg::DeviceCapabilities2));
        if !self.is_downstream() || !can.ltr_mechanism_supported() {
            return;
        }
        self.registers
            .update(PciExpressReg::DeviceControl2, |control| {
                let control = DeviceControl2::from_bits(low_half(control));
                control.with_ltr_mechanism_enable(false).into_bits().into()
            });
    }

    fn show_link(&self, link: Option<LinkRate>, cause: Cause) {
        let reports = self
            .link_capabilities()
            .data_link_layer_link_active_reporting();
        let old = self.registers.update(PciExpressReg::LinkStatus, |status| {
            LinkStatus::from_bits(low_half(status))
                .with_current_link_speed(link.map_or(0, |link| low_half(link.speed.0)))
                .with_negotiated_link_width(link.map_or(0, |link| low_half(link.width.0)))
                .with_data_link_layer_link_active(reports && link.is_some())
                .into_bits()
                .into()
        });
        let was_active = LinkStatus::from_bits(low_half(old)).data_link_layer_link_active();
        let changed = was_active != (reports && link.is_some());
        if changed && self.slot_implemented() && cause != Cause::Beginning {
            self.raise(SlotStatus::new().with_data_link_layer_state_changed(true));
        }
        let flit = link.is_some_and(|link| link.speed == LinkSpeed::Speed64_0GtS);
        self.registers.update(PciExpressReg::LinkStatus2, |status| {
            let status = LinkStatus2::from_bits(low_half(status)).with_flit_mode_status(flit);
            status.into_bits().into()
        });
    }

    /// Presence Detect State is what the pin says or the link sees. The link sees a card that has power, and the guest may
    /// leave that out (PCIe 6.2 section 7.5.3.11).
    fn show_presence(&self, machine: &mut Machine, cause: Cause) {
        let in_band =
            machine.card.is_some() && machine.powered && !self.slot_control().in_band_pd_disable();
        let present = in_band || (self.presence_pin && machine.presence_pin);
        if (self.slot_status().presence_detect_state() != 0) == present {
            return;
        }
        let told = cause != Cause::Beginning;
        machine.counters.presence_changes += u64::from(told);
        self.set_slot_status(|status| {
            status
                .with_presence_detect_state(present.into())
                .with_presence_detect_changed(status.presence_detect_changed() || told)
        });
    }

    pub(super) fn raise(&self, events: SlotStatus) {
        self.registers.update(PciExpressReg::SlotStatus, |status| {
            status | u32::from(events.into_bits())
        });
    }

    pub(super) fn set_slot_status(&self, change: impl Fn(SlotStatus) -> SlotStatus) {
        self.registers.update(PciExpressReg::SlotStatus, |status| {
            change(SlotStatus::from_bits(low_half(status)))
                .into_bits()
                .into()
        });
    }

    pub(super) fn raise_bandwidth(&self, why: BandwidthChange) {
        if !self
            .link_capabilities()
            .link_bandwidth_notification_capability()
        {
            return;
        }
        let raised = match why {
            BandwidthChange::Reliability => {
                LinkStatus::new().with_link_bandwidth_management_status(true)
            }
            BandwidthChange::Autonomous => {
                LinkStatus::new().with_link_autonomous_bandwidth_status(true)
            }
        };
        self.registers.update(PciExpressReg::LinkStatus, |status| {
            status | u32::from(raised.into_bits())
        });
    }

    /// The target speed is kept within what the port can.
    fn clamp_target_speed(&self) {
        let control = self.link_control_2();
        let max = low_half(self.link_capabilities().max_link_speed());
        self.registers.set(
            PciExpressReg::LinkControl2,
            control
                .with_target_link_speed(control.target_link_speed().min(max))
                .into_bits(),
        );
    }

    pub(super) fn slot_number(&self) -> u32 {
        self.slot_capabilities.physical_slot_number()
    }

    fn is_downstream(&self) -> bool {
        is_downstream(self.device_port_type())
    }

    pub(super) fn link_capabilities(&self) -> LinkCapabilities {
        LinkCapabilities::from_bits(self.registers.get(PciExpressReg::LinkCapabilities))
    }

    pub(super) fn link_control(&self) -> LinkControl {
        LinkControl::from_bits(self.registers.get16(PciExpressReg::LinkControl))
    }

    pub(super) fn link_control_2(&self) -> LinkControl2 {
        LinkControl2::from_bits(self.registers.get16(PciExpressReg::LinkControl2))
    }
}
