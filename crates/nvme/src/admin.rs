//! Admin commands (NVMe 2.0 section 5).

mod async_event;
mod features;
mod identify;
mod log_page;
mod queues;

pub(crate) use async_event::AsyncEvent;
pub(crate) use async_event::Events;
pub(crate) use features::Features;
pub(crate) use log_page::ErrorEntry;
pub(crate) use log_page::ErrorLog;

use crate::controller::Controller;
use crate::controller::Live;
use crate::controller::Outcome;
use crate::controller::Posted;
use crate::controller::Scratch;
use crate::io::check_flags;
use crate::prp;
use crate::spec::AdminOpcode;
use crate::spec::Completion;
use crate::spec::Status;
use crate::spec::SubmissionEntry;
use inspect::Inspect;
use std::collections::VecDeque;

/// Asynchronous Event Requests that may be outstanding (AERL, plus one).
pub(crate) const ASYNC_EVENT_REQUESTS_MAX: usize = 4;
/// Abort commands that may be outstanding (ACL, plus one). They end at once, so this is never reached.
pub(crate) const ABORT_LIMIT: u8 = 3;

/// What admin commands set up, until the next controller reset.
#[derive(Debug, Inspect)]
pub(crate) struct AdminState {
    pub(crate) features: Features,
    /// Outstanding Asynchronous Event Requests, by command identifier.
    #[inspect(with = "|ids| inspect::iter_by_index(ids.iter().copied())")]
    pub(crate) async_event_requests: VecDeque<u16>,
}

impl AdminState {
    pub(crate) fn new(queues: u16) -> Self {
        Self {
            features: Features::new(queues),
            async_event_requests: VecDeque::new(),
        }
    }
}

impl Controller {
    /// Carries out an admin command. `head` is where the controller is in the admin submission queue.
    pub(crate) fn execute_admin(
        &self,
        live: &Live,
        command: &SubmissionEntry,
        head: u16,
        scratch: &mut Scratch,
    ) -> Result<Outcome, Status> {
        check_flags(command)?;
        let opcode = AdminOpcode::from_opcode(command.opcode).ok_or(Status::INVALID_OPCODE)?;
        match opcode {
            AdminOpcode::AsyncEventRequest => return self.async_event_request(command),
            AdminOpcode::DeleteSubmissionQueue => self.delete_submission_queue(command),
            AdminOpcode::CreateSubmissionQueue => self.create_submission_queue(live, command),
            AdminOpcode::DeleteCompletionQueue => self.delete_completion_queue(command),
            AdminOpcode::CreateCompletionQueue => self.create_completion_queue(live, command),
            AdminOpcode::Identify => self.identify(live, command, scratch),
            AdminOpcode::GetLogPage => self.get_log_page(live, command, scratch),
            AdminOpcode::SetFeatures => self.set_features(command),
            AdminOpcode::GetFeatures => self.get_features(command),
            AdminOpcode::Abort => self.abort(command, head),
            AdminOpcode::DoorbellBufferConfig => self.doorbell_buffer_config(live, command),
        }
        .map(Outcome::Done)
    }

    /// Gives the guest the data of a command.
    fn give(
        &self,
        live: &Live,
        command: &SubmissionEntry,
        data: &[u8],
        scratch: &mut Scratch,
    ) -> Result<(), Status> {
        let prp = command.prp(live);
        prp.segments(&self.dma, data.len(), &mut scratch.segments)?;
        prp::write(&self.dma, &scratch.segments, data)
    }

    /// Aborts an Asynchronous Event Request. Other commands are carried out as soon as they are fetched, so that there is nothing to
    /// abort: result bit 0 says so (NVMe 2.0 section 5.1).
    fn abort(&self, command: &SubmissionEntry, head: u16) -> Result<u32, Status> {
        const NOT_ABORTED: u32 = 1;
        let (sq, cid) = command.cdw_halves(10);
        let mut admin = self.admin.lock();
        let requests = &mut admin.async_event_requests;
        let Some(found) = requests.iter().position(|id| sq == 0 && *id == cid) else {
            return Ok(NOT_ABORTED);
        };
        // The guest sees this before the completion of the Abort.
        let status = Status::COMMAND_ABORT_REQUESTED;
        let completion = Completion::new(0, head, cid, 0, status, false);
        if self.post(0, completion) != Posted::Yes {
            return Ok(NOT_ABORTED);
        }
        requests.remove(found);
        Ok(0)
    }
}
