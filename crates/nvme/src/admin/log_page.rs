//! Get Log Page (NVMe 2.0 section 5.16).

use super::features::TEMPERATURE;
use crate::controller::Controller;
use crate::controller::Live;
use crate::controller::Scratch;
use crate::io::TRANSFER_MAX;
use crate::namespace::NSID;
use crate::page::Page;
use crate::spec::AdminOpcode;
use crate::spec::IoOpcode;
use crate::spec::Status;
use crate::spec::SubmissionEntry;
use crate::spec::command::ALL_NAMESPACES;
use inspect::Inspect;
use std::collections::VecDeque;

/// Entries of the error log that are kept.
pub(crate) const ERROR_ENTRIES_MAX: usize = 16;
const ERROR_ENTRY_BYTES: usize = 64;
/// The PCIe transport, in an error log entry.
const TRANSPORT_PCIE: u8 = 1;
/// The guest wants no event of the page's kind before it reads the page again.
const RETAIN_ASYNC_EVENT: u32 = 1 << 15;
/// The log page offset counts entries, not bytes.
const OFFSET_TYPE: u32 = 1 << 23;
/// SMART counts data in thousands of these.
const SMART_UNIT: u64 = 1000 * 512;
/// The command is supported, in Commands Supported and Effects.
const SUPPORTED: u32 = 1 << 0;
/// The command changes what blocks hold.
const CHANGES_BLOCKS: u32 = 1 << 1;

const SUPPORTED_PAGES: u8 = 0x00;
const ERRORS: u8 = 0x01;
const HEALTH: u8 = 0x02;
const FIRMWARE_SLOTS: u8 = 0x03;
const CHANGED_NAMESPACES: u8 = 0x04;
const COMMANDS_SUPPORTED: u8 = 0x05;
const LOG_PAGES: [u8; 6] = [
    SUPPORTED_PAGES,
    ERRORS,
    HEALTH,
    FIRMWARE_SLOTS,
    CHANGED_NAMESPACES,
    COMMANDS_SUPPORTED,
];

/// A command that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Inspect)]
pub(crate) struct ErrorEntry {
    pub(crate) number: u64,
    pub(crate) sq: u16,
    pub(crate) cid: u16,
    #[inspect(hex)]
    pub(crate) status: u16,
    #[inspect(hex)]
    pub(crate) opcode: u8,
    #[inspect(hex)]
    pub(crate) lba: u64,
    pub(crate) nsid: u32,
}

/// The commands that failed last.
#[derive(Debug, Default, Inspect)]
pub(crate) struct ErrorLog {
    /// Commands that failed, ever.
    pub(crate) count: u64,
    pub(crate) namespace_changed: bool,
    /// The newest first.
    #[inspect(with = "|entries| inspect::iter_by_index(entries.iter())")]
    pub(crate) entries: VecDeque<ErrorEntry>,
}

impl ErrorLog {
    pub(crate) fn record(&mut self, sq: u16, command: &SubmissionEntry, status: Status) {
        self.count += 1;
        self.entries.truncate(ERROR_ENTRIES_MAX - 1);
        let lba = (u64::from(command.cdw(11)) << 32) | u64::from(command.cdw(10));
        self.entries.push_front(ErrorEntry {
            number: self.count,
            sq,
            cid: command.cid.get(),
            status: status.field(true),
            opcode: command.opcode,
            lba: if sq == 0 { 0 } else { lba },
            nsid: command.nsid.get(),
        });
    }

    /// NVMe 2.0 figure 206.
    fn page(&self) -> Page {
        let mut page = Page::new(ERROR_ENTRY_BYTES * ERROR_ENTRIES_MAX);
        for (entry, at) in self.entries.iter().zip((0..).step_by(ERROR_ENTRY_BYTES)) {
            page.u64(at, entry.number);
            page.u16(at + 8, entry.sq);
            page.u16(at + 10, entry.cid);
            page.u16(at + 12, entry.status << 1);
            page.u16(at + 14, u16::MAX);
            page.u64(at + 16, entry.lba);
            page.u32(at + 24, entry.nsid);
            page.u8(at + 29, TRANSPORT_PCIE);
        }
        page
    }
}

impl Controller {
    pub(super) fn get_log_page(
        &self,
        live: &Live,
        command: &SubmissionEntry,
        scratch: &mut Scratch,
    ) -> Result<u32, Status> {
        let [log_page, ..] = command.cdw(10).to_le_bytes();
        let (_, low) = command.cdw_halves(10);
        let (high, _) = command.cdw_halves(11);
        let dwords = (u64::from(high) << 16 | u64::from(low)) + 1;
        let len = usize::try_from(dwords * 4).unwrap_or(usize::MAX);
        let offset = u64::from(command.cdw(13)) << 32 | u64::from(command.cdw(12));
        if len > TRANSFER_MAX || !offset.is_multiple_of(4) || command.cdw(14) & OFFSET_TYPE != 0 {
            return Err(Status::INVALID_FIELD);
        }
        let page = match log_page {
            SUPPORTED_PAGES => supported_pages(),
            ERRORS => self.errors.lock().page(),
            HEALTH => match command.nsid.get() {
                0 | ALL_NAMESPACES => self.health_page(),
                _ => return Err(Status::INVALID_FIELD),
            },
            FIRMWARE_SLOTS => firmware_slots(),
            CHANGED_NAMESPACES => self.changed_namespaces(),
            COMMANDS_SUPPORTED => commands_supported(),
            _ => return Err(Status::INVALID_LOG_PAGE),
        };
        let offset = usize::try_from(offset).ok();
        let rest = offset.and_then(|offset| page.bytes().get(offset..));
        // What is asked for beyond the page's end reads zero.
        let mut data = vec![0; len];
        for (to, from) in data.iter_mut().zip(rest.ok_or(Status::INVALID_FIELD)?) {
            *to = *from;
        }
        self.give(live, command, &data, scratch)?;
        if command.cdw(10) & RETAIN_ASYNC_EVENT == 0 {
            self.events.lock().log_page_read(log_page);
            if log_page == CHANGED_NAMESPACES {
                self.errors.lock().namespace_changed = false;
            }
        }
        Ok(0)
    }

    /// SMART / Health Information (NVMe 2.0 figure 207).
    fn health_page(&self) -> Page {
        const SPARE_PERCENT: u8 = 100;
        const SPARE_THRESHOLD_PERCENT: u8 = 10;
        let counts = &self.statistics;
        let mut page = Page::new(512);
        page.u8(0, self.admin.lock().features.critical_warnings());
        page.u16(1, TEMPERATURE);
        page.u8(3, SPARE_PERCENT);
        page.u8(4, SPARE_THRESHOLD_PERCENT);
        page.u64(32, counts.bytes_read.get().div_ceil(SMART_UNIT));
        page.u64(48, counts.bytes_written.get().div_ceil(SMART_UNIT));
        page.u64(64, counts.reads.get());
        page.u64(80, counts.writes.get());
        page.u64(160, counts.media_errors.get());
        page.u64(176, self.errors.lock().count);
        page
    }

    fn changed_namespaces(&self) -> Page {
        let mut page = Page::new(4096);
        if self.errors.lock().namespace_changed {
            page.u32(0, NSID);
        }
        page
    }
}

fn supported_pages() -> Page {
    let mut page = Page::new(1024);
    for log_page in LOG_PAGES {
        page.u32(usize::from(log_page) * 4, SUPPORTED);
    }
    page
}

fn firmware_slots() -> Page {
    let mut page = Page::new(512);
    page.u8(0, 1);
    page.text(8, 8, env!("CARGO_PKG_VERSION"));
    page
}

/// NVMe 2.0 figure 211: admin commands, then I/O commands.
fn commands_supported() -> Page {
    const IO: usize = 1024;
    let mut page = Page::new(4096);
    for opcode in AdminOpcode::ALL {
        page.u32(usize::from(opcode as u8) * 4, SUPPORTED);
    }
    for opcode in IoOpcode::ALL {
        let effects = if opcode.writes() {
            SUPPORTED | CHANGES_BLOCKS
        } else {
            SUPPORTED
        };
        page.u32(IO + usize::from(opcode as u8) * 4, effects);
    }
    page
}
