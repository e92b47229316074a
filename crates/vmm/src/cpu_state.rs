//! A processor's state as a value: taken when the machine is saved, put back when it is restored, and, as it was before the first
//! instruction, when it is reset.

use crate::MachineError;
use crate::error::Kvm as _;
use kvm_bindings::Msrs;
use kvm_bindings::kvm_debugregs;
use kvm_bindings::kvm_lapic_state;
use kvm_bindings::kvm_mp_state;
use kvm_bindings::kvm_msr_entry;
use kvm_bindings::kvm_regs;
use kvm_bindings::kvm_sregs;
use kvm_bindings::kvm_vcpu_events;
use kvm_bindings::kvm_xcrs;
use kvm_bindings::kvm_xsave;
use kvm_ioctls::Kvm;
use kvm_ioctls::VcpuFd;

/// What there is of a processor.
pub(crate) struct CpuState {
    pub(crate) run_state: kvm_mp_state,
    pub(crate) registers: kvm_regs,
    pub(crate) special_registers: kvm_sregs,
    pub(crate) extended_state: kvm_xsave,
    pub(crate) extended_control: kvm_xcrs,
    pub(crate) debug_registers: kvm_debugregs,
    pub(crate) local_apic: kvm_lapic_state,
    pub(crate) model_specific: Vec<kvm_msr_entry>,
    pub(crate) events: kvm_vcpu_events,
}

impl CpuState {
    /// Takes the state of a processor that stands still.
    pub(crate) fn take(fd: &VcpuFd, msrs: &[u32]) -> Result<Self, MachineError> {
        Ok(Self {
            run_state: fd.get_mp_state().during("KVM_GET_MP_STATE")?,
            registers: fd.get_regs().during("KVM_GET_REGS")?,
            special_registers: fd.get_sregs().during("KVM_GET_SREGS")?,
            extended_state: fd.get_xsave().during("KVM_GET_XSAVE")?,
            extended_control: fd.get_xcrs().during("KVM_GET_XCRS")?,
            debug_registers: fd.get_debug_regs().during("KVM_GET_DEBUGREGS")?,
            local_apic: fd.get_lapic().during("KVM_GET_LAPIC")?,
            model_specific: read_msrs(fd, msrs)?,
            events: fd.get_vcpu_events().during("KVM_GET_VCPU_EVENTS")?,
        })
    }

    /// Puts the state back. The order is KVM's: the local APIC needs its base address, which is a special register; the deadline of its
    /// timer, which is model specific, needs the local APIC.
    pub(crate) fn put(&self, fd: &VcpuFd) -> Result<(), MachineError> {
        fd.set_mp_state(self.run_state).during("KVM_SET_MP_STATE")?;
        fd.set_regs(&self.registers).during("KVM_SET_REGS")?;
        fd.set_sregs(&self.special_registers)
            .during("KVM_SET_SREGS")?;
        #[expect(
            unsafe_code,
            reason = "KVM could read beyond the structure of a guest that uses features of variable size"
        )]
        // SAFETY: such features need the process's permission (arch_prctl), which the monitor never asks for.
        unsafe { fd.set_xsave(&self.extended_state) }.during("KVM_SET_XSAVE")?;
        fd.set_xcrs(&self.extended_control).during("KVM_SET_XCRS")?;
        fd.set_debug_regs(&self.debug_registers)
            .during("KVM_SET_DEBUGREGS")?;
        fd.set_lapic(&self.local_apic).during("KVM_SET_LAPIC")?;
        write_msrs(fd, &self.model_specific)?;
        fd.set_vcpu_events(&self.events)
            .during("KVM_SET_VCPU_EVENTS")
    }
}

/// The numbers of the registers that KVM keeps for a guest.
pub(crate) fn msr_numbers(kvm: &Kvm) -> Result<Vec<u32>, MachineError> {
    let list = kvm.get_msr_index_list().during("KVM_GET_MSR_INDEX_LIST")?;
    Ok(list.as_slice().to_vec())
}

/// Reads what can be read. KVM lists registers that this guest may not have, and stops at the first.
fn read_msrs(fd: &VcpuFd, numbers: &[u32]) -> Result<Vec<kvm_msr_entry>, MachineError> {
    let mut read = Vec::with_capacity(numbers.len());
    let mut rest = numbers;
    while !rest.is_empty() {
        let chunk = rest.get(..rest.len().min(kvm_bindings::KVM_MAX_MSR_ENTRIES));
        let entries: Vec<_> = chunk
            .unwrap_or_default()
            .iter()
            .map(|index| kvm_msr_entry {
                index: *index,
                ..kvm_msr_entry::default()
            })
            .collect();
        let mut msrs = list(&entries)?;
        let count = fd.get_msrs(&mut msrs).during("KVM_GET_MSRS")?;
        read.extend(msrs.as_slice().iter().take(count));
        rest = after(rest, count, entries.len());
    }
    Ok(read)
}

/// Writes what can be written: some registers only take the value that they have.
fn write_msrs(fd: &VcpuFd, entries: &[kvm_msr_entry]) -> Result<(), MachineError> {
    let mut rest = entries;
    while !rest.is_empty() {
        let chunk = rest.get(..rest.len().min(kvm_bindings::KVM_MAX_MSR_ENTRIES));
        let chunk = chunk.unwrap_or_default();
        let count = fd.set_msrs(&list(chunk)?).during("KVM_SET_MSRS")?;
        rest = after(rest, count, chunk.len());
    }
    Ok(())
}

/// What is left after `count` of `len` were done: where there are fewer, the next one cannot be done at all.
fn after<T>(rest: &[T], count: usize, len: usize) -> &[T] {
    let done = if count < len { count + 1 } else { count };
    rest.get(done..).unwrap_or_default()
}

fn list(entries: &[kvm_msr_entry]) -> Result<Msrs, MachineError> {
    Msrs::from_entries(entries)
        .map_err(|_| kvm_ioctls::Error::new(libc::E2BIG))
        .during("a list of model specific registers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_that_cannot_be_done_is_left_out() {
        let all = [1, 2, 3, 4];
        assert_eq!(after(&all, 4, 4), [0; 0]);
        assert_eq!(after(&all, 1, 4), [3, 4], "2 failed");
        assert_eq!(after(&all, 0, 4), [2, 3, 4], "1 failed");
        assert_eq!(after(&all, 3, 4), [0; 0], "4 failed");
        assert_eq!(after(&all, 2, 2), [3, 4], "the next chunk");
    }
}
