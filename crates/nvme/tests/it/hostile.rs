//! Guests that mean harm.

use crate::host::*;
use nvme::MemoryStorage;
use nvme::NvmeConfig;
use pci_bus::ManagedDevice;
use proptest::prelude::*;
use vmcore::guest_memory::GuestMemory;

/// Where nothing that the guest names begins: the controller writes where it was told to only.
const CANARY: u64 = 0x70_0000;
const CANARY_LEN: usize = 0x10_0000;

#[derive(Clone, Debug)]
enum Act {
    Doorbell {
        index: u16,
        value: u32,
    },
    Register {
        dword: u8,
        value: u32,
    },
    Config {
        dword: u8,
        value: u32,
    },
    Entry {
        queue: u16,
        slot: u8,
        bytes: Vec<u8>,
    },
    Command {
        queue: u16,
        opcode: u8,
        prp1: u64,
        prp2: u64,
        dwords: [u32; 3],
    },
    List {
        at: u64,
        entry: u64,
    },
    Enable,
    Save,
}

/// Addresses in memory below the canary, at its end, and nowhere.
fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => (0x40_0000u64..0x48_0000).prop_map(|at| at & !0xfff),
        2 => 0x40_0000u64..0x48_0000,
        1 => (MEMORY as u64)..(MEMORY as u64 + 0x2000),
        1 => (u64::MAX - 0x3000)..=u64::MAX,
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..24u16, prop_oneof![0..20u32, any::<u32>()])
            .prop_map(|(index, value)| Act::Doorbell { index, value }),
        1 => (0..16u8, any::<u32>()).prop_map(|(dword, value)| Act::Register { dword, value }),
        1 => (1..64u8, any::<u32>()).prop_map(|(dword, value)| Act::Config { dword, value }),
        2 => (0..3u16, 0..16u8, proptest::collection::vec(any::<u8>(), 64))
            .prop_map(|(queue, slot, bytes)| Act::Entry { queue, slot, bytes }),
        6 => (0..3u16, prop_oneof![0..0x10u8, any::<u8>()], address(), address(), [
            prop_oneof![0..0x20u32, any::<u32>()],
            prop_oneof![0..0x20u32, any::<u32>()],
            prop_oneof![0..0x400u32, any::<u32>()],
        ])
            .prop_map(|(queue, opcode, prp1, prp2, dwords)| Act::Command {
                queue, opcode, prp1, prp2, dwords,
            }),
        2 => (address(), address()).prop_map(|(at, entry)| Act::List { at: at & !7, entry }),
        1 => Just(Act::Enable),
        1 => Just(Act::Save),
    ]
}

fn perform(host: &mut Host, queues: &mut [Queue], act: Act) {
    match act {
        Act::Doorbell { index, value } => {
            let address = BAR + 0x1000 + u64::from(index) * 4;
            let _ = host.device.mmio_write(address, &value.to_le_bytes());
        }
        // A guest that places its own queues over other memory harms itself; here the queues stay where they are.
        Act::Register { dword, value } if !(9..14).contains(&dword) => {
            let address = BAR + u64::from(dword) * 4;
            let _ = host.device.mmio_write(address, &value.to_le_bytes());
        }
        Act::Register { .. } => {}
        Act::Config { dword, value } => host.config_write(u16::from(dword) * 4, value),
        Act::Entry {
            queue,
            slot,
            mut bytes,
        } => {
            // The data pointer comes from `address` in the other act: a random one would be nowhere.
            bytes[24..40].fill(0xff);
            host.set_bytes(
                queues[usize::from(queue)].submission() + u64::from(slot) * 64,
                &bytes,
            );
        }
        Act::Command {
            queue,
            opcode,
            prp1,
            prp2,
            dwords,
        } => {
            let mut command = command(opcode, 1);
            command.prp1 = prp1.into();
            command.prp2 = prp2.into();
            for (to, from) in command.cdw10_15.iter_mut().zip(dwords) {
                *to = from.into();
            }
            let queue = &mut queues[usize::from(queue)];
            host.put(queue, command);
            let address = BAR + 0x1000 + u64::from(queue.id) * 8;
            let _ = host
                .device
                .mmio_write(address, &u32::from(queue.tail).to_le_bytes());
        }
        Act::List { at, entry } => {
            // Nowhere for the guest either.
            let _ = host.memory.write(at, &entry.to_le_bytes());
        }
        Act::Enable => {
            host.map();
            host.enable();
            for queue in queues.iter_mut().skip(1) {
                *queue = host.create_queue(queue.id, 16);
            }
            queues[0] = host.admin.clone();
        }
        Act::Save => {
            let state = ManagedDevice::save(&mut host.device).unwrap();
            ManagedDevice::restore(&mut host.device, state).unwrap();
        }
    }
}

proptest! {
    /// Whatever the guest writes where: every access returns, memory that it did not name stays, and a reset makes the controller work.
    #[test]
    fn fuzz_guest_accesses(acts in proptest::collection::vec(act(), 1..60)) {
        let config = NvmeConfig { queues: 2, workers: 2, ..NvmeConfig::new("disk0") };
        let mut host = Host::with(&config, Box::new(MemoryStorage::new(1 << 20)));
        host.set_bytes(CANARY, &vec![0xc5; CANARY_LEN]);
        let mut queues = [0, 1, 2].map(|id| Queue::new(id, 16));
        perform(&mut host, &mut queues, Act::Enable);
        for act in acts {
            perform(&mut host, &mut queues, act);
            let canary = host.bytes(CANARY, 64);
            prop_assert!(canary.iter().all(|byte| *byte == 0xc5));
        }
        prop_assert!(host.look("").len() > 100);
        ManagedDevice::reset(&mut host.device, reg_table::Reset::FunctionLevel);
        let canary = host.bytes(CANARY, CANARY_LEN);
        prop_assert!(canary.iter().all(|byte| *byte == 0xc5));
        host.map();
        host.enable();
        let mut queue = host.create_queue(1, 16);
        let flush = command(nvme::spec::IoOpcode::Flush as u8, 1);
        prop_assert_eq!(status(&host.run(&mut queue, flush)), 0);
    }

    /// A state that was altered is refused, or is one that a controller can have.
    #[test]
    fn fuzz_saved_states(at in any::<prop::sample::Index>(), bits in 1..=255u8) {
        let config = NvmeConfig { queues: 2, workers: 1, ..NvmeConfig::new("disk0") };
        let mut host = Host::with(&config, Box::new(MemoryStorage::new(1 << 20)));
        host.enable();
        host.create_queue(1, 16);
        let state = ManagedDevice::save(&mut host.device).unwrap();
        let mut bytes = mesh_protobuf::encode(state);
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        if let Ok(state) = mesh_protobuf::decode(&bytes) {
            let taken = ManagedDevice::check(&mut host.device, &state).is_ok();
            let restored = ManagedDevice::restore(&mut host.device, state).is_ok();
            prop_assert_eq!(taken, restored);
        }
        host.device.mmio_write(BAR + 0x1000, &1u32.to_le_bytes());
        ManagedDevice::reset(&mut host.device, reg_table::Reset::Cold);
        host.map();
        host.enable();
    }
}
