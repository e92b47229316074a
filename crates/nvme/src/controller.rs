//! The controller behind the registers: shared by the device, which takes the guest's accesses, and the workers, which carry out
//! commands.
//!
//! Workers hold the gate shared while they carry out commands. Whoever resets, saves or restores holds it alone, and so finds no command
//! half done: a worker carries out one command of a queue after the other, and lets the gate go in between when someone waits for it.

mod doorbell_events;
mod doorbells;
mod life;
mod service;

pub(crate) use life::Live;
pub(crate) use service::Outcome;
pub(crate) use service::Posted;
pub(crate) use service::Scratch;

use crate::admin::AdminState;
use crate::admin::ErrorLog;
use crate::admin::Events;
use crate::config::Identity;
use crate::dma::Dma;
use crate::namespace::Namespace;
use crate::queue::CompletionSlot;
use crate::queue::SubmissionSlot;
use crate::spec::registers::Configuration;
use crate::spec::registers::ControllerStatus;
use crate::spec::registers::NvmeReg;
use crate::statistics::Statistics;
use crate::worker::Wake;
use doorbell_events::DoorbellEvents;
use doorbells::ShadowDoorbells;
use parking_lot::Mutex;
use parking_lot::RwLock;
use parking_lot::RwLockReadGuard;
use parking_lot::RwLockWriteGuard;
use reg_table::RegisterFile;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use vmcore::interrupt::Interrupt;

/// The worker that carries out admin commands, and starts and stops the controller.
pub(crate) const ADMIN_WORKER: usize = 0;

pub(crate) struct Controller {
    pub(crate) identity: Identity,
    pub(crate) registers: RegisterFile<NvmeReg>,
    pub(crate) dma: Dma,
    pub(crate) namespace: Namespace,
    /// By queue ID; the first is the admin queue.
    pub(crate) submission: Box<[SubmissionSlot]>,
    pub(crate) completion: Box<[CompletionSlot]>,
    /// By vector.
    pub(crate) interrupts: Vec<Interrupt>,
    gate: RwLock<Live>,
    /// Who waits to have the gate alone.
    waiting: AtomicUsize,
    pub(crate) admin: Mutex<AdminState>,
    pub(crate) events: Mutex<Events>,
    pub(crate) errors: Mutex<ErrorLog>,
    pub(crate) shadow: ShadowDoorbells,
    pub(crate) doorbell_events: Mutex<DoorbellEvents>,
    /// The guest cleared CC.EN.
    reset_requested: AtomicBool,
    /// The guest wrote CC.
    configured: AtomicBool,
    /// A worker has something to do and may not reach guest memory.
    blocked: AtomicBool,
    pub(crate) statistics: Statistics,
    /// By worker.
    wakes: Box<[Wake]>,
    exit: AtomicBool,
}

/// What a controller is made from.
pub(crate) struct Parts {
    pub(crate) identity: Identity,
    pub(crate) dma: Dma,
    pub(crate) namespace: Namespace,
    pub(crate) interrupts: Vec<Interrupt>,
    pub(crate) wakes: Box<[Wake]>,
}

impl Controller {
    pub(crate) fn new(parts: Parts) -> Self {
        let queues = usize::from(parts.identity.queues) + 1;
        Self {
            admin: Mutex::new(AdminState::new(parts.identity.queues)),
            identity: parts.identity,
            registers: RegisterFile::new(NvmeReg::CapLow),
            dma: parts.dma,
            namespace: parts.namespace,
            submission: std::iter::repeat_with(SubmissionSlot::default)
                .take(queues)
                .collect(),
            completion: std::iter::repeat_with(CompletionSlot::default)
                .take(queues)
                .collect(),
            interrupts: parts.interrupts,
            gate: RwLock::default(),
            waiting: AtomicUsize::new(0),
            events: Mutex::default(),
            errors: Mutex::default(),
            shadow: ShadowDoorbells::default(),
            doorbell_events: Mutex::default(),
            reset_requested: AtomicBool::new(false),
            configured: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            statistics: Statistics::default(),
            wakes: parts.wakes,
            exit: AtomicBool::new(false),
        }
    }

    pub(crate) fn configuration(&self) -> Configuration {
        Configuration::from_bits(self.registers.get(NvmeReg::Cc))
    }

    pub(crate) fn status(&self) -> ControllerStatus {
        ControllerStatus::from_bits(self.registers.get(NvmeReg::Csts))
    }

    /// Changes CSTS.
    fn set_status(&self, change: impl Fn(ControllerStatus) -> ControllerStatus) {
        self.registers.update(NvmeReg::Csts, |status| {
            change(ControllerStatus::from_bits(status)).into_bits()
        });
    }

    /// Nothing more can be done until the guest resets the controller (NVMe 2.0 section 9.5).
    pub(crate) fn fail(&self, why: &'static str) {
        if !self.status().cfs() {
            tracelimit::warn_ratelimited!(serial = %self.identity.serial, why, "fatal status");
            self.statistics.fatal.add(1);
            self.set_status(|status| status.with_cfs(true));
        }
    }

    /// The gate for oneself: no command is half done. The workers go on when the guard is dropped.
    pub(crate) fn exclusive(&self) -> RwLockWriteGuard<'_, Live> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let live = self.gate.write();
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        live
    }

    /// What holds, unless someone has the gate alone.
    pub(crate) fn try_live(&self) -> Option<RwLockReadGuard<'_, Live>> {
        self.gate.try_read()
    }

    /// Whether a worker is to let the gate go.
    fn should_yield(&self) -> bool {
        self.waiting.load(Ordering::Acquire) != 0 || self.exiting()
    }

    pub(crate) fn exiting(&self) -> bool {
        self.exit.load(Ordering::Acquire)
    }

    /// Tells the workers to end.
    pub(crate) fn stop(&self) {
        self.exit.store(true, Ordering::Release);
        self.wake_all();
    }

    fn wake(&self, worker: usize) {
        if let Some(wake) = self.wakes.get(worker) {
            wake.wake();
        }
    }

    pub(crate) fn wake_all(&self) {
        for wake in &self.wakes {
            wake.wake();
        }
    }

    /// The guest did something after which the function may be allowed what it was not before.
    pub(crate) fn retry_blocked(&self) {
        if self.blocked.load(Ordering::Acquire)
            && self.dma.enabled()
            && self.blocked.swap(false, Ordering::AcqRel)
        {
            self.wake_all();
        }
    }

    pub(crate) fn wake_of(&self, worker: usize) -> Option<&Wake> {
        self.wakes.get(worker)
    }

    /// The worker of a queue.
    fn worker(&self, qid: u16) -> usize {
        match qid.checked_sub(1) {
            None => ADMIN_WORKER,
            Some(n) => 1 + usize::from(n) % (self.wakes.len() - 1).max(1),
        }
    }

    /// The queues of a worker.
    fn queues_of(&self, worker: usize) -> impl Iterator<Item = u16> + '_ {
        (0..=self.identity.queues).filter(move |qid| self.worker(*qid) == worker)
    }

    pub(crate) fn submission_slot(&self, qid: u16) -> Option<&SubmissionSlot> {
        self.submission.get(usize::from(qid))
    }

    pub(crate) fn completion_slot(&self, qid: u16) -> Option<&CompletionSlot> {
        self.completion.get(usize::from(qid))
    }
}
