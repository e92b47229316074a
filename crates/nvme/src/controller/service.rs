//! Carrying out commands: fetch, execute, post, interrupt (NVMe 2.0 section 3.3).

use super::ADMIN_WORKER;
use super::Controller;
use super::Live;
use crate::dma::DmaError;
use crate::prp::Segment;
use crate::queue::SubmissionQueue;
use crate::queue::SubmissionSlot;
use crate::queue::next;
use crate::spec::Completion;
use crate::spec::Status;
use crate::spec::SubmissionEntry;
use crate::spec::registers::ADMIN_QUEUE_ENTRIES_MAX;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;
use zerocopy::IntoBytes;

/// Commands of a queue before another queue of the worker has its turn.
const TURN: u32 = 32;
/// Commands before their interrupt is sent while there are more.
const COMMANDS_PER_INTERRUPT: u32 = 8;
const SUBMISSION_ENTRY_BYTES: u64 = size_of::<SubmissionEntry>() as u64;
const COMPLETION_ENTRY_BYTES: u64 = size_of::<Completion>() as u64;
/// Where the dword with the phase tag is in a completion queue entry.
const PHASE_DWORD: usize = 12;

/// Room that a worker uses for command after command.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) data: Vec<u8>,
    pub(crate) compared: Vec<u8>,
    pub(crate) segments: Vec<Segment>,
}

/// What became of a command that was carried out.
pub(crate) enum Outcome {
    /// It ended; its completion says this.
    Done(u32),
    /// It ends later.
    Held,
}

/// What became of a completion.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It is in the queue.
    Yes,
    /// The queue is full.
    Full,
    /// The queue can't be reached; the guest has seen nothing.
    No,
}

/// What became of a queue's turn.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A command was carried out.
    Progress,
    /// There is nothing to do, or nothing that can be done before the guest does something.
    Idle,
}

impl Controller {
    /// What a worker does when it is woken. Says whether something was done.
    pub(crate) fn service(&self, worker: usize, scratch: &mut Scratch) -> bool {
        if worker == ADMIN_WORKER && self.wants_settling() {
            let mut live = self.exclusive();
            self.settle(&mut live);
        }
        let live = self.gate.read();
        self.service_queues(&live, worker, scratch)
    }

    /// Carries out commands of a worker's queues, some of each.
    fn service_queues(&self, live: &Live, worker: usize, scratch: &mut Scratch) -> bool {
        if !live.enabled {
            return false;
        }
        let mut progress = false;
        for qid in self.queues_of(worker) {
            if self.should_yield() {
                // Not done: the worker comes back when whoever waits is through.
                return true;
            }
            progress |= self.service_queue(live, qid, scratch);
        }
        if worker == ADMIN_WORKER {
            progress |= self.deliver_events();
        }
        progress
    }

    /// Carries out all that was submitted, as far as it can be; for whoever has the gate alone.
    pub(crate) fn drain(&self, live: &Live) {
        let mut scratch = Scratch::default();
        // Nobody submits meanwhile, so a queue holds no more than its size, and all have their turn in each round.
        let rounds = u32::from(ADMIN_QUEUE_ENTRIES_MAX) / TURN + 2;
        for _ in 0..rounds {
            let mut progress = false;
            for worker in 0..self.wakes.len() {
                progress |= self.service_queues(live, worker, &mut scratch);
            }
            if !progress {
                return;
            }
        }
    }

    fn service_queue(&self, live: &Live, qid: u16, scratch: &mut Scratch) -> bool {
        let Some(slot) = self.submission_slot(qid).filter(|slot| slot.exists()) else {
            return false;
        };
        let mut slot_queue = slot.queue.lock();
        let Some(queue) = slot_queue.as_mut() else {
            return false;
        };
        let cq = queue.cq;
        let mut progress = false;
        for turn in 1..=TURN {
            if self.step(live, qid, slot, queue, scratch) == Step::Idle {
                break;
            }
            progress = true;
            if turn.is_multiple_of(COMMANDS_PER_INTERRUPT) {
                self.interrupt(cq);
            }
            if self.should_yield() {
                break;
            }
        }
        drop(slot_queue);
        if progress {
            self.interrupt(cq);
        }
        progress
    }

    /// Carries out the next command of a queue.
    fn step(
        &self,
        live: &Live,
        qid: u16,
        slot: &SubmissionSlot,
        queue: &mut SubmissionQueue,
        scratch: &mut Scratch,
    ) -> Step {
        if self.status().cfs() {
            return Step::Idle;
        }
        if !self.dma.enabled() {
            self.blocked.store(true, Ordering::Release);
            return Step::Idle;
        }
        if let Some(completion) = queue.unposted.take() {
            return self.finish(queue, completion);
        }
        let mut tail = self.submission_tail(qid, slot);
        if tail == queue.head {
            tail = self.await_submission(qid, slot);
        }
        if tail == queue.head || !self.reserve(queue.cq) {
            return Step::Idle;
        }
        match self.fetch(queue) {
            Ok(entry) => {
                queue.head = next(queue.head, queue.size);
                self.carry_out(live, qid, queue, &entry, scratch)
            }
            Err(error) => {
                self.release(queue.cq);
                match error {
                    DmaError::Disabled => self.blocked.store(true, Ordering::Release),
                    DmaError::NotMemory => self.fail("a submission queue is not in memory"),
                }
                Step::Idle
            }
        }
    }

    fn fetch(&self, queue: &SubmissionQueue) -> Result<SubmissionEntry, DmaError> {
        let offset = u64::from(queue.head) * SUBMISSION_ENTRY_BYTES;
        let at = queue.base.checked_add(offset);
        self.dma.read_value(at.ok_or(DmaError::NotMemory)?)
    }

    /// Carries out a command that was fetched, and posts its completion.
    fn carry_out(
        &self,
        live: &Live,
        qid: u16,
        queue: &mut SubmissionQueue,
        entry: &SubmissionEntry,
        scratch: &mut Scratch,
    ) -> Step {
        self.statistics.commands.add(1);
        let outcome = if qid == 0 {
            self.execute_admin(live, entry, queue.head, scratch)
        } else {
            self.execute_io(live, entry, scratch)
                .map(|()| Outcome::Done(0))
        };
        self.release(queue.cq);
        let (result, status) = match outcome {
            Ok(Outcome::Held) => return Step::Progress,
            Ok(Outcome::Done(result)) => (result, Status::SUCCESS),
            Err(status) => (0, status),
        };
        let more = !status.is_success();
        if more {
            self.statistics.errors.add(1);
            self.errors.lock().record(qid, entry, status);
        }
        let cid = entry.cid.get();
        let completion = Completion::new(qid, queue.head, cid, result, status, more);
        self.finish(queue, completion)
    }

    /// Posts the completion of a command of `queue`, or keeps it until it can be posted.
    fn finish(&self, queue: &mut SubmissionQueue, completion: Completion) -> Step {
        match self.post(queue.cq, completion) {
            Posted::Yes => return Step::Progress,
            Posted::Full => {}
            Posted::No => self.blocked.store(true, Ordering::Release),
        }
        queue.unposted = Some(completion);
        Step::Idle
    }

    /// Keeps an entry of a completion queue free for the command about to be fetched.
    fn reserve(&self, cq: u16) -> bool {
        let Some(slot) = self.completion_slot(cq) else {
            return false;
        };
        let mut queue = slot.queue.lock();
        let Some(queue) = queue.as_mut() else {
            return false;
        };
        if queue.reserve() {
            return true;
        }
        slot.stalled.store(true, Ordering::Release);
        self.await_completion_head(cq, queue);
        queue.reserve()
    }

    fn release(&self, cq: u16) {
        if let Some(slot) = self.completion_slot(cq)
            && let Some(queue) = slot.queue.lock().as_mut()
        {
            queue.release();
        }
    }

    /// Posts a completion.
    pub(crate) fn post(&self, cq: u16, mut completion: Completion) -> Posted {
        let Some(slot) = self.completion_slot(cq) else {
            return Posted::No;
        };
        let mut queue = slot.queue.lock();
        let Some(queue) = queue.as_mut() else {
            return Posted::No;
        };
        if !queue.reserve() {
            slot.stalled.store(true, Ordering::Release);
            self.await_completion_head(cq, queue);
            if !queue.reserve() {
                return Posted::Full;
            }
        }
        queue.release();
        let phase = u16::from(queue.phase);
        completion.status = (completion.status.get() & !1 | phase).into();
        let offset = u64::from(queue.tail) * COMPLETION_ENTRY_BYTES;
        let at = queue.base.checked_add(offset).ok_or(DmaError::NotMemory);
        match at.and_then(|at| self.write_completion(at, &completion)) {
            Ok(()) => {
                queue.advance();
                Posted::Yes
            }
            Err(DmaError::Disabled) => Posted::No,
            Err(DmaError::NotMemory) => {
                self.fail("a completion queue is not in memory");
                Posted::No
            }
        }
    }

    /// The guest takes an entry for whole when it sees its phase tag change, so the dword with the tag is written last.
    fn write_completion(&self, at: u64, completion: &Completion) -> Result<(), DmaError> {
        let Some((body, tagged)) = completion.as_bytes().split_at_checked(PHASE_DWORD) else {
            return Ok(());
        };
        self.dma.write(at, body)?;
        fence(Ordering::Release);
        self.dma.write(at + PHASE_DWORD as u64, tagged)
    }

    /// Sends the interrupt of a completion queue, if something was posted since the last.
    pub(crate) fn interrupt(&self, cq: u16) {
        let Some(slot) = self.completion_slot(cq) else {
            return;
        };
        let vector = slot.queue.lock().as_mut().and_then(|queue| {
            let due = std::mem::take(&mut queue.interrupt_due);
            queue.vector.filter(|_| due)
        });
        if let Some(interrupt) = vector.and_then(|v| self.interrupts.get(usize::from(v))) {
            self.statistics.interrupts.add(1);
            interrupt.deliver();
        }
    }
}
