//! The controller's registers, at the start of BAR 0 (NVMe 2.0 section 3.1.3).
//!
//! Not emulated: the Controller Memory Buffer, Boot Partitions, the Persistent Memory Region, NVM Subsystem Reset, and the interrupt mask
//! registers, which concern pin-based interrupts and single-message MSI only: the controller has MSI-X.

use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;

/// Offset of the first doorbell in BAR 0 (NVMe over PCIe Transport 1.0 section 3.1.2).
pub const DOORBELL_BASE: u64 = 0x1000;
/// Bytes from a doorbell to the next: CAP.DSTRD is 0.
pub const DOORBELL_STRIDE: u64 = 4;
/// Entries of a queue: CAP.MQES, plus one.
pub const QUEUE_ENTRIES_MAX: u16 = 1024;
/// Entries of an admin queue (NVMe 2.0 section 3.1.3.8).
pub const ADMIN_QUEUE_ENTRIES_MAX: u16 = 4096;
/// The largest memory page is 2 to the power of 12 plus this: 64 KiB.
pub const PAGE_SIZE_EXPONENT_MAX: u8 = 4;
/// The version: 2.0.0.
pub const VERSION: u32 = 0x0002_0000;

/// Controller Capabilities, low half (NVMe 2.0 section 3.1.3.1).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CapabilitiesLow {
    /// Entries of the largest I/O queue, less one.
    pub mqes: u16,
    /// I/O queues are physically contiguous.
    pub cqr: bool,
    /// Arbitration mechanisms beyond round robin.
    #[bits(2)]
    pub ams: u8,
    #[bits(5)]
    _reserved: u8,
    /// How long CSTS.RDY may take to follow CC.EN, in 500 milliseconds.
    pub to: u8,
}

/// Controller Capabilities, high half (NVMe 2.0 section 3.1.3.1).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CapabilitiesHigh {
    /// Doorbell stride: 4 bytes times 2 to this power.
    #[bits(4)]
    pub dstrd: u8,
    /// NVM Subsystem Reset is supported.
    pub nssrs: bool,
    /// Command sets: bit 0 is the NVM command set.
    pub css: u8,
    /// Boot partitions are supported.
    pub bps: bool,
    /// Scope of a controller's power.
    #[bits(2)]
    pub cps: u8,
    /// Smallest memory page: 4 KiB times 2 to this power.
    #[bits(4)]
    pub mpsmin: u8,
    /// Largest memory page: 4 KiB times 2 to this power.
    #[bits(4)]
    pub mpsmax: u8,
    /// There is a Persistent Memory Region.
    pub pmrs: bool,
    /// There is a Controller Memory Buffer.
    pub cmbs: bool,
    /// NVM Subsystem Shutdown is supported.
    pub nsss: bool,
    /// How the controller becomes ready.
    #[bits(2)]
    pub crms: u8,
    #[bits(3)]
    _reserved: u8,
}

/// Controller Configuration (NVMe 2.0 section 3.1.3.5).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Configuration {
    /// Enable.
    pub en: bool,
    #[bits(3)]
    _reserved: u8,
    /// I/O command set selected.
    #[bits(3)]
    pub css: u8,
    /// Memory page size: 4 KiB times 2 to this power.
    #[bits(4)]
    pub mps: u8,
    /// Arbitration mechanism selected.
    #[bits(3)]
    pub ams: u8,
    /// Shutdown notification: 1 normal, 2 abrupt.
    #[bits(2)]
    pub shn: u8,
    /// Bytes of an I/O submission queue entry, as a power of two.
    #[bits(4)]
    pub iosqes: u8,
    /// Bytes of an I/O completion queue entry, as a power of two.
    #[bits(4)]
    pub iocqes: u8,
    /// Controller ready independent of media.
    pub crime: bool,
    #[bits(7)]
    _reserved2: u8,
}

/// Controller Status (NVMe 2.0 section 3.1.3.6).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct ControllerStatus {
    /// Ready to take commands.
    pub rdy: bool,
    /// Controller Fatal Status.
    pub cfs: bool,
    /// Shutdown status: 0 normal operation, 1 under way, 2 complete.
    #[bits(2)]
    pub shst: u8,
    /// An NVM Subsystem Reset occurred.
    pub nssro: bool,
    /// Processing paused.
    pub pp: bool,
    /// What SHST is about: the subsystem, not the controller.
    pub st: bool,
    #[bits(25)]
    _reserved: u32,
}

/// Admin Queue Attributes (NVMe 2.0 section 3.1.3.8).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct AdminQueueAttributes {
    /// Entries of the admin submission queue, less one.
    #[bits(12)]
    pub asqs: u16,
    #[bits(4)]
    _reserved: u8,
    /// Entries of the admin completion queue, less one.
    #[bits(12)]
    pub acqs: u16,
    #[bits(4)]
    _reserved2: u8,
}

const CAPABILITIES_LOW: u32 = CapabilitiesLow::new()
    .with_mqes(QUEUE_ENTRIES_MAX - 1)
    .with_cqr(true)
    .with_to(40)
    .into_bits();

const CAPABILITIES_HIGH: u32 = CapabilitiesHigh::new()
    .with_css(1)
    .with_mpsmax(PAGE_SIZE_EXPONENT_MAX)
    .into_bits();

register_block! {
    /// The registers of an NVMe controller. 64-bit registers are two.
    pub NVME_CONTROLLER: NvmeReg = "nvme_controller" {
        title: "NVMe controller registers",
        section: "NVMe 2.0 section 3.1.3",
        bytes: 0x40,
    }
    0x00 cap_low: u32 as CapabilitiesLow = CAPABILITIES_LOW, "NVMe 2.0 section 3.1.3.1" { hwinit: [mqes => LessOne, cqr, ams, to] }
    0x04 cap_high: u32 as CapabilitiesHigh = CAPABILITIES_HIGH, "NVMe 2.0 section 3.1.3.1" {
        hwinit: [dstrd => Doubling(4), nssrs, css, bps, cps, mpsmin => Doubling(4096), mpsmax => Doubling(4096), pmrs, cmbs, nsss, crms],
    }
    0x08 vs: u32 as () = VERSION, "NVMe 2.0 section 3.1.3.2" { hwinit: [tertiary[7:0], minor[15:8], major[31:16]] }
    0x0c intms: u32 as () = 0, "NVMe 2.0 section 3.1.3.3" {}
    0x10 intmc: u32 as () = 0, "NVMe 2.0 section 3.1.3.4" {}
    0x14 cc: u32 as Configuration = 0, "NVMe 2.0 section 3.1.3.5" { rw: [en, css, mps => Doubling(4096), ams, shn, iosqes => Doubling(1), iocqes => Doubling(1)] }
    0x18 reserved_18: u32 as () = 0, "NVMe 2.0 section 3.1.3" {}
    0x1c csts: u32 as ControllerStatus = 0, "NVMe 2.0 section 3.1.3.6" { ro: [rdy, cfs, shst, nssro, pp, st] }
    0x20 nssr: u32 as () = 0, "NVMe 2.0 section 3.1.3.7" {}
    0x24 aqa: u32 as AdminQueueAttributes = 0, "NVMe 2.0 section 3.1.3.8" { rw: [asqs => LessOne, acqs => LessOne] }
    0x28 asq_low: u32 as () = 0, "NVMe 2.0 section 3.1.3.9" { rw: [asqb[31:12] => Address(12)] }
    0x2c asq_high: u32 as () = 0, "NVMe 2.0 section 3.1.3.9" { rw: [asqb[31:0] => Address(32)] }
    0x30 acq_low: u32 as () = 0, "NVMe 2.0 section 3.1.3.10" { rw: [acqb[31:12] => Address(12)] }
    0x34 acq_high: u32 as () = 0, "NVMe 2.0 section 3.1.3.10" { rw: [acqb[31:0] => Address(32)] }
    0x38 cmbloc: u32 as () = 0, "NVMe 2.0 section 3.1.3.11" {}
    0x3c cmbsz: u32 as () = 0, "NVMe 2.0 section 3.1.3.12" {}
}
