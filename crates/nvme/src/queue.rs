//! Submission and completion queues, and their doorbells (NVMe 2.0 section 3.3).

use crate::spec::Completion;
use inspect::Inspect;
use parking_lot::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

/// The next index after `index` of a queue of `size` entries.
pub(crate) fn next(index: u16, size: u16) -> u16 {
    if index + 1 >= size { 0 } else { index + 1 }
}

/// How many entries lie from `from` to `to` of a queue of `size` entries, both less than `size`.
pub(crate) fn distance(from: u16, to: u16, size: u16) -> u16 {
    if to >= from {
        to - from
    } else {
        size - from + to
    }
}

/// Why a doorbell was not rung.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum DoorbellError {
    /// There is no such queue.
    Register,
    /// The queue has no such entry, or it would have less than nothing in it.
    Value,
}

/// The controller's side of a submission queue.
#[derive(Debug, Inspect)]
pub(crate) struct SubmissionQueue {
    #[inspect(hex)]
    pub(crate) base: u64,
    pub(crate) size: u16,
    /// The next entry to fetch.
    pub(crate) head: u16,
    /// The completion queue.
    pub(crate) cq: u16,
    /// The completion of a command that was carried out, while the completion queue can't be reached.
    #[inspect(with = "|unposted| unposted.is_some()")]
    pub(crate) unposted: Option<Completion>,
}

/// A place for a submission queue.
#[derive(Default)]
pub(crate) struct SubmissionSlot {
    /// Entries of the queue in bits 31:16, 0 where there is none; its tail in bits 15:0.
    doorbell: AtomicU32,
    pub(crate) queue: Mutex<Option<SubmissionQueue>>,
}

fn pack(size: u16, tail: u16) -> u32 {
    (u32::from(size) << 16) | u32::from(tail)
}

fn unpack(doorbell: u32) -> (u16, u16) {
    let [a, b, c, d] = doorbell.to_le_bytes();
    (u16::from_le_bytes([c, d]), u16::from_le_bytes([a, b]))
}

impl SubmissionSlot {
    /// Puts a queue here, which nothing was submitted to after `tail`.
    pub(crate) fn create(&self, queue: SubmissionQueue, tail: u16) {
        let mut slot = self.queue.lock();
        self.doorbell
            .store(pack(queue.size, tail), Ordering::Release);
        *slot = Some(queue);
    }

    /// Takes the queue away. Waits for the command that is being carried out.
    pub(crate) fn delete(&self) -> Option<SubmissionQueue> {
        let mut slot = self.queue.lock();
        self.doorbell.store(0, Ordering::Release);
        slot.take()
    }

    pub(crate) fn exists(&self) -> bool {
        unpack(self.doorbell.load(Ordering::Acquire)).0 != 0
    }

    pub(crate) fn tail(&self) -> u16 {
        unpack(self.doorbell.load(Ordering::Acquire)).1
    }

    /// The guest moved the tail.
    pub(crate) fn ring(&self, tail: u32) -> Result<(), DoorbellError> {
        let mut error = DoorbellError::Register;
        let moved = self
            .doorbell
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |doorbell| {
                let (size, _) = unpack(doorbell);
                error = if size == 0 {
                    DoorbellError::Register
                } else {
                    DoorbellError::Value
                };
                let tail = u16::try_from(tail).ok().filter(|tail| *tail < size)?;
                Some(pack(size, tail))
            });
        moved.map(drop).map_err(|_| error)
    }
}

/// The controller's side of a completion queue.
#[derive(Debug, Inspect)]
pub(crate) struct CompletionQueue {
    #[inspect(hex)]
    pub(crate) base: u64,
    pub(crate) size: u16,
    /// The entry that the guest looks at next.
    pub(crate) head: u16,
    /// The next entry to post.
    pub(crate) tail: u16,
    /// What the phase tag of that entry will be.
    pub(crate) phase: bool,
    /// Its interrupt, if it has one.
    pub(crate) vector: Option<u16>,
    /// Submission queues that complete here.
    pub(crate) submission_queues: u16,
    /// Entries kept free for commands that are being carried out.
    pub(crate) reserved: u16,
    /// Something was posted and no interrupt sent for it.
    pub(crate) interrupt_due: bool,
}

impl CompletionQueue {
    pub(crate) fn new(base: u64, size: u16, vector: Option<u16>) -> Self {
        Self {
            base,
            size,
            head: 0,
            tail: 0,
            phase: true,
            vector,
            submission_queues: 0,
            reserved: 0,
            interrupt_due: false,
        }
    }

    pub(crate) fn used(&self) -> u16 {
        distance(self.head, self.tail, self.size)
    }

    /// Keeps an entry free, if there is one.
    pub(crate) fn reserve(&mut self) -> bool {
        let free = self.used() + self.reserved < self.size - 1;
        self.reserved += u16::from(free);
        free
    }

    pub(crate) fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// The entry at the tail was posted.
    pub(crate) fn advance(&mut self) {
        self.tail = next(self.tail, self.size);
        if self.tail == 0 {
            self.phase = !self.phase;
        }
        self.interrupt_due = true;
    }

    /// The guest has seen the entries up to `head`.
    pub(crate) fn ring(&mut self, head: u32) -> Result<(), DoorbellError> {
        let head = u16::try_from(head).ok().filter(|head| *head < self.size);
        let head = head.ok_or(DoorbellError::Value)?;
        if distance(self.head, head, self.size) > self.used() {
            return Err(DoorbellError::Value);
        }
        self.head = head;
        Ok(())
    }
}

/// A place for a completion queue.
#[derive(Default)]
pub(crate) struct CompletionSlot {
    pub(crate) queue: Mutex<Option<CompletionQueue>>,
    /// Someone found it full, and waits for the guest to ring.
    pub(crate) stalled: AtomicBool,
}

impl CompletionSlot {
    /// The guest moved the head; says whether someone waits for it.
    pub(crate) fn ring(&self, head: u32) -> Result<bool, DoorbellError> {
        let mut slot = self.queue.lock();
        slot.as_mut().ok_or(DoorbellError::Register)?.ring(head)?;
        Ok(self.stalled.swap(false, Ordering::AcqRel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_stays_in_the_queue() {
        let slot = SubmissionSlot::default();
        assert_eq!(slot.ring(0), Err(DoorbellError::Register));
        let queue = SubmissionQueue {
            base: 0,
            size: 8,
            head: 0,
            cq: 1,
            unposted: None,
        };
        slot.create(queue, 0);
        assert_eq!(slot.ring(8), Err(DoorbellError::Value));
        assert_eq!(slot.ring(0x1_0001), Err(DoorbellError::Value));
        assert_eq!(slot.ring(7), Ok(()));
        assert_eq!(slot.tail(), 7);
        assert!(slot.delete().is_some());
        assert_eq!(slot.ring(1), Err(DoorbellError::Register));
    }

    #[test]
    fn head_stays_behind_the_tail() {
        let mut queue = CompletionQueue::new(0, 4, None);
        for _ in 0..3 {
            assert!(queue.reserve());
            queue.release();
            queue.advance();
        }
        assert!(!queue.reserve(), "one entry stays free");
        assert_eq!(queue.ring(4), Err(DoorbellError::Value));
        assert_eq!(queue.ring(2), Ok(()));
        assert_eq!(queue.ring(1), Err(DoorbellError::Value), "backwards");
        assert_eq!(queue.ring(3), Ok(()));
        assert!(queue.phase);
        queue.advance();
        assert_eq!((queue.tail, queue.phase, queue.used()), (0, false, 1));
    }
}
