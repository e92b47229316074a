//! Processors: what they are before their first instruction, and the loop that runs them.

use crate::MachineError;
use crate::boot::EntryPoint;
use crate::boot::layout;
use crate::bus::Bus;
use crate::cpu_state::CpuState;
use crate::cpuid::Identity;
use crate::error::Kvm as _;
use crate::exits::ExitKind;
use crate::power::PowerRequest;
use kvm_bindings::CpuId;
use kvm_bindings::KVM_MP_STATE_RUNNABLE;
use kvm_bindings::Msrs;
use kvm_bindings::kvm_mp_state;
use kvm_bindings::kvm_msr_entry;
use kvm_bindings::kvm_regs;
use kvm_bindings::kvm_segment;
use kvm_ioctls::VcpuExit;
use kvm_ioctls::VcpuFd;
use kvm_ioctls::VmFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// IA32_MISC_ENABLE, and in it fast string operations.
const MISC_ENABLE: u32 = 0x1a0;
const FAST_STRINGS: u64 = 1;
/// IA32_MTRR_DEF_TYPE: MTRRs on, and everything write-back unless they say otherwise.
const MTRR_DEF_TYPE: u32 = 0x2ff;
const MTRR_ENABLED_WRITE_BACK: u64 = (1 << 11) | 6;

/// RFLAGS: the bit that is always one.
const FLAGS_RESERVED: u64 = 2;
const CR0_PROTECTION: u64 = 1;
const CR0_PAGING: u64 = 1 << 31;
const CR4_PHYSICAL_ADDRESS_EXTENSION: u64 = 1 << 5;
const EFER_LONG_MODE: u64 = (1 << 8) | (1 << 10);

/// Why a processor left its loop.
#[derive(Debug)]
pub(crate) enum Leave {
    /// It was told to.
    Told,
    /// The guest asks for something.
    Power(PowerRequest),
    /// It cannot go on.
    Stuck(String),
}

/// A processor.
pub(crate) struct Cpu {
    fd: VcpuFd,
    /// As it was made: what a reset goes back to.
    initial: CpuState,
    msrs: Vec<u32>,
}

impl Cpu {
    /// Makes processor `identity`.
    pub(crate) fn new(
        vm: &VmFd,
        supported: &CpuId,
        identity: Identity,
        msrs: &[u32],
    ) -> Result<Self, MachineError> {
        let fd = vm
            .create_vcpu(identity.index.into())
            .during("KVM_CREATE_VCPU")?;
        let leaves = CpuId::from_entries(&identity.leaves(supported))
            .map_err(|_| kvm_ioctls::Error::new(libc::E2BIG))
            .during("CPUID")?;
        fd.set_cpuid2(&leaves).during("KVM_SET_CPUID2")?;
        let entry = |index, data| kvm_msr_entry {
            index,
            data,
            ..kvm_msr_entry::default()
        };
        let boot_msrs = [
            entry(MISC_ENABLE, FAST_STRINGS),
            entry(MTRR_DEF_TYPE, MTRR_ENABLED_WRITE_BACK),
        ];
        let boot_msrs = Msrs::from_entries(&boot_msrs)
            .map_err(|_| kvm_ioctls::Error::new(libc::E2BIG))
            .during("boot registers")?;
        fd.set_msrs(&boot_msrs).during("KVM_SET_MSRS")?;
        let initial = CpuState::take(&fd, msrs)?;
        Ok(Self {
            fd,
            initial,
            msrs: msrs.to_vec(),
        })
    }

    /// The frequency of its time stamp counter.
    pub(crate) fn tsc_khz(&self) -> Option<u32> {
        self.fd.get_tsc_khz().ok()
    }

    pub(crate) fn take_state(&self) -> Result<CpuState, MachineError> {
        CpuState::take(&self.fd, &self.msrs)
    }

    pub(crate) fn put_state(&self, state: &CpuState) -> Result<(), MachineError> {
        state.put(&self.fd)
    }

    /// Makes it what it was when it was made.
    pub(crate) fn reset(&self) -> Result<(), MachineError> {
        self.initial.put(&self.fd)
    }

    /// Lets it begin at a kernel's 64-bit entry point, as the kernel's boot protocol asks: long mode, the first gigabyte mapped to itself,
    /// flat segments. The others wait for the kernel to start them.
    pub(crate) fn enter(&self, entry: EntryPoint) -> Result<(), MachineError> {
        let mut special = self.fd.get_sregs().during("KVM_GET_SREGS")?;
        let segment = |selector: u16, type_: u8, long: bool| kvm_segment {
            base: 0,
            limit: u32::MAX,
            selector,
            type_,
            present: 1,
            s: 1,
            l: long.into(),
            db: (!long).into(),
            g: 1,
            ..kvm_segment::default()
        };
        let data = segment(layout::DATA_SELECTOR, 3, false);
        special.cs = segment(layout::CODE_SELECTOR, 11, true);
        (special.ds, special.es, special.ss) = (data, data, data);
        (special.fs, special.gs) = (data, data);
        special.gdt.base = layout::GDT;
        special.gdt.limit = layout::GDT_LIMIT;
        special.cr3 = layout::PAGE_TABLES;
        special.cr4 |= CR4_PHYSICAL_ADDRESS_EXTENSION;
        special.cr0 |= CR0_PROTECTION | CR0_PAGING;
        special.efer |= EFER_LONG_MODE;
        self.fd.set_sregs(&special).during("KVM_SET_SREGS")?;
        let registers = kvm_regs {
            rip: entry.address,
            rsi: entry.boot_params,
            rsp: layout::STACK,
            rflags: FLAGS_RESERVED,
            ..kvm_regs::default()
        };
        self.fd.set_regs(&registers).during("KVM_SET_REGS")?;
        self.fd
            .set_mp_state(kvm_mp_state {
                mp_state: KVM_MP_STATE_RUNNABLE,
            })
            .during("KVM_SET_MP_STATE")
    }

    /// Runs the guest until it asks for something, or `pause` is set and a signal came.
    pub(crate) fn run(&mut self, bus: &Bus, pause: &AtomicBool) -> Leave {
        while !pause.load(Ordering::Acquire) {
            if let Some(leave) = self.step(bus) {
                return leave;
            }
        }
        self.settle();
        Leave::Told
    }

    /// Enters the guest and does what it leaves for.
    fn step(&mut self, bus: &Bus) -> Option<Leave> {
        let kind = match self.fd.run() {
            Ok(VcpuExit::IoIn(port, data)) => {
                bus.port_read(port, data);
                return None;
            }
            Ok(VcpuExit::IoOut(port, data)) => {
                let request = bus.port_write(port, data)?;
                self.settle();
                return Some(Leave::Power(request));
            }
            Ok(VcpuExit::MmioRead(address, data)) => {
                bus.memory_read(address, data);
                return None;
            }
            Ok(VcpuExit::MmioWrite(address, data)) => {
                bus.memory_write(address, data);
                return None;
            }
            Ok(VcpuExit::Intr) => ExitKind::Interrupted,
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => {
                ExitKind::Interrupted
            }
            Ok(VcpuExit::Shutdown) => {
                return Some(self.stuck("triple fault"));
            }
            Ok(VcpuExit::FailEntry(reason, _)) => {
                return Some(self.stuck(&format!(
                    "the guest's state cannot be entered ({reason:#x})"
                )));
            }
            Ok(VcpuExit::InternalError) => {
                return Some(self.stuck("KVM cannot go on (KVM_EXIT_INTERNAL_ERROR)"));
            }
            Ok(_) => ExitKind::Other,
            Err(error) => return Some(Leave::Stuck(format!("KVM_RUN: {error}"))),
        };
        bus.exits.count(kind);
        None
    }

    fn stuck(&self, reason: &str) -> Leave {
        let place = self.fd.get_regs().map_or(0, |registers| registers.rip);
        Leave::Stuck(format!("{reason}, at {place:#x}"))
    }

    /// Finishes the access that the guest left for: KVM does that when it is entered next, and until then the state is in between.
    fn settle(&mut self) {
        self.fd.set_kvm_immediate_exit(1);
        // It returns at once, with EINTR.
        let _ = self.fd.run();
        self.fd.set_kvm_immediate_exit(0);
    }
}
