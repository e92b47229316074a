//! Whether KVM runs guests here. Where virtual machines are nested, `/dev/kvm` may open, and even make virtual machines, and yet not
//! run the simplest of them, or emulate every one of its instructions, so that a kernel would boot for hours: only trying tells.

use crate::MachineError;
use crate::memory;
use crate::memory::GuestRam;
use kvm_bindings::kvm_regs;
use kvm_ioctls::Cap;
use kvm_ioctls::Kvm;
use kvm_ioctls::VcpuExit;
use std::time::Instant;
use vm_memory::Bytes;
use vm_memory::GuestAddress;

/// Where the guest's program is.
const PROGRAM_ADDRESS: u64 = 0x1000;
/// In real mode: `mov cx, 0xffff; l: dec cx; jnz l; mov al, 0x5a; out 0x42, al; hlt`.
const PROGRAM: [u8; 11] = [
    0xb9, 0xff, 0xff, 0x49, 0x75, 0xfd, 0xb0, 0x5a, 0xe6, 0x42, 0xf4,
];
const PORT: u16 = 0x42;
const VALUE: u8 = 0x5a;
/// What it executes, nearly all in the loop.
const INSTRUCTIONS: u32 = 2 * 0xffff + 4;
/// A guest that does not come to its end in so many exits never will.
const EXITS_MAX: usize = 100;
/// A processor that executes fewer instructions in a second does not execute them by itself: emulation in the kernel reaches one to two
/// million, and a nested guest below emulated hardware a hundred.
const INSTRUCTIONS_PER_SECOND_MIN: f64 = 5e6;
/// A busy host may take the processor away in the midst of it.
const TRIES_MAX: usize = 5;

/// What the monitor cannot do without.
const NEEDED: [(Cap, &str); 6] = [
    (Cap::Irqchip, "interrupt controllers (KVM_CAP_IRQCHIP)"),
    (Cap::Irqfd, "interrupts by event (KVM_CAP_IRQFD)"),
    (Cap::Ioeventfd, "events by access (KVM_CAP_IOEVENTFD)"),
    (Cap::IrqRouting, "interrupt routes (KVM_CAP_IRQ_ROUTING)"),
    (Cap::SignalMsi, "messages (KVM_CAP_SIGNAL_MSI)"),
    (
        Cap::ImmediateExit,
        "immediate exits (KVM_CAP_IMMEDIATE_EXIT)",
    ),
];

/// Opens KVM and runs a guest of a few instructions.
///
/// # Errors
///
/// [`MachineError::NoKvm`], with what went wrong.
pub fn open_kvm() -> Result<Kvm, MachineError> {
    let no = |reason: String| MachineError::NoKvm(reason);
    let kvm = Kvm::new().map_err(|error| no(format!("/dev/kvm: {error}")))?;
    for (capability, name) in NEEDED {
        if !kvm.check_extension(capability) {
            return Err(no(format!("it lacks {name}")));
        }
    }
    let mut fastest = 0.0_f64;
    for _ in 0..TRIES_MAX {
        let speed = try_guest(&kvm)
            .map_err(|error| no(format!("a guest of a few instructions: {error}")))?
            .map_err(|reason| no(format!("a guest of a few instructions {reason}")))?;
        fastest = fastest.max(speed);
        if fastest >= INSTRUCTIONS_PER_SECOND_MIN {
            return Ok(kvm);
        }
    }
    Err(no(format!(
        "a guest executes {:.1} million instructions a second, as if each were emulated",
        fastest / 1e6
    )))
}

/// Runs the program. Gives how many instructions a second it executed, or what it did instead.
#[expect(
    clippy::disallowed_methods,
    reason = "how fast a guest runs is what is to be found out"
)]
fn try_guest(kvm: &Kvm) -> Result<Result<f64, String>, kvm_ioctls::Error> {
    let failed = |_| kvm_ioctls::Error::new(libc::ENOMEM);
    let ram = GuestRam::from_ranges(&[(GuestAddress(0), 0x1_0000)])
        .map_err(|_| kvm_ioctls::Error::new(libc::ENOMEM))?;
    ram.write_slice(&PROGRAM, GuestAddress(PROGRAM_ADDRESS))
        .map_err(failed)?;
    let vm = kvm.create_vm()?;
    memory::give_to(&vm, &ram)?;
    let mut cpu = vm.create_vcpu(0)?;
    let mut special = cpu.get_sregs()?;
    (special.cs.base, special.cs.selector) = (0, 0);
    cpu.set_sregs(&special)?;
    cpu.set_regs(&kvm_regs {
        rip: PROGRAM_ADDRESS,
        rflags: 2,
        ..kvm_regs::default()
    })?;
    let mut written = false;
    let begin = Instant::now();
    for _ in 0..EXITS_MAX {
        match cpu.run()? {
            VcpuExit::IoOut(PORT, [VALUE]) => written = true,
            VcpuExit::Hlt if written => {
                return Ok(Ok(f64::from(INSTRUCTIONS) / begin.elapsed().as_secs_f64()));
            }
            VcpuExit::Intr => {}
            other => return Ok(Err(format!("left with {other:?}"))),
        }
    }
    Ok(Err("did not come to its end".into()))
}
