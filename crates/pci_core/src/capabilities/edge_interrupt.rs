//! An interrupt that is sent whenever its condition becomes true.

use inspect::Inspect;
use vmcore::interrupt::Interrupt;

/// The interrupt of a status bit and its enable: sent each time the condition goes from false to true (PCIe 6.2 section
/// 6.2.4.1.2 and section 6.2.11.1), and when messages can go out again while it is true.
#[derive(Default, Inspect)]
pub(super) struct EdgeInterrupt {
    #[inspect(skip)]
    interrupt: Option<Interrupt>,
    asserted: bool,
    /// Messages do not go out.
    held: bool,
}

impl EdgeInterrupt {
    pub(super) fn connect(&mut self, interrupt: Interrupt) {
        self.interrupt = Some(interrupt);
    }

    /// Takes note of the condition; sends the interrupt and returns true if it just became true.
    pub(super) fn evaluate(&mut self, condition: bool) -> bool {
        let condition = condition && !self.held;
        let edge = condition && !self.asserted;
        self.asserted = condition;
        if edge && let Some(interrupt) = &self.interrupt {
            interrupt.deliver();
        }
        edge
    }

    /// Takes note of the condition of a restored state: the interrupt for it went out before the state was saved, if it could.
    pub(super) fn restore(&mut self, condition: bool) {
        self.asserted = condition && !self.held;
    }

    /// Says whether messages are held back; the condition is to be evaluated, or restored, next.
    pub(super) fn hold(&mut self, held: bool) {
        self.held = held;
    }
}
