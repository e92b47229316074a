//! Recording what processors do through the monitor's dispatch, and replaying it: without KVM.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails should stop at once"
)]

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use nvme::NvmeFactory;
use nvme::VmMemory;
use parking_lot::Mutex;
use pcie_topology::EndpointSpec;
use pcie_topology::NoDevices;
use pcie_topology::Platform;
use pcie_topology::Topology;
use recording::Event;
use recording::MessageLog;
use recording::Operation;
use recording::Record;
use recording::Recorder;
use recording::Recording;
use recording::replay_with;
use std::io;
use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use vm_memory::GuestAddress;
use vm_memory::GuestMemoryMmap;
use vmm::Bus;

const DESCRIPTION: &str = r#"
    [[root_complex]]
    name = "rc0"
    buses = { start = 0, end = 15 }
    ecam = 0xe000_0000
    mmio32 = { base = 0xc000_0000, size = "256M" }
    mmio64 = { base = 0x40_0000_0000, size = "1G" }
    io = { base = 0x1000, size = "4K" }
    endpoint = [{ name = "legacy", device = 4, bar = [{ kind = "io", size = 64 }] }]

    [[root_complex.port]]
    name = "slot"
    device = 1
    slot = { number = 1, attention_button = true, power_controller = true }

    [[root_complex.port]]
    name = "disk-port"
    device = 2
    endpoint = { name = "disk", kind = "nvme", options = { size = "1M" } }

    [[root_complex]]
    name = "rc1"
    segment = 1
    buses = { start = 0, end = 15 }
    ecam = 0xe800_0000

    [[root_complex.port]]
    name = "other"
"#;

const SLOT: u64 = 0xe000_8000;
const DISK_PORT: u64 = 0xe001_0000;
const LEGACY: u64 = 0xe002_0000;
const OTHER: u64 = 0xe800_0000;
const DISK: u64 = 0xe010_0000;
const DISK_BAR: u64 = 0x40_0000_0000;
const COMMAND: u64 = 0x04;
const BAR0: u64 = 0x10;
const BUSES: u64 = 0x18;
const MEMORY_BASE: u64 = 0x20;
const PREFETCHABLE_BASE: u64 = 0x24;
const PREFETCHABLE_UPPER: u64 = 0x28;

/// A file that stays in memory.
#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn disks() -> NvmeFactory {
    let memory: GuestMemoryMmap =
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
    NvmeFactory::new(Arc::new(VmMemory(memory)))
}

/// A monitor without processors, whose hierarchy is recorded.
struct Monitor {
    bus: Bus,
    file: File,
}

impl Monitor {
    fn new() -> Self {
        let topology = Topology::from_toml(DESCRIPTION).unwrap();
        let messages = MessageLog::new(None);
        let mut disks = disks();
        let hierarchy = topology.compose_on(Platform {
            msi: Some(messages.clone()),
            devices: Some(&mut disks),
            ..Platform::new(&mut ExternallyManagedMmioIntercepts)
        });
        let bus = Bus::new(&topology, hierarchy.unwrap());
        let file = File::default();
        let recorder = Recorder::start(DESCRIPTION, file.clone()).unwrap();
        let recorder = recorder.with_messages(messages);
        bus.hierarchy().lock().record(recorder);
        Self { bus, file }
    }

    fn read(&self, address: u64) -> u32 {
        let mut data = [0; 4];
        self.bus.memory_read(address, &mut data);
        u32::from_le_bytes(data)
    }

    fn write(&self, address: u64, value: u32) {
        self.bus.memory_write(address, &value.to_le_bytes());
    }

    fn operate(&self, operation: &Operation) {
        let mut hierarchy = self.bus.hierarchy().lock();
        hierarchy.perform(operation, &mut NoDevices).unwrap();
    }

    /// Numbers the buses, and puts the disk's BAR where it is reached.
    fn set_up_disk(&self) {
        self.write(DISK_PORT + BUSES, 0x0001_0100);
        self.write(DISK_PORT + PREFETCHABLE_BASE, 0x0001_0001);
        self.write(DISK_PORT + PREFETCHABLE_UPPER, 0x40);
        self.write(DISK_PORT + PREFETCHABLE_UPPER + 4, 0x40);
        self.write(DISK_PORT + MEMORY_BASE, 0xc000_c000);
        self.write(DISK_PORT + COMMAND, 6);
        self.write(DISK + BAR0, 0xc000_0000);
        self.write(DISK + BAR0 + 4, 0);
        self.write(DISK + COMMAND, 6);
    }

    fn recording(&self) -> Recording {
        let finished = self.bus.hierarchy().lock().finish().unwrap();
        let recording = Recording::parse(&self.file.0.lock()).unwrap();
        assert!(recording.is_finished);
        let summary = finished.unwrap();
        assert_eq!(
            summary.accesses + summary.messages + summary.operations,
            recording.records.len() as u64
        );
        recording
    }
}

#[test]
fn accesses_of_several_processors_are_in_the_order_in_which_they_took_effect() {
    const ROUNDS: u32 = 4000;
    let monitor = Monitor::new();
    thread::scope(|scope| {
        for processor in 0..4u32 {
            let monitor = &monitor;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // All write and read the same register, so that any other order gives other answers.
                    let value = (round << 4 | processor) << 4;
                    monitor.write(SLOT + PREFETCHABLE_UPPER, value);
                    monitor.read(SLOT + PREFETCHABLE_UPPER);
                    monitor.read(OTHER);
                }
            });
        }
        let monitor = &monitor;
        scope.spawn(move || {
            for round in 0..20 {
                monitor.operate(&Operation::Plug {
                    port: "slot".into(),
                    endpoint: Box::new(EndpointSpec::new(format!("card{round}"))),
                });
                monitor.operate(&Operation::AttentionButton {
                    port: "slot".into(),
                });
                monitor.operate(&Operation::Unplug {
                    port: "slot".into(),
                });
            }
        });
    });
    monitor.operate(&Operation::Save);
    monitor.operate(&Operation::Reset);
    monitor.read(SLOT);
    let recording = monitor.recording();
    let report = replay_with(&recording, &mut disks()).unwrap();
    assert!(report.is_faithful(), "{report}");
    assert_eq!(report.reads, 2 * 4 * u64::from(ROUNDS) + 1);
    assert_eq!(report.operations, 62);
}

#[test]
fn ports_and_what_is_refused_are_replayed() {
    let monitor = Monitor::new();
    monitor.write(LEGACY + BAR0, 0x1040);
    monitor.write(LEGACY + COMMAND, 1);
    assert_eq!(monitor.bus.port_write(0x1044, &[1, 2]), None);
    let mut data = [0; 4];
    monitor.bus.port_read(0x1044, &mut data);
    assert_eq!(data, [1, 2, 0, 0]);
    monitor.bus.port_read(0x1800, &mut data);
    assert_eq!(data, [0xff; 4], "no BAR is there");
    let mut three = [0; 3];
    monitor.bus.memory_read(SLOT, &mut three);
    assert_eq!(three, [0; 3], "no access of configuration space");
    assert_eq!(monitor.read(0xc800_0000), u32::MAX, "no BAR is there");
    let recording = monitor.recording();
    assert_eq!(recording.records.len(), 7);
    let report = replay_with(&recording, &mut disks()).unwrap();
    assert!(report.is_faithful(), "{report}");
    // What a port answers is compared.
    let mut changed = recording;
    for record in &mut changed.records {
        if let Event::PortRead { port: 0x1044, data } = &mut record.event {
            data[1] = 3;
        }
    }
    let report = replay_with(&changed, &mut disks()).unwrap().to_string();
    assert!(
        report.contains("port 0x1044 reads 0x00000201, and read 0x00000301"),
        "{report}"
    );
}

#[test]
fn registers_of_a_disk_are_recorded_and_left_out_of_a_replay() {
    let monitor = Monitor::new();
    monitor.set_up_disk();
    assert_ne!(monitor.read(DISK), u32::MAX, "the disk answers");
    let capabilities = monitor.read(0xc000_0000);
    assert_ne!(capabilities, u32::MAX, "and its registers");
    // Admin queues in memory, and off it goes.
    monitor.write(0xc000_0024, 0x000f_000f);
    monitor.write(0xc000_0028, 0x1000);
    monitor.write(0xc000_0030, 0x2000);
    monitor.write(0xc000_0014, 0x0046_0001);
    while monitor.read(0xc000_001c) & 1 == 0 {
        thread::yield_now();
    }
    let registers_read = monitor.read(DISK_BAR);
    assert_eq!(registers_read, u32::MAX, "nothing is there");
    let status = monitor.read(DISK + COMMAND);
    let recording = monitor.recording();
    let at_registers = |record: &Record| {
        matches!(
            record.event,
            Event::Read { address, .. } | Event::Write { address, .. } if address >> 20 == 0xc00
        )
    };
    let registers = recording.records.iter().filter(|r| at_registers(r)).count() as u64;
    assert!(registers >= 6, "{registers}");
    let report = replay_with(&recording, &mut disks()).unwrap();
    assert!(report.is_faithful(), "{report}");
    assert_eq!(report.left_out, registers, "{report}");
    assert!(
        report
            .to_string()
            .contains("records of devices that act on the guest's memory left out; no difference"),
        "{report}"
    );

    // The disk's configuration space is compared all the same.
    let mut changed = recording.clone();
    for record in &mut changed.records {
        if let Event::Read { address, data } = &mut record.event
            && *address == DISK + COMMAND
        {
            assert_eq!(*data, status.to_le_bytes());
            data[0] ^= 2;
        }
    }
    let report = replay_with(&changed, &mut disks()).unwrap();
    assert_eq!(report.difference_count, 1, "{report}");
    // A message of the disk's is not waited for; one of a port's is.
    for (requester_id, differences) in [(0x0100, 0), (0x0010, 1)] {
        let mut more = recording.clone();
        more.records.push(Record {
            time: Duration::ZERO,
            event: Event::Message {
                requester_id: Some(requester_id),
                address: 0xfee0_0000,
                data: 0x31,
            },
        });
        let report = replay_with(&more, &mut disks()).unwrap();
        assert_eq!(report.difference_count, differences, "{report}");
    }
}
