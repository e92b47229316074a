//! Devices that answer later, end to end: the root complex's caller polls what it got.

use crate::model::*;
use chipset_device::ChipsetDevice;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::io::deferred::DeferredRead;
use chipset_device::io::deferred::DeferredToken;
use chipset_device::io::deferred::DeferredWrite;
use chipset_device::io::deferred::defer_read;
use chipset_device::io::deferred::defer_write;
use chipset_device::mmio::MmioIntercept;
use parking_lot::Mutex;
use pci_bus::GenericPciBusDevice;
use pcie::root::GenericPcieRootComplex;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

/// What a device has been asked and has not answered.
#[derive(Default)]
struct Asked {
    reads: Vec<(u16, DeferredRead)>,
    writes: Vec<(u16, u32, DeferredWrite)>,
}

/// A device of dwords that defers every access, from offset 0x10 on.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Asked>>);

impl GenericPciBusDevice for Slow {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        if offset < 0x10 {
            *value = 0x5678_1234;
            return Some(IoResult::Ok);
        }
        let (read, token) = defer_read();
        self.0.lock().reads.push((offset, read));
        Some(IoResult::Defer(token))
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        if offset < 0x10 {
            return Some(IoResult::Ok);
        }
        let (write, token) = defer_write();
        self.0.lock().writes.push((offset, value, write));
        Some(IoResult::Defer(token))
    }
}

impl Slow {
    fn answer_read(&self, offset: u16, value: u32) {
        let (asked, read) = self.0.lock().reads.remove(0);
        assert_eq!(asked, offset);
        read.complete(&value.to_ne_bytes());
    }

    /// The value of the write that it was asked.
    fn answer_write(&self, offset: u16) -> u32 {
        let (asked, value, write) = self.0.lock().writes.remove(0);
        assert_eq!(asked, offset);
        write.complete();
        value
    }
}

/// The device is on bus 3, below a switch.
fn slow() -> (GenericPcieRootComplex, Slow) {
    let device = Slow::default();
    let mut sw = switch("sw", 1);
    sw.add_pcie_device(0, "slow", Box::new(device.clone()))
        .unwrap();
    let mut root = plain(1);
    root.add_pcie_device(0, "sw", sw.into_device()).unwrap();
    root.number((0, 0), 1, 3);
    root.number((1, 0), 2, 3);
    root.number((2, 0), 3, 3);
    (root, device)
}

fn read(root: &mut GenericPcieRootComplex, offset: u16, len: usize) -> DeferredToken {
    match root.mmio_read(config(3, 0, offset), &mut vec![0; len]) {
        IoResult::Defer(token) => token,
        result => panic!("{result:?}"),
    }
}

fn write(root: &mut GenericPcieRootComplex, offset: u16, data: &[u8]) -> DeferredToken {
    match root.mmio_write(config(3, 0, offset), data) {
        IoResult::Defer(token) => token,
        result => panic!("{result:?}"),
    }
}

fn poll_read(token: &mut DeferredToken, len: usize) -> Poll<Result<Vec<u8>, IoError>> {
    let mut data = vec![0; len];
    let poll = token.poll_read(&mut Context::from_waker(Waker::noop()), &mut data);
    poll.map_ok(|()| data)
}

fn poll_write(token: &mut DeferredToken) -> Poll<Result<(), IoError>> {
    token.poll_write(&mut Context::from_waker(Waker::noop()))
}

fn poll_device(root: &mut GenericPcieRootComplex) {
    let device = root.supports_poll_device().unwrap();
    device.poll_device(&mut Context::from_waker(Waker::noop()));
}

#[test]
fn a_dword_is_read_later() {
    let (mut root, device) = slow();
    let mut token = read(&mut root, 0x40, 4);
    assert_eq!(poll_read(&mut token, 4), Poll::Pending);
    device.answer_read(0x40, 0x4433_2211);
    assert_eq!(
        poll_read(&mut token, 4),
        Poll::Ready(Ok(vec![0x11, 0x22, 0x33, 0x44]))
    );
}

#[test]
fn a_part_of_a_dword_is_read_later() {
    let (mut root, device) = slow();
    for (lane, len, expected) in [
        (0, 1, &[0x11][..]),
        (1, 1, &[0x22]),
        (3, 1, &[0x44]),
        (0, 2, &[0x11, 0x22]),
        (2, 2, &[0x33, 0x44]),
    ] {
        let mut token = read(&mut root, 0x40 + lane, len);
        assert_eq!(poll_read(&mut token, len), Poll::Pending);
        device.answer_read(0x40, 0x4433_2211);
        assert_eq!(
            poll_read(&mut token, len),
            Poll::Ready(Ok(expected.to_vec()))
        );
    }
}

#[test]
fn a_dword_is_written_later() {
    let (mut root, device) = slow();
    let mut token = write(&mut root, 0x40, &[1, 2, 3, 4]);
    assert_eq!(poll_write(&mut token), Poll::Pending);
    assert_eq!(device.answer_write(0x40), 0x0403_0201);
    assert_eq!(poll_write(&mut token), Poll::Ready(Ok(())));
}

#[test]
fn a_part_of_a_dword_is_merged_and_written_later() {
    let (mut root, device) = slow();
    let mut token = write(&mut root, 0x42, &[0xaa, 0xbb]);
    poll_device(&mut root);
    assert_eq!(poll_write(&mut token), Poll::Pending);
    device.answer_read(0x40, 0x4433_2211);
    assert_eq!(poll_write(&mut token), Poll::Pending);
    poll_device(&mut root);
    assert_eq!(device.answer_write(0x40), 0xbbaa_2211);
    assert_eq!(
        poll_write(&mut token),
        Poll::Pending,
        "until the root complex is polled"
    );
    poll_device(&mut root);
    assert_eq!(poll_write(&mut token), Poll::Ready(Ok(())));
    assert!(device.0.lock().reads.is_empty() && device.0.lock().writes.is_empty());
}

#[test]
fn a_merge_whose_read_fails_writes_nothing() {
    let (mut root, device) = slow();
    let mut token = write(&mut root, 0x41, &[0xaa]);
    let (_, asked) = device.0.lock().reads.remove(0);
    asked.complete_error(IoError::InvalidRegister);
    poll_device(&mut root);
    assert_eq!(
        poll_write(&mut token),
        Poll::Ready(Err(IoError::InvalidRegister))
    );
    assert!(device.0.lock().writes.is_empty());
}

#[test]
fn a_device_that_goes_away_ends_what_it_was_asked() {
    let (mut root, device) = slow();
    let (mut whole, mut part) = (read(&mut root, 0x40, 4), write(&mut root, 0x40, &[1]));
    root.hotplug_remove_device("sw-0").unwrap();
    drop(device);
    poll_device(&mut root);
    assert_eq!(
        poll_read(&mut whole, 4),
        Poll::Ready(Err(IoError::NoResponse))
    );
    assert_eq!(poll_write(&mut part), Poll::Ready(Err(IoError::NoResponse)));
}

#[test]
fn a_reset_ends_merges() {
    let (mut root, device) = slow();
    let mut token = write(&mut root, 0x40, &[1]);
    reset(&mut root);
    assert_eq!(
        poll_write(&mut token),
        Poll::Ready(Err(IoError::NoResponse))
    );
    device.answer_read(0x40, 0);
    poll_device(&mut root);
    assert!(device.0.lock().writes.is_empty());
}

#[test]
fn eight_bytes_are_not_put_together_later() {
    let (mut root, _device) = slow();
    let mut data = [0; 8];
    let address = config(3, 0, 0x40);
    let read = root.mmio_read(address, &mut data);
    assert_eq!(read.now_or_never(), Err(IoError::InvalidAccessSize));
    let write = root.mmio_write(address, &data);
    assert_eq!(write.now_or_never(), Err(IoError::InvalidAccessSize));
    // Where nothing is deferred, there is nothing to put together.
    assert_eq!(
        root.mmio_read(config(3, 0, 8), &mut data).now_or_never(),
        Ok(())
    );
}

/// Defers the second dword of each pair only.
struct SecondHalf;

impl GenericPciBusDevice for SecondHalf {
    fn pci_cfg_read(&mut self, offset: u16, _value: &mut u32) -> Option<IoResult> {
        Some(match offset & 4 {
            0 => IoResult::Ok,
            _ => IoResult::Defer(defer_read().1),
        })
    }

    fn pci_cfg_write(&mut self, offset: u16, _value: u32) -> Option<IoResult> {
        Some(match offset & 4 {
            0 => IoResult::Ok,
            _ => IoResult::Defer(defer_write().1),
        })
    }
}

#[test]
fn nor_is_a_second_half() {
    let mut root = plain(1);
    root.add_pcie_device(0, "ep", Box::new(SecondHalf)).unwrap();
    root.number((0, 0), 1, 1);
    let address = config(1, 0, 0x40);
    let read = root.mmio_read(address, &mut [0; 8]);
    assert_eq!(read.now_or_never(), Err(IoError::InvalidAccessSize));
    let write = root.mmio_write(address, &[0; 8]);
    assert_eq!(write.now_or_never(), Err(IoError::InvalidAccessSize));
}

#[test]
fn writes_that_wait_are_bounded() {
    let (mut root, device) = slow();
    let mut tokens: Vec<_> = (0..64).map(|_| write(&mut root, 0x40, &[1])).collect();
    let result = root.mmio_write(config(3, 0, 0x40), &[1]);
    assert_eq!(result.now_or_never(), Err(IoError::NoResponse));
    device.answer_read(0x40, 0);
    poll_device(&mut root);
    device.answer_write(0x40);
    poll_device(&mut root);
    assert_eq!(poll_write(&mut tokens[0]), Poll::Ready(Ok(())));
    write(&mut root, 0x40, &[1]);
}
