//! The NVM command set.

use crate::host::*;
use nvme::FileStorage;
use nvme::MemoryStorage;
use nvme::NvmeConfig;
use nvme::Storage;
use nvme::spec::IoOpcode;
use nvme::spec::Status;
use std::io;
use std::path::PathBuf;

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|n| (n / 7) as u8 ^ seed).collect()
}

/// Memory whose list of pages is at `list`, one page apart, so that no two pages are neighbours.
fn scatter(host: &Host, list: u64, pages: u64) -> Vec<u64> {
    let places: Vec<_> = (0..pages).map(|n| DATA + n * 2 * PAGE).collect();
    for (n, place) in places.iter().enumerate().skip(1) {
        host.set_bytes(list + (n as u64 - 1) * 8, &place.to_le_bytes());
    }
    places
}

#[test]
fn what_was_written_is_read_through_lists() {
    let mut host = Host::new();
    host.enable();
    let mut queue = host.create_queue(1, 16);
    for (blocks, pages) in [(1, 1), (8, 1), (16, 2), (24, 3), (1024, 128)] {
        let list = 0x38_0000;
        let places = scatter(&host, list, pages);
        let second = if pages == 2 { places[1] } else { list };
        let data = pattern(blocks as usize * 512, blocks as u8);
        for (chunk, place) in data.chunks(4096).zip(&places) {
            host.set_bytes(*place, chunk);
        }
        let written = host.run(
            &mut queue,
            io(IoOpcode::Write, 40, blocks, places[0], second),
        );
        assert_eq!(status(&written), 0, "{blocks} blocks");
        for place in &places {
            host.clear(*place, 4096);
        }
        let read = host.run(
            &mut queue,
            io(IoOpcode::Read, 40, blocks, places[0], second),
        );
        assert_eq!(status(&read), 0, "{blocks} blocks");
        for (chunk, place) in data.chunks(4096).zip(&places) {
            assert!(host.bytes(*place, chunk.len()) == chunk, "{blocks} blocks");
        }
        let compared = host.run(
            &mut queue,
            io(IoOpcode::Compare, 40, blocks, places[0], second),
        );
        assert_eq!(status(&compared), 0);
        host.set_bytes(places[pages as usize - 1], &[0xee; 4]);
        let compared = host.run(
            &mut queue,
            io(IoOpcode::Compare, 40, blocks, places[0], second),
        );
        assert_eq!(status(&compared), Status::COMPARE_FAILURE.code);
    }
    assert!(host.interrupts(1) > 0);
}

#[test]
fn bad_commands_get_their_status() {
    let mut host = Host::new();
    host.enable();
    let mut queue = host.create_queue(1, 16);
    let blocks = (64 << 20) / 512;
    let read = |lba, blocks, prp1, prp2| io(IoOpcode::Read, lba, blocks, prp1, prp2);
    let with = |change: fn(&mut nvme::spec::SubmissionEntry)| {
        let mut command = read(0, 1, DATA, 0);
        change(&mut command);
        command
    };
    for (command, expected) in [
        (read(blocks - 1, 1, DATA, 0), Status::SUCCESS),
        (read(blocks - 1, 2, DATA, 0), Status::LBA_OUT_OF_RANGE),
        (read(u64::MAX, 1, DATA, 0), Status::LBA_OUT_OF_RANGE),
        (read(0, 1025, DATA, 0), Status::INVALID_FIELD),
        (read(0, 1, DATA + 2, 0), Status::PRP_OFFSET_INVALID),
        (read(0, 16, DATA, DATA + 8), Status::PRP_OFFSET_INVALID),
        (read(0, 24, DATA, DATA + 4), Status::PRP_OFFSET_INVALID),
        (read(0, 1, MEMORY as u64, 0), Status::DATA_TRANSFER_ERROR),
        (read(0, 1, !0xfff, 0), Status::DATA_TRANSFER_ERROR),
        (
            read(0, 24, DATA, MEMORY as u64),
            Status::DATA_TRANSFER_ERROR,
        ),
        (with(|c| c.opcode = 0x7f), Status::INVALID_OPCODE),
        (with(|c| c.nsid = 2.into()), Status::INVALID_NAMESPACE),
        (with(|c| c.nsid = 0.into()), Status::INVALID_NAMESPACE),
        (
            with(|c| c.nsid = u32::MAX.into()),
            Status::INVALID_NAMESPACE,
        ),
        (with(|c| c.flags = 0x01), Status::INVALID_FIELD),
        (with(|c| c.flags = 0x40), Status::INVALID_FIELD),
    ] {
        let completion = host.run(&mut queue, command);
        assert_eq!(status(&completion), expected.code, "{command:?}");
        let dnr = completion.status.get() >> 15 != 0;
        assert_eq!(dnr, expected.dnr, "{command:?}");
    }
    // The newest of them heads the error log.
    let mut log = command(0x02, u32::MAX);
    log.cdw10_15[0] = (15 << 16 | 0x01).into();
    let (_, log) = host.admin_data(log);
    assert_eq!(log[0..8], 15u64.to_le_bytes(), "15 commands failed");
    assert_eq!(log[8..10], [1, 0], "queue");
    assert_eq!(log[10..12], queue.cid.to_le_bytes());
}

#[test]
fn zeroes_and_deallocation() {
    let mut host = Host::new();
    host.enable();
    let mut queue = host.create_queue(1, 16);
    let data = pattern(4096, 3);
    host.set_bytes(DATA, &data);
    assert_eq!(
        status(&host.run(&mut queue, io(IoOpcode::Write, 0, 8, DATA, 0))),
        0
    );
    assert_eq!(
        status(&host.run(&mut queue, io(IoOpcode::WriteZeroes, 1, 2, 0, 0))),
        0
    );
    // Two ranges: block 5, and blocks 6 to 7.
    let ranges = DATA + 0x1_0000;
    for (at, blocks, first) in [(0, 1u32, 5u64), (16, 2, 6)] {
        host.set_bytes(ranges + at, &0u32.to_le_bytes());
        host.set_bytes(ranges + at + 4, &blocks.to_le_bytes());
        host.set_bytes(ranges + at + 8, &first.to_le_bytes());
    }
    let mut trim = command(IoOpcode::DatasetManagement as u8, 1);
    trim.prp1 = ranges.into();
    trim.cdw10_15[0] = 1.into();
    trim.cdw10_15[1] = 4.into();
    assert_eq!(status(&host.run(&mut queue, trim)), 0);
    assert_eq!(
        status(&host.run(&mut queue, io(IoOpcode::Read, 0, 8, DATA, 0))),
        0
    );
    let read = host.bytes(DATA, 4096);
    for (block, (read, data)) in read.chunks(512).zip(data.chunks(512)).enumerate() {
        let zero = matches!(block, 1 | 2 | 5 | 6 | 7);
        assert!(
            read == if zero { &[0; 512][..] } else { data },
            "block {block}"
        );
    }
    host.set_bytes(ranges + 24, &u64::MAX.to_le_bytes());
    let beyond = host.run(&mut queue, trim);
    assert_eq!(status(&beyond), Status::LBA_OUT_OF_RANGE.code);
    assert_eq!(
        status(&host.run(&mut queue, command(IoOpcode::Flush as u8, u32::MAX))),
        0
    );
}

/// A file in the folder of the test's program, gone when dropped.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        let name = format!("{name}-{}.img", std::process::id());
        Self(program.with_file_name(name))
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_keeps_what_was_written() {
    let file = TestFile::new("keeps");
    let config = NvmeConfig {
        block_size: 4096,
        ..NvmeConfig::new("disk0")
    };
    let data = pattern(8192, 9);
    {
        let storage = FileStorage::open_or_create(&file.0, 1 << 20).unwrap();
        assert!(FileStorage::open(&file.0, false).is_err(), "locked");
        let mut host = Host::with(&config, Box::new(storage));
        host.enable();
        let mut queue = host.create_queue(1, 16);
        host.set_bytes(DATA, &data);
        let mut write = io(IoOpcode::Write, 3, 2, DATA, DATA + PAGE);
        write.cdw10_15[2] = (1 | 1 << 30).into(); // two blocks, Force Unit Access
        assert_eq!(status(&host.run(&mut queue, write)), 0);
        assert_eq!(
            status(&host.run(&mut queue, io(IoOpcode::WriteZeroes, 4, 1, 0, 0))),
            0
        );
    }
    let bytes = std::fs::read(&file.0).unwrap();
    assert_eq!(bytes.len(), 1 << 20);
    assert!(bytes[3 * 4096..4 * 4096] == data[..4096]);
    assert!(bytes[4 * 4096..5 * 4096].iter().all(|byte| *byte == 0));

    let storage = FileStorage::open(&file.0, true).unwrap();
    let mut host = Host::with(&config, Box::new(storage));
    host.enable();
    let mut queue = host.create_queue(1, 16);
    for opcode in [
        IoOpcode::Write,
        IoOpcode::WriteZeroes,
        IoOpcode::DatasetManagement,
    ] {
        let refused = host.run(&mut queue, io(opcode, 3, 1, DATA, 0));
        assert_eq!(status(&refused), Status::WRITE_PROTECTED.code);
    }
    assert_eq!(
        status(&host.run(&mut queue, io(IoOpcode::Read, 3, 1, DATA, 0))),
        0
    );
    assert!(host.bytes(DATA, 4096) == data[..4096]);
}

/// Storage that fails.
struct Broken(MemoryStorage);

impl Storage for Broken {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Other.into())
    }
    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn flush(&self) -> io::Result<()> {
        Err(io::ErrorKind::Other.into())
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn write_zeroes(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn storage_that_fails_is_told_of() {
    let storage = Broken(MemoryStorage::new(1 << 20));
    let mut host = Host::with(&NvmeConfig::new("disk0"), Box::new(storage));
    host.enable();
    let mut queue = host.create_queue(1, 16);
    for (opcode, expected) in [
        (IoOpcode::Read, Status::UNRECOVERED_READ_ERROR),
        (IoOpcode::Write, Status::WRITE_FAULT),
        (IoOpcode::Flush, Status::WRITE_FAULT),
    ] {
        let completion = host.run(&mut queue, io(opcode, 0, 1, DATA, 0));
        assert_eq!(status(&completion), expected.code, "{opcode:?}");
    }
    assert_eq!(host.look("statistics/media_errors"), "3");
}
