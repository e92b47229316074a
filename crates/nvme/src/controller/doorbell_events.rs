//! Doorbells that wake a worker without an exit to the monitor.
//!
//! What the guest writes to such a doorbell is lost, so there are none until the guest keeps its doorbells in memory as well. Only
//! submission doorbells are among them: with doorbells in memory, the guest hardly ever rings the others.

use super::Controller;
use super::doorbells::Side;
use super::doorbells::doorbell_offset;
use crate::spec::registers::DOORBELL_BASE;
use std::sync::Arc;
use vmcore::doorbell::DoorbellRegistration;

const DOORBELL_BYTES: u32 = 4;

/// The doorbells that are registered as events.
#[derive(Default)]
pub(crate) struct DoorbellEvents {
    registration: Option<Arc<dyn DoorbellRegistration>>,
    /// Where BAR 0 is.
    bar: Option<u64>,
    /// Where BAR 0 was when they were registered.
    registered_at: Option<u64>,
    registered: Vec<Box<dyn Send + Sync>>,
}

impl DoorbellEvents {
    /// How many doorbells are events now.
    pub(crate) fn count(&self) -> usize {
        self.registered.len()
    }
}

impl Controller {
    pub(crate) fn set_doorbell_registration(&self, registration: Arc<dyn DoorbellRegistration>) {
        self.doorbell_events.lock().registration = Some(registration);
    }

    /// BAR 0 is at `bar` now.
    pub(crate) fn bar_moved(&self, bar: Option<u64>) {
        self.doorbell_events.lock().bar = bar;
        self.update_doorbell_events();
    }

    /// Registers or gives back the events, as BAR 0 and the guest's doorbells in memory say.
    pub(crate) fn update_doorbell_events(&self) {
        let mut events = self.doorbell_events.lock();
        let at = events.bar.filter(|_| self.shadow.pages().is_some());
        if at == events.registered_at {
            return;
        }
        events.registered.clear();
        events.registered_at = at;
        let (Some(registration), Some(bar)) = (events.registration.clone(), at) else {
            return;
        };
        for qid in 1..=self.identity.queues {
            let offset = DOORBELL_BASE + doorbell_offset(qid, Side::SubmissionTail);
            let (Some(address), Some(wake)) =
                (bar.checked_add(offset), self.wake_of(self.worker(qid)))
            else {
                continue;
            };
            match registration.register(address, None, DOORBELL_BYTES, wake.event()) {
                Ok(registered) => events.registered.push(registered),
                // The doorbell works without.
                Err(error) => tracelimit::warn_ratelimited!(qid, %error, "doorbell not registered"),
            }
        }
    }
}
