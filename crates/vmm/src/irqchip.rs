//! The state of KVM's interrupt controllers as a value.

use crate::MachineError;
use crate::error::Kvm as _;
use kvm_bindings::KVM_IRQCHIP_IOAPIC;
use kvm_bindings::KVM_IRQCHIP_PIC_MASTER;
use kvm_bindings::KVM_IRQCHIP_PIC_SLAVE;
use kvm_bindings::kvm_irqchip;
use kvm_ioctls::VmFd;

/// Both 8259s, which no guest of this machine uses, and the I/O APIC.
#[derive(Clone)]
pub(crate) struct IrqChipState(pub(crate) Vec<kvm_irqchip>);

impl IrqChipState {
    pub(crate) fn take(vm: &VmFd) -> Result<Self, MachineError> {
        let chips = [
            KVM_IRQCHIP_PIC_MASTER,
            KVM_IRQCHIP_PIC_SLAVE,
            KVM_IRQCHIP_IOAPIC,
        ];
        let take = |chip_id| {
            let mut chip = kvm_irqchip {
                chip_id,
                ..kvm_irqchip::default()
            };
            vm.get_irqchip(&mut chip).during("KVM_GET_IRQCHIP")?;
            Ok(chip)
        };
        chips
            .into_iter()
            .map(take)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn put(&self, vm: &VmFd) -> Result<(), MachineError> {
        self.0
            .iter()
            .try_for_each(|chip| vm.set_irqchip(chip).during("KVM_SET_IRQCHIP"))
    }
}
