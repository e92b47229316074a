//! The capability as inspection shows it: the registers, and the slot and the link behind them.

use super::LinkRate;
use super::PciExpressCapability;
use super::PortCounters;
use super::link::has_link;
use crate::spec::caps::pci_express::SlotIndicator;
use inspect::Inspect;
use inspect::Request;

impl Inspect for PciExpressCapability {
    fn inspect(&self, req: Request<'_>) {
        let mut resp = req.respond();
        resp.merge(&self.registers);
        resp.field("flr_handler", &self.flr_handler);
        if has_link(self.device_port_type()) {
            resp.field_with("link", || self.shown_link());
        }
        if self.ends_messages() {
            resp.field_with("pme", || self.shown_pme());
        }
        if self.slot_implemented() {
            resp.field_with("slot", || self.shown_slot());
        }
    }
}

/// The link behind a port, or before an endpoint.
#[derive(Inspect)]
struct Link {
    bandwidth_event: bool,
    negotiated: Option<LinkRate>,
    other_end: Option<LinkRate>,
    up: bool,
}

/// The power management events that a root port or event collector was told of.
#[derive(Inspect)]
struct Pme {
    #[inspect(counter)]
    interrupts: u64,
    pending: String,
}

/// The slot behind a port, with what it has.
#[derive(Inspect)]
struct Slot<'a> {
    attention_button: Option<AttentionButton<'a>>,
    attention_indicator: Option<SlotIndicator>,
    card_present: bool,
    counters: PortCounters,
    event_pending: bool,
    interlock_engaged: Option<bool>,
    mrl_open: Option<bool>,
    number: u32,
    power_fault: Option<bool>,
    power_indicator: Option<SlotIndicator>,
    powered: bool,
    presence_detected: bool,
    removal_permitted: bool,
}

impl PciExpressCapability {
    fn shown_link(&self) -> Link {
        Link {
            bandwidth_event: self.link_bandwidth_event(),
            negotiated: self.negotiated_link(),
            other_end: self.card(),
            up: self.link_up(),
        }
    }

    fn shown_pme(&self) -> Pme {
        let pending: Vec<_> = self
            .pending_pmes()
            .iter()
            .map(ToString::to_string)
            .collect();
        Pme {
            interrupts: self.machine.lock().pme_interrupts,
            pending: pending.join(" "),
        }
    }

    fn shown_slot(&self) -> Slot<'_> {
        let (status, has) = (self.slot_status(), self.slot_capabilities());
        Slot {
            attention_button: has
                .attention_button_present()
                .then_some(AttentionButton(self)),
            attention_indicator: has
                .attention_indicator_present()
                .then(|| self.attention_indicator()),
            card_present: self.card().is_some(),
            counters: self.counters(),
            event_pending: self.hot_plug_event(),
            interlock_engaged: has
                .electromechanical_interlock_present()
                .then(|| self.interlock_engaged()),
            mrl_open: has
                .mrl_sensor_present()
                .then(|| status.mrl_sensor_state() != 0),
            number: has.physical_slot_number(),
            power_fault: has
                .power_controller_present()
                .then(|| self.machine.lock().power_fault),
            power_indicator: has
                .power_indicator_present()
                .then(|| self.power_indicator()),
            powered: self.slot_powered(),
            presence_detected: status.presence_detect_state() != 0,
            removal_permitted: self.removal_permitted(),
        }
    }
}

/// The button: shows how often it was pressed; the update "press" presses it.
struct AttentionButton<'a>(&'a PciExpressCapability);

impl Inspect for AttentionButton<'_> {
    fn inspect(&self, req: Request<'_>) {
        let pressed = || self.0.counters().buttons;
        match req.update() {
            Ok(update) if update.new_value() == "press" => match self.0.press_attention_button() {
                Ok(()) => update.succeed(pressed()),
                Err(error) => update.fail(error),
            },
            Ok(update) => {
                let reason = format!("'{}' is not 'press'", update.new_value());
                update.fail(reason);
            }
            Err(req) => req.with_counter_format().value(pressed()),
        }
    }
}
