//! What CPUID tells the guest: what KVM supports, with the place of each processor, and on request without a trace of KVM.

use kvm_bindings::CpuId;
use kvm_bindings::KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
use kvm_bindings::kvm_cpuid_entry2;

/// The first leaf of what a hypervisor says about itself, and the last that KVM uses.
const HYPERVISOR_LEAVES: std::ops::RangeInclusive<u32> = 0x4000_0000..=0x4000_00ff;
const FEATURES: u32 = 1;
const CACHES: u32 = 4;
const TOPOLOGY: u32 = 0xb;
const TOPOLOGY_V2: u32 = 0x1f;
const AMD_SIZES: u32 = 0x8000_0008;
const AMD_PLACE: u32 = 0x8000_001e;

/// Leaf 1 ECX: the timer of the local APIC can be armed with a time stamp.
const TSC_DEADLINE: u32 = 1 << 24;
/// Leaf 1 ECX: there is a hypervisor.
const HYPERVISOR: u32 = 1 << 31;
/// Leaf 1 EDX: the count of processors in EBX is valid.
const HYPER_THREADING: u32 = 1 << 28;
/// Leaf 0xb ECX: the kind of a level.
const LEVEL_THREAD: u32 = 1 << 8;
const LEVEL_CORE: u32 = 2 << 8;

/// How a processor is to appear.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Identity {
    /// Its number, which is its APIC ID.
    pub(crate) index: u8,
    /// How many processors there are: cores of one package, one thread each.
    pub(crate) count: u8,
    /// Whether the guest may know of the hypervisor, and with it of KVM's clock.
    pub(crate) hypervisor: bool,
    /// Whether the local APIC's timer has the deadline mode.
    pub(crate) tsc_deadline: bool,
}

impl Identity {
    fn apic_id(self) -> u32 {
        self.index.into()
    }

    /// Bits of an APIC ID that tell cores apart.
    fn core_bits(self) -> u32 {
        u32::from(self.count).next_power_of_two().ilog2()
    }

    /// The leaves for this processor.
    pub(crate) fn leaves(self, supported: &CpuId) -> Vec<kvm_cpuid_entry2> {
        let mut leaves: Vec<_> = supported
            .as_slice()
            .iter()
            .filter(|leaf| !matches!(leaf.function, TOPOLOGY | TOPOLOGY_V2))
            .filter(|leaf| self.hypervisor || !HYPERVISOR_LEAVES.contains(&leaf.function))
            .copied()
            .collect();
        for leaf in &mut leaves {
            self.adjust(leaf);
        }
        leaves.extend(self.topology());
        leaves
    }

    fn adjust(self, leaf: &mut kvm_cpuid_entry2) {
        let count = u32::from(self.count);
        let set = |word: &mut u32, bits: u32, on: bool| {
            *word = if on { *word | bits } else { *word & !bits };
        };
        match leaf.function {
            FEATURES => {
                leaf.ebx = (leaf.ebx & 0xffff) | (count << 16) | (self.apic_id() << 24);
                set(&mut leaf.ecx, HYPERVISOR, self.hypervisor);
                set(&mut leaf.ecx, TSC_DEADLINE, self.tsc_deadline);
                set(&mut leaf.edx, HYPER_THREADING, count > 1);
            }
            // Cores of the package, and who shares a cache: nobody.
            CACHES if leaf.eax != 0 => {
                leaf.eax = (leaf.eax & 0x3fff) | ((count - 1) << 26);
            }
            AMD_SIZES => leaf.ecx = (self.core_bits() << 12) | (count - 1),
            AMD_PLACE => (leaf.eax, leaf.ebx, leaf.ecx) = (self.apic_id(), self.apic_id(), 0),
            _ => {}
        }
    }

    /// Leaf 0xb: one thread a core, `count` cores.
    fn topology(self) -> [kvm_cpuid_entry2; 2] {
        let level = |index, eax, ebx, kind| kvm_cpuid_entry2 {
            function: TOPOLOGY,
            index,
            flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            eax,
            ebx,
            ecx: index | kind,
            edx: self.apic_id(),
            ..kvm_cpuid_entry2::default()
        };
        [
            level(0, 0, 1, LEVEL_THREAD),
            level(1, self.core_bits(), self.count.into(), LEVEL_CORE),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(function: u32, ecx: u32) -> kvm_cpuid_entry2 {
        kvm_cpuid_entry2 {
            function,
            ecx,
            ..kvm_cpuid_entry2::default()
        }
    }

    fn leaves(identity: Identity) -> Vec<kvm_cpuid_entry2> {
        let supported = CpuId::from_entries(&[
            leaf(FEATURES, HYPERVISOR),
            leaf(TOPOLOGY, 0),
            leaf(0x4000_0000, 0),
            leaf(AMD_SIZES, 0),
        ])
        .unwrap();
        identity.leaves(&supported)
    }

    const THIRD_OF_FIVE: Identity = Identity {
        index: 2,
        count: 5,
        hypervisor: true,
        tsc_deadline: true,
    };

    #[test]
    fn every_processor_has_its_place() {
        let leaves = leaves(THIRD_OF_FIVE);
        let of = |function| {
            leaves
                .iter()
                .find(move |leaf| leaf.function == function)
                .unwrap()
        };
        assert_eq!(of(FEATURES).ebx, 0x0205_0000);
        assert_eq!(of(FEATURES).edx, HYPER_THREADING);
        assert_eq!(of(AMD_SIZES).ecx, 0x3004, "five cores need three bits");
        let levels: Vec<_> = leaves
            .iter()
            .filter(|leaf| leaf.function == TOPOLOGY)
            .collect();
        assert_eq!(levels.len(), 2, "KVM's own are replaced");
        assert_eq!((levels[0].eax, levels[0].ebx, levels[0].ecx), (0, 1, 0x100));
        assert_eq!((levels[1].eax, levels[1].ebx, levels[1].ecx), (3, 5, 0x201));
        assert!(levels.iter().all(|level| level.edx == 2));
    }

    #[test]
    fn a_hidden_hypervisor_leaves_no_trace() {
        let features = |leaves: &[kvm_cpuid_entry2]| leaves[0].ecx & HYPERVISOR;
        let has_leaf = |leaves: &[kvm_cpuid_entry2]| {
            leaves
                .iter()
                .any(|leaf| HYPERVISOR_LEAVES.contains(&leaf.function))
        };
        let shown = leaves(THIRD_OF_FIVE);
        assert!(features(&shown) != 0 && has_leaf(&shown));
        let hidden = leaves(Identity {
            hypervisor: false,
            ..THIRD_OF_FIVE
        });
        assert!(features(&hidden) == 0 && !has_leaf(&hidden));
    }
}
