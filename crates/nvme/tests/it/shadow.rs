//! Doorbells in guest memory, and as events of the hypervisor.

use crate::host::*;
use nvme::NvmeConfig;
use nvme::spec::AdminOpcode;
use nvme::spec::IoOpcode;
use nvme::spec::Status;
use parking_lot::Mutex;
use pci_bus::ManagedDevice;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use vmcore::doorbell::DoorbellRegistration;
use vmcore::event::Event;

const DOORBELLS: u64 = 0x30_0000;
const EVENT_INDEXES: u64 = 0x30_1000;

type Registered = Arc<Mutex<BTreeMap<u64, Event>>>;

#[derive(Clone, Default)]
struct Hypervisor(Registered);

struct Guard(Registered, u64);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl DoorbellRegistration for Hypervisor {
    fn register(
        &self,
        address: u64,
        value: Option<u64>,
        length: u32,
        event: &Event,
    ) -> io::Result<Box<dyn Send + Sync>> {
        assert_eq!((value, length), (None, 4));
        let before = self.0.lock().insert(address, event.clone());
        assert!(before.is_none(), "{address:#x} twice");
        Ok(Box::new(Guard(self.0.clone(), address)))
    }
}

fn config(doorbells: u64, event_indexes: u64) -> nvme::spec::SubmissionEntry {
    let mut config = command(AdminOpcode::DoorbellBufferConfig as u8, 0);
    config.prp1 = doorbells.into();
    config.prp2 = event_indexes.into();
    config
}

fn read(host: &Host, at: u64) -> u32 {
    u32::from_le_bytes(host.bytes(at, 4).try_into().unwrap())
}

/// As the guest's driver does: the doorbell in memory, and the real one only if the controller wants to hear of it.
fn ring(
    host: &mut Host,
    queue: &Queue,
    side: u64,
    value: u16,
    hypervisor: Option<&Hypervisor>,
) -> bool {
    let offset = u64::from(queue.id) * 8 + side * 4;
    let old = read(host, DOORBELLS + offset) as u16;
    host.set_bytes(DOORBELLS + offset, &u32::from(value).to_le_bytes());
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    let event_index = read(host, EVENT_INDEXES + offset) as u16;
    let wanted = value.wrapping_sub(event_index).wrapping_sub(1) < value.wrapping_sub(old);
    if wanted {
        let address = BAR + 0x1000 + offset;
        match hypervisor.and_then(|h| h.0.lock().get(&address).cloned()) {
            Some(event) => event.signal(),
            None => host.write32(address, value.into()),
        }
    }
    wanted
}

fn exchange(host: &mut Host, hypervisor: Option<&Hypervisor>) {
    let mut queue = host.create_queue(1, 16);
    assert_eq!(status(&host.run_admin(config(DOORBELLS, EVENT_INDEXES))), 0);
    let mut completed = 0;
    for round in 0..400u64 {
        for _ in 0..round % 15 {
            host.put(&mut queue, io(IoOpcode::Read, round, 1, DATA, 0));
        }
        let tail = queue.tail;
        ring(host, &queue, 0, tail, hypervisor);
        for _ in 0..round % 15 {
            let mut patience = 0;
            while host.take(&mut queue).is_none() {
                patience += 1;
                assert!(patience < 50_000_000, "a completion lacks in round {round}");
                std::thread::yield_now();
            }
            completed += 1;
        }
        let head = queue.head;
        ring(host, &queue, 1, head, hypervisor);
    }
    assert_eq!(completed, (0..400).map(|round| round % 15).sum::<u64>());
}

#[test]
fn doorbells_in_memory() {
    let mut host = Host::new();
    host.enable();
    let wrong = host.run_admin(config(DOORBELLS + 8, EVENT_INDEXES));
    assert_eq!(status(&wrong), Status::INVALID_FIELD.code);
    let wrong = host.run_admin(config(DOORBELLS, MEMORY as u64));
    assert_eq!(status(&wrong), Status::DATA_TRANSFER_ERROR.code);
    exchange(&mut host, None);
    // Values that can't be are passed over, and told of.
    host.set_bytes(DOORBELLS + 8, &[0xff; 4]);
    host.write32(BAR + 0x1008, 0xffff);
    assert_eq!(status(&host.run_admin(command(0xff, 0))), 1);
    assert_ne!(host.look("statistics/invalid_doorbells"), "0");
}

#[test]
fn doorbells_as_events() {
    let hypervisor = Hypervisor::default();
    let mut host = Host::with(
        &NvmeConfig::new("disk0"),
        Box::new(nvme::MemoryStorage::new(1 << 20)),
    );
    let device = std::mem::replace(&mut host.device, Host::new().device);
    host.device = device.with_doorbell_events(Arc::new(hypervisor.clone()));
    host.map();
    host.enable();
    assert_eq!(
        hypervisor.0.lock().len(),
        0,
        "what is written would be lost"
    );
    exchange(&mut host, Some(&hypervisor));
    let addresses: Vec<_> = hypervisor.0.lock().keys().copied().collect();
    let expected: Vec<_> = (1..=8).map(|id| BAR + 0x1000 + id * 8).collect();
    assert_eq!(addresses, expected);
    host.config_write(0x10, 0xfd00_0000);
    assert_eq!(hypervisor.0.lock().keys().next(), Some(&0xfd00_1008));
    host.config_write(0x04, 0x4);
    assert_eq!(hypervisor.0.lock().len(), 0);
    host.config_write(0x04, 0x6);
    assert_eq!(hypervisor.0.lock().len(), 8);
    let state = ManagedDevice::save(&mut host.device).unwrap();
    ManagedDevice::reset(&mut host.device, reg_table::Reset::Hot);
    assert_eq!(hypervisor.0.lock().len(), 0);
    ManagedDevice::restore(&mut host.device, state).unwrap();
    assert_eq!(hypervisor.0.lock().len(), 8);
}
