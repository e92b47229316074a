//! Saving and restoring in the middle of things: every command is completed once.

use crate::host::*;
use nvme::MemoryStorage;
use nvme::NvmeConfig;
use nvme::spec::AdminOpcode;
use nvme::spec::IoOpcode;
use pci_bus::ManagedDevice;
use std::collections::BTreeMap;

/// Saves, restores on another host, and saves again.
fn migrate(host: &mut Host) {
    let state = ManagedDevice::save(&mut host.device).unwrap();
    host.move_to_another(state.clone());
    let again = ManagedDevice::save(&mut host.device).unwrap();
    assert_eq!(again, state, "what was restored is saved again");
}

/// A sequence that looks random, the same each time.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn every_command_is_completed_once() {
    let mut host = Host::new();
    host.enable();
    let mut queues = Vec::new();
    for (id, size) in [(1, 64), (2, 8)] {
        let mut queue = host.create_queue(id, size);
        queue.cid = 0;
        queues.push(queue);
    }
    let mut sequence = Sequence(1);
    let mut outstanding: BTreeMap<(u16, u16), u32> = BTreeMap::new();
    let mut completed = 0u32;
    for round in 0..300 {
        for queue in &mut queues {
            let free = u64::from(queue.size)
                - 1
                - outstanding.keys().filter(|(id, _)| *id == queue.id).count() as u64;
            for _ in 0..sequence.below(free + 1) {
                let cid = host.put(queue, io(IoOpcode::Read, sequence.below(1000), 1, DATA, 0));
                let before = outstanding.insert((queue.id, cid), round);
                assert_eq!(before, None);
            }
            host.ring(queue);
        }
        migrate(&mut host);
        for queue in &mut queues {
            for _ in 0..sequence.below(u64::from(queue.size)) {
                let Some(completion) = host.take(queue) else {
                    break;
                };
                assert_eq!(status(&completion), 0);
                let of = (completion.sq_id.get(), completion.cid.get());
                assert!(
                    outstanding.remove(&of).is_some(),
                    "{of:?} was completed twice"
                );
                completed += 1;
            }
            host.acknowledge(queue);
        }
    }
    for queue in &mut queues {
        while outstanding.keys().any(|(id, _)| *id == queue.id) {
            let completion = host.wait(queue);
            assert!(
                outstanding
                    .remove(&(queue.id, completion.cid.get()))
                    .is_some()
            );
            completed += 1;
        }
        assert!(host.take(queue).is_none(), "a completion too many");
    }
    assert!(completed > 1000, "{completed}");
}

#[test]
fn a_full_completion_queue_holds_commands_up_and_loses_none() {
    let mut host = Host::new();
    host.enable();
    // Two ends of a pair: three completions fit, and 63 commands.
    let (mut submission, mut completion) = (Queue::new(3, 64), Queue::new(3, 4));
    host.clear(completion.completion(), 0x1000);
    assert_eq!(host.create_completion(&completion, 3), 0);
    assert_eq!(host.create_submission(&submission), 0);
    let ids: Vec<_> = (0..63)
        .map(|lba| host.put(&mut submission, io(IoOpcode::Read, lba, 1, DATA, 0)))
        .collect();
    host.ring(&submission);
    let mut completed = Vec::new();
    while completed.len() < ids.len() {
        migrate(&mut host);
        let before = completed.len();
        while let Some(entry) = host.take(&mut completion) {
            completed.push(entry.cid.get());
        }
        let taken = completed.len() - before;
        assert_eq!(taken, 3, "as many as fit, after {before}");
        host.acknowledge(&completion);
    }
    assert_eq!(completed, ids);
}

#[test]
fn outstanding_requests_and_features_go_along() {
    let mut host = Host::new();
    host.enable();
    let mut admin = host.admin.clone();
    let request = host.submit(&mut admin, command(AdminOpcode::AsyncEventRequest as u8, 0));
    let mut set = command(AdminOpcode::SetFeatures as u8, 0);
    set.cdw10_15[0] = 0x0b.into();
    set.cdw10_15[1] = 0x102.into();
    host.run(&mut admin, set);
    host.run(&mut admin, command(0xff, 0));
    migrate(&mut host);
    let mut get = command(AdminOpcode::GetFeatures as u8, 0);
    get.cdw10_15[0] = 0x0b.into();
    assert_eq!(host.run(&mut admin, get).result.get(), 0x102);
    host.write32(BAR + 0x1000 + 5 * 8, 1);
    assert_eq!(host.wait(&mut admin).cid.get(), request);
    assert_eq!(host.look("errors/count"), "1");
    let interrupts = host.interrupts(0);
    assert!(interrupts >= 1, "MSI-X is as it was");
}

#[test]
fn a_controller_that_is_not_enabled_goes_along() {
    let mut host = Host::new();
    host.write32(BAR + 0x24, 0x1f_001f);
    migrate(&mut host);
    assert_eq!(host.read32(BAR + 0x24), 0x1f_001f);
    host.enable();
    migrate(&mut host);
    assert_eq!(host.csts(), READY);
}

#[test]
fn a_state_of_another_controller_is_refused() {
    let mut host = Host::new();
    host.enable();
    let mut queue = host.create_queue(7, 16);
    let state = ManagedDevice::save(&mut host.device).unwrap();
    for (config, len) in [
        (
            NvmeConfig {
                queues: 6,
                ..NvmeConfig::new("disk0")
            },
            64 << 20,
        ),
        (
            NvmeConfig {
                block_size: 4096,
                ..NvmeConfig::new("disk0")
            },
            64 << 20,
        ),
        (NvmeConfig::new("disk0"), 32 << 20),
    ] {
        let mut other = Host::with(&config, Box::new(MemoryStorage::new(len)));
        other.enable();
        let mut kept = other.create_queue(1, 16);
        assert!(ManagedDevice::check(&mut other.device, &state).is_err());
        assert!(ManagedDevice::restore(&mut other.device, state.clone()).is_err());
        let flush = command(IoOpcode::Flush as u8, 1);
        assert_eq!(status(&other.run(&mut kept, flush)), 0, "it is as it was");
    }
    assert_eq!(
        status(&host.run(&mut queue, command(IoOpcode::Flush as u8, 1))),
        0
    );
}
