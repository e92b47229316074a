//! Devices of a PC that this machine does not have, where all-ones would say that they do.
//!
//! A Linux that may not know of KVM, and so has no clock of it, asks the PC's: it waits 20,000 times for the CMOS clock to end an update,
//! and counts 50,000 times how long the timer's counter stays at its highest value. Zero ends both at once.

/// The register of the CMOS clock that was chosen before.
const CMOS_DATA_PORT: u16 = 0x71;
/// The counter of the timer's channel 2.
const TIMER_COUNTER_PORT: u16 = 0x42;

/// What a port reads, if all-ones would not do.
pub(crate) fn read(port: u16) -> Option<u8> {
    matches!(port, CMOS_DATA_PORT | TIMER_COUNTER_PORT).then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_being_updated_and_nothing_counts() {
        assert_eq!([0x71, 0x42].map(read), [Some(0); 2]);
        assert_eq!([0x70, 0x43, 0x61, 0xcfc].map(read), [None; 4]);
    }
}
