//! Every public item that others program against, with its signature: this file compiles, or the interface has changed.

use chipset_device::ChipsetDevice;
use chipset_device::interrupt::AcknowledgePicInterrupt;
use chipset_device::interrupt::HandleEoi;
use chipset_device::interrupt::LineInterruptTarget;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::io::deferred::DeferredRead;
use chipset_device::io::deferred::DeferredToken;
use chipset_device::io::deferred::DeferredWrite;
use chipset_device::io::deferred::defer_read;
use chipset_device::io::deferred::defer_write;
use chipset_device::mmio::ControlMmioIntercept;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::MmioIntercept;
use chipset_device::mmio::RegisterMmioIntercept;
use chipset_device::pci::PciConfigSpace;
use chipset_device::pio::ControlPortIoIntercept;
use chipset_device::pio::ExternallyManagedPortIoIntercepts;
use chipset_device::pio::PortIoIntercept;
use chipset_device::pio::RegisterPortIoIntercept;
use chipset_device::poll_device::PollDevice;
use inspect::Inspect;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

fn is<T: ?Sized>() {}
fn copy<T: Copy + Debug>() {}
fn debug<T: Debug>() {}
fn send<T: Send + ?Sized>() {}
fn send_sync<T: Send + Sync + ?Sized>() {}
fn looks<T: Inspect + ?Sized>() {}

/// Has nothing but what the traits require.
#[derive(Default)]
struct Bare {
    register: u32,
}

impl ChipsetDevice for Bare {}

/// Every kind of device, each with the required methods only.
#[derive(Default)]
struct Device {
    register: u32,
    polled: u32,
}

impl ChipsetDevice for Device {
    fn supports_pio(&mut self) -> Option<&mut dyn PortIoIntercept> {
        Some(self)
    }
    fn supports_mmio(&mut self) -> Option<&mut dyn MmioIntercept> {
        Some(self)
    }
    fn supports_pci(&mut self) -> Option<&mut dyn PciConfigSpace> {
        Some(self)
    }
    fn supports_poll_device(&mut self) -> Option<&mut dyn PollDevice> {
        Some(self)
    }
    fn supports_line_interrupt_target(&mut self) -> Option<&mut dyn LineInterruptTarget> {
        Some(self)
    }
    fn supports_handle_eoi(&mut self) -> Option<&mut dyn HandleEoi> {
        Some(self)
    }
    fn supports_acknowledge_pic_interrupt(&mut self) -> Option<&mut dyn AcknowledgePicInterrupt> {
        Some(self)
    }
}

impl MmioIntercept for Device {
    fn mmio_read(&mut self, _addr: u64, data: &mut [u8]) -> IoResult {
        data.fill(1);
        IoResult::Ok
    }
    fn mmio_write(&mut self, _addr: u64, _data: &[u8]) -> IoResult {
        IoResult::Err(IoError::InvalidAccessSize)
    }
}

impl PortIoIntercept for Device {
    fn io_read(&mut self, _port: u16, data: &mut [u8]) -> IoResult {
        data.fill(2);
        IoResult::Ok
    }
    fn io_write(&mut self, _port: u16, _data: &[u8]) -> IoResult {
        IoResult::Err(IoError::UnalignedAccess)
    }
}

impl PciConfigSpace for Device {
    fn pci_cfg_read(&mut self, _offset: u16, value: &mut u32) -> IoResult {
        *value = self.register;
        IoResult::Ok
    }
    fn pci_cfg_write(&mut self, _offset: u16, value: u32) -> IoResult {
        self.register = value;
        IoResult::Ok
    }
}

impl PollDevice for Device {
    fn poll_device(&mut self, _cx: &mut Context<'_>) {
        self.polled += 1;
    }
}

impl LineInterruptTarget for Device {
    fn set_irq(&mut self, vector: u32, high: bool) {
        self.register = vector + u32::from(high);
    }
    fn valid_lines(&self) -> &[RangeInclusive<u32>] {
        &[]
    }
}

impl HandleEoi for Device {
    fn handle_eoi(&mut self, vector: u32) {
        self.register = vector;
    }
}

impl AcknowledgePicInterrupt for Device {
    fn acknowledge_interrupt(&mut self) -> Option<u8> {
        Some(0x20)
    }
}

#[test]
fn a_device_supports_nothing_unless_it_says_so() {
    let mut bare = Bare::default();
    let bare: &mut dyn ChipsetDevice = &mut bare;
    assert!(bare.supports_pio().is_none());
    assert!(bare.supports_mmio().is_none());
    assert!(bare.supports_pci().is_none());
    assert!(bare.supports_poll_device().is_none());
    assert!(bare.supports_line_interrupt_target().is_none());
    assert!(bare.supports_handle_eoi().is_none());
    assert!(bare.supports_acknowledge_pic_interrupt().is_none());
    assert_eq!(Bare::default().register, 0);
    send::<dyn ChipsetDevice>();

    let mut device: Box<dyn ChipsetDevice> = Box::new(Device::default());
    let mut data = [0; 2];
    let mmio = device.supports_mmio().unwrap();
    mmio.mmio_read(0, &mut data).unwrap();
    assert_eq!(data, [1, 1]);
    assert_eq!(
        mmio.mmio_write(0, &data).now_or_never(),
        Err(IoError::InvalidAccessSize)
    );
    let none: &[(&str, RangeInclusive<u64>)] = mmio.get_static_regions();
    assert!(none.is_empty());
    let pio = device.supports_pio().unwrap();
    pio.io_read(0, &mut data).unwrap();
    assert_eq!(data, [2, 2]);
    assert_eq!(
        pio.io_write(0, &data).now_or_never(),
        Err(IoError::UnalignedAccess)
    );
    let none: &[(&str, RangeInclusive<u16>)] = pio.get_static_regions();
    assert!(none.is_empty());
    let pic = device.supports_acknowledge_pic_interrupt().unwrap();
    assert_eq!(pic.acknowledge_interrupt(), Some(0x20));
    device.supports_handle_eoi().unwrap().handle_eoi(3);
    let lines = device.supports_line_interrupt_target().unwrap();
    lines.set_irq(1, true);
    assert!(lines.valid_lines().is_empty());
    let mut cx = Context::from_waker(Waker::noop());
    device.supports_poll_device().unwrap().poll_device(&mut cx);
}

#[test]
fn config_space_routing() {
    let mut device = Device::default();
    let pci: &mut dyn PciConfigSpace = device.supports_pci().unwrap();
    assert_eq!(pci.suggested_bdf(), None);
    pci.pci_cfg_write_with_routing(1, 1, 0, 0x10, 5).unwrap();
    pci.pci_cfg_write_with_routing(1, 1, 1, 0x10, 6).unwrap();
    pci.pci_cfg_write_with_routing(1, 2, 0, 0x10, 7).unwrap();
    let mut read = |target, function| {
        let mut value = 0;
        pci.pci_cfg_read_with_routing(1, target, function, 0x10, &mut value)
            .unwrap();
        value
    };
    assert_eq!([read(1, 0), read(1, 1), read(2, 0)], [5, !0, !0]);
}

#[test]
fn results() {
    copy::<IoError>();
    debug::<IoResult>();
    let _ = [
        IoError::InvalidRegister,
        IoError::InvalidAccessSize,
        IoError::UnalignedAccess,
        IoError::NoResponse,
    ];
    let _: fn(IoResult) = IoResult::unwrap;
    let _: fn(IoResult) -> Result<(), IoError> = IoResult::now_or_never;
    let (_read, token) = defer_read();
    // The conversion is legal, if idle: device code is written so.
    #[allow(clippy::useless_conversion)]
    let deferred = IoResult::Defer(token.into());
    let unwrapped = catch_unwind(AssertUnwindSafe(|| deferred.unwrap()));
    assert!(unwrapped.is_err());
    let refused = catch_unwind(|| IoResult::Err(IoError::NoResponse).unwrap());
    assert!(refused.is_err());
}

#[test]
fn deferred() {
    debug::<DeferredToken>();
    debug::<DeferredRead>();
    debug::<DeferredWrite>();
    let _: fn() -> (DeferredRead, DeferredToken) = defer_read;
    let _: fn() -> (DeferredWrite, DeferredToken) = defer_write;
    let _: fn(DeferredRead, &[u8]) = DeferredRead::complete;
    let _: fn(DeferredRead, IoError) = DeferredRead::complete_error;
    let _: fn(DeferredWrite) = DeferredWrite::complete;
    let _: fn(DeferredWrite, IoError) = DeferredWrite::complete_error;
    let mut cx = Context::from_waker(Waker::noop());

    let (read, mut token) = defer_read();
    let mut bytes = [0; 8];
    assert_eq!(token.poll_read(&mut cx, &mut bytes), Poll::Pending);
    read.complete(&[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(token.poll_read(&mut cx, &mut bytes), Poll::Ready(Ok(())));
    assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8]);

    let (write, mut token) = defer_write();
    assert_eq!(token.poll_write(&mut cx), Poll::Pending);
    write.complete_error(IoError::InvalidRegister);
    assert_eq!(
        token.poll_write(&mut cx),
        Poll::Ready(Err(IoError::InvalidRegister))
    );

    let (read, token) = defer_read();
    drop(read);
    let mut bytes = [0; 4];
    assert_eq!(
        pin!(token.read_future(&mut bytes)).poll(&mut cx),
        Poll::Ready(Err(IoError::NoResponse))
    );
    let (write, token) = defer_write();
    let mut future = pin!(token.write_future());
    assert_eq!(future.as_mut().poll(&mut cx), Poll::Pending);
    write.complete();
    assert_eq!(future.poll(&mut cx), Poll::Ready(Ok(())));
}

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

#[test]
fn deferred_mistakes_of_the_author_panic() {
    assert!(panics(|| defer_read().0.complete(&[0; 9])), "too long");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(panics(|| {
        let _ = defer_write().1.poll_read(&mut cx, &mut [0]);
    }));
    assert!(panics(|| {
        let _ = defer_read().1.poll_write(&mut cx);
    }));
    let (read, mut token) = defer_read();
    read.complete(&[0; 4]);
    assert!(
        panics(|| {
            let _ = token.poll_read(&mut cx, &mut [0; 2]);
        }),
        "another length"
    );
}

/// A region as a monitor implements it.
struct Region<T> {
    len: T,
    addr: Option<T>,
}

macro_rules! control {
    ($control:ident, $addr:ty) => {
        impl $control for Region<$addr> {
            fn region_name(&self) -> &str {
                "region"
            }
            fn map(&mut self, addr: $addr) {
                self.addr = Some(addr);
            }
            fn unmap(&mut self) {
                self.addr = None;
            }
            fn addr(&self) -> Option<$addr> {
                self.addr
            }
            fn len(&self) -> $addr {
                self.len
            }
            fn offset_of(&self, addr: $addr) -> Option<$addr> {
                addr.checked_sub(self.addr?).filter(|&o| o < self.len)
            }
        }
    };
}

control!(ControlMmioIntercept, u64);
control!(ControlPortIoIntercept, u16);

struct Register;

impl RegisterMmioIntercept for Register {
    fn new_io_region(&mut self, _region_name: &str, len: u64) -> Box<dyn ControlMmioIntercept> {
        Box::new(Region { len, addr: None })
    }
}

impl RegisterPortIoIntercept for Register {
    fn new_io_region(&mut self, _region_name: &str, len: u16) -> Box<dyn ControlPortIoIntercept> {
        Box::new(Region { len, addr: None })
    }
}

fn inspected(object: &(impl Inspect + ?Sized)) -> String {
    inspect::inspect("", object).results().to_string()
}

#[test]
fn regions() {
    is::<dyn RegisterMmioIntercept>();
    send_sync::<dyn ControlMmioIntercept>();
    send_sync::<dyn ControlPortIoIntercept>();
    looks::<dyn ControlMmioIntercept>();
    looks::<dyn ControlPortIoIntercept>();
    looks::<Box<dyn ControlMmioIntercept>>();

    let register: &mut dyn RegisterMmioIntercept = &mut Register;
    let mut region = register.new_io_region("bar0", 0x1000);
    assert_eq!(inspected(&region), r#"{len: 0x1000, name: "region"}"#);
    region.map(0x8000_0000);
    assert_eq!(
        inspected(&*region),
        r#"{addr: 0x80000000, len: 0x1000, name: "region"}"#
    );
    assert_eq!(region.offset_of(0x8000_0010), Some(0x10));
    region.unmap();
    assert_eq!(region.addr(), None);

    let register: &mut dyn RegisterPortIoIntercept = &mut Register;
    let mut region = register.new_io_region("addr", 4);
    region.map(0xcf8);
    assert_eq!(
        inspected(&*region),
        r#"{addr: 0xcf8, len: 0x4, name: "region"}"#
    );

    let mut region: Box<dyn ControlMmioIntercept> =
        ExternallyManagedMmioIntercepts.new_io_region("bar0", 0x1000);
    region.map(0);
    assert_eq!(region.region_name(), "(noop)");
    assert_eq!(
        (region.len(), region.addr(), region.offset_of(0)),
        (0, None, None)
    );
    let mut region: Box<dyn ControlPortIoIntercept> =
        ExternallyManagedPortIoIntercepts.new_io_region("addr", 4);
    region.map(0);
    assert_eq!(region.region_name(), "(noop)");
    assert_eq!(
        (region.len(), region.addr(), region.offset_of(0)),
        (0, None, None)
    );
    let noop: (&dyn ControlMmioIntercept, &dyn ControlPortIoIntercept) = (&(), &());
    assert_eq!((noop.0.len(), noop.1.len()), (0, 0));
}
