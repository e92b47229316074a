//! Queue entries and opcodes (NVMe 2.0 section 3.3.3, section 5; NVM 1.0 section 3).

use super::Status;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;
use zerocopy::little_endian::U16;
use zerocopy::little_endian::U32;
use zerocopy::little_endian::U64;

/// Bytes of a submission queue entry, as a power of two.
pub const SUBMISSION_ENTRY_EXPONENT: u8 = 6;
/// Bytes of a completion queue entry, as a power of two.
pub const COMPLETION_ENTRY_EXPONENT: u8 = 4;
/// The namespace ID that stands for all of them.
pub const ALL_NAMESPACES: u32 = u32::MAX;

/// A submission queue entry (NVMe 2.0 figure 86).
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SubmissionEntry {
    /// What to do.
    pub opcode: u8,
    /// Fused operation in bits 1:0, PRP or SGL in bits 7:6.
    pub flags: u8,
    /// Command identifier, unique among those outstanding in its queue.
    pub cid: U16,
    /// Namespace.
    pub nsid: U32,
    /// Command dword 2.
    pub cdw2: U32,
    /// Command dword 3.
    pub cdw3: U32,
    /// Metadata pointer.
    pub mptr: U64,
    /// PRP entry 1.
    pub prp1: U64,
    /// PRP entry 2.
    pub prp2: U64,
    /// Command dwords 10 to 15.
    pub cdw10_15: [U32; 6],
}

const _: () = assert!(size_of::<SubmissionEntry>() == 1 << SUBMISSION_ENTRY_EXPONENT);

impl SubmissionEntry {
    /// Command dword `n`, 10 to 15; zero for another.
    pub fn cdw(&self, n: usize) -> u32 {
        let dword = n.checked_sub(10).and_then(|n| self.cdw10_15.get(n));
        dword.map_or(0, |dword| dword.get())
    }

    /// Low and high half of command dword `n`.
    pub fn cdw_halves(&self, n: usize) -> (u16, u16) {
        let [a, b, c, d] = self.cdw(n).to_le_bytes();
        (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
    }
}

/// A completion queue entry (NVMe 2.0 figure 89).
#[derive(Copy, Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Completion {
    /// What the command returns.
    pub result: U32,
    /// Reserved; command specific.
    pub dw1: U32,
    /// Where the controller is in the submission queue.
    pub sq_head: U16,
    /// The submission queue.
    pub sq_id: U16,
    /// The command.
    pub cid: U16,
    /// Phase tag in bit 0, status above.
    pub status: U16,
}

const _: () = assert!(size_of::<Completion>() == 1 << COMPLETION_ENTRY_EXPONENT);

impl Completion {
    /// The entry for a command that ended. The phase tag is the queue's.
    pub fn new(
        sq_id: u16,
        sq_head: u16,
        cid: u16,
        result: u32,
        status: Status,
        more: bool,
    ) -> Self {
        Self {
            result: result.into(),
            dw1: 0.into(),
            sq_head: sq_head.into(),
            sq_id: sq_id.into(),
            cid: cid.into(),
            status: (status.field(more) << 1).into(),
        }
    }
}

/// Admin commands (NVMe 2.0 figure 138).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AdminOpcode {
    /// Delete I/O Submission Queue.
    DeleteSubmissionQueue = 0x00,
    /// Create I/O Submission Queue.
    CreateSubmissionQueue = 0x01,
    /// Get Log Page.
    GetLogPage = 0x02,
    /// Delete I/O Completion Queue.
    DeleteCompletionQueue = 0x04,
    /// Create I/O Completion Queue.
    CreateCompletionQueue = 0x05,
    /// Identify.
    Identify = 0x06,
    /// Abort.
    Abort = 0x08,
    /// Set Features.
    SetFeatures = 0x09,
    /// Get Features.
    GetFeatures = 0x0a,
    /// Asynchronous Event Request.
    AsyncEventRequest = 0x0c,
    /// Doorbell Buffer Config.
    DoorbellBufferConfig = 0x7c,
}

impl AdminOpcode {
    /// Those that the controller knows.
    pub const ALL: [Self; 11] = [
        Self::DeleteSubmissionQueue,
        Self::CreateSubmissionQueue,
        Self::GetLogPage,
        Self::DeleteCompletionQueue,
        Self::CreateCompletionQueue,
        Self::Identify,
        Self::Abort,
        Self::SetFeatures,
        Self::GetFeatures,
        Self::AsyncEventRequest,
        Self::DoorbellBufferConfig,
    ];

    /// The command of an opcode; `None` for those the controller does not know.
    pub fn from_opcode(opcode: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == opcode)
    }
}

/// I/O commands of the NVM command set (NVM 1.0 figure 14).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IoOpcode {
    /// Flush.
    Flush = 0x00,
    /// Write.
    Write = 0x01,
    /// Read.
    Read = 0x02,
    /// Compare.
    Compare = 0x05,
    /// Write Zeroes.
    WriteZeroes = 0x08,
    /// Dataset Management.
    DatasetManagement = 0x09,
}

impl IoOpcode {
    /// Those that the controller knows.
    pub const ALL: [Self; 6] = [
        Self::Flush,
        Self::Write,
        Self::Read,
        Self::Compare,
        Self::WriteZeroes,
        Self::DatasetManagement,
    ];

    /// The command of an opcode; `None` for those the controller does not know.
    pub fn from_opcode(opcode: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == opcode)
    }

    /// Whether it changes what the namespace holds.
    pub const fn writes(self) -> bool {
        matches!(
            self,
            Self::Write | Self::WriteZeroes | Self::DatasetManagement
        )
    }
}
