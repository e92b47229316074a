//! Slots: buttons, power, indicators, latches and locks, as guest and operator work them.

use crate::port_script::check;
use expect_test::expect;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::pci_express::LinkRate;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::pci_express::SlotConfig;
use pci_core::capabilities::pci_express::SlotError;
use pci_core::capabilities::pci_express::SlotPowerLimit;
use pci_core::spec::caps::pci_express::DevicePortType;
use vmcore::save_restore::SaveRestore;

fn port() -> PciExpressCapability {
    PciExpressCapability::new(DevicePortType::RootPort, None)
}

fn with(config: SlotConfig) -> PciExpressCapability {
    port().with_slot(config).unwrap()
}

fn full() -> PciExpressCapability {
    with(SlotConfig::full(3))
}

fn surprise() -> PciExpressCapability {
    with(SlotConfig::surprise(3))
}

#[test]
fn the_registers_say_what_a_slot_has() {
    check(
        full(),
        "slot_capabilities?
         slot_capabilities_2?
         slot_control?
         slot_status?
         link_status?
         indicators?",
        expect![[r#"
            slot_capabilities?
                attention_button_present | power_controller_present | mrl_sensor_present | attention_indicator_present | power_indicator_present | hot_plug_capable | slot_power_limit_value=75 | electromechanical_interlock_present | physical_slot_number=3
            slot_capabilities_2?
                in_band_pd_disable_supported
            slot_control?
                attention_indicator_control=3 | power_indicator_control=1
            slot_status?
                nothing
            link_status?
                nothing
            indicators?
                attention Off, power On
        "#]],
    );
    let plain = port().with_hotplug_support(3);
    let surprise = surprise();
    for offset in (0..0x3c).step_by(4) {
        assert_eq!(plain.read_u32(offset), surprise.read_u32(offset));
    }
}

#[test]
fn what_a_port_cannot_have_is_a_typed_error() {
    let endpoint = PciExpressCapability::new(DevicePortType::Endpoint, None);
    let refused = |config| port().with_slot(config).err().unwrap().to_string();
    assert_eq!(
        endpoint.with_slot(SlotConfig::full(1)).err(),
        Some(SlotError::NoSlot {
            port_type: DevicePortType::Endpoint
        })
    );
    assert_eq!(
        refused(SlotConfig::full(8192)),
        "the physical slot number is 8192; it is at most 8191"
    );
    let power_limit = SlotPowerLimit { value: 1, scale: 4 };
    assert_eq!(
        refused(SlotConfig {
            power_limit,
            ..SlotConfig::full(3)
        }),
        "slot 3: the power limit's scale is 4; it is at most 3"
    );
    assert_eq!(
        refused(SlotConfig {
            in_band_presence_disable: true,
            out_of_band_presence: false,
            ..SlotConfig::surprise(3)
        }),
        "slot 3: disabling in-band presence detection needs out-of-band detection"
    );
}

#[test]
fn an_operator_cannot_use_what_is_not_there() {
    check(
        surprise(),
        "button
         latch opens
         fault
         slot_status?",
        expect![[r#"
            button
                slot 3 has no attention button
            latch opens
                slot 3 has no MRL sensor
            fault
                slot 3 has no power controller
            slot_status?
                nothing
        "#]],
    );
}

/// What pciehp does with a slot that has everything: it finds it empty and turns it off; the operator plugs a card and presses
/// the button; the driver blinks, powers on, waits for the link; later the way back.
#[test]
fn a_card_is_added_and_removed_in_order() {
    check(
        full(),
        "slot_control <- power_controller_control | power_indicator_control=3 | attention_indicator_control=3
         slot_status <- all events
         slot_control <- power_controller_control | power_indicator_control=3 | attention_indicator_control=3 | attention_button_pressed_enable | power_fault_detected_enable | presence_detect_changed_enable | command_completed_interrupt_enable | hot_plug_interrupt_enable | data_link_layer_state_changed_enable
         slot_status <- command_completed
         insert gen4 x4
         slot_status?
         link?
         slot_status <- presence_detect_changed
         button
         slot_status <- attention_button_pressed
         slot_control <- power_controller_control | power_indicator_control=2 | attention_indicator_control=3 | attention_button_pressed_enable | power_fault_detected_enable | presence_detect_changed_enable | command_completed_interrupt_enable | hot_plug_interrupt_enable | data_link_layer_state_changed_enable
         indicators?
         slot_status <- command_completed
         slot_control <- power_indicator_control=1 | attention_indicator_control=3 | attention_button_pressed_enable | power_fault_detected_enable | presence_detect_changed_enable | command_completed_interrupt_enable | hot_plug_interrupt_enable | data_link_layer_state_changed_enable
         slot_status?
         link_status?
         removal permitted?
         slot_status <- all events
         button
         slot_status <- all events
         slot_control <- power_controller_control | power_indicator_control=3 | attention_indicator_control=3 | attention_button_pressed_enable | power_fault_detected_enable | presence_detect_changed_enable | command_completed_interrupt_enable | hot_plug_interrupt_enable | data_link_layer_state_changed_enable
         removal permitted?
         slot_status <- all events
         remove
         slot_status?",
        expect![[r#"
            slot_control <- power_controller_control | power_indicator_control=3 | attention_indicator_control=3
                power changed
                indicators changed
            slot_status <- all events
            slot_control <- power_controller_control | power_indicator_control=3 | attention_indicator_control=3 | attention_button_pressed_enable | power_fault_detected_enable | presence_detect_changed_enable | command_completed_interrupt_enable | hot_plug_interrupt_enable | data_link_layer_state_changed_enable
                slot interrupt
            slot_status <- command_completed
            insert gen4 x4
                slot interrupt
            slot_status?
                presence_detect_changed | presence_detect_state
            link?
                down
            slot_status <- presence_detect_changed
            button
                slot interrupt
            slot_status <- attention_button_pressed
            slot_control <- power_controller_control | power_indicator_control=2 | attention_indicator_control=3 | attention_button_pressed_enable | power_fault_detected_enable | presence_detect_changed_enable | command_completed_interrupt_enable | hot_plug_interrupt_enable | data_link_layer_state_changed_enable
                slot interrupt
                indicators changed
            indicators?
                attention Off, power Blink
            slot_status <- command_completed
            slot_control <- power_indicator_control=1 | attention_indicator_control=3 | attention_button_pressed_enable | power_fault_detected_enable | presence_detect_changed_enable | command_completed_interrupt_enable | hot_plug_interrupt_enable | data_link_layer_state_changed_enable
                slot interrupt
                power changed
                link came up
                indicators changed
            slot_status?
                command_completed | data_link_layer_state_changed | presence_detect_state
            link_status?
                current_link_speed=4 | negotiated_link_width=4 | data_link_layer_link_active
            removal permitted?
                false
            slot_status <- all events
            button
                slot interrupt
            slot_status <- all events
            slot_control <- power_controller_control | power_indicator_control=3 | attention_indicator_control=3 | attention_button_pressed_enable | power_fault_detected_enable | presence_detect_changed_enable | command_completed_interrupt_enable | hot_plug_interrupt_enable | data_link_layer_state_changed_enable
                slot interrupt
                power changed
                link went down
                indicators changed
            removal permitted?
                true
            slot_status <- all events
            remove
                slot interrupt
            slot_status?
                presence_detect_changed
        "#]],
    );
}

#[test]
fn a_card_present_at_boot_can_be_removed() {
    let slot = full();
    slot.set_presence_detect_state(true);
    slot.take_events();
    check(
        slot,
        "slot_status?
         link?
         slot_control <- power_controller_control | power_indicator_control=3
         removal permitted?
         slot_status <- all events
         remove
         slot_status?
         insert
         slot_control <- nothing",
        expect![[r#"
            slot_status?
                presence_detect_state
            link?
                Speed32_0GtS X16
            slot_control <- power_controller_control | power_indicator_control=3
                power changed
                link went down
                indicators changed
            removal permitted?
                true
            slot_status <- all events
            remove
            slot_status?
                presence_detect_changed
            insert
            slot_control <- nothing
                power changed
                link came up
                indicators changed
        "#]],
    );
}

#[test]
fn cards_come_and_go_by_surprise() {
    check(
        surprise(),
        "insert
         slot_control <- presence_detect_changed_enable | data_link_layer_state_changed_enable | hot_plug_interrupt_enable
         slot_status?
         slot_status <- all events
         remove
         slot_status?
         remove
         slot_status <- presence_detect_changed
         slot_status <- data_link_layer_state_changed
         insert
         slot_status <- all events
         insert gen1 x1
         slot_status?
         link?",
        expect![[r#"
            insert
                link came up
            slot_control <- presence_detect_changed_enable | data_link_layer_state_changed_enable | hot_plug_interrupt_enable
                slot interrupt
            slot_status?
                presence_detect_changed | data_link_layer_state_changed | presence_detect_state
            slot_status <- all events
            remove
                slot interrupt
                link went down
            slot_status?
                presence_detect_changed | data_link_layer_state_changed
            remove
            slot_status <- presence_detect_changed
            slot_status <- data_link_layer_state_changed
            insert
                slot interrupt
                link came up
            slot_status <- all events
            insert gen1 x1
                slot interrupt
                link went down
                link came up
            slot_status?
                presence_detect_changed | data_link_layer_state_changed | presence_detect_state
            link?
                Speed2_5GtS X1
        "#]],
    );
}

/// PCIe 6.2 section 6.7.1.8: the latch is released by turning power off.
#[test]
fn a_power_fault_takes_the_power_away_until_it_is_turned_off_and_on() {
    check(
        full(),
        "insert
         slot_status <- all events
         slot_control <- power_fault_detected_enable | hot_plug_interrupt_enable
         fault
         slot_status?
         slot_status <- all events
         link?
         slot_control <- nothing
         link?
         slot_control <- power_controller_control
         slot_control <- nothing
         link?
         slot_control <- power_controller_control
         fault
         slot_control <- nothing",
        expect![[r#"
            insert
                link came up
            slot_status <- all events
            slot_control <- power_fault_detected_enable | hot_plug_interrupt_enable
                indicators changed
            fault
                slot interrupt
                power changed
                link went down
            slot_status?
                power_fault_detected | command_completed | data_link_layer_state_changed | presence_detect_state
            slot_status <- all events
            link?
                down
            slot_control <- nothing
            link?
                down
            slot_control <- power_controller_control
            slot_control <- nothing
                power changed
                link came up
            link?
                Speed32_0GtS X16
            slot_control <- power_controller_control
                power changed
                link went down
            fault
            slot_control <- nothing
                power changed
                link came up
        "#]],
    );
}

#[test]
fn an_open_latch_keeps_power_off() {
    check(
        full(),
        "insert
         slot_status <- all events
         slot_control <- mrl_sensor_changed_enable | hot_plug_interrupt_enable
         slot_status <- all events
         latch opens
         slot_status?
         latch opens
         slot_status <- all events
         latch closes
         slot_status?
         reset hot
         slot_status?",
        expect![[r#"
            insert
                link came up
            slot_status <- all events
            slot_control <- mrl_sensor_changed_enable | hot_plug_interrupt_enable
                indicators changed
            slot_status <- all events
            latch opens
                slot interrupt
                power changed
                link went down
            slot_status?
                mrl_sensor_changed | data_link_layer_state_changed | mrl_sensor_state | presence_detect_state
            latch opens
            slot_status <- all events
            latch closes
                slot interrupt
                power changed
                link came up
            slot_status?
                mrl_sensor_changed | data_link_layer_state_changed | presence_detect_state
            reset hot
            slot_status?
                presence_detect_state
        "#]],
    );
}

#[test]
fn the_interlock_holds_the_card() {
    check(
        full(),
        "insert
         slot_control <- electromechanical_interlock_control
         slot_control?
         slot_status?
         remove
         slot_control <- power_controller_control | power_indicator_control=3
         removal permitted?
         slot_control <- power_controller_control | power_indicator_control=3 | electromechanical_interlock_control
         removal permitted?
         remove",
        expect![[r#"
            insert
                link came up
            slot_control <- electromechanical_interlock_control
                indicators changed
                interlock changed
            slot_control?
                nothing
            slot_status?
                presence_detect_changed | command_completed | data_link_layer_state_changed | presence_detect_state | electromechanical_interlock_status
            remove
                slot 3: the electromechanical interlock is engaged and holds the card
            slot_control <- power_controller_control | power_indicator_control=3
                power changed
                link went down
                indicators changed
            removal permitted?
                false
            slot_control <- power_controller_control | power_indicator_control=3 | electromechanical_interlock_control
                interlock changed
            removal permitted?
                true
            remove
        "#]],
    );
}

#[test]
fn the_guest_may_go_by_the_pin_alone() {
    let seating = SlotConfig {
        in_band_presence_disable: true,
        ..SlotConfig::surprise(3)
    };
    check(
        with(seating),
        "insert
         slot_status <- all events
         pin off
         slot_status?
         slot_control <- in_band_pd_disable
         slot_status?
         slot_status <- all events
         pin on
         slot_status?",
        expect![[r#"
            insert
                link came up
            slot_status <- all events
            pin off
            slot_status?
                presence_detect_state
            slot_control <- in_band_pd_disable
            slot_status?
                presence_detect_changed
            slot_status <- all events
            pin on
            slot_status?
                presence_detect_changed | presence_detect_state
        "#]],
    );
    // And without a pin, a card is seen by its link only.
    let pinless = SlotConfig {
        out_of_band_presence: false,
        ..SlotConfig::surprise(3)
    };
    check(
        with(pinless),
        "pin on
         slot_status?
         insert
         slot_status?",
        expect![[r#"
            pin on
            slot_status?
                nothing
            insert
                link came up
            slot_status?
                presence_detect_changed | data_link_layer_state_changed | presence_detect_state
        "#]],
    );
}

#[test]
fn every_write_of_slot_control_is_a_command() {
    check(
        full(),
        "slot_control <- command_completed_interrupt_enable | hot_plug_interrupt_enable
         slot_control <- command_completed_interrupt_enable | hot_plug_interrupt_enable
         slot_status?
         slot_status <- command_completed
         slot_control <- command_completed_interrupt_enable | hot_plug_interrupt_enable",
        expect![[r#"
            slot_control <- command_completed_interrupt_enable | hot_plug_interrupt_enable
                slot interrupt
                indicators changed
            slot_control <- command_completed_interrupt_enable | hot_plug_interrupt_enable
            slot_status?
                command_completed
            slot_status <- command_completed
            slot_control <- command_completed_interrupt_enable | hot_plug_interrupt_enable
                slot interrupt
        "#]],
    );
    check(
        surprise(),
        "slot_control <- command_completed_interrupt_enable | hot_plug_interrupt_enable
         slot_control?
         slot_status?",
        expect![[r#"
            slot_control <- command_completed_interrupt_enable | hot_plug_interrupt_enable
            slot_control?
                hot_plug_interrupt_enable
            slot_status?
                nothing
        "#]],
    );
}

/// A dword write that clears the pending event and is a command: the event it clears is over when the new one begins.
#[test]
fn a_write_that_clears_and_commands_makes_its_own_edge() {
    let mut slot = full();
    let (count, interrupt) = crate::port_script::counter();
    slot.set_hot_plug_interrupt(interrupt);
    let enables = 0x0030;
    slot.write_u32(0x18, enables);
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 1);
    slot.write_u32(0x18, (0x10 << 16) | enables);
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 2);
    slot.write_u32(0x18, enables);
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 2);
    assert_eq!(slot.counters().hot_plug_interrupts, 2);
}

#[test]
fn a_reset_turns_power_on_and_keeps_the_hardware_as_it_is() {
    check(
        full(),
        "insert gen3 x8
         slot_control <- power_controller_control | electromechanical_interlock_control
         reset hot
         slot_control?
         slot_status?
         link?
         fault
         reset cold
         slot_status?
         link?",
        expect![[r#"
            insert gen3 x8
                link came up
            slot_control <- power_controller_control | electromechanical_interlock_control
                power changed
                link went down
                indicators changed
                interlock changed
            reset hot
                power changed
                link came up
            slot_control?
                attention_indicator_control=3 | power_indicator_control=1
            slot_status?
                presence_detect_state | electromechanical_interlock_status
            link?
                Speed8_0GtS X8
            fault
                power changed
                link went down
            reset cold
                power changed
                link came up
            slot_status?
                presence_detect_state | electromechanical_interlock_status
            link?
                Speed8_0GtS X8
        "#]],
    );
}

#[test]
fn a_slot_is_restored_as_it_was_hardware_included() {
    let mut slot = full();
    slot.insert_card(LinkRate::MAX);
    slot.set_mrl(true).unwrap();
    slot.power_fault().unwrap();
    slot.set_mrl(false).unwrap();
    let saved = SaveRestore::save(&mut slot).unwrap();
    let mut other = full();
    SaveRestore::restore(&mut other, saved).unwrap();
    assert!(other.take_events().is_empty());
    assert!(!other.link_up() && !other.slot_powered());
    assert_eq!(other.card(), Some(LinkRate::MAX));
    for offset in (0..0x3c).step_by(4) {
        assert_eq!(other.read_u32(offset), slot.read_u32(offset), "{offset:#x}");
    }
    // The fault latch came along: power off and on brings the link back.
    other.write_u32(0x18, 0x0400);
    assert!(!other.link_up());
    other.write_u32(0x18, 0);
    assert!(other.link_up() && other.take_events().link_came_up);
}

/// A state of a version that knew of cards by the registers alone: fields 15 and up are missing.
#[test]
fn an_older_state_says_by_its_registers_whether_there_is_a_card() {
    for present in [false, true] {
        let mut old = surprise();
        old.set_hotplug_state(present);
        let mut state = SaveRestore::save(&mut old).unwrap();
        state.hardware = None;
        let mut slot = surprise();
        SaveRestore::restore(&mut slot, state).unwrap();
        assert_eq!((slot.link_up(), slot.card().is_some()), (present, present));
        assert_eq!(slot.read_u32(0x18), old.read_u32(0x18));
        slot.set_hotplug_state(!present);
        assert_eq!(slot.link_up(), !present);
    }
}

#[test]
fn inspection_shows_the_slot_and_presses_its_button() {
    let slot = full();
    slot.insert_card(LinkRate::MAX);
    let node = inspect::inspect("slot", &slot).results();
    expect![[r#"
        {
            attention_button: 0,
            attention_indicator: "Off",
            card_present: true,
            counters: {
                buttons: 0,
                commands: 0,
                hot_plug_interrupts: 0,
                link_changes: 1,
                link_interrupts: 0,
                mrl_changes: 0,
                power_faults: 0,
                presence_changes: 1,
            },
            event_pending: false,
            interlock_engaged: false,
            mrl_open: false,
            number: 3,
            power_fault: false,
            power_indicator: "On",
            powered: true,
            presence_detected: true,
            removal_permitted: false,
        }"#]]
    .assert_eq(&format!("{node:#}"));
    let mut update = inspect::update("slot/attention_button", "press", &slot);
    update.result().unwrap();
    assert!(slot.slot_status().attention_button_pressed());
    let mut update = inspect::update("slot/attention_button", "hold", &slot);
    assert!(update.result().is_err());
    assert_eq!(slot.counters().buttons, 1);
    let node = inspect::inspect("slot", &surprise()).results().to_string();
    assert!(!node.contains("attention_button:"), "{node}");
}

/// A restored state keeps the bits that it came with; one that means nothing here must not hold a card for ever.
#[test]
fn a_lock_that_is_not_there_holds_nothing() {
    let mut state = SaveRestore::save(&mut full()).unwrap();
    state.slot_status = 0x00c0;
    let mut slot = surprise();
    SaveRestore::restore(&mut slot, state).unwrap();
    assert!(slot.removal_permitted());
    slot.remove_card().unwrap();
}
