//! Host bridges, as a guest is told of them.

use crate::CxlControl;
use crate::CxlHostBridge;
use crate::PciControl;
use pcie_topology::AddressRange;
use pcie_topology::BusNumbers;
use pcie_topology::PortSpec;
use pcie_topology::RootComplexSpec;
use pcie_topology::Topology;

/// A root complex: its buses, where they are reached, what is decoded, and who controls what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostBridge {
    /// `_UID`, unique among the host bridges.
    pub uid: u32,
    /// PCI segment group.
    pub segment: u16,
    /// Its bus numbers; the first is the root bus.
    pub buses: BusNumbers,
    /// Its ECAM: it begins with the *first* bus's 1 MiB, and has 1 MiB for each bus.
    pub ecam: AddressRange,
    /// I/O ports for BARs.
    pub io: Option<AddressRange>,
    /// Where the first of these I/O ports is in memory, on machines whose processors have no I/O ports: for the device tree only.
    pub io_in_memory: Option<u64>,
    /// Memory below 4 GiB for BARs.
    pub mmio32: Option<AddressRange>,
    /// Memory from 4 GiB up for any 64-bit BAR.
    pub mmio64: Option<AddressRange>,
    /// Memory for prefetchable BARs only.
    pub prefetchable: Option<AddressRange>,
    /// The global system interrupts that the root complex signals INTx on: pin `p` (INTA is 0) of device `d` of the root bus is on
    /// number `(d + p) % 4`. Without them there is no `_PRT` and no device has a wired interrupt.
    pub intx: Option<[u32; 4]>,
    /// What the operating system is granted when it asks for control with `_OSC`: what is implemented, and nothing else. DPC is granted
    /// only together with AER.
    pub control: PciControl,
    /// Whether firmware, or the monitor in its place, has placed bus numbers and BARs that the guest must keep (`_DSM` function 5).
    pub preserve_boot_configuration: bool,
    /// Its proximity domain.
    pub node: Option<u32>,
    /// That it is a CXL host bridge, and what it has as such.
    pub cxl: Option<CxlHostBridge>,
    /// Its root ports.
    pub ports: Vec<Port>,
}

/// A root port, or a downstream port of a switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Its device number, 0 to 31.
    pub device: u8,
    /// Its function number, 0 to 7.
    pub function: u8,
    /// What the slot behind it is called: `_SUN`, and `_DSM` function 7 of what is plugged there.
    pub slot: Option<u32>,
    /// The name of what is plugged there, printable ASCII.
    pub label: String,
    /// The downstream ports of the switch behind it, which has no slot then. A switch is told of where a slot is below it.
    pub switch: Vec<Port>,
}

impl Port {
    fn of((port, device, function): (&PortSpec, u8, u8)) -> Self {
        Self {
            device,
            function,
            slot: port.slot.as_ref().map(|slot| slot.number),
            label: port.name.clone(),
            // What is in a slot may go, and something else come.
            switch: match (&port.slot, &port.switch) {
                (None, Some(switch)) => switch.port_places().map(Self::of).collect(),
                _ => Vec::new(),
            },
        }
    }

    /// Itself, and the ports below.
    pub(crate) fn tree(&self) -> Vec<&Self> {
        let below = self.switch.iter().flat_map(Self::tree);
        std::iter::once(self).chain(below).collect()
    }

    pub(crate) fn has_slots_below(&self) -> bool {
        self.switch
            .iter()
            .any(|port| port.slot.is_some() || port.has_slots_below())
    }
}

impl HostBridge {
    /// The host bridges of a description, with the `_UID`s 0, 1, 2 and so on: see [`Self::from_root_complex`].
    pub fn of(topology: &Topology) -> Vec<Self> {
        (0..)
            .zip(&topology.root_complex)
            .map(|(uid, spec)| Self::from_root_complex(uid, spec))
            .collect()
    }

    /// The host bridge of a described root complex, with `_UID` `uid`.
    ///
    /// What it implements may be controlled ([`PciControl::of`]), nothing of CXL is; there are no wired interrupts, and the guest may
    /// place BARs as it likes, until the fields are set that say otherwise.
    pub fn from_root_complex(uid: u32, spec: &RootComplexSpec) -> Self {
        Self {
            uid,
            segment: spec.segment,
            buses: spec.buses,
            ecam: spec.ecam_range(),
            io: spec.io,
            io_in_memory: None,
            mmio32: spec.mmio32,
            mmio64: spec.mmio64,
            prefetchable: None,
            intx: None,
            control: PciControl::of(spec),
            preserve_boot_configuration: false,
            node: None,
            cxl: spec.chbcr.map(|component_registers| CxlHostBridge {
                component_registers,
                control: CxlControl::new(),
            }),
            ports: spec.port_places().map(Port::of).collect(),
        }
    }
}
