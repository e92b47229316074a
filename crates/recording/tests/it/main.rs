//! Recording and replaying, as a monitor does it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails should stop at once"
)]

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use parking_lot::Mutex;
use pcie_topology::EndpointSpec;
use pcie_topology::Hierarchy;
use pcie_topology::NoDevices;
use pcie_topology::Topology;
use proptest::prelude::*;
use recording::Event;
use recording::FormatError;
use recording::MessageLog;
use recording::Operation;
use recording::Recorder;
use recording::Recording;
use recording::replay;
use std::io;
use std::io::Write;
use std::sync::Arc;

const DESCRIPTION: &str = r#"
    [[root_complex]]
    name = "pcie0"
    buses = { start = 0, end = 15 }
    ecam = 0xe000_0000
    mmio32 = { base = 0xc000_0000, size = "256M" }

    [[root_complex.port]]
    name = "rp0"
    device = 1
    slot = { number = 1, attention_button = true, power_controller = true }

    [[root_complex.port]]
    name = "rp1"
    device = 2

    [root_complex.port.endpoint]
    name = "nic0"
    bar = [{ kind = "32", size = "4K" }]
    msi = { vectors = 1 }
"#;

const RP0: u64 = 0xe000_8000;
const RP1: u64 = 0xe001_0000;
const NIC: u64 = 0xe010_0000;
const BAR: u64 = 0xc000_0000;
const DOORBELL: u64 = BAR + 0xffc;

/// A file that stays in memory, or a disk that is full.
#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>, Option<usize>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.0.lock();
        if self.1.is_some_and(|max| file.len() + bytes.len() > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A guest and an operator, whose doings are recorded.
struct Machine {
    hierarchy: Hierarchy,
    recorder: Recorder,
    file: File,
}

impl Machine {
    fn new() -> Self {
        Self::with_file(File::default())
    }

    fn with_file(file: File) -> Self {
        let messages = MessageLog::new(None);
        let topology = Topology::from_toml(DESCRIPTION).unwrap();
        let hierarchy =
            topology.compose(&mut ExternallyManagedMmioIntercepts, Some(messages.clone()));
        let recorder = Recorder::start(DESCRIPTION, file.clone()).unwrap();
        Self {
            hierarchy: hierarchy.unwrap(),
            recorder: recorder.with_messages(messages),
            file,
        }
    }

    fn read(&mut self, address: u64, len: usize) -> Vec<u8> {
        let mut data = vec![0xff; len];
        let _ = self.hierarchy.mmio_read(address, &mut data);
        self.recorder.read(address, &data);
        data
    }

    fn write(&mut self, address: u64, data: &[u8]) {
        let _ = self.hierarchy.mmio_write(address, data);
        self.recorder.write(address, data);
    }

    fn write_u32(&mut self, address: u64, value: u32) {
        self.write(address, &value.to_le_bytes());
    }

    fn operate(&mut self, operation: Operation) {
        operation
            .perform(&mut self.hierarchy, &mut NoDevices)
            .unwrap();
        self.recorder.operation(&operation);
    }

    fn bytes(self) -> Vec<u8> {
        self.recorder.finish().unwrap();
        self.file.0.lock().clone()
    }

    /// Sets up the NIC, and lets it interrupt.
    fn drive(&mut self) {
        self.write_u32(RP0 + 0x18, 0x0003_0200);
        self.write_u32(RP1 + 0x18, 0x0001_0100);
        self.write_u32(RP1 + 0x20, 0xc000_c000);
        self.write(RP1 + 0x04, &[6, 0]);
        assert_eq!(self.read(NIC, 4), [0x14, 0x14, 0xe0, 0xc1]);
        self.write(NIC + 0x10, &BAR.to_le_bytes()[..4]);
        self.write(NIC + 0x04, &[6, 0]);
        let msi = self.find_capability(NIC, 5);
        self.write_u32(NIC + msi + 4, 0xfee0_0000);
        self.write_u32(NIC + msi + 0xc, 0x41);
        self.write(NIC + msi + 2, &[1, 0]);
        self.write_u32(BAR, 0x1234_5678);
        assert_eq!(self.read(BAR, 8)[..4], [0x78, 0x56, 0x34, 0x12]);
        self.write_u32(DOORBELL, 0);
    }

    fn find_capability(&mut self, function: u64, id: u8) -> u64 {
        let mut at = self.read(function + 0x34, 1)[0];
        while at != 0 {
            let head = self.read(function + u64::from(at), 2);
            if head[0] == id {
                return at.into();
            }
            at = head[1];
        }
        panic!("no capability {id:#x}");
    }
}

#[test]
fn what_was_recorded_is_replayed_without_a_difference() {
    let mut machine = Machine::new();
    machine.drive();
    machine.operate(Operation::Plug {
        port: "rp0".to_owned(),
        endpoint: Box::new(EndpointSpec::new("disk0")),
    });
    machine.operate(Operation::AttentionButton {
        port: "rp0".to_owned(),
    });
    let slot_status = machine.find_capability(RP0, 0x10) + 0x1a;
    let status = machine.read(RP0 + slot_status, 2);
    assert_ne!(status[0] & 1, 0, "the button");
    machine.operate(Operation::Unplug {
        port: "rp0".to_owned(),
    });
    machine.operate(Operation::Reset);
    machine.read(NIC, 4);
    let recording = Recording::parse(&machine.bytes()).unwrap();
    assert!(recording.is_finished);
    assert!(recording.records.is_sorted_by_key(|record| record.time));
    let report = replay(&recording).unwrap();
    assert!(report.is_faithful(), "{report}");
    assert_eq!((report.operations, report.messages), (4, 1), "{report}");
}

fn recorded() -> Recording {
    let mut machine = Machine::new();
    machine.drive();
    Recording::parse(&machine.bytes()).unwrap()
}

#[test]
fn another_answer_is_a_difference_with_its_place() {
    let mut recording = recorded();
    let device_id = recording
        .records
        .iter_mut()
        .find_map(|record| match &mut record.event {
            Event::Read { address: NIC, data } => Some(data),
            _ => None,
        });
    device_id.unwrap()[2] = 0xe1;
    let report = replay(&recording).unwrap();
    assert_eq!(report.difference_count, 1);
    let text = report.to_string();
    assert!(
        text.contains(
            "register 0x000 of 0000:01:00.0 ('nic0') reads 0xc1e01414, and read 0xc1e11414"
        ),
        "{text}"
    );
}

#[test]
fn a_message_too_many_or_too_few_is_a_difference() {
    let recording = recorded();
    let is_message = |event: &Event| matches!(event, Event::Message { .. });
    let mut without = recording.clone();
    without.records.retain(|record| !is_message(&record.event));
    let report = replay(&without).unwrap().to_string();
    assert!(
        report.contains("message 0x41 to 0xfee00000 from requester 0x0100 was not sent"),
        "{report}"
    );
    let mut twice = recording;
    let message = twice
        .records
        .iter()
        .find(|record| is_message(&record.event))
        .cloned();
    twice.records.extend(message);
    let report = replay(&twice).unwrap().to_string();
    assert!(report.contains("is not sent"), "{report}");
}

#[test]
fn an_operation_that_is_refused_now_ends_the_replay() {
    let mut recording = recorded();
    recording.records[0].event = Event::Operation(Operation::Unplug {
        port: "rp0".to_owned(),
    });
    let error = replay(&recording).unwrap_err();
    assert_eq!(error.to_string(), "record 0: port 'rp0' is empty");
}

#[test]
fn a_recording_that_was_cut_off_is_of_use_up_to_there() {
    let mut machine = Machine::new();
    machine.drive();
    let bytes = machine.bytes();
    let cut = Recording::parse(&bytes[..bytes.len() - 30]).unwrap();
    assert!(!cut.is_finished);
    assert!(replay(&cut).unwrap().is_faithful());
    assert_eq!(
        Recording::parse(b"[[root_complex]]"),
        Err(FormatError::NotARecording)
    );
    let mut newer = bytes;
    newer[8] = 2;
    let error = Recording::parse(&newer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the recording has version 2; version 1 can be read"
    );
}

#[test]
fn a_full_disk_is_told_at_the_end_and_does_not_stop_the_guest() {
    let mut machine = Machine::with_file(File(Arc::default(), Some(100_000)));
    for _ in 0..20_000 {
        machine.read(RP0, 4);
    }
    let error = machine.recorder.finish().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn many_accesses_come_out_in_order() {
    let mut machine = Machine::new();
    for i in 0..30_000u32 {
        machine.write_u32(RP0 + 0x28, i);
        machine.read(RP0 + 0x28, 4);
    }
    let recording = Recording::parse(&machine.bytes()).unwrap();
    assert_eq!(recording.records.len(), 60_000);
    assert!(replay(&recording).unwrap().is_faithful());
}

proptest! {
    #[test]
    fn fuzz_no_file_makes_it_panic(
        cut in 0usize..4096,
        changes in prop::collection::vec((0usize..4096, any::<u8>()), 0..8),
    ) {
        let mut machine = Machine::new();
        machine.drive();
        let mut bytes = machine.bytes();
        bytes.truncate(bytes.len().saturating_sub(cut));
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if let Ok(recording) = Recording::parse(&bytes) {
            drop(replay(&recording));
        }
    }
}
