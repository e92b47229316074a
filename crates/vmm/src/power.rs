//! Power: the ports by which the guest turns the machine off and resets it.
//!
//! ACPI calls this hardware-reduced (ACPI 6.5 section 4.1): no power management timer and no event blocks, but a sleep control and a
//! sleep status register (section 4.8.3.7), and a reset register (section 4.8.3.6). The FADT says where they are.

/// The sleep control register.
pub const SLEEP_CONTROL_PORT: u16 = 0x600;
/// The sleep status register.
pub const SLEEP_STATUS_PORT: u16 = 0x601;
/// The reset register.
pub const RESET_PORT: u16 = 0x602;
/// What resets the machine when it is written there.
pub const RESET_VALUE: u8 = 1;
/// The sleep type of S5, soft off, as `\_S5` in the DSDT gives it.
pub const SLEEP_TYPE_S5: u8 = 5;

/// Sleep control: enter the state now.
const SLEEP_ENABLE: u8 = 1 << 5;
/// Sleep control: the sleep type.
const SLEEP_TYPE_SHIFT: u8 = 2;
const SLEEP_TYPE_MASK: u8 = 7;

/// What the guest asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum PowerRequest {
    /// To be turned off.
    Off,
    /// To start anew.
    Reset,
}

/// What a write to a port asks for, if it asks for something.
pub(crate) fn write(port: u16, value: u8) -> Option<PowerRequest> {
    match port {
        SLEEP_CONTROL_PORT
            if value & SLEEP_ENABLE != 0
                && (value >> SLEEP_TYPE_SHIFT) & SLEEP_TYPE_MASK == SLEEP_TYPE_S5 =>
        {
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
