//! What a bus knows of a device attached to it.

use crate::ManagedDevice;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use chipset_device::pci::DwordMerge;
use chipset_device::pci::PciConfigSpace;
use std::cell::Cell;

/// What a configuration read returns when nobody answers it: all-ones (PCIe 6.2 section 2.3.2).
pub(crate) const NO_DEVICE: u32 = !0;

/// A device attached to a bus, a port or a switch.
///
/// As [`PciConfigSpace`], whose conventions for offsets, values and routing hold here too, but the device may have gone away
/// behind the bus's back: then every method returns `None`, and the bus answers as if the slot were empty.
pub trait GenericPciBusDevice: 'static + Send {
    /// Reads the dword at `offset`.
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult>;

    /// Writes the dword at `offset`.
    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult>;

    /// Writes the enabled bytes of the dword at `offset`; byte n of `value` goes to byte n of the dword.
    ///
    /// The default is that of [`PciConfigSpace::pci_cfg_write_bytes`], for a device that only knows dwords, with the same
    /// warning: **a device with RW1C bits outside the Status register must override it.**
    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        if enables.is_all() {
            return self.pci_cfg_write(offset, value);
        }
        merge_write(
            self,
            DwordMerge::new(offset, value, enables),
            |device, current| device.pci_cfg_read(offset, current),
            |device, merged| device.pci_cfg_write(offset, merged),
        )
    }

    /// Reads a dword of a function on or below the bus this device is on.
    ///
    /// By default function 0 of a Type 0 cycle is this device, and everything else reads all-ones.
    fn pci_cfg_read_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        if is_function_0(secondary_bus, target_bus, function) {
            self.pci_cfg_read(offset, value)
        } else {
            *value = NO_DEVICE;
            Some(IoResult::Ok)
        }
    }

    /// Writes a dword of a function on or below the bus this device is on.
    ///
    /// By default function 0 of a Type 0 cycle is this device, and writes to everything else are dropped.
    fn pci_cfg_write_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
    ) -> Option<IoResult> {
        if is_function_0(secondary_bus, target_bus, function) {
            self.pci_cfg_write(offset, value)
        } else {
            Some(IoResult::Ok)
        }
    }

    /// Writes the enabled bytes of a dword of a function on or below the bus this device is on.
    ///
    /// The default is that of [`PciConfigSpace::pci_cfg_write_bytes_with_routing`].
    fn pci_cfg_write_bytes_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        let (secondary, target) = (secondary_bus, target_bus);
        if enables.is_all() {
            return self.pci_cfg_write_with_routing(secondary, target, function, offset, value);
        }
        if is_function_0(secondary, target, function) {
            return self.pci_cfg_write_bytes(offset, value, enables);
        }
        merge_write(
            self,
            DwordMerge::new(offset, value, enables),
            |device, current| {
                device.pci_cfg_read_with_routing(secondary, target, function, offset, current)
            },
            |device, merged| {
                device.pci_cfg_write_with_routing(secondary, target, function, offset, merged)
            },
        )
    }

    /// The device's lifecycle, where it belongs to the bus that the device is attached to.
    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        None
    }
}

fn is_function_0(secondary_bus: u8, target_bus: u8, function: u8) -> bool {
    secondary_bus == target_bus && function == 0
}

/// [`DwordMerge::write`] for a device that may be gone.
fn merge_write<D: ?Sized>(
    device: &mut D,
    merge: DwordMerge,
    read: impl FnOnce(&mut D, &mut u32) -> Option<IoResult>,
    write: impl FnOnce(&mut D, u32) -> Option<IoResult>,
) -> Option<IoResult> {
    let gone = Cell::new(false);
    let note = |result: Option<IoResult>| {
        gone.set(result.is_none());
        result.unwrap_or(IoResult::Err(IoError::NoResponse))
    };
    let result = merge.write(
        device,
        |device, current| note(read(device, current)),
        |device, merged| note(write(device, merged)),
    );
    (!gone.get()).then_some(result)
}

/// A [`PciConfigSpace`] as a bus device that is always there.
#[derive(Copy, Clone, Debug, Default)]
pub struct ConfigSpaceDevice<T>(pub T);

impl<T: PciConfigSpace> GenericPciBusDevice for ConfigSpaceDevice<T> {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        Some(self.0.pci_cfg_read(offset, value))
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        Some(self.0.pci_cfg_write(offset, value))
    }

    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        Some(self.0.pci_cfg_write_bytes(offset, value, enables))
    }

    fn pci_cfg_read_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        Some(
            self.0
                .pci_cfg_read_with_routing(secondary_bus, target_bus, function, offset, value),
        )
    }

    fn pci_cfg_write_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
    ) -> Option<IoResult> {
        Some(
            self.0
                .pci_cfg_write_with_routing(secondary_bus, target_bus, function, offset, value),
        )
    }

    fn pci_cfg_write_bytes_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        Some(self.0.pci_cfg_write_bytes_with_routing(
            secondary_bus,
            target_bus,
            function,
            offset,
            value,
            enables,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chipset_device::ChipsetDevice;

    /// Answers a number of accesses, then is gone.
    struct Leaving {
        accesses_left: u32,
        log: Vec<String>,
    }

    impl Leaving {
        fn after(accesses_left: u32) -> Self {
            Self {
                accesses_left,
                log: Vec::new(),
            }
        }

        fn access(&mut self, line: String) -> Option<IoResult> {
            self.accesses_left = self.accesses_left.checked_sub(1)?;
            self.log.push(line);
            Some(IoResult::Ok)
        }
    }

    impl GenericPciBusDevice for Leaving {
        fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
            *value = 0x1122_3344;
            self.access(format!("read {offset:#x}"))
        }
        fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
            self.access(format!("write {offset:#x} {value:#010x}"))
        }
    }

    fn byte(n: u8) -> ByteEnables {
        ByteEnables::for_access(n, 1).unwrap()
    }

    #[test]
    fn partial_write_is_read_merge_write() {
        let mut device = Leaving::after(9);
        device
            .pci_cfg_write_bytes(0x40, 0xaa00, byte(1))
            .unwrap()
            .unwrap();
        device
            .pci_cfg_write_bytes(0x04, 0x0005, ByteEnables::for_access(0, 2).unwrap())
            .unwrap()
            .unwrap();
        device
            .pci_cfg_write_bytes(0x40, 1, ByteEnables::ALL)
            .unwrap()
            .unwrap();
        assert_eq!(
            device.log,
            [
                "read 0x40",
                "write 0x40 0x1122aa44",
                "write 0x4 0x00000005",
                "write 0x40 0x00000001"
            ]
        );
    }

    #[test]
    fn a_device_that_is_gone_answers_none() {
        assert!(
            Leaving::after(0)
                .pci_cfg_write_bytes(0x40, 0, byte(0))
                .is_none()
        );
        let mut device = Leaving::after(1);
        assert!(
            device.pci_cfg_write_bytes(0x40, 0, byte(0)).is_none(),
            "gone between the read and the write"
        );
        assert_eq!(device.log, ["read 0x40"]);
        assert!(
            device
                .pci_cfg_write_bytes_with_routing(1, 1, 0, 0x40, 0, byte(0))
                .is_none()
        );
    }

    #[test]
    fn routing_defaults_to_function_0_of_type_0_cycles() {
        let mut device = Leaving::after(9);
        for (secondary, target, function) in [(1, 2, 0), (1, 1, 1)] {
            let mut value = 0;
            device
                .pci_cfg_read_with_routing(secondary, target, function, 0, &mut value)
                .unwrap()
                .unwrap();
            assert_eq!(value, !0);
            for enables in [byte(0), ByteEnables::ALL] {
                device
                    .pci_cfg_write_bytes_with_routing(secondary, target, function, 0, 1, enables)
                    .unwrap()
                    .unwrap();
            }
        }
        assert!(device.log.is_empty());
        device
            .pci_cfg_write_bytes_with_routing(3, 3, 0, 0x40, 0xaa, byte(0))
            .unwrap()
            .unwrap();
        assert_eq!(device.log, ["read 0x40", "write 0x40 0x112233aa"]);
    }

    /// Has byte lanes of its own, and routes everything to itself.
    #[derive(Default)]
    struct Lanes(Vec<String>);

    impl ChipsetDevice for Lanes {}

    impl PciConfigSpace for Lanes {
        fn pci_cfg_read(&mut self, _: u16, value: &mut u32) -> IoResult {
            *value = 7;
            IoResult::Ok
        }
        fn pci_cfg_write(&mut self, _: u16, _: u32) -> IoResult {
            IoResult::Err(IoError::InvalidRegister)
        }
        fn pci_cfg_write_bytes(&mut self, _: u16, _: u32, enables: ByteEnables) -> IoResult {
            self.0.push(format!("{enables:?}"));
            IoResult::Ok
        }
        fn pci_cfg_read_with_routing(
            &mut self,
            _: u8,
            _: u8,
            function: u8,
            _: u16,
            value: &mut u32,
        ) -> IoResult {
            *value = function.into();
            IoResult::Ok
        }
        fn pci_cfg_write_with_routing(&mut self, _: u8, _: u8, _: u8, _: u16, _: u32) -> IoResult {
            IoResult::Err(IoError::UnalignedAccess)
        }
        fn pci_cfg_write_bytes_with_routing(
            &mut self,
            _: u8,
            _: u8,
            function: u8,
            _: u16,
            _: u32,
            enables: ByteEnables,
        ) -> IoResult {
            self.0.push(format!("{function} {enables:?}"));
            IoResult::Ok
        }
    }

    #[test]
    fn adapter_forwards_every_method() {
        let mut device = ConfigSpaceDevice(Lanes::default());
        let mut value = 0;
        device.pci_cfg_read(0, &mut value).unwrap().unwrap();
        assert_eq!(value, 7);
        device
            .pci_cfg_read_with_routing(1, 2, 9, 0, &mut value)
            .unwrap()
            .unwrap();
        assert_eq!(value, 9);
        let dword = device.pci_cfg_write(0, 0).unwrap();
        assert_eq!(dword.now_or_never(), Err(IoError::InvalidRegister));
        let routed = device.pci_cfg_write_with_routing(1, 2, 9, 0, 0).unwrap();
        assert_eq!(routed.now_or_never(), Err(IoError::UnalignedAccess));
        device.pci_cfg_write_bytes(0, 0, byte(0)).unwrap().unwrap();
        device
            .pci_cfg_write_bytes_with_routing(1, 2, 9, 0, 0, byte(1))
            .unwrap()
            .unwrap();
        assert_eq!(device.0.0, ["ByteEnables(1)", "9 ByteEnables(2)"]);
    }
}
