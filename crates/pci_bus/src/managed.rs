//! What the owner of a device can do with it beyond configuration accesses.

use crate::Acknowledgement;
use crate::Fabric;
use crate::GenericPciBusDevice;
use crate::IntxLines;
use crate::Stimulus;
use crate::StimulusError;
use crate::Upstream;
use chipset_device::io::IoResult;
use inspect::InspectMut;
use pci_spec::caps::pci_express::LinkSpeed;
use pci_spec::caps::pci_express::LinkWidth;
use pci_spec::messages::Message;
use reg_table::Reset;
use std::sync::Arc;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

/// What one end of a link can do, or what both ends agreed on (PCIe 6.2 section 4.2.5).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct LinkEnd {
    /// Speed.
    pub speed: LinkSpeed,
    /// Width.
    pub width: LinkWidth,
}

/// A device whose lifecycle belongs to the port it is attached to: it is reset, saved, restored and inspected together with
/// the hierarchy, and its memory accesses come through it.
///
/// A device that its monitor manages by itself does not implement this; see [`GenericPciBusDevice::managed`].
pub trait ManagedDevice: InspectMut {
    /// Resets the device, and for a switch all below it, as `kind` says.
    fn reset(&mut self, kind: Reset);

    /// Saves the state of the device and of all below it.
    ///
    /// # Errors
    ///
    /// When a part of it cannot be saved.
    fn save(&mut self) -> Result<SavedStateBlob, SaveError>;

    /// Says whether [`Self::restore`] would take `state`, and changes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Self::restore`].
    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError>;

    /// Restores the state of the device and of all below it; on error all is as it was.
    ///
    /// # Errors
    ///
    /// When the state does not fit the device.
    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError>;

    /// Reads from memory that the device, or one below it, claims; `None` when none does.
    fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        let _ = (address, data);
        None
    }

    /// Writes to memory that the device, or one below it, claims; `None` when none does.
    fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        let _ = (address, data);
        None
    }

    /// Reads from I/O ports that the device, or one below it, claims; `None` when none does.
    fn io_read(&mut self, port: u16, data: &mut [u8]) -> Option<IoResult> {
        let _ = (port, data);
        None
    }

    /// Writes to I/O ports that the device, or one below it, claims; `None` when none does.
    fn io_write(&mut self, port: u16, data: &[u8]) -> Option<IoResult> {
        let _ = (port, data);
        None
    }

    /// What the bridges above let through is `upstream` from now on. Called when the device is attached, and whenever it changes; until
    /// the first call, everything comes through. The device hands it to its emulator, which maps the BARs that can be reached
    /// and no others; a device that ignores it answers at addresses that no bridge forwards.
    fn upstream_changed(&mut self, upstream: &Upstream) {
        let _ = upstream;
    }

    /// INTx of the device, and of all below it, ends at `lines`. Called when the device is attached, where the root complex has
    /// INTx lines.
    fn wire_intx(&mut self, lines: &IntxLines) {
        let _ = lines;
    }

    /// What the device's end of its link can do. `None` for whatever the port above can.
    fn link(&self) -> Option<LinkEnd> {
        None
    }

    /// The link to the port above came up, or changed, and both ends agreed on this: what the device's Link Status is to show.
    fn link_trained(&mut self, agreed: LinkEnd) {
        let _ = agreed;
    }

    /// The device became part of a fabric, known there as `name`; `fabric` is where it logs events and announces messages. A switch
    /// tells all below.
    fn joined(&mut self, fabric: &Fabric, name: &Arc<str>) {
        let _ = (fabric, name);
    }

    /// Makes something happen in function `function` of the device. Messages that follow are for [`Self::take_messages`].
    ///
    /// # Errors
    ///
    /// [`StimulusError`]: there is no such function, or it has no notion of this. `name` is what the error calls the device.
    fn stimulate(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Result<(), StimulusError> {
        let _ = function;
        Err(stimulus.refused_by(name))
    }

    /// As [`Self::stimulate`], in a port of the device or in something below, by name. `None` if nothing there has this name.
    fn stimulate_below(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Option<Result<(), StimulusError>> {
        let _ = (name, function, stimulus);
        None
    }

    /// The messages that leave the device upstream, its own and those from below, oldest first. `bus` is the bus it is on.
    fn take_messages(&mut self, bus: u8) -> Vec<Message> {
        let _ = bus;
        Vec::new()
    }

    /// The device is a root complex event collector: takes a message of an integrated endpoint on its bus. False if it is none, or not
    /// the one for that endpoint.
    fn collect_message(&mut self, message: Message) -> bool {
        let _ = message;
        false
    }

    /// The way up is open again: whoever, in the device or below, signalled a power management event that software has not cleared sends
    /// its message once more (PCIe 6.2 section 5.3.3.3.1).
    fn retransmit_pme(&mut self) {}

    /// Whether the device answers configuration requests. One that is not ready after it was attached or reset is asked again before
    /// each request for it; until then the request ends with Request Retry Status (PCIe 6.2 section 2.3.1).
    fn is_ready(&mut self) -> bool {
        true
    }

    /// Whether a request for `bus`, on which nobody answered, was for a device below that is not ready yet.
    fn awaits_device(&mut self, bus: u8) -> bool {
        let _ = bus;
        false
    }

    /// Says in Header Type that the device has several functions, or has not: it became one of a
    /// [`MultiFunctionDevice`](crate::MultiFunctionDevice).
    fn set_multi_function(&mut self, multi_function: bool) {
        let _ = multi_function;
    }

    /// The port of this name, if it is one of the device's or below it.
    fn port(&mut self, name: &str) -> Option<&mut dyn HotPlugPort> {
        let _ = name;
        None
    }
}

/// What a guest is to do at a slot.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SlotGoal {
    /// It took the device in: power is on, the link is up, and the device is ready.
    Reachable,
    /// It let the device go: [`HotPlugPort::removal_permitted`].
    Released,
}

/// A port with a slot, as an operator works it while the guest runs.
///
/// Devices may come and go at once, or, in a slot that has the parts for it, in order (PCIe 6.2 section 6.7.1): the operator asks by
/// [`Self::request_removal`], the guest stops its driver and turns the slot's power off, [`Self::removal_permitted`] becomes true, and
/// the operator calls [`Self::hotplug_remove_device`]. Nothing here waits for the guest, and no guest is bound to answer:
/// [`Self::acknowledgement`] is for the operator to await, or to wait for and time out.
pub trait HotPlugPort {
    /// Attaches a device and tells the guest.
    ///
    /// # Errors
    ///
    /// - the port has no hot-plug slot;
    /// - the slot is occupied.
    fn hotplug_add_device(
        &mut self,
        device_name: &str,
        device: Box<dyn GenericPciBusDevice>,
    ) -> anyhow::Result<()>;

    /// Removes the device and tells the guest, whether or not it agreed.
    ///
    /// # Errors
    ///
    /// - the port has no hot-plug slot;
    /// - the slot is empty;
    /// - the slot's electromechanical interlock holds the device.
    fn hotplug_remove_device(&mut self) -> anyhow::Result<()>;

    /// Presses the attention button: asks the guest to take the device in, or to let it go. Within five seconds a second time, it takes
    /// the question back.
    ///
    /// # Errors
    ///
    /// - the slot has no attention button.
    fn press_attention_button(&mut self) -> anyhow::Result<()> {
        anyhow::bail!("no attention button")
    }

    /// Asks the guest to let the device go, by the attention button.
    ///
    /// # Errors
    ///
    /// - the slot is empty;
    /// - the slot has no attention button.
    fn request_removal(&mut self) -> anyhow::Result<()> {
        self.press_attention_button()
    }

    /// Whether the guest let the device go: power is off, the power indicator is dark and the interlock is released, as far as the slot
    /// has these. Always true of a slot with none of them.
    fn removal_permitted(&self) -> bool {
        true
    }

    /// What the guest is to do with the device in the slot, to be waited for. It is abandoned when the device is taken out before.
    ///
    /// # Errors
    ///
    /// - the slot is empty;
    /// - the port has no slot.
    fn acknowledgement(&mut self, goal: SlotGoal) -> anyhow::Result<Acknowledgement> {
        let _ = goal;
        anyhow::bail!("no slot")
    }

    /// Asks the guest to let the device go, as [`Self::request_removal`], and says when it did.
    ///
    /// # Errors
    ///
    /// - the slot is empty;
    /// - the slot has no attention button.
    fn begin_removal(&mut self) -> anyhow::Result<Acknowledgement> {
        self.request_removal()?;
        self.acknowledgement(SlotGoal::Released)
    }

    /// Opens or closes the manually operated retention latch.
    ///
    /// # Errors
    ///
    /// - the slot has no sensor for it.
    fn set_mrl(&mut self, open: bool) -> anyhow::Result<()> {
        let _ = open;
        anyhow::bail!("no MRL sensor")
    }

    /// Lets the power controller find a fault: the device loses power until the guest turns it off and on again.
    ///
    /// # Errors
    ///
    /// - the slot has no power controller.
    fn power_fault(&mut self) -> anyhow::Result<()> {
        anyhow::bail!("no power controller")
    }
}
