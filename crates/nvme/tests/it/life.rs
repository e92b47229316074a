//! Enabling, shutting down, resetting, going away.

use crate::host::*;
use nvme::MemoryStorage;
use nvme::NvmeConfig;
use nvme::Storage;
use nvme::spec::AdminOpcode;
use nvme::spec::IoOpcode;
use parking_lot::Condvar;
use parking_lot::Mutex;
use pci_bus::ManagedDevice;
use reg_table::Reset;
use std::io;
use std::sync::Arc;

const CC: u64 = BAR + 0x14;

#[test]
fn lspci_finds_an_nvme_controller() {
    let mut host = Host::new();
    assert_eq!(host.config_read(0x08) >> 8, 0x01_08_02, "class code");
    assert_eq!(
        host.config_read(0x10),
        BAR as u32 | 0b100,
        "BAR 0 has 64 bits"
    );
    host.config_write(0x10, u32::MAX);
    assert_eq!(host.config_read(0x10), !0x3fff | 0b100, "16 KiB");
    let express = host.capability(0x10);
    assert_ne!(host.config_read(express + 4) & 1 << 28, 0, "FLR");
    let msix = host.capability(0x11);
    assert_eq!(host.config_read(msix + 4), 0x2000);
    assert_eq!(host.config_read(msix + 8), 0x3000);
}

#[test]
fn registers_take_dwords_and_quadwords() {
    let mut host = Host::new();
    for (offset, len, fine) in [
        (0, 4, true),
        (0, 8, true),
        (4, 8, false),
        (2, 4, false),
        (0, 2, false),
        (8, 1, false),
    ] {
        let mut data = [0xaa; 8];
        let result = host
            .device
            .mmio_read(BAR + offset, &mut data[..len])
            .unwrap();
        assert_eq!(result.now_or_never().is_ok(), fine, "{offset:#x} {len}");
        let result = host.device.mmio_write(BAR + offset, &data[..len]).unwrap();
        assert_eq!(result.now_or_never().is_ok(), fine, "{offset:#x} {len}");
    }
    assert_eq!(host.read32(BAR + 8), 0x0002_0000, "VS");
    assert!(host.device.mmio_read(BAR + 0x4000, &mut [0; 4]).is_none());
}

#[test]
fn what_cannot_be_enabled_is_fatal() {
    for (cc, aqa, asq) in [
        (CC_ENABLE | 1 << 4, 0x1f_001f, 0x1_0000),
        (CC_ENABLE | 5 << 7, 0x1f_001f, 0x1_0000),
        (CC_ENABLE | 1 << 11, 0x1f_001f, 0x1_0000),
        (CC_ENABLE, 0x1f_0000, 0x1_0000),
        (CC_ENABLE | 1 << 7, 0x1f_001f, 0x1_1000),
    ] {
        let mut host = Host::new();
        host.write32(BAR + 0x24, aqa);
        host.write64(BAR + 0x28, asq);
        host.write64(BAR + 0x30, 0x2_0000);
        host.write32(CC, cc);
        host.wait_csts(READY | FATAL, FATAL);
        host.enable();
    }
}

#[test]
fn queues_beyond_memory_are_fatal() {
    let mut host = Host::new();
    host.enable();
    let mut queue = host.create_queue(1, 16);
    let nowhere = Queue::new(2, 16);
    let mut create = command(AdminOpcode::CreateCompletionQueue as u8, 0);
    create.prp1 = (MEMORY as u64).into();
    create.cdw10_15[0] = (15 << 16 | 2).into();
    create.cdw10_15[1] = 1.into();
    assert_eq!(status(&host.run_admin(create)), 0);
    assert_eq!(host.create_submission(&nowhere), 0);
    let mut nowhere = nowhere;
    host.submit(&mut nowhere, command(IoOpcode::Flush as u8, 1));
    host.wait_csts(FATAL, FATAL);
    host.submit(&mut queue, command(IoOpcode::Flush as u8, 1));
    host.enable();
    let mut queue = host.create_queue(1, 16);
    assert_eq!(
        status(&host.run(&mut queue, command(IoOpcode::Flush as u8, 1))),
        0
    );
}

#[test]
fn shutdown_ends() {
    let mut host = Host::new();
    host.enable();
    let mut queue = host.create_queue(1, 16);
    host.set_bytes(DATA, &[7; 512]);
    host.run(&mut queue, io(IoOpcode::Write, 0, 1, DATA, 0));
    host.write32(CC, CC_ENABLE | 1 << 14);
    host.wait_csts(0b1100, 0b1000);
    host.enable();
    assert_eq!(host.csts(), READY);
    let mut queue = host.create_queue(1, 16);
    host.clear(DATA, 512);
    host.run(&mut queue, io(IoOpcode::Read, 0, 1, DATA, 0));
    assert_eq!(host.bytes(DATA, 512), [7; 512]);
}

#[test]
fn without_bus_mastering_nothing_happens_and_nothing_is_lost() {
    let mut host = Host::new();
    host.enable();
    let mut queue = host.create_queue(1, 16);
    host.config_write(0x04, 0x2);
    host.set_bytes(DATA, &[1; 512]);
    let cid = host.submit(&mut queue, io(IoOpcode::Read, 0, 1, DATA, 0));
    // Saving waits for the workers, so that they have looked.
    ManagedDevice::save(&mut host.device).unwrap();
    assert!(host.take(&mut queue).is_none());
    assert_eq!(host.bytes(DATA, 512), [1; 512]);
    host.config_write(0x04, 0x6);
    assert_eq!(host.wait(&mut queue).cid.get(), cid);
    assert_eq!(host.bytes(DATA, 512), [0; 512]);
}

/// Keeps `count` reads under way in each of two queues.
fn load(host: &mut Host) -> [Queue; 2] {
    let mut queues = [host.create_queue(1, 64), host.create_queue(2, 64)];
    for queue in &mut queues {
        for lba in 0..63 {
            host.put(queue, io(IoOpcode::Read, lba, 8, DATA, 0));
        }
        host.ring(queue);
    }
    queues
}

#[test]
fn resets_under_load() {
    let mut host = Host::new();
    for round in 0..60 {
        host.enable();
        load(&mut host);
        match round % 3 {
            0 => {
                let control = host.capability(0x10) + 8;
                let value = host.config_read(control);
                host.config_write(control, value | 1 << 15);
            }
            1 => ManagedDevice::reset(&mut host.device, Reset::Hot),
            _ => host.write32(CC, 0),
        }
        if round % 3 < 2 {
            // Nothing is written any more, though nothing was waited for.
            let after = host.bytes(0, MEMORY);
            std::thread::yield_now();
            assert!(host.bytes(0, MEMORY) == after, "round {round}");
            assert_eq!(host.config_read(0x04) & 0x7, 0);
            host.map();
            assert_eq!(
                (host.csts(), host.read32(CC), host.read32(BAR + 0x28)),
                (0, 0, 0)
            );
        }
    }
}

#[test]
fn removal_under_load() {
    for _ in 0..20 {
        let mut host = Host::new();
        host.enable();
        load(&mut host);
        let memory = host.memory.clone();
        drop(host);
        assert_eq!(Arc::strong_count(&memory), 1, "no thread is left");
    }
}

/// Storage that waits until it may go on.
struct Slow {
    memory: MemoryStorage,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Storage for Slow {
    fn len(&self) -> u64 {
        self.memory.len()
    }
    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let (open, changed) = &*self.open;
        changed.wait_while(&mut open.lock(), |open| !*open);
        self.memory.read_at(offset, data)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.memory.write_at(offset, data)
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        self.memory.discard(offset, len)
    }
    fn write_zeroes(&self, offset: u64, len: u64, deallocate: bool) -> io::Result<()> {
        self.memory.write_zeroes(offset, len, deallocate)
    }
}

#[test]
fn slow_storage_holds_up_its_own_queue_only() {
    let open: Arc<(Mutex<bool>, Condvar)> = Arc::default();
    let storage = Slow {
        memory: MemoryStorage::new(1 << 20),
        open: open.clone(),
    };
    let mut host = Host::with(&NvmeConfig::new("disk0"), Box::new(storage));
    host.enable();
    let (mut slow, mut fast) = (host.create_queue(1, 16), host.create_queue(2, 16));
    let cid = host.submit(&mut slow, io(IoOpcode::Read, 0, 1, DATA, 0));
    // The guest's accesses, other queues, admin commands and looking go on.
    assert_eq!(
        status(&host.run(&mut fast, io(IoOpcode::Write, 0, 1, DATA, 0))),
        0
    );
    assert_eq!(status(&host.run_admin(command(0xff, 0))), 1);
    assert_ne!(host.look("statistics/commands"), "0");
    assert!(host.take(&mut slow).is_none());
    *open.0.lock() = true;
    open.1.notify_all();
    assert_eq!(host.wait(&mut slow).cid.get(), cid);
}
