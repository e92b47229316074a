//! Identify (NVMe 2.0 section 5.17; NVM 1.0 section 4.1.5).

use super::ABORT_LIMIT;
use super::ASYNC_EVENT_REQUESTS_MAX;
use super::features::TEMPERATURE_WARNING;
use super::log_page::ERROR_ENTRIES_MAX;
use crate::controller::Controller;
use crate::controller::Live;
use crate::controller::Scratch;
use crate::io::TRANSFER_PAGES_EXPONENT;
use crate::namespace::NSID;
use crate::page::Page;
use crate::spec::Status;
use crate::spec::SubmissionEntry;
use crate::spec::command::ALL_NAMESPACES;
use crate::spec::registers::VERSION;

/// Bytes of every data structure of Identify.
const IDENTIFY_BYTES: usize = 4096;
/// The NVM command set's identifier.
const NVM_COMMAND_SET: u8 = 0;
/// Doorbell Buffer Config, in Optional Admin Command Support.
const OACS_DOORBELL_BUFFER_CONFIG: u16 = 1 << 8;
/// Namespace attribute notices, in Optional Asynchronous Events Supported.
const OAES_NAMESPACE_ATTRIBUTE: u32 = 1 << 8;
/// Commands Supported and Effects, and offsets into log pages, in Log Page Attributes.
const LPA: u8 = 1 << 1 | 1 << 2;
/// Compare, Dataset Management, Write Zeroes, and Save and Select in features, in Optional NVM Command Support.
const ONCS: u16 = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4;
/// One firmware slot, which is read only.
const FIRMWARE_SLOTS: u8 = 1 << 1 | 1;
/// Flush takes the namespace ID that stands for all.
const VWC_FLUSH_ALL: u8 = 0b11 << 1;
/// Deallocated blocks read zero, and Write Zeroes may deallocate.
const DLFEAT: u8 = 1 | 1 << 3;

impl Controller {
    pub(super) fn identify(
        &self,
        live: &Live,
        command: &SubmissionEntry,
        scratch: &mut Scratch,
    ) -> Result<u32, Status> {
        let [cns, ..] = command.cdw(10).to_le_bytes();
        let [.., command_set] = command.cdw(11).to_le_bytes();
        let nsid = command.nsid.get();
        let mut page = Page::new(IDENTIFY_BYTES);
        match cns {
            0x00 => {
                // Without namespace management, there is nothing common to all namespaces.
                check_namespace(nsid)?;
                self.identify_namespace(&mut page);
            }
            0x01 => self.identify_controller(&mut page),
            0x02 => active_namespaces(nsid, &mut page)?,
            0x03 => {
                check_namespace(nsid)?;
                self.namespace_descriptors(&mut page);
            }
            // What the NVM command set adds to these: nothing that is there.
            0x05 if command_set == NVM_COMMAND_SET => check_namespace(nsid)?,
            0x06 if command_set == NVM_COMMAND_SET => {}
            0x07 if command_set == NVM_COMMAND_SET => active_namespaces(nsid, &mut page)?,
            0x08 => {
                check_namespace(nsid)?;
                self.identify_namespace_any_command_set(&mut page);
            }
            // The combinations of command sets: the NVM command set alone.
            0x1c => page.u64(0, 1),
            _ => return Err(Status::INVALID_FIELD),
        }
        self.give(live, command, page.bytes(), scratch)?;
        Ok(0)
    }

    fn identify_controller(&self, page: &mut Page) {
        let identity = &self.identity;
        page.u16(0, identity.vendor_id);
        page.u16(2, identity.subsystem_vendor_id);
        page.text(4, 20, &identity.serial);
        page.text(24, 40, &identity.model);
        page.text(64, 8, env!("CARGO_PKG_VERSION"));
        page.u8(77, TRANSFER_PAGES_EXPONENT);
        page.u16(78, 0);
        page.u32(80, VERSION);
        page.u32(92, OAES_NAMESPACE_ATTRIBUTE);
        page.u8(111, 1); // an I/O controller
        page.u16(256, OACS_DOORBELL_BUFFER_CONFIG);
        page.u8(258, ABORT_LIMIT);
        page.u8(259, last(ASYNC_EVENT_REQUESTS_MAX));
        page.u8(260, FIRMWARE_SLOTS);
        page.u8(261, LPA);
        page.u8(262, last(ERROR_ENTRIES_MAX));
        page.u16(266, TEMPERATURE_WARNING);
        page.u16(268, TEMPERATURE_WARNING + 10);
        page.u8(512, 0x66);
        page.u8(513, 0x44);
        page.u32(516, NSID);
        page.u16(520, ONCS);
        let cache = self.namespace.storage.volatile_write_cache();
        page.u8(525, VWC_FLUSH_ALL | u8::from(cache));
        page.bytes_at(768, identity.subsystem_name().as_bytes());
        page.u16(2048, 2500); // power state 0: 25 W at most
    }

    fn identify_namespace(&self, page: &mut Page) {
        let blocks = self.namespace.blocks();
        for offset in [0, 8, 16] {
            page.u64(offset, blocks);
        }
        page.u8(33, DLFEAT);
        page.u8(99, u8::from(self.namespace.storage.read_only()));
        page.u8(130, self.namespace.block_exponent);
    }

    /// What doesn't depend on a command set (NVMe 2.0 figure 280).
    fn identify_namespace_any_command_set(&self, page: &mut Page) {
        page.u8(8, u8::from(self.namespace.storage.read_only()));
        page.u8(14, 1); // ready
    }

    /// NVMe 2.0 figure 278.
    fn namespace_descriptors(&self, page: &mut Page) {
        page.u8(0, 3); // a UUID
        page.u8(1, 16);
        page.bytes_at(4, &self.identity.uuid);
        page.u8(20, 4); // the command set
        page.u8(21, 1);
        page.u8(24, NVM_COMMAND_SET);
    }
}

/// The largest index of `count` things.
fn last(count: usize) -> u8 {
    u8::try_from(count - 1).unwrap_or(u8::MAX)
}

fn check_namespace(nsid: u32) -> Result<(), Status> {
    match nsid {
        NSID => Ok(()),
        _ => Err(Status::INVALID_NAMESPACE),
    }
}

/// The active namespaces after `after`.
fn active_namespaces(after: u32, page: &mut Page) -> Result<(), Status> {
    if after >= ALL_NAMESPACES - 1 {
        return Err(Status::INVALID_NAMESPACE);
    }
    if after < NSID {
        page.u32(0, NSID);
    }
    Ok(())
}
