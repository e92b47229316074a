//! Admin commands.

use crate::host::*;
use nvme::NvmeConfig;
use nvme::spec::AdminOpcode;
use nvme::spec::Status;

fn identify(cns: u32, nsid: u32) -> nvme::spec::SubmissionEntry {
    let mut identify = command(AdminOpcode::Identify as u8, nsid);
    identify.cdw10_15[0] = cns.into();
    identify
}

fn features(opcode: AdminOpcode, id: u32, value: u32) -> nvme::spec::SubmissionEntry {
    let mut features = command(opcode as u8, 0);
    features.cdw10_15[0] = id.into();
    features.cdw10_15[1] = value.into();
    features
}

fn log(id: u32, nsid: u32, dwords: u32, offset: u32) -> nvme::spec::SubmissionEntry {
    let mut log = command(AdminOpcode::GetLogPage as u8, nsid);
    log.cdw10_15[0] = ((dwords - 1) << 16 | id).into();
    log.cdw10_15[2] = offset.into();
    log
}

#[test]
fn identify_says_what_there_is() {
    let config = NvmeConfig {
        serial: "S123".into(),
        ..NvmeConfig::new("disk0")
    };
    let mut host = Host::with(&config, Box::new(nvme::MemoryStorage::new(1 << 30)));
    host.enable();
    let (ok, data) = host.admin_data(identify(1, 0));
    assert_eq!(ok, 0);
    assert_eq!(data[0..2], [0x14, 0x14], "VID");
    assert_eq!(&data[4..24], b"S123                ", "SN");
    assert_eq!(data[77], 7, "MDTS: 512 KiB");
    assert_eq!(data[80..84], 0x2_0000u32.to_le_bytes(), "VER");
    assert_eq!(data[512..514], [0x66, 0x44], "SQES, CQES");
    assert_eq!(data[516..520], 1u32.to_le_bytes(), "NN");
    assert!(data[768..].starts_with(b"nqn.2014-08.org.nvmexpress:uuid:"));
    let (ok, data) = host.admin_data(identify(0, 1));
    assert_eq!(ok, 0);
    let blocks = (1u64 << 30) / 512;
    assert_eq!(data[0..8], blocks.to_le_bytes(), "NSZE");
    assert_eq!(data[128..132], [0, 0, 9, 0], "LBAF0: 512 bytes");
    let (ok, data) = host.admin_data(identify(2, 0));
    assert_eq!((ok, &data[0..8]), (0, &[1, 0, 0, 0, 0, 0, 0, 0][..]));
    let (ok, data) = host.admin_data(identify(2, 1));
    assert_eq!((ok, &data[0..4]), (0, &[0; 4][..]), "none after 1");
    let (ok, data) = host.admin_data(identify(3, 1));
    assert_eq!(
        (ok, &data[0..2], &data[20..22]),
        (0, &[3, 16][..], &[4, 1][..])
    );
    let (ok, data) = host.admin_data(identify(8, 1));
    assert_eq!((ok, data[14]), (0, 1), "ready");
    for cns in [5, 6, 7, 0x1c] {
        assert_eq!(
            host.admin_data(identify(cns, u32::from(cns == 5))).0,
            0,
            "{cns:#x}"
        );
    }
    for (cns, nsid, expected) in [
        (0, 0, Status::INVALID_NAMESPACE),
        (0, u32::MAX, Status::INVALID_NAMESPACE),
        (0, 2, Status::INVALID_NAMESPACE),
        (3, 2, Status::INVALID_NAMESPACE),
        (2, u32::MAX, Status::INVALID_NAMESPACE),
        (0x10, 0, Status::INVALID_FIELD),
    ] {
        assert_eq!(
            host.admin_data(identify(cns, nsid)).0,
            expected.code,
            "{cns:#x} {nsid:#x}"
        );
    }
}

#[test]
fn queues_that_cannot_be() {
    let mut host = Host::new();
    host.enable();
    let create = |opcode: AdminOpcode, dw10: u32, dw11: u32, prp1: u64| {
        let mut create = command(opcode as u8, 0);
        create.prp1 = prp1.into();
        create.cdw10_15[0] = dw10.into();
        create.cdw10_15[1] = dw11.into();
        create
    };
    let cq = |dw10, dw11, prp1| create(AdminOpcode::CreateCompletionQueue, dw10, dw11, prp1);
    let sq = |dw10, dw11, prp1| create(AdminOpcode::CreateSubmissionQueue, dw10, dw11, prp1);
    let delete_cq = |id| create(AdminOpcode::DeleteCompletionQueue, id, 0, 0);
    let delete_sq = |id| create(AdminOpcode::DeleteSubmissionQueue, id, 0, 0);
    let at = 0x10_0000;
    for (n, (command, expected)) in [
        (cq(7 << 16, 3, at), Status::INVALID_QUEUE_ID),
        (cq(7 << 16 | 9, 3, at), Status::INVALID_QUEUE_ID),
        (cq(1, 3, at), Status::INVALID_QUEUE_SIZE),
        (cq(1024 << 16 | 1, 3, at), Status::INVALID_QUEUE_SIZE),
        (cq(7 << 16 | 1, 2, at), Status::INVALID_FIELD),
        (cq(7 << 16 | 1, 3, at + 16), Status::PRP_OFFSET_INVALID),
        (
            cq(7 << 16 | 1, 9 << 16 | 3, at),
            Status::INVALID_INTERRUPT_VECTOR,
        ),
        (
            sq(7 << 16 | 1, 1 << 16 | 1, at),
            Status::COMPLETION_QUEUE_INVALID,
        ),
        (cq(7 << 16 | 1, 8 << 16 | 3, at), Status::SUCCESS),
        (cq(7 << 16 | 1, 3, at), Status::INVALID_QUEUE_ID),
        (sq(7 << 16 | 2, 1, at), Status::INVALID_QUEUE_ID),
        (sq(7 << 16 | 2, 9 << 16 | 1, at), Status::INVALID_QUEUE_ID),
        (sq(7 << 16 | 2, 1 << 16 | 1, at), Status::SUCCESS),
        (sq(7 << 16 | 2, 1 << 16 | 1, at), Status::INVALID_QUEUE_ID),
        (delete_cq(1), Status::INVALID_QUEUE_DELETION),
        (delete_sq(0), Status::INVALID_QUEUE_ID),
        (delete_sq(1), Status::INVALID_QUEUE_ID),
        (delete_sq(2), Status::SUCCESS),
        (delete_cq(0), Status::INVALID_QUEUE_ID),
        (delete_cq(1), Status::SUCCESS),
        (delete_cq(1), Status::INVALID_QUEUE_ID),
        (
            features(AdminOpcode::SetFeatures, 7, 1 << 16 | 1),
            Status::COMMAND_SEQUENCE_ERROR,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(status(&host.run_admin(command)), expected.code, "step {n}");
    }
}

#[test]
fn features_are_kept_until_reset() {
    let mut host = Host::new();
    host.enable();
    let set = |id, value| features(AdminOpcode::SetFeatures, id, value);
    let get = |id, value| features(AdminOpcode::GetFeatures, id, value);
    let counts = host.run_admin(set(7, 63 << 16 | 63)).result.get();
    assert_eq!(counts, 7 << 16 | 7, "there are 8");
    assert_eq!(
        host.run_admin(set(7, 1 << 16 | 1)).result.get(),
        1 << 16 | 1
    );
    assert_eq!(host.run_admin(get(7, 0)).result.get(), 1 << 16 | 1);
    assert_eq!(
        host.run_admin(get(0x107, 0)).result.get(),
        7 << 16 | 7,
        "default"
    );
    host.run_admin(set(0x0b, u32::MAX));
    assert_eq!(host.run_admin(get(0x0b, 0)).result.get(), 0x1ff);
    host.run_admin(set(9, 1 << 16 | 3));
    assert_eq!(host.run_admin(get(9, 3)).result.get(), 1 << 16 | 3);
    assert_eq!(host.run_admin(get(9, 2)).result.get(), 2);
    for (command, expected) in [
        (set(0x8000_000b, 0), Status::FEATURE_NOT_SAVEABLE),
        (set(2, 1), Status::INVALID_FIELD),
        (set(6, 1), Status::INVALID_FIELD), // memory has no cache
        (set(7, 0xffff), Status::INVALID_FIELD),
        (set(9, 9), Status::INVALID_FIELD),
        (get(0x0d, 0), Status::INVALID_FIELD),
        (get(4, 1 << 16), Status::INVALID_FIELD),
        (get(0x407, 0), Status::INVALID_FIELD),
    ] {
        assert_eq!(
            status(&host.run_admin(command)),
            expected.code,
            "{command:?}"
        );
    }
    host.enable();
    assert_eq!(host.run_admin(get(0x0b, 0)).result.get(), 0);
    assert_eq!(host.run_admin(get(7, 0)).result.get(), 7 << 16 | 7);
}

#[test]
fn log_pages() {
    let mut host = Host::new();
    host.enable();
    let (ok, data) = host.admin_data(log(0, 0, 256, 0));
    assert_eq!(ok, 0);
    let supported: Vec<_> = data[..1024].chunks(4).map(|dword| dword[0]).collect();
    assert_eq!(supported[..8], [1, 1, 1, 1, 1, 1, 0, 0]);
    let (ok, data) = host.admin_data(log(2, u32::MAX, 128, 0));
    assert_eq!(
        (ok, &data[1..4]),
        (0, &[44, 1, 100][..]),
        "300 K, all spare"
    );
    let (ok, data) = host.admin_data(log(5, 0, 1024, 0));
    assert_eq!(ok, 0);
    assert_eq!((data[0x0c * 4], data[0x0d * 4]), (1, 0), "admin");
    assert_eq!((data[1024 + 4], data[1024 + 8]), (3, 1), "write and read");
    let (ok, data) = host.admin_data(log(3, 0, 4, 8));
    assert_eq!((ok, data[0]), (0, env!("CARGO_PKG_VERSION").as_bytes()[0]));
    for (command, expected) in [
        (log(0x70, 0, 1, 0), Status::INVALID_LOG_PAGE),
        (log(2, 1, 1, 0), Status::INVALID_FIELD),
        (log(2, 0, 1, 2), Status::INVALID_FIELD),
        (log(2, 0, 1, 516), Status::INVALID_FIELD),
    ] {
        assert_eq!(host.admin_data(command).0, expected.code, "{command:?}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let mut host = Host::new();
    host.enable();
    // Namespace management, firmware, format, security, keep alive, vendor specific.
    for opcode in [0x0d, 0x10, 0x11, 0x18, 0x80, 0x81, 0x82, 0xc0, 0xff] {
        let completion = host.run_admin(command(opcode, 0));
        assert_eq!(
            status(&completion),
            Status::INVALID_OPCODE.code,
            "{opcode:#x}"
        );
    }
}

#[test]
fn events_are_told_once_until_their_page_is_read() {
    let mut host = Host::new();
    host.enable();
    let mut admin = host.admin.clone();
    let request = command(AdminOpcode::AsyncEventRequest as u8, 0);
    let ids: Vec<_> = (0..4).map(|_| host.submit(&mut admin, request)).collect();
    let beyond = host.run(&mut admin, request);
    assert_eq!(status(&beyond), Status::ASYNC_EVENT_LIMIT_EXCEEDED.code);

    // A doorbell that isn't there, then one with a value that can't be.
    host.write32(BAR + 0x1000 + 3 * 8, 1);
    let event = host.wait(&mut admin);
    assert_eq!((event.cid.get(), event.result.get()), (ids[0], 0x01_00_00));
    host.write32(BAR + 0x1000, 32);
    let nothing = host.run(&mut admin, command(0xff, 0));
    assert_eq!(
        status(&nothing),
        Status::INVALID_OPCODE.code,
        "the type is masked"
    );
    let mut page = log(1, 0, 16, 0);
    page.prp1 = DATA.into();
    host.submit(&mut admin, page);
    let both = [host.wait(&mut admin), host.wait(&mut admin)];
    let event = both.iter().find(|c| c.cid.get() == ids[1]).unwrap();
    assert_eq!(event.result.get(), 0x01_01_00);

    // One is aborted, before the Abort is.
    let mut abort = command(AdminOpcode::Abort as u8, 0);
    abort.cdw10_15[0] = (u32::from(ids[2]) << 16).into();
    host.submit(&mut admin, abort);
    let aborted = host.wait(&mut admin);
    assert_eq!(aborted.cid.get(), ids[2]);
    assert_eq!(status(&aborted), Status::COMMAND_ABORT_REQUESTED.code);
    assert_eq!(host.wait(&mut admin).result.get(), 0);
    let again = host.run(&mut admin, abort);
    assert_eq!(again.result.get(), 1, "nothing to abort");

    // Warnings, for whoever wants them.
    host.run(&mut admin, features(AdminOpcode::SetFeatures, 0x0b, 2));
    host.submit(&mut admin, features(AdminOpcode::SetFeatures, 4, 299));
    let both = [host.wait(&mut admin), host.wait(&mut admin)];
    let event = both.iter().find(|c| c.cid.get() == ids[3]).unwrap();
    assert_eq!(event.result.get(), 0x02_01_01);
}
