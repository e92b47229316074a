//! What is attached to a port: added, hot-plugged, and reached through it.

use super::*;

#[test]
fn a_device_is_attached_once_and_by_the_ports_name() {
    let mut port = hot_plug_port();
    assert_eq!(slot_status(&port), 0);
    let error = port
        .add_pcie_device("rp1", "ep0", endpoint())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "device 'ep0' is for port 'rp1'; this is 'rp0'");
    assert!(port.link.is_none());
    port.add_pcie_device("rp0", "ep0", endpoint()).unwrap();
    assert_eq!(slot_status(&port), PRESENT, "present from the start");
    let error = port
        .add_pcie_device("rp0", "ep1", endpoint())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "port 'rp0' is occupied by 'ep0'; 'ep1' cannot be attached"
    );
    assert_eq!(&*port.link.as_ref().unwrap().0, "ep0");

    let mut plain = Make::default().port();
    plain.add_pcie_device("rp0", "ep0", endpoint()).unwrap();
    assert_eq!(slot_status(&plain), 0, "no slot, no presence");
}

#[test]
fn hot_plug_says_so() {
    let mut port = hot_plug_port();
    assert_eq!(read(&port, 0x50) >> 16, 0, "no link");
    port.hotplug_add_device("ep0", endpoint()).unwrap();
    assert_eq!(
        slot_status(&port),
        PRESENT | PRESENCE_CHANGED | LINK_CHANGED
    );
    assert_eq!(
        read(&port, 0x50) >> 16,
        0x2105,
        "32 GT/s, 16 lanes, link active"
    );
    port.cfg_space
        .write_u32(0x58, (PRESENCE_CHANGED | LINK_CHANGED) << 16)
        .unwrap();
    assert_eq!(slot_status(&port), PRESENT);
    port.hotplug_remove_device().unwrap();
    assert_eq!(slot_status(&port), PRESENCE_CHANGED | LINK_CHANGED);
    assert_eq!(read(&port, 0x50) >> 16, 0);
    assert!(port.link.is_none());
}

#[test]
fn hot_plug_that_cannot_be() {
    let error = |result: anyhow::Result<()>| result.unwrap_err().to_string();
    let mut plain = Make::default().port();
    assert_eq!(
        error(plain.hotplug_add_device("ep0", endpoint())),
        "port 'rp0' is not hot-plug capable"
    );
    assert_eq!(
        error(plain.hotplug_remove_device()),
        "port 'rp0' is not hot-plug capable"
    );
    assert!(plain.link.is_none());

    let mut port = hot_plug_port();
    assert_eq!(error(port.hotplug_remove_device()), "port 'rp0' is empty");
    assert_eq!(slot_status(&port), 0, "nothing happened");
    port.hotplug_add_device("ep0", endpoint()).unwrap();
    port.cfg_space
        .write_u32(0x58, (PRESENCE_CHANGED | LINK_CHANGED) << 16)
        .unwrap();
    assert_eq!(
        error(port.hotplug_add_device("ep1", endpoint())),
        "port 'rp0' is occupied by 'ep0'; 'ep1' cannot be attached"
    );
    assert_eq!(slot_status(&port), PRESENT, "nothing happened");
}

#[test]
fn hot_plug_interrupts_by_msi_if_enabled() {
    let messages = Arc::new(Messages::default());
    let connection = MsiConnection::new(AssignedBusRange::new(), 0x18);
    connection.connect(messages.clone());
    let mut port = Make {
        slot: Some(3),
        ..Make::default()
    }
    .port_of_type(DevicePortType::RootPort, connection.target());
    for (offset, value) in [
        (0x80, 0xfee0_1000),
        (0x84, 0),
        (0x88, 0x42),
        (0x7c, 1 << 16),
    ] {
        port.cfg_space.write_u32(offset, value).unwrap();
    }
    port.hotplug_add_device("ep0", endpoint()).unwrap();
    assert!(
        messages.0.lock().is_empty(),
        "Hot-Plug Interrupt Enable is clear"
    );
    port.cfg_space
        .write_u32(0x58, (PRESENCE_CHANGED | LINK_CHANGED) << 16)
        .unwrap();
    // Hot-Plug Interrupt Enable, Presence Detect Changed Enable.
    port.cfg_space.write_u32(0x58, 0x0028).unwrap();
    port.hotplug_remove_device().unwrap();
    assert_eq!(*messages.0.lock(), [(Some(0x18), 0xfee0_1000, 0x42)]);
}

/// Writes down the routed accesses it gets, and answers them with its turn.
struct Routed(Arc<Mutex<Vec<String>>>);

impl GenericPciBusDevice for Routed {
    fn pci_cfg_read(&mut self, _: u16, _: &mut u32) -> Option<IoResult> {
        unreachable!("a port routes")
    }
    fn pci_cfg_write(&mut self, _: u16, _: u32) -> Option<IoResult> {
        unreachable!("a port routes")
    }
    fn pci_cfg_read_with_routing(
        &mut self,
        secondary: u8,
        target: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        self.0
            .lock()
            .push(format!("read {secondary} {target} {function} {offset:#x}"));
        match function {
            0 => {
                *value = 0x5678_1234;
                Some(IoResult::Ok)
            }
            1 => Some(IoResult::Err(IoError::InvalidRegister)),
            2 => Some(IoResult::Defer(defer_read().1)),
            _ => None,
        }
    }
    fn pci_cfg_write_with_routing(
        &mut self,
        secondary: u8,
        target: u8,
        function: u8,
        offset: u16,
        value: u32,
    ) -> Option<IoResult> {
        self.0.lock().push(format!(
            "write {secondary} {target} {function} {offset:#x} {value:#x}"
        ));
        match function {
            0 => Some(IoResult::Ok),
            1 => Some(IoResult::Err(IoError::InvalidRegister)),
            2 => Some(IoResult::Defer(defer_read().1)),
            _ => None,
        }
    }
}

#[test]
fn accesses_are_forwarded_by_bus() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut port = Make::default().port();
    let mut value = 0xaaaa_5555;
    port.cfg_space.write_u32(0x18, 0x0005_0300).unwrap();
    port.forward_cfg_read_with_routing(&3, &0, 0, &mut value)
        .unwrap();
    port.forward_cfg_write_with_routing(&3, &0, 0, 1).unwrap();
    assert_eq!(value, 0xaaaa_5555, "nothing attached: untouched");

    port.add_pcie_device("rp0", "ep0", Box::new(Routed(log.clone())))
        .unwrap();
    port.forward_cfg_read_with_routing(&3, &0, 0, &mut value)
        .unwrap();
    assert_eq!(value, 0x5678_1234);
    value = 0xaaaa_5555;
    for bus in [2, 6, 0] {
        port.forward_cfg_read_with_routing(&bus, &0, 0, &mut value)
            .unwrap();
        port.forward_cfg_write_with_routing(&bus, &0, 0, 1).unwrap();
    }
    // The device has gone away.
    port.forward_cfg_read_with_routing(&4, &3, 0x10, &mut value)
        .unwrap();
    port.forward_cfg_write_with_routing(&4, &3, 0x10, 1)
        .unwrap();
    assert_eq!(value, 0xaaaa_5555);
    let error = IoError::InvalidRegister;
    let read = port.forward_cfg_read_with_routing(&5, &1, 0, &mut value);
    assert_eq!(read.now_or_never(), Err(error));
    let write = port.forward_cfg_write_with_routing(&5, &1, 0, 7);
    assert_eq!(write.now_or_never(), Err(error));
    let read = port.forward_cfg_read_with_routing(&5, &2, 0, &mut value);
    assert!(matches!(read, IoResult::Defer(_)));
    let write = port.forward_cfg_write_with_routing(&5, &2, 0, 7);
    assert!(matches!(write, IoResult::Defer(_)));
    assert_eq!(
        *log.lock(),
        [
            "read 3 3 0 0x0",
            "read 3 4 3 0x10",
            "write 3 4 3 0x10 0x1",
            "read 3 5 1 0x0",
            "write 3 5 1 0x0 0x7",
            "read 3 5 2 0x0",
            "write 3 5 2 0x0 0x7",
        ]
    );
}

#[test]
fn nothing_is_below_a_port_without_bus_numbers() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut port = Make::default().port();
    port.add_pcie_device("rp0", "ep0", Box::new(Routed(log.clone())))
        .unwrap();
    // Unassigned, and secondary above subordinate.
    for numbers in [0, 0x0003_0500] {
        port.cfg_space.write_u32(0x18, numbers).unwrap();
        for bus in [0, 3, 4, 5] {
            let mut value = 0xaaaa_5555;
            port.forward_cfg_read_with_routing(&bus, &0, 0, &mut value)
                .unwrap();
            port.forward_cfg_write_with_routing(&bus, &0, 0, 1).unwrap();
            assert_eq!(value, 0xaaaa_5555);
        }
    }
    assert!(log.lock().is_empty());
    port.cfg_space.write_u32(0x18, 0x0001_0000).unwrap();
    let mut value = 0;
    port.forward_cfg_read_with_routing(&0, &0, 0, &mut value)
        .unwrap();
    assert_eq!(value, 0x5678_1234, "secondary 0, subordinate 1 is a range");
}

#[test]
fn an_endpoint_answers_as_device_0_only() {
    let mut port = Make::default().port();
    port.cfg_space.write_u32(0x18, 0x0005_0300).unwrap();
    port.add_pcie_device("rp0", "ep0", endpoint()).unwrap();
    let mut read = |bus: u8, function: u8, offset| {
        let mut value = 0xaaaa_5555;
        port.forward_cfg_read_with_routing(&bus, &function, offset, &mut value)
            .now_or_never()
            .map(|()| value)
    };
    assert_eq!(read(3, 0, 0), Ok(0x5678_1234));
    assert_eq!(read(3, 0, 0x40), Err(IoError::InvalidRegister));
    assert_eq!(read(3, 7, 0), Ok(!0), "the device has one function");
    assert_eq!(
        read(3, 8, 0),
        Ok(0xaaaa_5555),
        "device 1: not on this link, so nobody answers"
    );
    assert_eq!(read(4, 0, 0), Ok(!0), "no bus below an endpoint");
}
