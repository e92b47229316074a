//! Links: what two ends agree on, and how a guest disables, retrains and watches them.

use crate::port_script::check;
use expect_test::expect;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::pci_express::LinkConfig;
use pci_core::capabilities::pci_express::LinkError;
use pci_core::capabilities::pci_express::LinkRate;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::pci_express::SlotConfig;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::caps::pci_express::LinkSpeed;
use pci_core::spec::caps::pci_express::LinkWidth;
use vmcore::save_restore::SaveRestore;

fn function(typ: DevicePortType, config: LinkConfig) -> PciExpressCapability {
    PciExpressCapability::new(typ, None)
        .with_link(config)
        .unwrap()
}

fn gen4_x8() -> LinkConfig {
    LinkConfig::new(LinkSpeed::Speed16_0GtS, LinkWidth::X8)
}

fn root_port() -> PciExpressCapability {
    function(DevicePortType::RootPort, gen4_x8())
}

#[test]
fn the_registers_say_what_a_link_can() {
    check(
        root_port(),
        "link_capabilities?
         link_capabilities_2?
         link_control_2?
         link_status?",
        expect![[r#"
            link_capabilities?
                max_link_speed=4 | max_link_width=8 | data_link_layer_link_active_reporting | link_bandwidth_notification_capability
            link_capabilities_2?
                supported_link_speeds_vector=15
            link_control_2?
                target_link_speed=4
            link_status?
                current_link_speed=4 | negotiated_link_width=8 | data_link_layer_link_active
        "#]],
    );
    // Reporting is a downstream port's.
    check(
        function(DevicePortType::Endpoint, gen4_x8()),
        "link_capabilities?
         link_control <- link_disable | retrain_link | link_bandwidth_management_interrupt_enable
         link_control?
         link_status?",
        expect![[r#"
            link_capabilities?
                max_link_speed=4 | max_link_width=8
            link_control <- link_disable | retrain_link | link_bandwidth_management_interrupt_enable
            link_control?
                nothing
            link_status?
                current_link_speed=4 | negotiated_link_width=8
        "#]],
    );
}

#[test]
fn what_a_function_cannot_have_is_a_typed_error() {
    let refused = |typ, config| {
        PciExpressCapability::new(typ, None)
            .with_link(config)
            .err()
            .unwrap()
    };
    let port_type = DevicePortType::RootComplexIntegratedEndpoint;
    assert_eq!(
        refused(port_type, gen4_x8()),
        LinkError::NoLink { port_type }
    );
    let speed = LinkConfig::new(LinkSpeed(7), LinkWidth::X1);
    assert_eq!(
        refused(DevicePortType::Endpoint, speed).to_string(),
        "the link speed is encoding 7; it is 1 (2.5 GT/s) to 6 (64.0 GT/s)"
    );
    let width = LinkConfig::new(LinkSpeed::Speed2_5GtS, LinkWidth(12));
    assert_eq!(
        refused(DevicePortType::Endpoint, width).to_string(),
        "the link width is x12; it is x1, x2, x4, x8 or x16"
    );
}

#[test]
fn a_link_trains_to_what_both_ends_can_and_the_target_allows() {
    check(
        root_port(),
        "insert gen5 x4
         link?
         link_control_2 <- target_link_speed=2
         link?
         link_control_2 <- target_link_speed=9
         link_control_2?
         link?
         insert gen3 x16
         link_status?
         reset cold
         link?",
        expect![[r#"
            insert gen5 x4
                link rate changed
            link?
                Speed16_0GtS X4
            link_control_2 <- target_link_speed=2
                link rate changed
            link?
                Speed5_0GtS X4
            link_control_2 <- target_link_speed=9
                link rate changed
            link_control_2?
                target_link_speed=4
            link?
                Speed16_0GtS X4
            insert gen3 x16
                link rate changed
            link_status?
                current_link_speed=3 | negotiated_link_width=8 | data_link_layer_link_active
            reset cold
            link?
                Speed8_0GtS X8
        "#]],
    );
    let endpoint = function(DevicePortType::Endpoint, gen4_x8());
    endpoint.insert_card(LinkRate {
        speed: LinkSpeed::Speed5_0GtS,
        width: LinkWidth::X2,
    });
    assert_eq!(endpoint.read_u32(0x10) >> 16, 0x0022);
}

#[test]
fn flit_mode_comes_with_64_gts() {
    let config = LinkConfig::new(LinkSpeed::Speed64_0GtS, LinkWidth::X16);
    check(
        function(DevicePortType::RootPort, config),
        "capabilities?
         link_status_2?
         link_control <- flit_mode_disable
         link?
         link_status_2?",
        expect![[r#"
            capabilities?
                capability_version=2 | device_port_type=4 | flit_mode_supported
            link_status_2?
                flit_mode_status
            link_control <- flit_mode_disable
                link rate changed
            link?
                Speed32_0GtS X16
            link_status_2?
                nothing
        "#]],
    );
}

/// A guest that disables the link of a slot sees it go, and come back (PCIe 6.2 section 7.5.3.7).
#[test]
fn a_disabled_link_is_down() {
    let slot = root_port().with_slot(SlotConfig::surprise(1)).unwrap();
    check(
        slot,
        "insert
         slot_status <- all events
         slot_control <- data_link_layer_state_changed_enable | hot_plug_interrupt_enable
         link_control <- link_disable
         link_status?
         slot_status?
         slot_status <- all events
         link_control <- link_disable | retrain_link
         remove
         insert
         slot_status?
         slot_status <- all events
         link_control <- nothing
         link?
         slot_status?",
        expect![[r#"
            insert
                link came up
            slot_status <- all events
            slot_control <- data_link_layer_state_changed_enable | hot_plug_interrupt_enable
            link_control <- link_disable
                slot interrupt
                link went down
            link_status?
                nothing
            slot_status?
                data_link_layer_state_changed | presence_detect_state
            slot_status <- all events
            link_control <- link_disable | retrain_link
            remove
            insert
            slot_status?
                presence_detect_changed | presence_detect_state
            slot_status <- all events
            link_control <- nothing
                slot interrupt
                link came up
            link?
                Speed16_0GtS X8
            slot_status?
                data_link_layer_state_changed | presence_detect_state
        "#]],
    );
    let mut port = root_port();
    port.write_u32(0x10, 1 << 4);
    assert!(!port.downstream_reachable());
    assert_eq!(port.read_u32(0x18), 0, "no slot, no slot status");
    port.reset();
    assert!(port.downstream_reachable());
}

#[test]
fn retraining_is_recorded_and_interrupts() {
    check(
        root_port(),
        "link_control <- link_bandwidth_management_interrupt_enable
         link_control <- retrain_link | link_bandwidth_management_interrupt_enable
         link_status?
         link_control <- retrain_link | link_bandwidth_management_interrupt_enable
         link_status <- link_bandwidth_management_status
         link_control <- retrain_link
         link_control <- link_bandwidth_management_interrupt_enable",
        expect![[r#"
            link_control <- link_bandwidth_management_interrupt_enable
            link_control <- retrain_link | link_bandwidth_management_interrupt_enable
                link interrupt
            link_status?
                current_link_speed=4 | negotiated_link_width=8 | data_link_layer_link_active | link_bandwidth_management_status
            link_control <- retrain_link | link_bandwidth_management_interrupt_enable
            link_status <- link_bandwidth_management_status
            link_control <- retrain_link
            link_control <- link_bandwidth_management_interrupt_enable
                link interrupt
        "#]],
    );
    // A port without bandwidth notification keeps it to itself.
    let silent = LinkConfig {
        bandwidth_notification: false,
        ..gen4_x8()
    };
    check(
        function(DevicePortType::RootPort, silent),
        "link_control <- retrain_link | link_bandwidth_management_interrupt_enable
         link_control?
         link_status?",
        expect![[r#"
            link_control <- retrain_link | link_bandwidth_management_interrupt_enable
            link_control?
                nothing
            link_status?
                current_link_speed=4 | negotiated_link_width=8 | data_link_layer_link_active
        "#]],
    );
}

#[test]
fn hardware_may_change_the_bandwidth() {
    check(
        root_port(),
        "link_control <- link_autonomous_bandwidth_interrupt_enable
         bandwidth gen4 x2 autonomous
         link_status?
         link_status <- all events
         bandwidth gen4 x2 autonomous
         bandwidth gen1 x2 reliability
         link_status?
         link_status <- all events
         link_control <- link_autonomous_bandwidth_interrupt_enable | hardware_autonomous_width_disable
         bandwidth gen4 x8 autonomous
         link?
         link_control_2 <- hardware_autonomous_speed_disable | target_link_speed=4
         link_status <- all events
         bandwidth gen1 x8 autonomous
         link?",
        expect![[r#"
            link_control <- link_autonomous_bandwidth_interrupt_enable
            bandwidth gen4 x2 autonomous
                link interrupt
                link rate changed
            link_status?
                current_link_speed=4 | negotiated_link_width=2 | data_link_layer_link_active | link_autonomous_bandwidth_status
            link_status <- all events
            bandwidth gen4 x2 autonomous
            bandwidth gen1 x2 reliability
                link rate changed
            link_status?
                current_link_speed=1 | negotiated_link_width=2 | data_link_layer_link_active | link_bandwidth_management_status
            link_status <- all events
            link_control <- link_autonomous_bandwidth_interrupt_enable | hardware_autonomous_width_disable
            bandwidth gen4 x8 autonomous
                link interrupt
                link rate changed
            link?
                Speed16_0GtS X2
            link_control_2 <- hardware_autonomous_speed_disable | target_link_speed=4
            link_status <- all events
            bandwidth gen1 x8 autonomous
            link?
                Speed16_0GtS X2
        "#]],
    );
}

#[test]
fn a_link_that_goes_down_unasked_is_an_error_where_that_is_reported() {
    let reporting = LinkConfig {
        surprise_down_reporting: true,
        ..gen4_x8()
    };
    let port = || function(DevicePortType::RootPort, reporting);
    check(
        port(),
        "remove
         insert
         link_control <- link_disable",
        expect![[r#"
            remove
                link went down
                surprise down
            insert
                link came up
            link_control <- link_disable
                link went down
        "#]],
    );
    check(
        port().with_slot(SlotConfig::surprise(1)).unwrap(),
        "insert
         remove",
        expect![[r#"
            insert
                link came up
            remove
                link went down
        "#]],
    );
}

#[test]
fn a_card_may_be_present_and_not_train() {
    check(
        root_port().with_slot(SlotConfig::surprise(1)).unwrap(),
        "insert gen0 x0
         slot_status?
         link?",
        expect![[r#"
            insert gen0 x0
            slot_status?
                presence_detect_changed | presence_detect_state
            link?
                down
        "#]],
    );
}

/// PCIe 6.2 section 7.5.3.16.
#[test]
fn ltr_of_a_downstream_port_does_not_outlive_its_link() {
    const LTR_ENABLE: u32 = 1 << 10;
    let endpoint = DevicePortType::Endpoint;
    for (typ, left) in [(DevicePortType::RootPort, 0), (endpoint, LTR_ENABLE)] {
        let mut port = function(typ, gen4_x8()).with_ltr();
        port.write_u32(0x28, 0xffff);
        port.write_u32(0x10, 0x0020);
        assert_eq!(port.read_u32(0x28) & LTR_ENABLE, LTR_ENABLE, "retrained");
        port.remove_card().unwrap();
        assert_eq!(
            port.read_u32(0x28),
            (0xffdf & !LTR_ENABLE) | left,
            "{typ:?}"
        );
    }
    // Where it is no feature of the port, the bit is what callers know: a bit that is stored.
    let mut port = root_port();
    port.write_u32(0x28, LTR_ENABLE);
    port.remove_card().unwrap();
    assert_eq!(port.read_u32(0x28), LTR_ENABLE);
}

/// Software may set it while the link is down, too: a restored port did not lose its link.
#[test]
fn ltr_that_was_set_while_the_link_was_down_is_restored() {
    const LTR_ENABLE: u32 = 1 << 10;
    let port = || function(DevicePortType::RootPort, gen4_x8()).with_ltr();
    let mut saved = port();
    saved.hold_in_reset(true);
    saved.write_u32(0x28, LTR_ENABLE);
    let state = saved.save().unwrap();
    let mut restored = port();
    restored.restore(state).unwrap();
    restored.assume_held_in_reset(true);
    assert_eq!(restored.read_u32(0x28), LTR_ENABLE);
    assert!(!restored.link_up());
}
