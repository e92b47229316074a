//! CF8 and CFC, as a guest uses them.

use super::*;
use crate::standard_x86_io_ports::ADDR_START;
use crate::standard_x86_io_ports::DATA_START;
use chipset_device::io::deferred::DeferredRead;
use chipset_device::io::deferred::DeferredToken;
use chipset_device::io::deferred::DeferredWrite;
use chipset_device::io::deferred::defer_read;
use chipset_device::io::deferred::defer_write;
use chipset_device::pio::ExternallyManagedPortIoIntercepts;
use proptest::prelude::*;
use std::sync::Mutex;
use std::task::Poll;
use std::task::Waker;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveRestore;

/// What the device saw, and how it answers next.
#[derive(Default)]
struct Device {
    register: u32,
    log: Vec<String>,
    fail: Option<IoError>,
    gone: bool,
    defer: bool,
    reads: Vec<DeferredRead>,
    writes: Vec<DeferredWrite>,
}

impl Device {
    fn answer(&mut self, line: String) -> Option<IoResult> {
        if self.gone {
            return None;
        }
        self.log.push(line);
        Some(self.fail.map_or(IoResult::Ok, IoResult::Err))
    }
}

/// A device that only knows dwords.
#[derive(Clone, Default)]
struct Dwords(Arc<Mutex<Device>>);

impl GenericPciBusDevice for Dwords {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        let mut device = self.0.lock().unwrap();
        *value = device.register;
        let answer = device.answer(format!("read {offset:#04x}"));
        if device.defer {
            let (read, token) = defer_read();
            device.reads.push(read);
            return Some(IoResult::Defer(token));
        }
        answer
    }
    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        let mut device = self.0.lock().unwrap();
        let answer = device.answer(format!("write {offset:#04x} {value:#010x}"));
        if device.defer {
            let (write, token) = defer_write();
            device.writes.push(write);
            return Some(IoResult::Defer(token));
        }
        answer
    }
}

/// A device with byte lanes, all of whose bits are RW1C.
#[derive(Clone)]
struct Rw1c(Arc<Mutex<u32>>);

impl GenericPciBusDevice for Rw1c {
    fn pci_cfg_read(&mut self, _: u16, value: &mut u32) -> Option<IoResult> {
        *value = *self.0.lock().unwrap();
        Some(IoResult::Ok)
    }
    fn pci_cfg_write(&mut self, _: u16, value: u32) -> Option<IoResult> {
        *self.0.lock().unwrap() &= !value;
        Some(IoResult::Ok)
    }
    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        self.pci_cfg_write(offset, value & enables.mask())
    }
}

fn empty_bus() -> GenericPciBus {
    GenericPciBus::new(
        &mut ExternallyManagedPortIoIntercepts,
        ADDR_START,
        DATA_START,
    )
}

/// A bus with one device at 00:1f.0 that holds `register` at every offset.
fn bus_with(register: u32) -> (GenericPciBus, Dwords) {
    let mut bus = empty_bus();
    let device = Dwords::default();
    device.0.lock().unwrap().register = register;
    bus.add_pci_device(0, 0x1f, 0, "lpc", device.clone())
        .unwrap();
    bus.io_write(ADDR_START, &0x8000_f840_u32.to_le_bytes())
        .unwrap();
    (bus, device)
}

fn log(device: &Dwords) -> Vec<String> {
    std::mem::take(&mut device.0.lock().unwrap().log)
}

fn read<const N: usize>(bus: &mut GenericPciBus, port: u16) -> [u8; N] {
    let mut data = [0xcc; N];
    bus.io_read(port, &mut data).unwrap();
    data
}

fn token(result: IoResult) -> DeferredToken {
    match result {
        IoResult::Defer(token) => token,
        other => panic!("{other:?}"),
    }
}

fn poll_read<const N: usize>(token: &mut DeferredToken) -> Poll<Result<[u8; N], IoError>> {
    let mut data = [0; N];
    token
        .poll_read(&mut Context::from_waker(Waker::noop()), &mut data)
        .map_ok(|()| data)
}

fn poll_write(token: &mut DeferredToken) -> Poll<Result<(), IoError>> {
    token.poll_write(&mut Context::from_waker(Waker::noop()))
}

fn poll_bus(bus: &mut GenericPciBus) {
    bus.poll_device(&mut Context::from_waker(Waker::noop()));
}

#[test]
fn regions_are_created_and_mapped() {
    #[derive(Clone, Default)]
    struct Regions(Arc<Mutex<Vec<String>>>);
    struct Region(Regions, String);
    impl RegisterPortIoIntercept for Regions {
        fn new_io_region(&mut self, name: &str, len: u16) -> Box<dyn ControlPortIoIntercept> {
            Box::new(Region(self.clone(), format!("{name} {len}")))
        }
    }
    impl ControlPortIoIntercept for Region {
        fn region_name(&self) -> &str {
            &self.1
        }
        fn map(&mut self, addr: u16) {
            let line = format!("{} at {addr:#x}", self.1);
            self.0.0.lock().unwrap().push(line);
        }
        fn unmap(&mut self) {}
        fn addr(&self) -> Option<u16> {
            None
        }
        fn len(&self) -> u16 {
            4
        }
        fn offset_of(&self, _: u16) -> Option<u16> {
            None
        }
    }
    let mut regions = Regions::default();
    GenericPciBus::new(&mut regions, ADDR_START, DATA_START);
    assert_eq!(
        *regions.0.lock().unwrap(),
        ["addr 4 at 0xcf8", "data 4 at 0xcfc"]
    );
}

#[test]
fn occupied_slot_names_the_device_and_gives_the_other_back() {
    let (mut bus, _) = bus_with(0);
    let error = bus
        .add_pci_device(0, 0x1f, 0, "intruder", Rw1c(Arc::new(Mutex::new(5))))
        .unwrap_err();
    assert_eq!(&*error.existing_device_name, "lpc");
    assert_eq!(*error.device.0.lock().unwrap(), 5);
    bus.add_pci_device(0, 0x1f, 1, "neighbour", error.device)
        .map_err(|_| ())
        .unwrap();
}

#[test]
fn address_reads_back_without_hardwired_bits() {
    let mut bus = empty_bus();
    bus.io_write(0xcf8, &[0xff; 4]).unwrap();
    assert_eq!(read(&mut bus, 0xcf8), 0x80ff_fffc_u32.to_le_bytes());
    bus.io_write(0xcf8, &0x8012_3454_u32.to_le_bytes()).unwrap();
    assert_eq!(read(&mut bus, 0xcf8), [0x54, 0x34]);
    assert_eq!(read(&mut bus, 0xcfa), [0x12, 0x80]);
    assert_eq!(read(&mut bus, 0xcf9), [0x34]);
}

#[test]
fn short_address_writes_replace_the_low_bytes_at_any_port() {
    let mut bus = empty_bus();
    bus.io_write(0xcf8, &0x8012_3454_u32.to_le_bytes()).unwrap();
    bus.io_write(0xcfb, &[0x60]).unwrap();
    assert_eq!(read(&mut bus, 0xcf8), 0x8012_3460_u32.to_le_bytes());
    bus.io_write(0xcf9, &[0x70, 0xab]).unwrap();
    assert_eq!(read(&mut bus, 0xcf8), 0x8012_ab70_u32.to_le_bytes());
}

#[test]
fn data_reads_of_all_widths() {
    let (mut bus, device) = bus_with(0x4433_2211);
    assert_eq!(read(&mut bus, 0xcfc), [0x11, 0x22, 0x33, 0x44]);
    assert_eq!(read(&mut bus, 0xcfc), [0x11, 0x22]);
    assert_eq!(read(&mut bus, 0xcfe), [0x33, 0x44]);
    for n in 0..4_u8 {
        assert_eq!(read(&mut bus, 0xcfc + u16::from(n)), [0x11 * (n + 1)]);
    }
    assert_eq!(log(&device), ["read 0x40"; 7]);
}

#[test]
fn data_writes_of_all_widths() {
    let (mut bus, device) = bus_with(0x4433_2211);
    bus.io_write(0xcfc, &[1, 2, 3, 4]).unwrap();
    assert_eq!(log(&device), ["write 0x40 0x04030201"]);
    bus.io_write(0xcfe, &[3, 4]).unwrap();
    assert_eq!(log(&device), ["read 0x40", "write 0x40 0x04032211"]);
    bus.io_write(0xcfd, &[2]).unwrap();
    assert_eq!(log(&device), ["read 0x40", "write 0x40 0x44330211"]);
}

#[test]
fn unaligned_data_write_reaches_the_bytes_of_the_window_only() {
    let (mut bus, device) = bus_with(0x4433_2211);
    bus.io_write(0xcff, &[9, 8]).unwrap();
    assert_eq!(log(&device), ["read 0x40", "write 0x40 0x09332211"]);
    bus.io_write(0xcfd, &[7, 6, 5, 4]).unwrap();
    assert_eq!(log(&device), ["read 0x40", "write 0x40 0x05060711"]);
}

#[test]
fn short_write_clears_no_neighbouring_rw1c_bits() {
    let mut bus = empty_bus();
    let bits = Arc::new(Mutex::new(!0));
    bus.add_pci_device(0, 0, 0, "rw1c", Rw1c(bits.clone()))
        .unwrap();
    bus.io_write(0xcf8, &0x8000_0000_u32.to_le_bytes()).unwrap();
    bus.io_write(0xcfd, &[0x0f]).unwrap();
    assert_eq!(*bits.lock().unwrap(), 0xffff_f0ff);
    bus.io_write(0xcfe, &[0, 0x80]).unwrap();
    assert_eq!(*bits.lock().unwrap(), 0x7fff_f0ff);
}

#[test]
fn unsuitable_accesses() {
    let (mut bus, device) = bus_with(0);
    for len in [0, 3, 5, 8] {
        let mut data = vec![0; len];
        let result = bus.io_read(0xcfc, &mut data).now_or_never();
        assert_eq!(result, Err(IoError::InvalidAccessSize), "{len}");
        let result = bus.io_write(0xcf8, &data).now_or_never();
        assert_eq!(result, Err(IoError::InvalidAccessSize), "{len}");
    }
    for (port, len) in [(0xcfd, 2), (0xcff, 2), (0xcfe, 4), (0xcf9, 2)] {
        let result = bus.io_read(port, &mut vec![0; len]).now_or_never();
        assert_eq!(result, Err(IoError::UnalignedAccess), "{port:#x} {len}");
    }
    for port in [0xcf7, 0xd00, 0, 0xffff] {
        let result = bus.io_read(port, &mut [0]).now_or_never();
        assert_eq!(result, Err(IoError::InvalidRegister), "{port:#x}");
        let result = bus.io_write(port, &[0]).now_or_never();
        assert_eq!(result, Err(IoError::InvalidRegister), "{port:#x}");
    }
    assert!(log(&device).is_empty());
}

#[test]
fn nobody_there_reads_all_ones_and_drops_writes() {
    let (mut bus, device) = bus_with(0x1234_5678);
    // Disabled, another function, another device, another bus.
    for address in [0x0000_f840_u32, 0x8000_f940, 0x8000_f040, 0x8001_f840] {
        bus.io_write(0xcf8, &address.to_le_bytes()).unwrap();
        assert_eq!(read(&mut bus, 0xcfc), [0xff; 4]);
        assert_eq!(read(&mut bus, 0xcff), [0xff]);
        bus.io_write(0xcfc, &[0; 4]).unwrap();
        bus.io_write(0xcfc, &[0]).unwrap();
    }
    assert!(log(&device).is_empty());
}

#[test]
fn device_that_left_reads_all_ones_and_drops_writes() {
    let (mut bus, device) = bus_with(0x1234_5678);
    device.0.lock().unwrap().gone = true;
    assert_eq!(read(&mut bus, 0xcfc), [0xff; 4]);
    bus.io_write(0xcfc, &[0; 4]).unwrap();
    bus.io_write(0xcfc, &[0]).unwrap();
}

#[test]
fn failing_read_gives_zeros_and_failing_write_its_error() {
    let (mut bus, device) = bus_with(0x1234_5678);
    device.0.lock().unwrap().fail = Some(IoError::InvalidRegister);
    assert_eq!(read(&mut bus, 0xcfc), [0; 4]);
    assert_eq!(read(&mut bus, 0xcfe), [0; 2]);
    let result = bus.io_write(0xcfc, &[0; 4]).now_or_never();
    assert_eq!(result, Err(IoError::InvalidRegister));
}

#[test]
fn deferred_reads_of_all_widths() {
    let (mut bus, device) = bus_with(0);
    device.0.lock().unwrap().defer = true;
    let mut dword = token(bus.io_read(0xcfc, &mut [0; 4]));
    let mut word = token(bus.io_read(0xcfe, &mut [0; 2]));
    let mut byte = token(bus.io_read(0xcfd, &mut [0; 1]));
    assert_eq!(poll_read::<1>(&mut byte), Poll::Pending);
    for read in device.0.lock().unwrap().reads.drain(..) {
        read.complete(&[1, 2, 3, 4]);
    }
    assert_eq!(poll_read(&mut dword), Poll::Ready(Ok([1, 2, 3, 4])));
    assert_eq!(poll_read(&mut word), Poll::Ready(Ok([3, 4])));
    assert_eq!(poll_read(&mut byte), Poll::Ready(Ok([2])));
}

#[test]
fn deferred_read_that_fails_gives_zeros() {
    let (mut bus, device) = bus_with(0);
    device.0.lock().unwrap().defer = true;
    let mut word = token(bus.io_read(0xcfc, &mut [0; 2]));
    device.0.lock().unwrap().reads.clear();
    assert_eq!(poll_read(&mut word), Poll::Ready(Ok([0, 0])));
}

#[test]
fn deferred_dword_write_is_the_device_s_own() {
    let (mut bus, device) = bus_with(0);
    device.0.lock().unwrap().defer = true;
    let mut caller = token(bus.io_write(0xcfc, &[1, 2, 3, 4]));
    assert_eq!(poll_write(&mut caller), Poll::Pending);
    device.0.lock().unwrap().writes.remove(0).complete();
    assert_eq!(poll_write(&mut caller), Poll::Ready(Ok(())));
}

#[test]
fn deferred_short_write_end_to_end() {
    let (mut bus, device) = bus_with(0);
    device.0.lock().unwrap().defer = true;
    let mut caller = token(bus.io_write(0xcfd, &[0xaa]));
    // The guest moves on to another register; the write must not follow.
    bus.io_write(0xcf8, &0x8000_f880_u32.to_le_bytes()).unwrap();
    poll_bus(&mut bus);
    assert_eq!(log(&device), ["read 0x40"]);
    assert_eq!(poll_write(&mut caller), Poll::Pending);

    let read = device.0.lock().unwrap().reads.remove(0);
    read.complete(&0x4433_2211_u32.to_ne_bytes());
    assert_eq!(poll_write(&mut caller), Poll::Pending);
    poll_bus(&mut bus);
    assert_eq!(log(&device), ["write 0x40 0x4433aa11"]);
    assert_eq!(poll_write(&mut caller), Poll::Pending);

    let write = device.0.lock().unwrap().writes.remove(0);
    write.complete();
    poll_bus(&mut bus);
    assert_eq!(poll_write(&mut caller), Poll::Ready(Ok(())));
}

#[test]
fn deferred_short_write_to_a_device_that_leaves_is_dropped() {
    let (mut bus, device) = bus_with(0);
    device.0.lock().unwrap().defer = true;
    let mut caller = token(bus.io_write(0xcfd, &[0xaa]));
    {
        let mut device = device.0.lock().unwrap();
        device.defer = false;
        device.gone = true;
        device.reads.remove(0).complete(&[0; 4]);
    }
    poll_bus(&mut bus);
    assert_eq!(poll_write(&mut caller), Poll::Ready(Ok(())));
}

#[test]
fn deferred_short_writes_are_bounded() {
    let (mut bus, device) = bus_with(0);
    device.0.lock().unwrap().defer = true;
    let tokens: Vec<_> = (0..64).map(|_| token(bus.io_write(0xcfc, &[1]))).collect();
    let refused = bus.io_write(0xcfc, &[1]).now_or_never();
    assert_eq!(refused, Err(IoError::NoResponse));
    drop(tokens);
}

#[test]
fn reset_clears_the_address_and_ends_deferred_writes() {
    let (mut bus, device) = bus_with(0);
    device.0.lock().unwrap().defer = true;
    let mut caller = token(bus.io_write(0xcfc, &[1]));
    let mut reset = Box::pin(bus.reset());
    let done = reset.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(done, Poll::Ready(()));
    drop(reset);
    assert_eq!(read(&mut bus, 0xcf8), [0; 4]);
    assert_eq!(
        poll_write(&mut caller),
        Poll::Ready(Err(IoError::NoResponse))
    );
}

#[test]
fn saved_state_is_the_address_register() {
    let (mut bus, _) = bus_with(0);
    let state = SaveRestore::save(&mut bus).unwrap();
    assert_eq!(state.pio_addr_reg, 0x8000_f840);
    let mut other = empty_bus();
    SaveRestore::restore(&mut other, state).unwrap();
    assert_eq!(read(&mut other, 0xcf8), 0x8000_f840_u32.to_le_bytes());
}

#[test]
fn refused_state_changes_nothing() {
    let (mut bus, device) = bus_with(0);
    device.0.lock().unwrap().defer = true;
    let mut caller = token(bus.io_write(0xcfc, &[1]));
    for bits in [0x8000_0041_u32, 0x8000_0042, 0x0100_0000, 0x4000_0000] {
        let mut state = SaveRestore::save(&mut bus).unwrap();
        state.pio_addr_reg = bits;
        let error = SaveRestore::restore(&mut bus, state).unwrap_err();
        assert!(
            matches!(&error, RestoreError::InvalidSavedState(error)
                if error.to_string().contains(&format!("{bits:#010x}"))),
            "{error:?}"
        );
    }
    assert_eq!(read(&mut bus, 0xcf8), 0x8000_f840_u32.to_le_bytes());
    assert_eq!(poll_write(&mut caller), Poll::Pending);
}

#[test]
fn saved_state_bytes_are_stable() {
    let (mut bus, _) = bus_with(0);
    let blob = ProtobufSaveRestore::save(&mut bus).unwrap();
    // google.protobuf.Any: 1 = type URL, 2 = the message with field 1 = 0x8000f840 as a varint.
    let mut expected = vec![0x0a, 38];
    expected.extend(b"type.googleapis.com/pci.bus.SavedState");
    expected.extend([0x12, 6, 0x08, 0xc0, 0xf0, 0x83, 0x80, 0x08]);
    assert_eq!(mesh_protobuf::encode(blob), expected);
}

#[test]
fn inspection() {
    let (mut bus, device) = bus_with(0);
    device.0.lock().unwrap().defer = true;
    let _caller = bus.io_write(0xcfc, &[1]);
    assert_eq!(
        inspect::inspect("", &mut bus).results().to_string(),
        concat!(
            r#"{deferred_actions: {0: {offset: 0x40, slot: "00:1f.0"}}, "#,
            r#"pci_devices: {00:1f.0: "lpc"}, "#,
            r#"pio_addr: {len: 0x0, name: "(noop)"}, pio_data: {len: 0x0, name: "(noop)"}, "#,
            r#"state: {enabled: true, register: 0x40, slot: "00:1f.0"}}"#
        )
    );
}

/// 256 bytes of plain registers, with byte lanes.
struct Memory([u8; 256]);

impl GenericPciBusDevice for Memory {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        let dword = self.0[offset.into()..][..4].try_into().unwrap();
        *value = u32::from_le_bytes(dword);
        Some(IoResult::Ok)
    }
    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        self.pci_cfg_write_bytes(offset, value, ByteEnables::ALL)
    }
    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        for (n, byte) in value.to_le_bytes().into_iter().enumerate() {
            if enables.bits() & (1 << n) != 0 {
                self.0[usize::from(offset) + n] = byte;
            }
        }
        Some(IoResult::Ok)
    }
}

proptest! {
    /// Whatever a guest does at whatever port returns, and what reaches a function is what an array of bytes would hold.
    #[test]
    fn any_access_behaves_as_bytes(
        accesses in proptest::collection::vec(
            (0xcf6..0xd02_u16, 0..6_usize, any::<bool>(), any::<u32>()),
            1..200,
        )
    ) {
        let mut bus = empty_bus();
        bus.add_pci_device(0, 0, 0, "memory", Memory([0; 256])).unwrap();
        let mut model = [0_u8; 256];
        let mut address = 0_u32;
        for (port, len, is_write, bits) in accesses {
            // Mostly the one function that is there.
            let bits = if bits % 4 == 0 { bits } else { bits & 0xff | 0x8000_0000 };
            let mut data = [0; 8];
            data[..4].copy_from_slice(&bits.to_le_bytes());
            let data = &mut data[..len];
            let result = if is_write {
                bus.io_write(port, data)
            } else {
                bus.io_read(port, data)
            };
            let valid = matches!(len, 1 | 2 | 4) && (0xcf8..0xd00).contains(&port);
            let aligned = valid && usize::from(port) % len == 0;
            prop_assert_eq!(result.now_or_never().is_ok(), valid && (is_write || aligned));

            let lane = usize::from(port % 4);
            let there = address & 0x80ff_ff00 == 0x8000_0000;
            let window = (address & 0xfc) as usize;
            match (valid, is_write, port < 0xcfc) {
                (true, true, true) => {
                    let mut bytes = address.to_le_bytes();
                    bytes[..len].copy_from_slice(data);
                    address = u32::from_le_bytes(bytes) & 0x80ff_fffc;
                }
                (true, true, false) if there => {
                    for (to, from) in model[window..][..4][lane..].iter_mut().zip(data) {
                        *to = *from;
                    }
                }
                (true, false, true) if aligned => {
                    prop_assert_eq!(&*data, &address.to_le_bytes()[lane..][..len]);
                }
                (true, false, false) if aligned => {
                    let dword = if there { &model[window..][..4] } else { &[0xff; 4] };
                    prop_assert_eq!(&*data, &dword[lane..][..len]);
                }
                _ => {}
            }
        }
    }
}
