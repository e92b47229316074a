//! The INTx line of a function.

use inspect::Inspect;
use parking_lot::Mutex;
use reg_table::Page;
use std::sync::Arc;
use vmcore::line_interrupt::LineInterrupt;

/// Offset of the dword of Command and Status, and Interrupt Status in it (PCIe 6.2 section 7.5.1.1.4).
const STATUS_COMMAND: u16 = 0x04;
const INTERRUPT_STATUS: u32 = 1 << 19;

/// A function's INTx interrupt: the device raises and lowers it, the guest may hold it back with Interrupt Disable.
#[derive(Debug, Inspect)]
pub struct IntxInterrupt {
    #[inspect(skip)]
    page: Arc<Page>,
    #[inspect(flatten)]
    level: Mutex<Level>,
}

#[derive(Debug, Inspect)]
struct Level {
    line: LineInterrupt,
    interrupt_status: bool,
    interrupt_disabled: bool,
}

impl IntxInterrupt {
    pub(super) fn new(line: LineInterrupt, page: Arc<Page>, disabled: bool) -> Self {
        Self {
            page,
            level: Mutex::new(Level {
                line,
                interrupt_status: false,
                interrupt_disabled: disabled,
            }),
        }
    }

    /// Wires the pin to `line` from now on: a function is composed before it is known where it will be attached.
    pub fn wire(&self, line: LineInterrupt) {
        self.change(|level| level.line = line);
    }

    /// Raises or lowers the interrupt. Interrupt Status follows; the line does unless Interrupt Disable is set.
    pub fn set_level(&self, high: bool) {
        self.change(|level| level.interrupt_status = high);
    }

    /// The guest set or cleared Interrupt Disable.
    pub(super) fn set_disabled(&self, disabled: bool) {
        self.change(|level| level.interrupt_disabled = disabled);
    }

    /// Puts both back at once: in between, the line would move.
    pub(super) fn restore(&self, high: bool, disabled: bool) {
        self.change(|level| {
            level.interrupt_status = high;
            level.interrupt_disabled = disabled;
        });
    }

    /// Whether it is raised: Interrupt Status, whether or not Interrupt Disable holds the line back.
    pub fn is_raised(&self) -> bool {
        self.level.lock().interrupt_status
    }

    fn change(&self, change: impl FnOnce(&mut Level)) {
        let mut level = self.level.lock();
        change(&mut level);
        let status = if level.interrupt_status {
            INTERRUPT_STATUS
        } else {
            0
        };
        self.page
            .update(STATUS_COMMAND, |word| (word & !INTERRUPT_STATUS) | status);
        level
            .line
            .set_level(level.interrupt_status && !level.interrupt_disabled);
    }
}
