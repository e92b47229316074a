//! How a command ended (NVMe 2.0 section 3.3.3.2.1).

/// Status Code Type and Status Code of a command, and whether to try again makes no sense.
///
/// Holding one proves nothing: every bit pattern is a status.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Status Code Type in bits 10:8, Status Code in bits 7:0.
    pub code: u16,
    /// Do Not Retry: the same command would fail again.
    pub dnr: bool,
}

const fn retry(code: u16) -> Status {
    Status { code, dnr: false }
}

const fn never(code: u16) -> Status {
    Status { code, dnr: true }
}

impl Status {
    /// Successful Completion.
    pub const SUCCESS: Self = retry(0x000);
    /// Invalid Command Opcode.
    pub const INVALID_OPCODE: Self = never(0x001);
    /// Invalid Field in Command.
    pub const INVALID_FIELD: Self = never(0x002);
    /// Command ID Conflict.
    pub const COMMAND_ID_CONFLICT: Self = never(0x003);
    /// Data Transfer Error.
    pub const DATA_TRANSFER_ERROR: Self = retry(0x004);
    /// Command Abort Requested.
    pub const COMMAND_ABORT_REQUESTED: Self = retry(0x007);
    /// Invalid Namespace or Format.
    pub const INVALID_NAMESPACE: Self = never(0x00b);
    /// Command Sequence Error.
    pub const COMMAND_SEQUENCE_ERROR: Self = never(0x00c);
    /// PRP Offset Invalid.
    pub const PRP_OFFSET_INVALID: Self = never(0x013);
    /// Namespace is Write Protected.
    pub const WRITE_PROTECTED: Self = never(0x020);
    /// LBA Out of Range.
    pub const LBA_OUT_OF_RANGE: Self = never(0x080);
    /// Completion Queue Invalid.
    pub const COMPLETION_QUEUE_INVALID: Self = never(0x100);
    /// Invalid Queue Identifier.
    pub const INVALID_QUEUE_ID: Self = never(0x101);
    /// Invalid Queue Size.
    pub const INVALID_QUEUE_SIZE: Self = never(0x102);
    /// Asynchronous Event Request Limit Exceeded.
    pub const ASYNC_EVENT_LIMIT_EXCEEDED: Self = never(0x105);
    /// Invalid Interrupt Vector.
    pub const INVALID_INTERRUPT_VECTOR: Self = never(0x108);
    /// Invalid Log Page.
    pub const INVALID_LOG_PAGE: Self = never(0x109);
    /// Invalid Queue Deletion.
    pub const INVALID_QUEUE_DELETION: Self = never(0x10c);
    /// Feature Identifier Not Saveable.
    pub const FEATURE_NOT_SAVEABLE: Self = never(0x10d);
    /// Feature Not Changeable.
    pub const FEATURE_NOT_CHANGEABLE: Self = never(0x10e);
    /// Write Fault.
    pub const WRITE_FAULT: Self = retry(0x280);
    /// Unrecovered Read Error.
    pub const UNRECOVERED_READ_ERROR: Self = retry(0x281);
    /// Compare Failure.
    pub const COMPARE_FAILURE: Self = never(0x285);

    /// Whether the command was successful.
    pub const fn is_success(self) -> bool {
        self.code == 0
    }

    /// The Status Field of a completion queue entry, without the phase tag: bits 14:0. `more` says that the error log has an entry.
    pub const fn field(self, more: bool) -> u16 {
        self.code & 0x7ff | (more as u16) << 13 | (self.dnr as u16) << 14
    }
}
