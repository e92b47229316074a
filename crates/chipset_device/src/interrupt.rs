//! What an interrupt controller offers to the monitor.

use std::ops::RangeInclusive;

/// An interrupt controller at which level-triggered lines end.
pub trait LineInterruptTarget {
    /// Drives input `vector` high or low. Repeating a level is allowed and means nothing new.
    ///
    /// The caller only passes vectors inside [`valid_lines`](Self::valid_lines).
    fn set_irq(&mut self, vector: u32, high: bool);

    /// The inputs that exist.
    fn valid_lines(&self) -> &[RangeInclusive<u32>];
}

/// A device that is told when the guest has finished with an interrupt.
pub trait HandleEoi {
    /// The guest signalled end of interrupt for `vector`.
    fn handle_eoi(&mut self, vector: u32);
}

/// A controller that supplies the vector of a pending interrupt on an acknowledge cycle.
pub trait AcknowledgePicInterrupt {
    /// Takes the pending interrupt and returns its vector; `None` when nothing is pending.
    fn acknowledge_interrupt(&mut self) -> Option<u8>;
}
