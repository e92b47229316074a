//! The four layouts as a driver programs them, and the messages that follow.

use super::*;
use crate::bus_range::AssignedBusRange;
use crate::msi::MsiConnection;
use crate::test_helpers::TestPciInterruptController;
use vmcore::save_restore::SaveRestore;

fn connected(mmc: u8, wide: bool, masked: bool) -> (MsiCapability, TestPciInterruptController) {
    let controller = TestPciInterruptController::new();
    let connection = MsiConnection::new(AssignedBusRange::new(), 0);
    connection.connect(controller.signal_msi());
    (
        MsiCapability::new(mmc, wide, masked, connection.target()),
        controller,
    )
}

#[test]
fn lengths_and_reset_values_follow_the_layout() {
    for (wide, masked, len, control) in [
        (false, false, 12, 0x0002_0005),
        (true, false, 16, 0x0082_0005),
        (false, true, 20, 0x0102_0005),
        (true, true, 24, 0x0182_0005),
    ] {
        let (mut msi, _) = connected(1, wide, masked);
        assert_eq!((msi.len(), msi.read_u32(0)), (len, control));
        msi.write_u32(0, u32::MAX);
        msi.reset();
        assert_eq!(msi.read_u32(0), control);
    }
}

#[test]
fn allocation_is_clamped_to_what_there_is() {
    let (mut msi, _) = connected(2, true, false);
    msi.write_u32(0, 0x0011_0005);
    assert_eq!(msi.read_u32(0), 0x0095_0005);
    msi.write_u32(0, 0x0071_0005);
    assert_eq!(msi.read_u32(0), 0x00a5_0005);
}

#[test]
fn each_vector_has_its_data_and_surplus_ones_share() {
    let (mut msi, controller) = connected(2, false, false);
    msi.write_u32(4, 0xfee0_0000);
    msi.write_u32(8, 0x40);
    msi.write_u32(0, 0x0011_0000);
    for index in 0..4 {
        msi.vector(index).unwrap().deliver();
    }
    let sent: Vec<_> = std::iter::from_fn(|| controller.get_next_interrupt()).collect();
    assert_eq!(
        sent,
        [0x40, 0x41, 0x40, 0x41].map(|data| (0xfee0_0000, data))
    );
    msi.write_u32(0, 0);
    msi.vector(3).unwrap().deliver();
    msi.write_u32(0, 0x0021_0000);
    assert_eq!(
        controller.get_next_interrupt(),
        Some((0xfee0_0000, 0x43)),
        "pending since before the guest allocated: it keeps its number"
    );
    assert!(msi.vector(4).is_none());
}

#[test]
fn masked_vectors_show_pending_and_send_when_unmasked() {
    for (wide, mask, pending) in [(false, 0x0c, 0x10), (true, 0x10, 0x14)] {
        let (mut msi, controller) = connected(1, wide, true);
        msi.write_u32(4, 0xfee0_0000);
        msi.write_u32(mask, 0x3);
        msi.write_u32(0, 0x0011_0000);
        msi.vector(1).unwrap().deliver();
        assert_eq!(controller.get_next_interrupt(), None);
        assert_eq!(msi.read_u32(pending), 0x2);
        msi.write_u32(mask, 0x1);
        assert_eq!(controller.get_next_interrupt(), Some((0xfee0_0000, 1)));
        assert_eq!(msi.read_u32(pending), 0);
    }
}

#[test]
fn a_one_byte_write_of_control_leaves_the_rest() {
    let (mut msi, _) = connected(0, true, false);
    msi.write_bytes(0, u32::MAX, ByteEnables::new(0b0100).unwrap());
    assert_eq!(msi.read_u32(0), 0x0081_0005);
}

#[test]
fn restore_re_arms_and_keeps_what_was_pending() {
    let (mut msi, _) = connected(0, true, true);
    msi.write_u32(4, 0x1000);
    msi.write_u32(8, 0x2);
    msi.write_u32(0xc, 0x33);
    msi.write_u32(0x10, 1);
    msi.write_u32(0, 0x0001_0000);
    msi.interrupt().unwrap().deliver();
    let saved = msi.save().unwrap();
    let (mut other, controller) = connected(0, true, true);
    other.restore(saved).unwrap();
    assert_eq!(other.read_u32(0x14), 1);
    other.write_u32(0x10, 0);
    assert_eq!(controller.get_next_interrupt(), Some((0x2_0000_1000, 0x33)));
    other.interrupt().unwrap().deliver();
    assert_eq!(controller.get_next_interrupt(), Some((0x2_0000_1000, 0x33)));
}

#[test]
fn a_state_with_an_impossible_allocation_is_refused() {
    let (mut msi, _) = connected(5, true, false);
    let mut saved = msi.save().unwrap();
    saved.multiple_message_enable = 6;
    assert!(
        msi.restore(saved)
            .unwrap_err()
            .to_string()
            .contains("saved state")
    );
    assert_eq!(msi.read_u32(0), 0x008a_0005);
}
