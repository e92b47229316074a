//! Whether KVM runs guests here. Where virtual machines are nested, `/dev/kvm` may open, and even make virtual machines, and yet not
//! run the simplest of them: only trying tells.

use crate::MachineError;
use crate::memory;
use crate::memory::GuestRam;
use kvm_bindings::kvm_regs;
use kvm_ioctls::Cap;
use kvm_ioctls::Kvm;
use kvm_ioctls::VcpuExit;
use vm_memory::Bytes;
use vm_memory::GuestAddress;

/// Where the guest's program is.
const PROGRAM_ADDRESS: u64 = 0x1000;
/// In real mode: `mov al, 0x5a; out 0x42, al; hlt`.
const PROGRAM: [u8; 5] = [0xb0, 0x5a, 0xe6, 0x42, 0xf4];
const PORT: u16 = 0x42;
const VALUE: u8 = 0x5a;
/// A guest that does not come to its end in so many exits never will.
const EXITS_MAX: usize = 8;

/// What the monitor cannot do without.
const NEEDED: [(Cap, &str); 6] = [
    (Cap::Irqchip, "interrupt controllers (KVM_CAP_IRQCHIP)"),
    (Cap::Irqfd, "interrupts by event (KVM_CAP_IRQFD)"),
    (Cap::Ioeventfd, "events by access (KVM_CAP_IOEVENTFD)"),
    (Cap::IrqRouting, "interrupt routes (KVM_CAP_IRQ_ROUTING)"),
    (Cap::SignalMsi, "messages (KVM_CAP_SIGNAL_MSI)"),
    (Cap::ImmediateExit, "immediate exits (KVM_CAP_IMMEDIATE_EXIT)"),
];

/// Opens KVM and runs a guest of three instructions.
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
    match try_guest(&kvm) {
        Ok(None) => Ok(kvm),
        Ok(Some(reason)) => Err(no(format!("a guest of three instructions {reason}"))),
        Err(error) => Err(no(format!("a guest of three instructions: {error}"))),
    }
}

/// Runs the program. Gives what it did instead of what it should, if so.
fn try_guest(kvm: &Kvm) -> Result<Option<String>, kvm_ioctls::Error> {
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
    for _ in 0..EXITS_MAX {
        match cpu.run()? {
            VcpuExit::IoOut(PORT, [VALUE]) => written = true,
            VcpuExit::Hlt if written => return Ok(None),
            VcpuExit::Intr => {}
            other => return Ok(Some(format!("left with {other:?}"))),
        }
    }
    Ok(Some("did not come to its end".into()))
}
