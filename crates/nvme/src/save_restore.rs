//! Saving and restoring.
//!
//! Saving carries out what was submitted, as far as it can be without the guest, which is stopped. So whatever the guest submitted is done
//! and its completion is in guest memory, or it was not fetched and is saved as that: nothing is lost and nothing is done twice.

use crate::admin::ASYNC_EVENT_REQUESTS_MAX;
use crate::admin::AdminState;
use crate::admin::AsyncEvent;
use crate::admin::ErrorEntry;
use crate::admin::ErrorLog;
use crate::admin::Events;
use crate::admin::Features;
use crate::controller::Controller;
use crate::controller::Live;
use crate::device::NvmeController;
use crate::queue::CompletionQueue;
use crate::queue::SubmissionQueue;
use crate::spec::Completion;
use crate::spec::registers::ADMIN_QUEUE_ENTRIES_MAX;
use crate::spec::registers::NvmeReg;
use crate::spec::registers::PAGE_SIZE_EXPONENT_MAX;
use crate::spec::registers::QUEUE_ENTRIES_MAX;
use anyhow::anyhow;
use anyhow::ensure;
use reg_table::RegisterFile;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use zerocopy::FromBytes;
use zerocopy::IntoBytes;

mod state {
    use mesh_protobuf::Protobuf;
    use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
    use vmcore::save_restore::SaveRestore;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "nvme.controller")]
    pub struct SavedState {
        #[mesh(1)]
        pub cfg_space: <ConfigSpaceType0Emulator as SaveRestore>::SavedState,
        /// The controller's registers, as dwords.
        #[mesh(2)]
        pub registers: Vec<u32>,
        /// Of a controller that is enabled.
        #[mesh(3)]
        pub live: Option<LiveState>,
        #[mesh(4)]
        pub errors: ErrorLogState,
        /// In the order of the inspection tree's `statistics`.
        #[mesh(5)]
        pub statistics: Vec<u64>,
        #[mesh(6)]
        pub blocks: u64,
        #[mesh(7)]
        pub block_exponent: u8,
    }

    #[derive(Protobuf)]
    #[mesh(package = "nvme.controller")]
    pub struct LiveState {
        #[mesh(1)]
        pub page_size: u64,
        #[mesh(2)]
        pub submission_queues: Vec<SubmissionQueueState>,
        #[mesh(3)]
        pub completion_queues: Vec<CompletionQueueState>,
        #[mesh(4)]
        pub features: FeaturesState,
        /// Command identifiers.
        #[mesh(5)]
        pub async_event_requests: Vec<u16>,
        /// By type: 0 for none, else the event's number, from 1 on.
        #[mesh(6)]
        pub events_pending: [u8; 3],
        #[mesh(7)]
        pub events_masked: [bool; 3],
        #[mesh(8)]
        pub shadow_doorbells: Option<ShadowDoorbellsState>,
    }

    #[derive(Protobuf)]
    #[mesh(package = "nvme.controller")]
    pub struct SubmissionQueueState {
        #[mesh(1)]
        pub id: u16,
        #[mesh(2)]
        pub base: u64,
        #[mesh(3)]
        pub size: u16,
        #[mesh(4)]
        pub head: u16,
        #[mesh(5)]
        pub tail: u16,
        #[mesh(6)]
        pub completion_queue: u16,
        /// A completion that could not be posted, as the queue entry; empty for none.
        #[mesh(7)]
        pub unposted: Vec<u8>,
    }

    #[derive(Protobuf)]
    #[mesh(package = "nvme.controller")]
    pub struct CompletionQueueState {
        #[mesh(1)]
        pub id: u16,
        #[mesh(2)]
        pub base: u64,
        #[mesh(3)]
        pub size: u16,
        #[mesh(4)]
        pub head: u16,
        #[mesh(5)]
        pub tail: u16,
        #[mesh(6)]
        pub phase: bool,
        #[mesh(7)]
        pub vector: Option<u16>,
    }

    #[derive(Protobuf)]
    #[mesh(package = "nvme.controller")]
    pub struct FeaturesState {
        #[mesh(1)]
        pub arbitration: u32,
        #[mesh(2)]
        pub power_management: u32,
        #[mesh(3)]
        pub temperature_over: u16,
        #[mesh(4)]
        pub temperature_under: u16,
        #[mesh(5)]
        pub error_recovery: u32,
        #[mesh(6)]
        pub write_cache: bool,
        #[mesh(7)]
        pub queues: u16,
        #[mesh(8)]
        pub queues_fixed: bool,
        #[mesh(9)]
        pub interrupt_coalescing: u32,
        #[mesh(10)]
        pub coalescing_disabled: Vec<u64>,
        #[mesh(11)]
        pub write_atomicity: u32,
        #[mesh(12)]
        pub async_event_configuration: u32,
    }

    #[derive(Protobuf)]
    #[mesh(package = "nvme.controller")]
    pub struct ShadowDoorbellsState {
        #[mesh(1)]
        pub doorbells: u64,
        #[mesh(2)]
        pub event_indexes: u64,
    }

    #[derive(Protobuf)]
    #[mesh(package = "nvme.controller")]
    pub struct ErrorLogState {
        #[mesh(1)]
        pub count: u64,
        #[mesh(2)]
        pub namespace_changed: bool,
        /// The newest first.
        #[mesh(3)]
        pub entries: Vec<ErrorEntryState>,
    }

    #[derive(Protobuf)]
    #[mesh(package = "nvme.controller")]
    pub struct ErrorEntryState {
        #[mesh(1)]
        pub number: u64,
        #[mesh(2)]
        pub sq: u16,
        #[mesh(3)]
        pub cid: u16,
        #[mesh(4)]
        pub status: u16,
        #[mesh(5)]
        pub opcode: u8,
        #[mesh(6)]
        pub lba: u64,
        #[mesh(7)]
        pub nsid: u32,
    }
}

use state::*;

impl SaveRestore for NvmeController {
    type SavedState = SavedState;

    fn save(&mut self) -> Result<SavedState, SaveError> {
        let controller = &self.controller;
        let mut live = controller.exclusive();
        controller.settle(&mut live);
        controller.drain(&live);
        let flushed = controller.namespace.storage.flush();
        flushed
            .map_err(|error| SaveError::Other(anyhow!(error).context("flushing the storage")))?;
        Ok(SavedState {
            cfg_space: self.cfg_space.save()?,
            registers: controller.registers.save(),
            live: live.enabled.then(|| save_live(controller, &live)),
            errors: save_errors(&controller.errors.lock()),
            statistics: controller.statistics.counts().map(|c| c.get()).to_vec(),
            blocks: controller.namespace.blocks(),
            block_exponent: controller.namespace.block_exponent,
        })
    }

    fn check(&mut self, state: &SavedState) -> Result<(), RestoreError> {
        check(&self.controller, state).map_err(RestoreError::InvalidSavedState)?;
        self.cfg_space.check(&state.cfg_space)
    }

    fn restore(&mut self, state: SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        let controller = self.controller.clone();
        let mut live = controller.exclusive();
        controller.clear_queues();
        controller.restored();
        controller.registers.restore(&state.registers);
        for (count, saved) in controller
            .statistics
            .counts()
            .into_iter()
            .zip(state.statistics)
        {
            count.set(saved);
        }
        *controller.errors.lock() = restored_errors(state.errors);
        *live = restore_live(&controller, state.live);
        self.cfg_space.restore(state.cfg_space)?;
        controller.bar_moved(self.cfg_space.bar_address(0));
        controller.update_doorbell_events();
        Ok(())
    }
}

fn save_live(controller: &Controller, live: &Live) -> LiveState {
    let admin = controller.admin.lock();
    let events = controller.events.lock();
    let number = |event: AsyncEvent| (1..).zip(AsyncEvent::ALL).find(|(_, e)| *e == event);
    LiveState {
        page_size: live.page_size,
        submission_queues: save_submission_queues(controller),
        completion_queues: save_completion_queues(controller),
        features: save_features(&admin.features),
        async_event_requests: admin.async_event_requests.iter().copied().collect(),
        events_pending: events
            .pending
            .map(|event| event.and_then(number).map_or(0, |(number, _)| number)),
        events_masked: events.masked,
        shadow_doorbells: controller.shadow.pages().map(|(doorbells, event_indexes)| {
            ShadowDoorbellsState {
                doorbells,
                event_indexes,
            }
        }),
    }
}

fn save_submission_queues(controller: &Controller) -> Vec<SubmissionQueueState> {
    let slots = (0..).zip(&controller.submission);
    let queues = slots.filter_map(|(id, slot)| {
        let queue = slot.queue.lock();
        let queue = queue.as_ref()?;
        let unposted = queue.unposted.as_ref();
        Some(SubmissionQueueState {
            id,
            base: queue.base,
            size: queue.size,
            head: queue.head,
            tail: slot.tail(),
            completion_queue: queue.cq,
            unposted: unposted.map_or_else(Vec::new, |c| c.as_bytes().to_vec()),
        })
    });
    queues.collect()
}

fn save_completion_queues(controller: &Controller) -> Vec<CompletionQueueState> {
    let slots = (0..).zip(&controller.completion);
    let queues = slots.filter_map(|(id, slot)| {
        let queue = slot.queue.lock();
        let queue = queue.as_ref()?;
        Some(CompletionQueueState {
            id,
            base: queue.base,
            size: queue.size,
            head: queue.head,
            tail: queue.tail,
            phase: queue.phase,
            vector: queue.vector,
        })
    });
    queues.collect()
}

fn save_features(features: &Features) -> FeaturesState {
    FeaturesState {
        arbitration: features.arbitration,
        power_management: features.power_management,
        temperature_over: features.temperature_over,
        temperature_under: features.temperature_under,
        error_recovery: features.error_recovery,
        write_cache: features.write_cache,
        queues: features.queues,
        queues_fixed: features.queues_fixed,
        interrupt_coalescing: features.interrupt_coalescing,
        coalescing_disabled: features.coalescing_disabled.clone(),
        write_atomicity: features.write_atomicity,
        async_event_configuration: features.async_event_configuration,
    }
}

fn restored_features(saved: FeaturesState) -> Features {
    Features {
        arbitration: saved.arbitration,
        power_management: saved.power_management,
        temperature_over: saved.temperature_over,
        temperature_under: saved.temperature_under,
        error_recovery: saved.error_recovery,
        write_cache: saved.write_cache,
        queues: saved.queues,
        queues_fixed: saved.queues_fixed,
        interrupt_coalescing: saved.interrupt_coalescing,
        coalescing_disabled: saved.coalescing_disabled,
        write_atomicity: saved.write_atomicity,
        async_event_configuration: saved.async_event_configuration,
    }
}

fn save_errors(errors: &ErrorLog) -> ErrorLogState {
    let entries = errors.entries.iter().map(|entry| ErrorEntryState {
        number: entry.number,
        sq: entry.sq,
        cid: entry.cid,
        status: entry.status,
        opcode: entry.opcode,
        lba: entry.lba,
        nsid: entry.nsid,
    });
    ErrorLogState {
        count: errors.count,
        namespace_changed: errors.namespace_changed,
        entries: entries.collect(),
    }
}

fn restored_errors(saved: ErrorLogState) -> ErrorLog {
    let entries = saved.entries.into_iter().map(|entry| ErrorEntry {
        number: entry.number,
        sq: entry.sq,
        cid: entry.cid,
        status: entry.status,
        opcode: entry.opcode,
        lba: entry.lba,
        nsid: entry.nsid,
    });
    ErrorLog {
        count: saved.count,
        namespace_changed: saved.namespace_changed,
        entries: entries.collect(),
    }
}

fn event(number: u8) -> Option<AsyncEvent> {
    let index = number.checked_sub(1)?;
    AsyncEvent::ALL.get(usize::from(index)).copied()
}

/// Checks all but the configuration space.
fn check(controller: &Controller, state: &SavedState) -> anyhow::Result<()> {
    let namespace = &controller.namespace;
    ensure!(
        (state.blocks, state.block_exponent) == (namespace.blocks(), namespace.block_exponent),
        "the saved namespace has {} blocks of 2^{} bytes; this one has {} of 2^{}",
        state.blocks,
        state.block_exponent,
        namespace.blocks(),
        namespace.block_exponent
    );
    let registers: &RegisterFile<NvmeReg> = &controller.registers;
    registers.check(&state.registers)?;
    let counts = controller.statistics.counts().len();
    ensure!(
        state.statistics.len() <= counts,
        "{} statistics; there are {counts}",
        state.statistics.len()
    );
    match &state.live {
        Some(live) => check_live(controller, live),
        None => Ok(()),
    }
}

fn check_live(controller: &Controller, live: &LiveState) -> anyhow::Result<()> {
    let queues = controller.identity.queues;
    ensure!(
        (0..=PAGE_SIZE_EXPONENT_MAX).any(|exponent| live.page_size == 4096 << exponent),
        "memory pages of {:#x} bytes",
        live.page_size
    );
    ensure!(
        (1..=queues).contains(&live.features.queues),
        "{} queue pairs allocated; there are {queues}",
        live.features.queues
    );
    let words = Features::new(queues).coalescing_disabled.len();
    let saved = live.features.coalescing_disabled.len();
    ensure!(
        saved == words,
        "{saved} words of vectors; there are {words}"
    );
    let requests = live.async_event_requests.len();
    ensure!(
        requests <= ASYNC_EVENT_REQUESTS_MAX,
        "{requests} asynchronous event requests; there are at most {ASYNC_EVENT_REQUESTS_MAX}"
    );
    for number in live.events_pending {
        ensure!(
            number == 0 || event(number).is_some(),
            "no event has number {number}"
        );
    }
    if let Some(shadow) = &live.shadow_doorbells {
        let pages = shadow.doorbells | shadow.event_indexes;
        ensure!(pages.is_multiple_of(live.page_size), "doorbells off a page");
    }
    check_queues(controller, live)
}

/// What both kinds of queue must be.
fn check_queue(queues: u16, id: u16, size: u16, head: u16, tail: u16) -> anyhow::Result<()> {
    let max = if id == 0 {
        ADMIN_QUEUE_ENTRIES_MAX
    } else {
        QUEUE_ENTRIES_MAX
    };
    ensure!(id <= queues, "queue {id}; there are {queues}");
    ensure!(
        (2..=max).contains(&size) && head < size && tail < size,
        "queue {id} has {size} entries, of at most {max}, head {head} and tail {tail}"
    );
    Ok(())
}

fn check_queues(controller: &Controller, live: &LiveState) -> anyhow::Result<()> {
    let queues = controller.identity.queues;
    let mut completion = Vec::new();
    for queue in &live.completion_queues {
        let id = queue.id;
        check_queue(queues, id, queue.size, queue.head, queue.tail)?;
        ensure!(!completion.contains(&id), "completion queue {id} twice");
        let vectors = controller.interrupts.len();
        ensure!(
            queue
                .vector
                .is_none_or(|vector| usize::from(vector) < vectors),
            "completion queue {id} has vector {:?}; there are {vectors}",
            queue.vector
        );
        completion.push(id);
    }
    let mut submission = Vec::new();
    for queue in &live.submission_queues {
        let (id, cq) = (queue.id, queue.completion_queue);
        check_queue(queues, id, queue.size, queue.head, queue.tail)?;
        ensure!(!submission.contains(&id), "submission queue {id} twice");
        ensure!(
            completion.contains(&cq) && (cq == 0) == (id == 0),
            "submission queue {id} completes to {cq}, which can't be"
        );
        ensure!(
            matches!(queue.unposted.len(), 0 | 16),
            "a completion of {} bytes",
            queue.unposted.len()
        );
        submission.push(id);
    }
    ensure!(
        submission.contains(&0) && completion.contains(&0),
        "an admin queue lacks"
    );
    Ok(())
}

/// Restores what holds while the controller is enabled, and was checked.
fn restore_live(controller: &Controller, saved: Option<LiveState>) -> Live {
    let Some(saved) = saved else {
        *controller.admin.lock() = AdminState::new(controller.identity.queues);
        *controller.events.lock() = Events::default();
        controller.shadow.set(None);
        controller.namespace.set_write_cache(true);
        return Live::default();
    };
    controller
        .namespace
        .set_write_cache(saved.features.write_cache);
    *controller.admin.lock() = AdminState {
        features: restored_features(saved.features),
        async_event_requests: saved.async_event_requests.into(),
    };
    *controller.events.lock() = Events {
        pending: saved.events_pending.map(event),
        masked: saved.events_masked,
    };
    let shadow = saved.shadow_doorbells;
    controller
        .shadow
        .set(shadow.map(|shadow| (shadow.doorbells, shadow.event_indexes)));
    restore_queues(controller, saved.completion_queues, saved.submission_queues);
    Live {
        enabled: true,
        page_size: saved.page_size,
    }
}

fn restore_queues(
    controller: &Controller,
    completion: Vec<CompletionQueueState>,
    submission: Vec<SubmissionQueueState>,
) {
    for saved in completion {
        if let Some(slot) = controller.completion_slot(saved.id) {
            let attached = submission.iter().filter(|s| s.completion_queue == saved.id);
            *slot.queue.lock() = Some(CompletionQueue {
                head: saved.head,
                tail: saved.tail,
                phase: saved.phase,
                submission_queues: u16::try_from(attached.count()).unwrap_or(u16::MAX),
                ..CompletionQueue::new(saved.base, saved.size, saved.vector)
            });
            // Whoever waited for it still does.
            slot.stalled
                .store(true, std::sync::atomic::Ordering::Release);
        }
    }
    for saved in submission {
        if let Some(slot) = controller.submission_slot(saved.id) {
            let queue = SubmissionQueue {
                base: saved.base,
                size: saved.size,
                head: saved.head,
                cq: saved.completion_queue,
                unposted: Completion::read_from_bytes(&saved.unposted).ok(),
            };
            slot.create(queue, saved.tail);
        }
    }
}
