//! Doorbells, in BAR 0 and in guest memory (NVMe over PCIe Transport 1.0 section 3.1.2; NVMe 2.0 section 5.8 and annex B.5).

use super::ADMIN_WORKER;
use super::Controller;
use crate::admin::AsyncEvent;
use crate::queue::CompletionQueue;
use crate::queue::DoorbellError;
use crate::queue::SubmissionSlot;
use crate::spec::registers::DOORBELL_BASE;
use crate::spec::registers::DOORBELL_STRIDE;
use inspect::Inspect;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;
use zerocopy::little_endian::U32;

/// Where there is no buffer: no page begins there.
const NOWHERE: u64 = u64::MAX;

/// Which side of a queue pair.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    SubmissionTail,
    CompletionHead,
}

/// A page in guest memory where the guest keeps its doorbells, and one where the controller says which of them it wants to hear of.
#[derive(Debug)]
pub(crate) struct ShadowDoorbells {
    doorbells: AtomicU64,
    event_indexes: AtomicU64,
}

impl Default for ShadowDoorbells {
    fn default() -> Self {
        Self {
            doorbells: AtomicU64::new(NOWHERE),
            event_indexes: AtomicU64::new(NOWHERE),
        }
    }
}

impl Inspect for ShadowDoorbells {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        if let Some((doorbells, event_indexes)) = self.pages() {
            resp.hex("doorbells", doorbells)
                .hex("event_indexes", event_indexes);
        }
    }
}

impl ShadowDoorbells {
    pub(crate) fn set(&self, pages: Option<(u64, u64)>) {
        let (doorbells, event_indexes) = pages.unwrap_or((NOWHERE, NOWHERE));
        // Whoever sees the first sees the second.
        self.event_indexes.store(event_indexes, Ordering::Release);
        self.doorbells.store(doorbells, Ordering::Release);
    }

    /// The two pages.
    pub(crate) fn pages(&self) -> Option<(u64, u64)> {
        let doorbells = self.doorbells.load(Ordering::Acquire);
        (doorbells != NOWHERE).then(|| (doorbells, self.event_indexes.load(Ordering::Acquire)))
    }

    /// The places of one doorbell in both pages. The admin queue's are in BAR 0 alone.
    fn places(&self, qid: u16, side: Side) -> Option<(u64, u64)> {
        let (doorbells, event_indexes) = self.pages().filter(|_| qid != 0)?;
        let offset = doorbell_offset(qid, side);
        Some((
            doorbells.checked_add(offset)?,
            event_indexes.checked_add(offset)?,
        ))
    }
}

/// Offset of a doorbell from the first.
pub(crate) fn doorbell_offset(qid: u16, side: Side) -> u64 {
    let index = u64::from(qid) * 2 + u64::from(side == Side::CompletionHead);
    index * DOORBELL_STRIDE
}

/// The doorbell at an offset in BAR 0.
fn doorbell_at(offset: u64) -> Option<(u16, Side)> {
    let index = offset.checked_sub(DOORBELL_BASE)? / DOORBELL_STRIDE;
    let side = if index.is_multiple_of(2) {
        Side::SubmissionTail
    } else {
        Side::CompletionHead
    };
    Some((u16::try_from(index / 2).ok()?, side))
}

impl Controller {
    /// The guest wrote the doorbell at an offset in BAR 0. What the write asks for is done by a worker.
    pub(crate) fn ring(&self, offset: u64, value: u32) {
        // The bits beyond are reserved (NVMe over PCIe Transport 1.0 figure 5).
        let value = value & 0xffff;
        let rung = match doorbell_at(offset) {
            Some((qid, side)) => self.ring_side(qid, side, value),
            None => Err(DoorbellError::Register),
        };
        if let Err(error) = rung {
            self.invalid_doorbell(error);
        }
    }

    fn ring_side(&self, qid: u16, side: Side, value: u32) -> Result<(), DoorbellError> {
        match side {
            Side::SubmissionTail => {
                let slot = self.submission_slot(qid).ok_or(DoorbellError::Register)?;
                slot.ring(value)?;
                self.wake(self.worker(qid));
            }
            Side::CompletionHead => {
                let slot = self.completion_slot(qid).ok_or(DoorbellError::Register)?;
                if slot.ring(value)? {
                    // Any queue may complete there.
                    self.wake_all();
                }
            }
        }
        Ok(())
    }

    /// Tells the guest of a doorbell that it may not ring like this, once until it asks (NVMe 2.0 figure 146).
    fn invalid_doorbell(&self, error: DoorbellError) {
        self.statistics.invalid_doorbells.add(1);
        if self.status().rdy() {
            self.events.lock().raise(match error {
                DoorbellError::Register => AsyncEvent::InvalidDoorbellRegister,
                DoorbellError::Value => AsyncEvent::InvalidDoorbellValue,
            });
            self.wake(ADMIN_WORKER);
        }
    }

    /// How far the guest has submitted. Where it keeps its doorbells in memory, that is read; a value that can't be is passed over.
    pub(super) fn submission_tail(&self, qid: u16, slot: &SubmissionSlot) -> u16 {
        if let Some((doorbell, _)) = self.shadow.places(qid, Side::SubmissionTail)
            && let Ok(tail) = self.dma.read_value::<U32>(doorbell)
            && tail.get() != u32::from(slot.tail())
            && let Err(error) = slot.ring(tail.get())
        {
            self.invalid_doorbell(error);
        }
        slot.tail()
    }

    /// Asks to hear of the next submission, and says how far the guest had submitted by then.
    pub(super) fn await_submission(&self, qid: u16, slot: &SubmissionSlot) -> u16 {
        if let Some((_, event_index)) = self.shadow.places(qid, Side::SubmissionTail) {
            let tail = U32::from(u32::from(slot.tail()));
            if self.dma.write_value(event_index, &tail).is_ok() {
                fence(Ordering::SeqCst);
                return self.submission_tail(qid, slot);
            }
        }
        slot.tail()
    }

    /// Asks to hear how far the guest has seen a full queue, and learns how far it had by then.
    pub(super) fn await_completion_head(&self, qid: u16, queue: &mut CompletionQueue) {
        let Some((doorbell, event_index)) = self.shadow.places(qid, Side::CompletionHead) else {
            return;
        };
        let head = U32::from(u32::from(queue.head));
        if self.dma.write_value(event_index, &head).is_err() {
            return;
        }
        fence(Ordering::SeqCst);
        if let Ok(head) = self.dma.read_value::<U32>(doorbell)
            && let Err(error) = queue.ring(head.get())
        {
            self.invalid_doorbell(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doorbells_alternate() {
        for (offset, expected) in [
            (0xffc, None),
            (0x1000, Some((0, Side::SubmissionTail))),
            (0x1004, Some((0, Side::CompletionHead))),
            (0x1018, Some((3, Side::SubmissionTail))),
        ] {
            assert_eq!(doorbell_at(offset), expected, "{offset:#x}");
            if let Some((qid, side)) = expected {
                assert_eq!(doorbell_offset(qid, side) + 0x1000, offset);
            }
        }
    }
}
