//! Enabling, disabling, shutting down, resetting (NVMe 2.0 sections 3.5 to 3.7).

use super::ADMIN_WORKER;
use super::Controller;
use crate::admin::AdminState;
use crate::admin::Events;
use crate::queue::CompletionQueue;
use crate::queue::SubmissionQueue;
use crate::spec::command::COMPLETION_ENTRY_EXPONENT;
use crate::spec::command::SUBMISSION_ENTRY_EXPONENT;
use crate::spec::registers::AdminQueueAttributes;
use crate::spec::registers::Configuration;
use crate::spec::registers::NvmeReg;
use crate::spec::registers::PAGE_SIZE_EXPONENT_MAX;
use inspect::Inspect;
use reg_table::Change;
use reg_table::Reset;
use std::sync::atomic::Ordering;

const PAGE_SIZE_MIN: u64 = 4096;

/// What holds from the moment the controller is enabled until it is reset.
#[derive(Debug, Inspect)]
pub(crate) struct Live {
    pub(crate) enabled: bool,
    /// Bytes of a memory page.
    #[inspect(hex)]
    pub(crate) page_size: u64,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            enabled: false,
            page_size: PAGE_SIZE_MIN,
        }
    }
}

impl Live {
    /// What holds after a controller was enabled with `configuration`.
    pub(crate) fn enabled(configuration: Configuration) -> Self {
        Self {
            enabled: true,
            page_size: PAGE_SIZE_MIN << configuration.mps().min(PAGE_SIZE_EXPONENT_MAX),
        }
    }
}

impl Controller {
    /// The guest wrote CC. What that asks for is done by a worker: it may have to wait for the storage.
    pub(crate) fn configuration_written(&self, change: &Change<NvmeReg>) {
        if Configuration::from_bits(change.fell()).en() {
            self.reset_requested.store(true, Ordering::Release);
        }
        self.configured.store(true, Ordering::Release);
        self.wake(ADMIN_WORKER);
    }

    /// Whether [`Self::settle`] has something to do.
    pub(super) fn wants_settling(&self) -> bool {
        self.configured.load(Ordering::Acquire)
    }

    /// Does what CC asks for.
    pub(crate) fn settle(&self, live: &mut Live) {
        if !self.configured.swap(false, Ordering::AcqRel) {
            return;
        }
        if self.reset_requested.swap(false, Ordering::AcqRel) {
            self.reset_controller(live);
        }
        let configuration = self.configuration();
        if configuration.en() && !live.enabled && !self.status().cfs() {
            self.enable(live, configuration);
        }
        if configuration.shn() != 0 && self.status().shst() == 0 {
            self.set_status(|status| status.with_shst(1));
            if let Err(error) = self.namespace.storage.flush() {
                tracelimit::error_ratelimited!(serial = %self.identity.serial, %error, "not flushed at shutdown");
                self.statistics.media_errors.add(1);
            }
            self.set_status(|status| status.with_shst(2));
        }
    }

    fn enable(&self, live: &mut Live, configuration: Configuration) {
        let attributes = AdminQueueAttributes::from_bits(self.registers.get(NvmeReg::Aqa));
        let address = |low, high| {
            (u64::from(self.registers.get(high)) << 32) | u64::from(self.registers.get(low))
        };
        let submission = address(NvmeReg::AsqLow, NvmeReg::AsqHigh);
        let completion = address(NvmeReg::AcqLow, NvmeReg::AcqHigh);
        let next = Live::enabled(configuration);
        let wrong = if configuration.css() != 0 {
            "the command set selected is not there"
        } else if configuration.ams() != 0 {
            "the arbitration selected is not there"
        } else if configuration.mps() > PAGE_SIZE_EXPONENT_MAX {
            "memory pages are too large"
        } else if attributes.asqs() == 0 || attributes.acqs() == 0 {
            "an admin queue is too small"
        } else if !(submission | completion).is_multiple_of(next.page_size) {
            "an admin queue does not begin with a page"
        } else {
            *live = next;
            self.create_admin_queues(attributes, submission, completion);
            self.set_status(|status| status.with_rdy(true));
            return;
        };
        self.fail(wrong);
    }

    fn create_admin_queues(
        &self,
        attributes: AdminQueueAttributes,
        submission: u64,
        completion: u64,
    ) {
        if let Some(slot) = self.completion_slot(0) {
            let mut queue = CompletionQueue::new(completion, attributes.acqs() + 1, Some(0));
            queue.submission_queues = 1;
            *slot.queue.lock() = Some(queue);
        }
        if let Some(slot) = self.submission_slot(0) {
            let queue = SubmissionQueue {
                base: submission,
                size: attributes.asqs() + 1,
                head: 0,
                cq: 0,
                unposted: None,
            };
            slot.create(queue, 0);
        }
    }

    /// Whether CC has the sizes of queue entries that there are.
    pub(crate) fn entry_sizes_set(&self) -> bool {
        let configuration = self.configuration();
        configuration.iosqes() == SUBMISSION_ENTRY_EXPONENT
            && configuration.iocqes() == COMPLETION_ENTRY_EXPONENT
    }

    /// Takes all queues away.
    pub(crate) fn clear_queues(&self) {
        for slot in &self.submission {
            slot.delete();
        }
        for slot in &self.completion {
            *slot.queue.lock() = None;
            slot.stalled.store(false, Ordering::Release);
        }
    }

    /// A controller reset: queues, outstanding commands and features are gone; the admin queue's registers stay.
    fn reset_controller(&self, live: &mut Live) {
        *live = Live::default();
        self.clear_queues();
        *self.admin.lock() = AdminState::new(self.identity.queues);
        *self.events.lock() = Events::default();
        self.shadow.set(None);
        self.update_doorbell_events();
        self.blocked.store(false, Ordering::Release);
        self.namespace.set_write_cache(true);
        self.statistics.resets.add(1);
        self.set_status(|status| status.with_rdy(false).with_cfs(false).with_shst(0));
    }

    /// Forgets what the guest asked for by CC and was not done, for a state in which all was done.
    pub(crate) fn restored(&self) {
        self.configured.store(false, Ordering::Release);
        self.reset_requested.store(false, Ordering::Release);
        // Guest memory may not be there yet: the workers look for work when the guest does something.
        self.blocked.store(true, Ordering::Release);
    }

    /// A reset of the function: all registers as well.
    pub(crate) fn reset(&self, kind: Reset) {
        let mut live = self.exclusive();
        self.configured.store(false, Ordering::Release);
        self.reset_requested.store(false, Ordering::Release);
        self.reset_controller(&mut live);
        self.registers.reset(kind);
    }
}
