//! The hierarchy that bodies do things to, as firmware leaves it.

mod layout;

pub(crate) use layout::CXL;
pub(crate) use layout::LAYOUTS;
pub(crate) use layout::Layout;
pub(crate) use layout::NIC;
pub(crate) use layout::SCRATCH;
pub(crate) use layout::Slot;
pub(crate) use layout::WITH_CARD;
pub(crate) use layout::WITH_SLOTS;

use chipset_device::io::IoResult;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::MmioIntercept;
use pci_core::msi::SignalMsi;
use pcie::root::GenericPcieRootComplex;
use pcie_topology::EndpointSpec;
use pcie_topology::Hierarchy;
use pcie_topology::MsixSpec;
use pcie_topology::PlugError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SavedStateBlob;

const ECAM: u64 = 0xe000_0000;
pub(crate) const CHBCR: u64 = 0xd000_0000;

/// Slots that a machine has at most.
pub(crate) const SLOTS_MAX: usize = 3;

/// Slots send their messages here, each 16 bytes after the one before.
const MESSAGES: u32 = 0xfee0_0000;
/// The MSI capability of a port follows the PCI Express capability: Message Control, and Message Address.
const MSI_CONTROL: u16 = 0x7e;
const MSI_ADDRESS: u16 = 0x80;

/// How many messages each slot sent.
#[derive(Default)]
struct Messages([AtomicU32; SLOTS_MAX]);

impl SignalMsi for Messages {
    fn signal_msi(&self, _devid: Option<u32>, address: u64, _data: u32) {
        let slot = address.wrapping_sub(MESSAGES.into()) >> 4;
        if let Some(count) = usize::try_from(slot).ok().and_then(|at| self.0.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is in a slot.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Content {
    /// What the description puts there.
    First,
    /// A card of a kind.
    Card(u8),
}

/// The hierarchy and what a guest does to it.
pub(crate) struct Machine {
    pub(crate) layout: &'static Layout,
    pub(crate) hierarchy: Hierarchy,
    contents: BTreeMap<&'static str, Content>,
    messages: Arc<Messages>,
}

impl Machine {
    /// Composed and numbered, with BARs placed.
    pub(crate) fn new(layout: &'static Layout) -> Self {
        let mut machine = Self::composed(layout, Arc::default());
        machine.enumerate();
        machine
    }

    /// As no guest has seen it.
    fn composed(layout: &'static Layout, messages: Arc<Messages>) -> Self {
        let hierarchy = layout
            .topology()
            .compose(&mut ExternallyManagedMmioIntercepts, Some(messages.clone()))
            .unwrap();
        let occupied = layout.slots.iter().filter(|slot| slot.card.is_some());
        Self {
            layout,
            hierarchy,
            contents: occupied.map(|slot| (slot.name, Content::First)).collect(),
            messages,
        }
    }

    /// Does what firmware does.
    pub(crate) fn enumerate(&mut self) {
        for bridge in self.layout.bridges {
            let (bus, devfn) = (bridge.bus, bridge.devfn);
            let numbers = [bus, bridge.secondary, bridge.subordinate, 0];
            self.write(config(bus, devfn, 0x18), &numbers);
            self.write(config(bus, devfn, 0x20), &0xcff0_c000u32.to_le_bytes());
            self.write(config(bus, devfn, 0x04), &6u16.to_le_bytes());
        }
        for (bus, devfn, base) in self.layout.bars {
            self.write(config(*bus, *devfn, 0x10), &base.to_le_bytes());
            self.write(config(*bus, *devfn, 0x04), &6u16.to_le_bytes());
        }
        for (slot, address) in self.layout.slots.iter().zip((MESSAGES..).step_by(16)) {
            let address = u64::from(address).to_le_bytes();
            self.write(config(slot.bus, slot.devfn, MSI_ADDRESS), &address);
            self.write(
                config(slot.bus, slot.devfn, MSI_CONTROL),
                &1u16.to_le_bytes(),
            );
        }
    }

    pub(crate) fn root(&mut self) -> &mut GenericPcieRootComplex {
        &mut self.hierarchy.complexes[0].root
    }

    /// Reads; errors are one answer of several.
    pub(crate) fn read(&mut self, address: u64, data: &mut [u8]) -> IoResult {
        self.root().mmio_read(address, data)
    }

    /// Writes; errors are one answer of several.
    pub(crate) fn write(&mut self, address: u64, data: &[u8]) {
        let _ = self.root().mmio_write(address, data);
    }

    pub(crate) fn config(&mut self, bus: u8, devfn: u8, offset: u16) -> u32 {
        let mut data = [0; 4];
        let _ = self.read(config(bus, devfn, offset), &mut data);
        u32::from_le_bytes(data)
    }

    /// Whether a slot's port sends messages.
    pub(crate) fn sends_messages(&mut self, bus: u8, devfn: u8) -> bool {
        self.config(bus, devfn, MSI_CONTROL & !3) & (1 << 16) != 0
    }

    /// How many messages each slot has sent so far.
    pub(crate) fn messages(&self) -> [u32; SLOTS_MAX] {
        self.messages
            .0
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Plugs a card, and remembers it.
    pub(crate) fn plug(&mut self, port: &'static str, kind: u8) -> Result<(), PlugError> {
        self.hierarchy.plug(port, &card(kind))?;
        self.contents.insert(port, Content::Card(kind));
        Ok(())
    }

    /// Removes what is in a slot, and forgets it.
    pub(crate) fn unplug(&mut self, port: &'static str) -> Result<(), PlugError> {
        self.hierarchy.unplug(port)?;
        self.contents.remove(port);
        Ok(())
    }

    pub(crate) fn save(&mut self) -> SavedStateBlob {
        ProtobufSaveRestore::save(self.root()).unwrap()
    }

    pub(crate) fn saved_bytes(&mut self) -> Vec<u8> {
        mesh_protobuf::encode(self.save())
    }

    /// A machine that is composed anew, with the same cards in its slots. Nothing of what the guest did is there.
    fn twin(&self) -> Self {
        let mut twin = Self::composed(self.layout, self.messages.clone());
        let differing = || {
            let slots = self.layout.slots.iter();
            slots.filter(|slot| self.contents.get(slot.name) != Some(&Content::First))
        };
        for slot in differing().filter(|slot| slot.card.is_some()) {
            twin.unplug(slot.name).unwrap();
        }
        for slot in differing() {
            if let Some(Content::Card(kind)) = self.contents.get(slot.name) {
                twin.plug(slot.name, *kind).unwrap();
            }
        }
        twin
    }

    /// Saves and, by way of bytes, restores another machine, which must be saved as the same bytes: what is not restored is as power-on
    /// leaves it there. The other machine takes the place of this one.
    pub(crate) fn save_and_restore(&mut self) {
        let saved = self.saved_bytes();
        let state: SavedStateBlob = mesh_protobuf::decode(&saved).unwrap();
        let mut twin = self.twin();
        ProtobufSaveRestore::restore(twin.root(), state).unwrap();
        assert!(twin.saved_bytes() == saved, "restored, and saved otherwise");
        *self = twin;
    }
}

/// Cards to plug.
pub(crate) fn card(kind: u8) -> EndpointSpec {
    let mut card = EndpointSpec::new(format!("card{}", kind % 3));
    if kind % 3 == 1 {
        card = card.with_bar(pcie_topology::BarKind::Memory64, 0x4000);
        card.msix = Some(MsixSpec::new(2));
    }
    if kind % 3 == 2 {
        card.functions = 2;
    }
    card
}

/// The ECAM address of a register.
pub(crate) fn config(bus: u8, devfn: u8, offset: u16) -> u64 {
    ECAM + (u64::from(bus) << 20) + (u64::from(devfn) << 12) + u64::from(offset)
}
