//! The PCI Express capability, register by register, and hot-plug.

use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::pci_express::FlrHandler;
use pci_core::capabilities::pci_express::PCI_EXPRESS_DEVICE_CAPS_FLR_BIT_MASK;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::spec::caps::pci_express::DevicePortType;
use reg_table::Reset;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use vmcore::interrupt::Interrupt;
use vmcore::save_restore::SaveRestore;

fn endpoint() -> PciExpressCapability {
    PciExpressCapability::new(DevicePortType::Endpoint, None)
}

fn root_port() -> PciExpressCapability {
    PciExpressCapability::new(DevicePortType::RootPort, None)
}

fn slot() -> PciExpressCapability {
    root_port().with_hotplug_support(5)
}

fn lanes(bits: u8) -> ByteEnables {
    ByteEnables::new(bits).unwrap()
}

#[track_caller]
fn check(pcie: &PciExpressCapability, expected: &[(u16, u32)]) {
    for &(offset, value) in expected {
        let read = pcie.read_u32(offset);
        assert_eq!(
            read, value,
            "{offset:#04x} reads {read:#010x}, not {value:#010x}"
        );
    }
}

#[test]
fn reset_values() {
    let pcie = endpoint();
    assert_eq!((pcie.label(), pcie.len()), ("pci-express", 0x3c));
    check(
        &pcie,
        &[
            (0x00, 0x0002_0010),
            (0x04, 0),
            (0x08, 0),
            (0x0c, 0x0000_0105),
            (0x10, 0x0105_0000),
            (0x14, 0),
            (0x18, 0),
            (0x1c, 0),
            (0x20, 0),
            (0x24, 0),
            (0x28, 0),
            (0x2c, 0x3e),
            (0x30, 0x5),
            (0x34, 0),
            (0x38, 0),
        ],
    );
    for (typ, bits) in [
        (DevicePortType::RootPort, 0x0042_0010),
        (DevicePortType::UpstreamSwitchPort, 0x0052_0010),
        (DevicePortType::DownstreamSwitchPort, 0x0062_0010),
    ] {
        assert_eq!(PciExpressCapability::new(typ, None).read_u32(0), bits);
    }
}

#[test]
fn what_software_can_write() {
    let mut pcie = endpoint();
    for offset in (0..0x3c).step_by(4) {
        pcie.write_u32(offset, u32::MAX);
    }
    check(
        &pcie,
        &[
            (0x00, 0x0002_0010),
            (0x04, 0),
            // Bit 15 starts a function-level reset and is not stored.
            (0x08, 0x0000_7fff),
            (0x0c, 0x0000_0105),
            (0x14, 0),
            (0x1c, 0x0000_003f),
            (0x20, 0),
            (0x24, 0),
            (0x2c, 0x3e),
            // A target speed of 15 is taken for the highest there is.
            (0x34, 0),
            (0x38, 0),
        ],
    );
    assert_eq!(pcie.read_u32(0x10) & (1 << 5), 0, "Retrain Link reads 0");
    assert_eq!(pcie.read_u32(0x10) >> 16, 0x0105, "Link Status");
    assert_eq!(pcie.read_u32(0x30) & 0xf, 5);
    pcie.reset();
    check(
        &pcie,
        &[(0x08, 0), (0x10, 0x0105_0000), (0x1c, 0), (0x30, 5)],
    );
}

#[test]
fn a_link_follows_its_target_speed() {
    let mut pcie = endpoint();
    for (written, speed) in [(3, 3), (15, 5), (1, 1), (6, 5)] {
        pcie.write_u32(0x30, written);
        check(&pcie, &[(0x30, speed), (0x10, 0x0100_0000 | (speed << 16))]);
    }
    pcie.reset();
    check(&pcie, &[(0x10, 0x0105_0000)]);
}

#[derive(Default, Inspect)]
struct Flr(#[inspect(skip)] AtomicU32);

impl FlrHandler for Flr {
    fn initiate_flr(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn function_level_reset_is_asked_for_by_bit_15_alone() {
    let flr = Arc::new(Flr::default());
    let count = || flr.0.load(Ordering::Relaxed);
    let mut pcie = PciExpressCapability::new(DevicePortType::Endpoint, Some(flr.clone()));
    check(&pcie, &[(0x04, PCI_EXPRESS_DEVICE_CAPS_FLR_BIT_MASK)]);
    pcie.write_u32(0x08, 0x7fff);
    assert_eq!(count(), 0);
    pcie.write_u32(0x08, 0x8000);
    assert_eq!(count(), 1);
    check(&pcie, &[(0x08, 0)]);
    pcie.write_bytes(0x08, u32::MAX, lanes(0b1101));
    assert_eq!(count(), 1, "the byte with bit 15 was not enabled");
    pcie.write_bytes(0x08, u32::MAX, lanes(0b0010));
    assert_eq!(count(), 2);
    endpoint().write_u32(0x08, 0x8000);
}

#[test]
fn a_function_level_reset_keeps_what_belongs_to_the_link() {
    let mut pcie = endpoint();
    // Max_Payload_Size is exempt, the rest of Device Control is not; Link Control's ASPM is.
    pcie.write_u32(0x08, 0x00ff);
    pcie.write_u32(0x10, 0x0003);
    pcie.write_u32(0x30, 0x0003);
    pcie.reset_by(Reset::FunctionLevel);
    check(&pcie, &[(0x08, 0x00e0), (0x10, 0x0103_0003), (0x30, 3)]);
    pcie.reset_by(Reset::Hot);
    check(&pcie, &[(0x08, 0), (0x10, 0x0103_0000), (0x30, 3)]);
}

#[test]
fn an_integrated_endpoint_has_no_link() {
    let mut pcie = PciExpressCapability::new(DevicePortType::RootComplexIntegratedEndpoint, None);
    for offset in [0x0c, 0x10, 0x2c, 0x30] {
        pcie.write_u32(offset, u32::MAX);
        check(&pcie, &[(offset, 0)]);
    }
}

#[test]
fn a_slot_says_what_it_has_and_starts_empty() {
    let slot = slot();
    check(
        &slot,
        &[
            (0x00, 0x0142_0010),
            (0x0c, 0x0010_0105),
            (0x10, 0),
            (0x14, (5 << 19) | (1 << 18) | (1 << 6) | (1 << 5)),
            (0x18, 0),
        ],
    );
    assert_eq!(slot.slot_capabilities().physical_slot_number(), 5);
    assert_eq!(
        root_port().with_hotplug_support(0x1fff).read_u32(0x14) >> 19,
        0x1fff
    );
}

#[test]
#[should_panic(expected = "Hotplug support is not valid for device port type Endpoint")]
fn an_endpoint_has_no_slot() {
    let _ = endpoint().with_hotplug_support(1);
}

#[test]
#[should_panic(expected = "the physical slot number is 8192; it is at most 8191")]
fn slot_numbers_have_13_bits() {
    let _ = root_port().with_hotplug_support(8192);
}

#[test]
fn slot_control_keeps_to_what_the_slot_has() {
    let mut slot = slot();
    slot.write_u32(0x18, u32::MAX);
    // Power fault, presence and link state enables, Hot-Plug Interrupt Enable, Auto Slot Power Limit Disable.
    check(&slot, &[(0x18, 0x0000_302a)]);
    let mut none = root_port();
    none.write_u32(0x18, u32::MAX);
    assert_eq!(
        none.read_u32(0x18) & (1 << 5),
        0,
        "no hot-plug, no interrupt"
    );
    assert!(!none.hot_plug_interrupt_enabled());
    assert!(slot.hot_plug_interrupt_enabled());
}

#[test]
fn a_card_comes_and_goes() {
    let slot = slot();
    slot.set_hotplug_state(true);
    // Presence Detect Changed and State, Data Link Layer State Changed; 32 GT/s, x16, link active.
    check(&slot, &[(0x18, 0x0148_0000), (0x10, 0x2105_0000)]);
    slot.set_hotplug_state(false);
    check(&slot, &[(0x18, 0x0108_0000), (0x10, 0)]);
}

#[test]
fn presence_at_power_on_is_no_event() {
    let slot = slot();
    slot.set_presence_detect_state(true);
    check(&slot, &[(0x18, 0x0040_0000), (0x10, 0x2105_0000)]);
    slot.set_presence_detect_state(false);
    check(&slot, &[(0x18, 0), (0x10, 0)]);
}

#[test]
fn without_a_slot_nothing_is_plugged() {
    let port = root_port();
    port.set_presence_detect_state(true);
    port.set_hotplug_state(true);
    check(&port, &[(0x18, 0), (0x10, 0x0105_0000)]);
}

#[test]
fn a_reset_keeps_the_card_and_forgets_events() {
    for kind in [Reset::Cold, Reset::Hot] {
        let mut slot = slot();
        slot.set_hotplug_state(true);
        slot.write_u32(0x18, 0x28);
        slot.reset_by(kind);
        check(&slot, &[(0x18, 0x0040_0000), (0x10, 0x2105_0000)]);
    }
}

#[test]
fn events_are_cleared_by_writing_one_in_their_byte_only() {
    let mut slot = slot();
    slot.set_hotplug_state(true);
    slot.write_bytes(0x18, 0xffff_1028, lanes(0b0011));
    check(&slot, &[(0x18, 0x0148_1028)]);
    slot.write_bytes(0x18, 0xffff_ffff, lanes(0b0100));
    check(&slot, &[(0x18, 0x0140_1028)]);
    slot.write_bytes(0x18, 0x0100_0000, lanes(0b1000));
    check(&slot, &[(0x18, 0x0040_1028)]);
}

/// A slot and how often it interrupted.
fn counted() -> (PciExpressCapability, Arc<AtomicU32>) {
    let mut slot = slot();
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    slot.set_hot_plug_interrupt(Interrupt::from_fn(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    (slot, count)
}

const HPIE: u32 = 1 << 5;
const PRESENCE: u32 = 1 << 3;
const LINK_STATE: u32 = 1 << 12;

#[test]
fn enabling_with_an_event_pending_interrupts_once() {
    let (mut slot, count) = counted();
    let count = || count.load(Ordering::Relaxed);
    slot.set_hotplug_state(true);
    assert_eq!(count(), 0, "nothing is enabled");
    slot.write_bytes(0x18, PRESENCE, lanes(0b0011));
    assert_eq!(count(), 0, "without Hot-Plug Interrupt Enable");
    slot.write_bytes(0x18, PRESENCE | HPIE, lanes(0b0011));
    assert_eq!(count(), 1);
    slot.write_bytes(0x18, PRESENCE | HPIE | LINK_STATE, lanes(0b0011));
    slot.set_hotplug_changed_bits();
    assert_eq!(count(), 1, "still the same condition");
    slot.write_u32(0x18, (0x108 << 16) | PRESENCE | HPIE | LINK_STATE);
    assert_eq!(count(), 1, "cleared");
    slot.set_hotplug_state(false);
    assert_eq!(count(), 2);
}

#[test]
fn an_event_that_is_not_enabled_does_not_interrupt() {
    let (mut slot, count) = counted();
    let count = || count.load(Ordering::Relaxed);
    slot.write_bytes(0x18, HPIE, lanes(0b0011));
    slot.set_hotplug_state(true);
    assert_eq!(count(), 0);
    slot.write_bytes(0x18, 0x0008_0000, lanes(0b0100));
    slot.write_bytes(0x18, HPIE | PRESENCE, lanes(0b0011));
    assert_eq!(count(), 0, "presence was cleared before");
    slot.write_bytes(0x18, HPIE | LINK_STATE, lanes(0b0011));
    assert_eq!(count(), 1, "link state was not");
}

#[test]
fn a_reset_ends_the_condition_and_a_restore_does_not_repeat_it() {
    let (mut slot, count) = counted();
    let enables = PRESENCE | HPIE | LINK_STATE;
    slot.write_u32(0x18, enables);
    slot.set_hotplug_state(true);
    slot.reset();
    slot.write_u32(0x18, enables);
    assert_eq!(count.load(Ordering::Relaxed), 1);
    slot.set_hotplug_state(false);
    assert_eq!(count.load(Ordering::Relaxed), 2);

    let saved = SaveRestore::save(&mut slot).unwrap();
    let (mut restored, count) = counted();
    SaveRestore::restore(&mut restored, saved).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 0);
    restored.set_hotplug_changed_bits();
    assert_eq!(count.load(Ordering::Relaxed), 0, "pending since before");
    restored.write_u32(0x18, (0x108 << 16) | enables);
    restored.set_hotplug_changed_bits();
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn ari_forwarding_is_enabled_only_where_it_is_supported() {
    let mut without = root_port();
    without.write_u32(0x28, 1 << 5);
    assert!(!without.ari_forwarding_enabled());
    check(&without, &[(0x24, 0), (0x28, 0)]);
    let mut with = root_port().with_ari_forwarding();
    check(&with, &[(0x24, 1 << 5)]);
    with.write_u32(0x28, 1 << 5);
    assert!(with.ari_forwarding_enabled());
    with.reset();
    assert!(!with.ari_forwarding_enabled());
}
