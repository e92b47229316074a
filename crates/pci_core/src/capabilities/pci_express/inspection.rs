//! The capability as inspection shows it: the registers, and the slot and the link behind them.

use super::PciExpressCapability;
use super::link::has_link;
use inspect::Inspect;
use inspect::Request;
use inspect::Response;

impl Inspect for PciExpressCapability {
    fn inspect(&self, req: Request<'_>) {
        let mut resp = req.respond();
        resp.merge(&self.registers);
        resp.field("flr_handler", &self.flr_handler);
        if has_link(self.device_port_type()) {
            resp.child("link", |req| self.inspect_link(&mut req.respond()));
        }
        if self.ends_messages() {
            resp.child("pme", |req| self.inspect_pme(&mut req.respond()));
        }
        if self.slot_implemented() {
            resp.child("slot", |req| self.inspect_slot(&mut req.respond()));
        }
    }
}

impl PciExpressCapability {
    fn inspect_link(&self, resp: &mut Response<'_>) {
        resp.field("bandwidth_event", self.link_bandwidth_event())
            .field("negotiated", self.negotiated_link())
            .field("other_end", self.card())
            .field("up", self.link_up());
    }

    fn inspect_pme(&self, resp: &mut Response<'_>) {
        let pending: Vec<_> = self
            .pending_pmes()
            .iter()
            .map(ToString::to_string)
            .collect();
        resp.counter("interrupts", self.machine.lock().pme_interrupts)
            .field("pending", pending.join(" "));
    }

    fn inspect_slot(&self, resp: &mut Response<'_>) {
        let (status, has) = (self.slot_status(), self.slot_capabilities());
        resp.field("card_present", self.card().is_some())
            .field("counters", self.counters())
            .field("event_pending", self.hot_plug_event())
            .field("number", has.physical_slot_number())
            .field("powered", self.slot_powered())
            .field("presence_detected", status.presence_detect_state() != 0)
            .field("removal_permitted", self.removal_permitted());
        if has.power_controller_present() {
            resp.field("power_fault", self.machine.lock().power_fault);
        }
        if has.mrl_sensor_present() {
            resp.field("mrl_open", status.mrl_sensor_state() != 0);
        }
        if has.electromechanical_interlock_present() {
            resp.field("interlock_engaged", self.interlock_engaged());
        }
        if has.attention_indicator_present() {
            resp.field("attention_indicator", self.attention_indicator());
        }
        if has.power_indicator_present() {
            resp.field("power_indicator", self.power_indicator());
        }
        if has.attention_button_present() {
            resp.field("attention_button", AttentionButton(self));
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
