//! PCI configuration space, as a device offers it.
//!
//! Registers are 32 bits wide. A guest may write fewer bytes than a register has; which ones travels as [`ByteEnables`]
//! (PCIe 6.2 section 2.2.5).

mod byte_enables;

pub use byte_enables::ByteEnables;
pub use byte_enables::DwordMerge;

use crate::ChipsetDevice;
use crate::io::IoResult;

/// What a configuration read returns when nobody answers it: all-ones (PCIe 6.2 section 2.3.2).
const NO_DEVICE: u32 = !0;

/// A device with a PCI configuration space.
///
/// The caller guarantees that every `offset` is a multiple of four. All values are whole dwords, byte 0 in bits 7:0; the
/// `_bytes` methods take a dword of which only the enabled bytes mean something.
///
/// The `_with_routing` methods carry the address of a configuration request below a port whose secondary bus is
/// `secondary_bus`. `target_bus == secondary_bus` is a Type 0 cycle for a function on that bus; any other target bus is a
/// Type 1 cycle for a bus further below. `function` is the packed device and function number (device in bits 7:3) on a
/// legacy bus and an 8-bit function number below a PCI Express port. By default a device is one function, number 0, and there
/// is nothing below it.
pub trait PciConfigSpace: ChipsetDevice {
    /// Reads the dword at `offset`.
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> IoResult;

    /// Writes the dword at `offset`.
    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> IoResult;

    /// Writes the enabled bytes of the dword at `offset`; byte n of `value` goes to byte n of the dword.
    ///
    /// For a device that only knows dwords this reads the dword, replaces the enabled bytes and writes it back. At offset 0x04
    /// the disabled bytes of the Status register are written as zero, so that its RW1C bits survive (PCIe 6.2 section
    /// 7.5.1.1.4). **A device with RW1C bits anywhere else must override this method**: writing back what was read clears
    /// them.
    ///
    /// A read that is deferred makes the result a merge token ([`io::deferred`](crate::io::deferred)).
    fn pci_cfg_write_bytes(&mut self, offset: u16, value: u32, enables: ByteEnables) -> IoResult {
        if enables.is_all() {
            return self.pci_cfg_write(offset, value);
        }
        let merge = DwordMerge::new(offset, value, enables);
        merge.write(
            self,
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
    ) -> IoResult {
        if is_function_0(secondary_bus, target_bus, function) {
            self.pci_cfg_read(offset, value)
        } else {
            *value = NO_DEVICE;
            IoResult::Ok
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
    ) -> IoResult {
        if is_function_0(secondary_bus, target_bus, function) {
            self.pci_cfg_write(offset, value)
        } else {
            IoResult::Ok
        }
    }

    /// Writes the enabled bytes of a dword of a function on or below the bus this device is on.
    ///
    /// By default function 0 of a Type 0 cycle is this device and takes the bytes in
    /// [`pci_cfg_write_bytes`](Self::pci_cfg_write_bytes). For everything else the dword is read and written back through the
    /// routed dword methods, with the rule and the warning given there, so that a device which routes dwords to functions of
    /// its own also gets the shorter writes.
    fn pci_cfg_write_bytes_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> IoResult {
        let (secondary, target) = (secondary_bus, target_bus);
        if enables.is_all() {
            return self.pci_cfg_write_with_routing(secondary, target, function, offset, value);
        }
        if is_function_0(secondary, target, function) {
            return self.pci_cfg_write_bytes(offset, value, enables);
        }
        let merge = DwordMerge::new(offset, value, enables);
        merge.write(
            self,
            |device, current| {
                device.pci_cfg_read_with_routing(secondary, target, function, offset, current)
            },
            |device, merged| {
                device.pci_cfg_write_with_routing(secondary, target, function, offset, merged)
            },
        )
    }

    /// Where the device would like to sit, as bus, device and function, if it cares.
    fn suggested_bdf(&mut self) -> Option<(u8, u8, u8)> {
        None
    }
}

fn is_function_0(secondary_bus: u8, target_bus: u8, function: u8) -> bool {
    secondary_bus == target_bus && function == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::IoError;
    use crate::io::deferred::DeferredToken;
    use crate::io::deferred::defer_read;

    /// A foreign device: dwords only, one register at every offset.
    #[derive(Default)]
    struct DwordDevice {
        register: u32,
        log: Vec<String>,
        read_result: Option<IoResult>,
    }

    impl ChipsetDevice for DwordDevice {}

    impl PciConfigSpace for DwordDevice {
        fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> IoResult {
            self.log.push(format!("read {offset:#x}"));
            *value = self.register;
            self.read_result.take().unwrap_or(IoResult::Ok)
        }
        fn pci_cfg_write(&mut self, offset: u16, value: u32) -> IoResult {
            self.log.push(format!("write {offset:#x} {value:#010x}"));
            self.register = value;
            IoResult::Ok
        }
    }

    /// A foreign device with functions of its own.
    #[derive(Default)]
    struct Router(DwordDevice);

    impl ChipsetDevice for Router {}

    impl PciConfigSpace for Router {
        fn pci_cfg_read(&mut self, _: u16, _: &mut u32) -> IoResult {
            panic!("not function 0")
        }
        fn pci_cfg_write(&mut self, _: u16, _: u32) -> IoResult {
            panic!("not function 0")
        }
        fn pci_cfg_read_with_routing(
            &mut self,
            _: u8,
            _: u8,
            function: u8,
            offset: u16,
            value: &mut u32,
        ) -> IoResult {
            assert_eq!(function, 3);
            self.0.pci_cfg_read(offset, value)
        }
        fn pci_cfg_write_with_routing(
            &mut self,
            _: u8,
            _: u8,
            function: u8,
            offset: u16,
            value: u32,
        ) -> IoResult {
            assert_eq!(function, 3);
            self.0.pci_cfg_write(offset, value)
        }
    }

    fn device(register: u32) -> DwordDevice {
        DwordDevice {
            register,
            ..Default::default()
        }
    }

    fn byte(n: u8) -> ByteEnables {
        ByteEnables::for_access(n, 1).unwrap()
    }

    fn word(n: u8) -> ByteEnables {
        ByteEnables::for_access(n, 2).unwrap()
    }

    #[test]
    fn partial_write_is_read_merge_write() {
        let mut device = device(0x1122_3344);
        device
            .pci_cfg_write_bytes(0x40, 0xaabb_ccdd, word(2))
            .unwrap();
        assert_eq!(device.log, ["read 0x40", "write 0x40 0xaabb3344"]);
    }

    #[test]
    fn whole_write_does_not_read() {
        let mut device = device(0);
        device
            .pci_cfg_write_bytes(0x04, 0xaabb_ccdd, ByteEnables::ALL)
            .unwrap();
        assert_eq!(device.log, ["write 0x4 0xaabbccdd"]);
    }

    #[test]
    fn no_bytes_touch_nothing() {
        let mut device = device(0);
        device
            .pci_cfg_write_bytes(0x40, !0, ByteEnables::NONE)
            .unwrap();
        device
            .pci_cfg_write_bytes_with_routing(1, 1, 0, 0x40, !0, ByteEnables::NONE)
            .unwrap();
        assert!(device.log.is_empty());
    }

    #[test]
    fn command_write_leaves_status_alone() {
        let mut device = device(0xf9ff_0107);
        device.pci_cfg_write_bytes(0x04, 0x0006, word(0)).unwrap();
        assert_eq!(device.log, ["write 0x4 0x00000006"]);

        let mut device = self::device(0xf9ff_0107);
        device.pci_cfg_write_bytes(0x04, 0x06, byte(0)).unwrap();
        assert_eq!(device.log, ["read 0x4", "write 0x4 0x00000106"]);
    }

    #[test]
    fn status_byte_write_clears_what_it_says_only() {
        let mut device = device(0xf9ff_0107);
        device
            .pci_cfg_write_bytes(0x04, 0x0100_0000, byte(3))
            .unwrap();
        assert_eq!(device.log, ["read 0x4", "write 0x4 0x01000107"]);
    }

    #[test]
    fn failing_read_drops_the_write() {
        let mut device = device(0);
        device.read_result = Some(IoResult::Err(IoError::InvalidRegister));
        let result = device.pci_cfg_write_bytes(0x40, 0, byte(0));
        assert_eq!(result.now_or_never(), Err(IoError::InvalidRegister));
        assert_eq!(device.log, ["read 0x40"]);
    }

    #[test]
    fn deferred_read_gives_a_merge_token() {
        let mut device = device(0);
        let (read, pending) = defer_read();
        device.read_result = Some(IoResult::Defer(pending));
        let IoResult::Defer(token) = device.pci_cfg_write_bytes(0x04, 0x5a, byte(0)) else {
            panic!("not deferred")
        };
        read.complete(&0xffff_ff00_u32.to_ne_bytes());
        let mut merge = token.into_merge().map_err(|_: DeferredToken| ()).unwrap();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(
            merge.poll(&mut cx),
            std::task::Poll::Ready(Ok(0x0000_ff5a)),
            "the Status half is not written back in the deferred case either"
        );
    }

    #[test]
    fn routing_defaults_to_function_0_of_type_0_cycles() {
        let mut device = device(0x1234_5678);
        for (secondary, target, function) in [(1, 2, 0), (1, 1, 1)] {
            let mut value = 0;
            device
                .pci_cfg_read_with_routing(secondary, target, function, 0, &mut value)
                .unwrap();
            assert_eq!(value, !0);
            device
                .pci_cfg_write_with_routing(secondary, target, function, 0, 1)
                .unwrap();
            device
                .pci_cfg_write_bytes_with_routing(secondary, target, function, 0, 1, byte(0))
                .unwrap();
            device
                .pci_cfg_write_bytes_with_routing(
                    secondary,
                    target,
                    function,
                    0,
                    1,
                    ByteEnables::ALL,
                )
                .unwrap();
        }
        assert!(device.log.is_empty());
        let mut value = 0;
        device
            .pci_cfg_read_with_routing(4, 4, 0, 8, &mut value)
            .unwrap();
        assert_eq!(value, 0x1234_5678);
        device
            .pci_cfg_write_bytes_with_routing(4, 4, 0, 8, 0xff, byte(0))
            .unwrap();
        assert_eq!(device.log, ["read 0x8", "read 0x8", "write 0x8 0x123456ff"]);
    }

    #[test]
    fn device_that_routes_dwords_also_gets_bytes() {
        let mut device = Router(self::device(0x1122_3344));
        device
            .pci_cfg_write_bytes_with_routing(1, 1, 3, 0x40, 0xaa00, byte(1))
            .unwrap();
        device
            .pci_cfg_write_bytes_with_routing(1, 1, 3, 0x40, 5, ByteEnables::ALL)
            .unwrap();
        assert_eq!(
            device.0.log,
            [
                "read 0x40",
                "write 0x40 0x1122aa44",
                "write 0x40 0x00000005"
            ]
        );
    }
}
