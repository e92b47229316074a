//! What can be looked at. Nothing here waits for a command that is being carried out: what is in use is left out.

use crate::controller::Controller;
use crate::device::NvmeController;
use inspect::Inspect;
use inspect::InspectMut;

impl InspectMut for NvmeController {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        resp.field("name", &*self.name)
            .field("cfg_space", &self.cfg_space)
            .merge(&*self.controller);
    }
}

impl Inspect for Controller {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        resp.field("serial", self.identity.serial.as_str())
            .field("registers", &self.registers)
            .field("statistics", &self.statistics)
            .field("shadow_doorbells", &self.shadow)
            .field("doorbell_events", self.doorbell_events.lock().count())
            .field("dma_enabled", self.dma.enabled());
        resp.child("namespace", |req| {
            req.respond()
                .field("blocks", self.namespace.blocks())
                .field("block_size", 1u32 << self.namespace.block_exponent)
                .field("read_only", self.namespace.storage.read_only())
                .field("write_cache", self.namespace.write_cache());
        });
        if let Some(live) = self.try_live() {
            resp.field("live", &*live);
        }
        if let Some(admin) = self.admin.try_lock() {
            resp.field("admin", &*admin);
        }
        resp.field("events", &*self.events.lock())
            .field("errors", &*self.errors.lock());
        resp.child("submission_queues", |req| {
            let mut resp = req.respond();
            for (qid, slot) in self.submission.iter().enumerate() {
                let Some(queue) = slot.queue.try_lock() else {
                    continue;
                };
                if let Some(queue) = &*queue {
                    resp.child(&qid.to_string(), |req| {
                        req.respond().merge(queue).field("tail", slot.tail());
                    });
                }
            }
        });
        resp.child("completion_queues", |req| {
            let mut resp = req.respond();
            for (qid, slot) in self.completion.iter().enumerate() {
                if let Some(queue) = &*slot.queue.lock() {
                    resp.field(&qid.to_string(), queue);
                }
            }
        });
    }
}
