//! An NVM Express controller: an endpoint that a guest's NVMe driver binds to, over a file or memory.
//!
//! It follows the NVM Express Base Specification 2.0, the NVM Command Set Specification 1.0 and the NVMe over PCIe Transport Specification
//! 1.0, with the quirks of no implementation.
//!
//! Doorbells only say how far a queue goes and wake a thread; commands are carried out by threads of the controller's own, never on the
//! guest's processor. [`NvmeController`] says how it lives and ends, [`Storage`] what it stores to.
//!
//! Not emulated: metadata and protection information, SGLs, fused operations, namespace management, firmware update, controller memory
//! buffer, pin-based interrupts and MSI (there is MSI-X), and whatever else Identify doesn't announce.

#![forbid(unsafe_code)]

mod admin;
mod config;
mod controller;
mod device;
mod dma;
mod factory;
mod inspection;
mod io;
mod namespace;
mod page;
mod plan_subjects;
mod prp;
mod queue;
mod save_restore;
pub mod spec;
mod statistics;
mod storage;
mod vm_memory_adapter;
mod worker;

pub use config::NvmeConfig;
pub use config::NvmeError;
pub use config::QUEUES_MAX;
pub use config::WORKERS_MAX;
pub use device::NvmeController;
pub use factory::NvmeFactory;
pub use storage::FileStorage;
pub use storage::FileStorageError;
pub use storage::MemoryStorage;
pub use storage::Storage;
pub use vm_memory_adapter::VmMemory;
