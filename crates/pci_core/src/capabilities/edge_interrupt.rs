//! An interrupt that is sent whenever its condition becomes true.

use inspect::Inspect;
use vmcore::interrupt::Interrupt;

/// The interrupt of a status bit and its enable: sent each time the condition goes from false to true (PCIe 6.2 section
/// 6.2.4.1.2 and section 6.2.11.1).
#[derive(Default, Inspect)]
pub(super) struct EdgeInterrupt {
    #[inspect(skip)]
    interrupt: Option<Interrupt>,
    asserted: bool,
}

impl EdgeInterrupt {
    pub(super) fn connect(&mut self, interrupt: Interrupt) {
        self.interrupt = Some(interrupt);
    }

    /// Takes note of the condition; sends the interrupt and returns true if it just became true.
    pub(super) fn evaluate(&mut self, condition: bool) -> bool {
        let edge = condition && !self.asserted;
        self.asserted = condition;
        if edge && let Some(interrupt) = &self.interrupt {
            interrupt.deliver();
        }
        edge
    }

    /// Takes note of the condition of a restored state: the interrupt for it went out before the state was saved.
    pub(super) fn restore(&mut self, condition: bool) {
        self.asserted = condition;
    }
}
