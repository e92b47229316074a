//! Creating and deleting I/O queues; doorbells in memory (NVMe 2.0 sections 5.4 to 5.7 and section 5.8).

use crate::controller::Controller;
use crate::controller::Live;
use crate::queue::CompletionQueue;
use crate::queue::SubmissionQueue;
use crate::spec::Status;
use crate::spec::SubmissionEntry;
use crate::spec::registers::QUEUE_ENTRIES_MAX;

/// Physically contiguous, in command dword 11.
const CONTIGUOUS: u16 = 1 << 0;
/// Interrupts enabled, in command dword 11 of Create I/O Completion Queue.
const INTERRUPTS_ENABLED: u16 = 1 << 1;

impl Controller {
    /// What both Create commands say of a queue: its number, and how many entries it has.
    fn new_queue(&self, live: &Live, command: &SubmissionEntry) -> Result<(u16, u16), Status> {
        let (qid, last) = command.cdw_halves(10);
        if qid == 0 || qid > self.admin.lock().features.queues_allocated() {
            return Err(Status::INVALID_QUEUE_ID);
        }
        if last == 0 || last >= QUEUE_ENTRIES_MAX || !self.entry_sizes_set() {
            return Err(Status::INVALID_QUEUE_SIZE);
        }
        if command.cdw_halves(11).0 & CONTIGUOUS == 0 {
            return Err(Status::INVALID_FIELD);
        }
        if !command.prp1.get().is_multiple_of(live.page_size) {
            return Err(Status::PRP_OFFSET_INVALID);
        }
        Ok((qid, last + 1))
    }

    pub(super) fn create_completion_queue(
        &self,
        live: &Live,
        command: &SubmissionEntry,
    ) -> Result<u32, Status> {
        let (qid, size) = self.new_queue(live, command)?;
        let (flags, vector) = command.cdw_halves(11);
        if usize::from(vector) >= self.interrupts.len() {
            return Err(Status::INVALID_INTERRUPT_VECTOR);
        }
        let slot = self.completion_slot(qid).ok_or(Status::INVALID_QUEUE_ID)?;
        let mut queue = slot.queue.lock();
        if queue.is_some() {
            return Err(Status::INVALID_QUEUE_ID);
        }
        let vector = (flags & INTERRUPTS_ENABLED != 0).then_some(vector);
        *queue = Some(CompletionQueue::new(command.prp1.get(), size, vector));
        self.admin.lock().features.queues_created();
        Ok(0)
    }

    pub(super) fn create_submission_queue(
        &self,
        live: &Live,
        command: &SubmissionEntry,
    ) -> Result<u32, Status> {
        let (qid, size) = self.new_queue(live, command)?;
        let (_, cq) = command.cdw_halves(11);
        if cq == 0 || cq > self.admin.lock().features.queues_allocated() {
            return Err(Status::INVALID_QUEUE_ID);
        }
        let slot = self.submission_slot(qid).ok_or(Status::INVALID_QUEUE_ID)?;
        if slot.exists() {
            return Err(Status::INVALID_QUEUE_ID);
        }
        self.completion_slot(cq)
            .ok_or(Status::INVALID_QUEUE_ID)?
            .queue
            .lock()
            .as_mut()
            .ok_or(Status::COMPLETION_QUEUE_INVALID)?
            .submission_queues += 1;
        let queue = SubmissionQueue {
            base: command.prp1.get(),
            size,
            head: 0,
            cq,
            unposted: None,
        };
        slot.create(queue, 0);
        self.admin.lock().features.queues_created();
        Ok(0)
    }

    /// Commands that were not fetched are forgotten; one that is being carried out ends first.
    pub(super) fn delete_submission_queue(&self, command: &SubmissionEntry) -> Result<u32, Status> {
        let (qid, _) = command.cdw_halves(10);
        let slot = self.submission_slot(qid).filter(|_| qid != 0);
        let slot = slot.ok_or(Status::INVALID_QUEUE_ID)?;
        let queue = slot.delete().ok_or(Status::INVALID_QUEUE_ID)?;
        if let Some(completion) = self.completion_slot(queue.cq)
            && let Some(completion) = completion.queue.lock().as_mut()
        {
            completion.submission_queues = completion.submission_queues.saturating_sub(1);
        }
        Ok(0)
    }

    pub(super) fn delete_completion_queue(&self, command: &SubmissionEntry) -> Result<u32, Status> {
        let (qid, _) = command.cdw_halves(10);
        let slot = self.completion_slot(qid).filter(|_| qid != 0);
        let slot = slot.ok_or(Status::INVALID_QUEUE_ID)?;
        let mut queue = slot.queue.lock();
        match &*queue {
            None => Err(Status::INVALID_QUEUE_ID),
            Some(queue) if queue.submission_queues > 0 => Err(Status::INVALID_QUEUE_DELETION),
            Some(_) => {
                *queue = None;
                Ok(0)
            }
        }
    }

    pub(super) fn doorbell_buffer_config(
        &self,
        live: &Live,
        command: &SubmissionEntry,
    ) -> Result<u32, Status> {
        let (doorbells, event_indexes) = (command.prp1.get(), command.prp2.get());
        if !(doorbells | event_indexes).is_multiple_of(live.page_size) {
            return Err(Status::INVALID_FIELD);
        }
        // Both are memory, or the guest hears of it now.
        let mut page = [0; 8];
        self.dma.read(doorbells, &mut page)?;
        self.dma.read(event_indexes, &mut page)?;
        self.shadow.set(Some((doorbells, event_indexes)));
        self.update_doorbell_events();
        Ok(0)
    }
}
