//! Asynchronous events (NVMe 2.0 section 5.2).

use super::ASYNC_EVENT_REQUESTS_MAX;
use crate::controller::Controller;
use crate::controller::Outcome;
use crate::controller::Posted;
use crate::spec::Completion;
use crate::spec::Status;
use crate::spec::SubmissionEntry;
use inspect::Inspect;

/// Types of event (NVMe 2.0 figure 145).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventType {
    Error = 0,
    Health = 1,
    Notice = 2,
}

impl EventType {
    pub(crate) const ALL: [Self; 3] = [Self::Error, Self::Health, Self::Notice];
}

/// Events that happen here (NVMe 2.0 figures 146 to 148).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Inspect)]
pub(crate) enum AsyncEvent {
    InvalidDoorbellRegister,
    InvalidDoorbellValue,
    TemperatureThreshold,
    NamespaceAttributeChanged,
}

impl AsyncEvent {
    pub(crate) const ALL: [Self; 4] = [
        Self::InvalidDoorbellRegister,
        Self::InvalidDoorbellValue,
        Self::TemperatureThreshold,
        Self::NamespaceAttributeChanged,
    ];

    fn event_type(self) -> EventType {
        match self {
            Self::InvalidDoorbellRegister | Self::InvalidDoorbellValue => EventType::Error,
            Self::TemperatureThreshold => EventType::Health,
            Self::NamespaceAttributeChanged => EventType::Notice,
        }
    }

    /// Asynchronous Event Information.
    fn information(self) -> u32 {
        match self {
            Self::InvalidDoorbellRegister | Self::NamespaceAttributeChanged => 0,
            Self::InvalidDoorbellValue | Self::TemperatureThreshold => 1,
        }
    }

    /// The log page that says more, and whose reading clears the event.
    fn log_page(self) -> u8 {
        match self.event_type() {
            EventType::Error => 0x01,
            EventType::Health => 0x02,
            EventType::Notice => 0x04,
        }
    }

    /// Dword 0 of the completion (NVMe 2.0 figure 144).
    fn result(self) -> u32 {
        self.event_type() as u32 | self.information() << 8 | u32::from(self.log_page()) << 16
    }
}

/// Events that the guest hasn't heard of, one of each type at most, and types that it is not to hear of until it has read their log page.
#[derive(Debug, Default, Inspect)]
pub(crate) struct Events {
    #[inspect(iter_by_index)]
    pub(crate) pending: [Option<AsyncEvent>; 3],
    #[inspect(iter_by_index)]
    pub(crate) masked: [bool; 3],
}

impl Events {
    /// Something happened. While an event of its type is pending, the guest has the log page to read all the same.
    pub(crate) fn raise(&mut self, event: AsyncEvent) {
        if let Some(pending) = self.pending.get_mut(event.event_type() as usize) {
            pending.get_or_insert(event);
        }
    }

    /// The first event that the guest may hear of.
    fn deliverable(&self) -> Option<AsyncEvent> {
        let mut events = self.pending.iter().zip(self.masked);
        events.find_map(|(event, masked)| event.filter(|_| !masked))
    }

    fn delivered(&mut self, event: AsyncEvent) {
        let index = event.event_type() as usize;
        if let (Some(pending), Some(masked)) =
            (self.pending.get_mut(index), self.masked.get_mut(index))
        {
            *pending = None;
            *masked = true;
        }
    }

    /// The guest read a log page, and wants to hear of its events again.
    pub(crate) fn log_page_read(&mut self, log_page: u8) {
        for (event_type, masked) in EventType::ALL.into_iter().zip(&mut self.masked) {
            let of = AsyncEvent::ALL
                .into_iter()
                .find(|event| event.event_type() == event_type);
            if of.is_some_and(|event| event.log_page() == log_page) {
                *masked = false;
            }
        }
    }
}

impl Controller {
    pub(super) fn async_event_request(&self, command: &SubmissionEntry) -> Result<Outcome, Status> {
        let mut admin = self.admin.lock();
        let requests = &mut admin.async_event_requests;
        if requests.contains(&command.cid.get()) {
            return Err(Status::COMMAND_ID_CONFLICT);
        }
        if requests.len() >= ASYNC_EVENT_REQUESTS_MAX {
            return Err(Status::ASYNC_EVENT_LIMIT_EXCEEDED);
        }
        requests.push_back(command.cid.get());
        Ok(Outcome::Held)
    }

    /// The storage may have another length.
    pub(crate) fn namespace_changed(&self) {
        if !self.namespace.rescan() {
            return;
        }
        self.errors.lock().namespace_changed = true;
        if self.admin.lock().features.wants_namespace_changes() {
            self.events
                .lock()
                .raise(AsyncEvent::NamespaceAttributeChanged);
        }
        self.wake_all();
    }

    /// Ends requests that have something to tell. Says whether there were any.
    pub(crate) fn deliver_events(&self) -> bool {
        let mut progress = false;
        while !self.status().cfs() && self.deliver_event() {
            progress = true;
        }
        if progress {
            self.interrupt(0);
        }
        progress
    }

    fn deliver_event(&self) -> bool {
        let Some(event) = self.events.lock().deliverable() else {
            return false;
        };
        let Some(cid) = self.admin.lock().async_event_requests.front().copied() else {
            return false;
        };
        let slot = self.submission_slot(0);
        let head = slot.and_then(|slot| slot.queue.lock().as_ref().map(|queue| queue.head));
        let Some(head) = head else { return false };
        let completion = Completion::new(0, head, cid, event.result(), Status::SUCCESS, false);
        let posted = self.post(0, completion) == Posted::Yes;
        if posted {
            // Only this worker takes requests and events away.
            self.admin.lock().async_event_requests.pop_front();
            self.events.lock().delivered(event);
        }
        posted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_masked_until_its_page_is_read() {
        let mut events = Events::default();
        events.raise(AsyncEvent::InvalidDoorbellValue);
        events.raise(AsyncEvent::InvalidDoorbellRegister);
        let event = events.deliverable().unwrap();
        assert_eq!(
            event.result(),
            0x01_01_00,
            "type 0, information 1, log page 1"
        );
        events.delivered(event);
        events.raise(AsyncEvent::InvalidDoorbellRegister);
        assert_eq!(events.deliverable(), None);
        events.raise(AsyncEvent::NamespaceAttributeChanged);
        assert_eq!(
            events.deliverable().unwrap().result(),
            0x04_00_02,
            "type 2, information 0, log page 4"
        );
        events.log_page_read(2);
        assert_eq!(
            events.deliverable(),
            Some(AsyncEvent::NamespaceAttributeChanged)
        );
        events.log_page_read(1);
        assert_eq!(
            events.deliverable(),
            Some(AsyncEvent::InvalidDoorbellRegister)
        );
    }
}
