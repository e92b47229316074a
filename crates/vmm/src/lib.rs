//! A small monitor for x86-64 and KVM: the example that the author of another one reads first.
//!
//! It puts a hierarchy of `pcie_topology` before an unmodified Linux guest. Everything that a monitor owes the device crates is here
//! and little else: no network, no firmware, and of devices those of the hierarchy. The way of an access, and the file for each step:
//!
//! ```text
//!   guest          processor (cpu)  ──exit──►  bus  ──►  root complex  ──►  port, switch, endpoint
//!                        ▲                      │                                   │
//!                        │                      ├──►  serial ports (serial)         │ message or line
//!                        │                      └──►  power (power)                 ▼
//!                        └───────────  KVM's interrupt controllers  ◄────────  interrupts (irq)
//! ```
//!
//! | file | what is there |
//! | --- | --- |
//! | `machine` | the machine as a whole: made, run, handled from outside, reset |
//! | `memory` | where guest memory is |
//! | `boot`, `firmware` | what is in it before the first instruction |
//! | `cpuid`, `cpu`, `cpu_state` | a processor's identity, its loop, its state as a value |
//! | `control` | making processors stand still |
//! | `bus` | which exit goes where |
//! | `irq`, `irqchip` | messages, events and lines to the interrupt controllers |
//! | `doorbell` | writes that become events |
//! | `serial`, `power`, `absent` | the two devices of its own, and what it does without |
//! | `snapshot` | the machine in a file |
//! | `exits` | how often the guest left, and why |
//! | `probe` | whether KVM runs guests here at all |
//!
//! Threads: one for each processor, and the one that called [`Machine::run`], which waits for serial input and for what the guest or
//! a [`MachineHandle`] asks for. Nothing polls.

#![deny(unsafe_code)]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod absent;
mod boot;
mod bus;
mod control;
mod cpu;
mod cpu_state;
mod cpuid;
mod doorbell;
mod error;
mod exits;
mod firmware;
mod irq;
mod irqchip;
mod machine;
mod memory;
mod power;
mod probe;
mod serial;
mod snapshot;

pub use boot::BootError;
pub use boot::BootSource;
pub use bus::Bus;
pub use error::MachineError;
pub use exits::ExitCounts;
pub use exits::ExitKind;
pub use machine::CPUS_MAX;
pub use machine::Machine;
pub use machine::MachineConfig;
pub use machine::MachineHandle;
pub use machine::Outcome;
pub use memory::GuestRam;
pub use memory::MemoryError;
pub use power::PowerRequest;
pub use probe::open_kvm;
pub use serial::Com;
pub use serial::Sink;
pub use serial::Source;
