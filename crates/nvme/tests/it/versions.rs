//! Saved states of earlier versions still load, and their commands go on.
//!
//! Each file of `tests/golden/states` holds what one version saved after [`work`]. A file is never changed once it has landed; a version
//! that saves something new gets another, written by running the test with `WRITE_SAVED_STATE` naming it.

use crate::host::*;
use nvme::spec::AdminOpcode;
use nvme::spec::IoOpcode;
use pci_bus::ManagedDevice;
use std::path::Path;
use vmcore::save_restore::SavedStateBlob;

/// Commands in the submission queue, of which as many are done as the completion queue takes.
const COMMANDS: u64 = 20;
const COMPLETIONS: u16 = 4;

/// The guest's end of what was going on when the state was saved.
struct Guest {
    host: Host,
    submission: Queue,
    completion: Queue,
    commands: Vec<u16>,
    event_request: u16,
}

/// What the guest did before the state was saved: a feature, a refused command, a request for an event, and more commands than the
/// completion queue takes.
fn work() -> Guest {
    let mut host = Host::new();
    host.enable();
    let mut set = command(AdminOpcode::SetFeatures as u8, 0);
    set.cdw10_15[0] = 0x0b.into();
    set.cdw10_15[1] = 0x102.into();
    assert_eq!(status(&host.run_admin(set)), 0);
    host.run_admin(command(0xff, 0));
    let mut admin = host.admin.clone();
    let event_request = host.submit(&mut admin, command(AdminOpcode::AsyncEventRequest as u8, 0));
    host.admin = admin;
    let (mut submission, completion) = (Queue::new(3, 64), Queue::new(3, COMPLETIONS));
    host.clear(completion.completion(), 0x1000);
    assert_eq!(host.create_completion(&completion, 3), 0);
    assert_eq!(host.create_submission(&submission), 0);
    let commands = (0..COMMANDS)
        .map(|lba| host.put(&mut submission, io(IoOpcode::Read, lba, 1, DATA, 0)))
        .collect();
    host.ring(&submission);
    Guest {
        host,
        submission,
        completion,
        commands,
        event_request,
    }
}

/// The guest goes on: it takes every completion once, hears of its event, and finds features and errors as they were.
fn goes_on(mut guest: Guest) {
    let host = &mut guest.host;
    let mut taken = Vec::new();
    while taken.len() < guest.commands.len() {
        let completion = host.wait(&mut guest.completion);
        assert_eq!((status(&completion), completion.sq_id.get()), (0, 3));
        taken.push(completion.cid.get());
    }
    assert_eq!(taken, guest.commands);
    assert!(host.take(&mut guest.completion).is_none());
    let mut get = command(AdminOpcode::GetFeatures as u8, 0);
    get.cdw10_15[0] = 0x0b.into();
    assert_eq!(host.run_admin(get).result.get(), 0x102);
    assert_eq!(host.look("errors/count"), "1");
    let mut admin = host.admin.clone();
    host.write32(BAR + 0x1000 + 5 * 8, 1); // a doorbell of a queue that is not there
    assert_eq!(host.wait(&mut admin).cid.get(), guest.event_request);
    host.sink.take();
    host.put(&mut guest.submission, command(IoOpcode::Flush as u8, 1));
    host.ring(&guest.submission);
    assert_eq!(status(&host.wait(&mut guest.completion)), 0);
    assert_eq!(host.interrupts(3), 1);
}

#[test]
fn states_of_earlier_versions_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/states");
    if let Ok(version) = std::env::var("WRITE_SAVED_STATE") {
        let state = ManagedDevice::save(&mut work().host.device).unwrap();
        let file = folder.join(format!("{version}.state"));
        std::fs::write(file, mesh_protobuf::encode(state)).unwrap();
    }
    let mut versions = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let state: SavedStateBlob = mesh_protobuf::decode(&bytes).unwrap();
        let mut guest = work();
        // What can be carried out without the guest is, so that its memory is as it was when the state was saved.
        ManagedDevice::save(&mut guest.host.device).unwrap();
        guest.host.move_to_another(state);
        goes_on(guest);
        versions += 1;
    }
    assert!(versions >= 1);
}
