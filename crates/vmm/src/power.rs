//! Power: the ports by which the guest turns the machine off and resets it.
//!
//! ACPI calls this hardware-reduced (ACPI 6.5 section 4.1): no power management timer and no event blocks, but a sleep control and a
//! sleep status register (section 4.8.3.7), and a reset register (section 4.8.3.6). The FADT says where they are.

use platform_tables::SLEEP_CONTROL_POWER_OFF;

/// The sleep control register.
pub(crate) const SLEEP_CONTROL_PORT: u16 = 0x600;
/// The sleep status register.
pub(crate) const SLEEP_STATUS_PORT: u16 = 0x601;
/// The reset register.
pub(crate) const RESET_PORT: u16 = 0x602;
/// What resets the machine when it is written there.
pub(crate) const RESET_VALUE: u8 = 1;
/// Sleep control: the sleep type in bits 4:2, and enter it now; the other bits are reserved.
const SLEEP_TYPE_AND_ENABLE: u8 = 0x3c;

/// What the guest asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PowerRequest {
    /// To be turned off.
    Off,
    /// To start anew.
    Reset,
}

/// What a write to a port asks for, if it asks for something.
pub(crate) fn write(port: u16, value: u8) -> Option<PowerRequest> {
    match port {
        SLEEP_CONTROL_PORT if value & SLEEP_TYPE_AND_ENABLE == SLEEP_CONTROL_POWER_OFF => {
            Some(PowerRequest::Off)
        }
        RESET_PORT if value == RESET_VALUE => Some(PowerRequest::Reset),
        _ => None,
    }
}

/// What a port reads: the machine never woke from a sleep.
pub(crate) fn read(port: u16) -> Option<u8> {
    matches!(port, SLEEP_CONTROL_PORT | SLEEP_STATUS_PORT | RESET_PORT).then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_s5_with_sleep_enable_turns_off() {
        assert_eq!(write(SLEEP_CONTROL_PORT, 0x34), Some(PowerRequest::Off));
        assert_eq!(write(SLEEP_CONTROL_PORT, 0x14), None, "not enabled");
        assert_eq!(write(SLEEP_CONTROL_PORT, 0x24), None, "S1");
        assert_eq!(write(SLEEP_STATUS_PORT, 0x34), None);
    }

    #[test]
    fn only_the_reset_value_resets() {
        assert_eq!(write(RESET_PORT, RESET_VALUE), Some(PowerRequest::Reset));
        assert_eq!(write(RESET_PORT, 0), None);
        assert_eq!(read(RESET_PORT), Some(0));
        assert_eq!(read(0x603), None);
    }
}
