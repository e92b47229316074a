//! What a port has to tell: to its owner by events, to the guest by interrupts, to the curious by counters.

use inspect::Inspect;
use vmcore::interrupt::Interrupt;

/// What happened at a port since its owner last asked; see
/// [`take_events`](super::PciExpressCapability::take_events).
///
/// These are edges. The state they led to is what the port says now: when the link went down and came up again, both are set.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Inspect)]
pub struct PortEvents {
    /// The link went down: what is below is unreachable and has been reset.
    pub link_went_down: bool,
    /// The link came up.
    pub link_came_up: bool,
    /// The link changed speed or width and stayed up.
    pub link_rate_changed: bool,
    /// The link went down unasked, in a port that reports that as an error (PCIe 6.2 section 3.2.1): Surprise Down.
    pub surprise_down: bool,
    /// The attention button was pressed.
    pub attention_button: bool,
    /// The slot's power went on or off.
    pub power_changed: bool,
    /// The guest set the attention or the power indicator.
    pub indicators_changed: bool,
    /// A slot event that the guest enabled came while the port was below D0; see
    /// [`set_asleep`](super::PciExpressCapability::set_asleep).
    pub woke: bool,
    /// The guest engaged or released the electromechanical interlock.
    pub interlock_changed: bool,
}

impl PortEvents {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How often things happened at a port since it was made.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Inspect)]
pub struct PortCounters {
    /// The attention button was pressed.
    pub buttons: u64,
    /// A card was seen to come or go.
    pub presence_changes: u64,
    /// The link came up or went down.
    pub link_changes: u64,
    /// The power controller found a fault.
    pub power_faults: u64,
    /// The retention latch was opened or closed.
    pub mrl_changes: u64,
    /// The guest wrote Slot Control, where a slot takes commands.
    pub commands: u64,
    /// Interrupts sent for slot events.
    pub hot_plug_interrupts: u64,
    /// Interrupts sent for bandwidth changes.
    pub link_interrupts: u64,
}

/// An interrupt sent by message: one when its condition becomes true, none while it stays so (PCIe 6.2 section 6.7.3.4).
#[derive(Default)]
pub(super) struct EdgeInterrupt {
    pub(super) interrupt: Option<Interrupt>,
    asserted: bool,
    due: bool,
}

impl EdgeInterrupt {
    /// Looks at the condition; a message becomes due on its edge.
    pub(super) fn evaluate(&mut self, condition: bool) {
        self.due |= condition && !self.asserted;
        self.asserted = condition;
    }

    /// Takes over a condition whose message went out before.
    pub(super) fn assume(&mut self, condition: bool) {
        self.asserted = condition;
    }

    /// The message to send once the port's lock is released, counted in `sent`.
    pub(super) fn take_due(&mut self, sent: &mut u64) -> Option<Interrupt> {
        let due = std::mem::take(&mut self.due);
        let interrupt = self.interrupt.clone().filter(|_| due)?;
        *sent += 1;
        Some(interrupt)
    }
}
