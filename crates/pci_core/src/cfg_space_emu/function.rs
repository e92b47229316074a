//! What the emulators of both header types offer alike: a function, whatever its header.

use super::ConfigSpaceImage;
use super::ConfigSpaceType0Emulator;
use super::ConfigSpaceType1Emulator;
use super::IntxInterrupt;
use crate::PciInterruptPin;
use crate::bar_mapping::BarMappings;
use crate::bus_master::BusMaster;
use crate::capabilities::pci_express::PciExpressCapability;
use crate::spec::caps::power_management::PowerState;
use crate::spec::cfg_space::Status;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use pci_bus::Upstream;
use reg_table::Page;
use std::sync::Arc;
use vmcore::line_interrupt::LineInterrupt;

macro_rules! function {
    ($emulator:ty) => {
        impl $emulator {
            /// Lets Bus Master Enable gate MSI and MSI-X, the function's own and that of the bridges above (PCIe 6.2 section 7.5.1.1.3).
            ///
            /// A message that is held back stays pending where the function has pending bits (MSI-X, and MSI with per-vector masking), and is
            /// sent when the function may; MSI without masking has no place for it, and it is lost.
            pub fn with_bus_master_gate(mut self) -> Self {
                self.common = self.common.with_bus_master_gate();
                self
            }

            /// Lets a function without PCI Express capability answer for the extended configuration space that it does not have, where
            /// [`Self::read_u32`] gives an error otherwise. A request for it is an Unsupported Request (PCIe 6.2 section 2.3.1), as it is
            /// to a bridge that would have to forward it to conventional PCI: reads give all-ones (section 2.3.2), by which
            /// software sees that there is none, and writes are dropped.
            pub fn with_answer_beyond(mut self) -> Self {
                self.common = self.common.with_answer_beyond();
                self
            }

            /// The power state that software chose; D0 without a Power Management capability.
            pub fn power_state(&self) -> PowerState {
                self.common.power_state()
            }

            /// Gives the function an INTx pin, wired to `line`.
            pub fn set_interrupt_pin(
                &mut self,
                pin: PciInterruptPin,
                line: LineInterrupt,
            ) -> Arc<IntxInterrupt> {
                self.common.set_interrupt_pin(pin, line)
            }

            /// Follows whether the function may issue requests: its own Bus Master Enable and that of the bridges above.
            pub fn bus_master(&self) -> BusMaster {
                self.common.bus_master()
            }

            /// Whether Bus Master Enable, the function's own and that of every bridge above, lets MSI and MSI-X out; always, unless
            /// composed [`Self::with_bus_master_gate`].
            pub fn messages_pass(&self) -> bool {
                self.common.messages_pass()
            }

            /// What the bridges above let through: everything, until [`Self::set_upstream`] says otherwise.
            pub fn upstream(&self) -> &Upstream {
                self.common.upstream()
            }

            /// The bridges above let `upstream` through from now on. BARs that no access reaches any more are unmapped, those that are reached
            /// again are mapped, and [`Self::bus_master`] follows. A device calls it from
            /// [`ManagedDevice::upstream_changed`](pci_bus::ManagedDevice::upstream_changed).
            pub fn set_upstream(&mut self, upstream: &Upstream) {
                self.common.set_upstream(upstream);
            }

            /// Records error bits in Status, which software clears (PCIe 6.2 section 7.5.1.1.4). Other bits are ignored.
            pub fn record_status(&self, errors: Status) {
                self.common.record_status(errors);
            }

            /// Reads a dword. `InvalidRegister` where the offset is not a multiple of 4 or beyond the configuration space: 4096 bytes with
            /// a PCI Express capability, 256 without; but see [`Self::with_answer_beyond`].
            #[inline]
            pub fn read_u32(&self, offset: u16, value: &mut u32) -> IoResult {
                match self.common.read(offset) {
                    Ok(read) => {
                        *value = read;
                        IoResult::Ok
                    }
                    Err(error) => IoResult::Err(error),
                }
            }

            /// Writes a dword. Errors as [`Self::read_u32`].
            pub fn write_u32(&mut self, offset: u16, value: u32) -> IoResult {
                match self.write_bytes(offset, value, ByteEnables::ALL) {
                    Ok(_) => IoResult::Ok,
                    Err(error) => IoResult::Err(error),
                }
            }

            /// Which memory BAR claims an address, and the offset into it; none while Memory Space Enable is clear, or where a bridge above
            /// does not let accesses to all of the BAR through. The expansion ROM is [`EXPANSION_ROM`](super::EXPANSION_ROM).
            #[inline]
            pub fn find_bar(&self, address: u64) -> Option<(u8, u64)> {
                self.common.find_bar(address)
            }

            /// Which I/O BAR claims a port, and the offset into it; as [`Self::find_bar`], by I/O Space Enable.
            pub fn find_io_bar(&self, port: u16) -> Option<(u8, u64)> {
                self.common.find_io_bar(port)
            }

            /// Where a BAR answers, if it does: the address of a memory BAR or the port of an I/O BAR.
            pub fn bar_address(&self, bar: u8) -> Option<u64> {
                self.common.bar_address(bar)
            }

            /// Where I/O BARs answer.
            pub fn io_bar_mappings(&self) -> &BarMappings {
                self.common.io_bar_mappings()
            }

            /// Where memory BARs and the expansion ROM answer.
            pub fn bar_mappings(&self) -> &BarMappings {
                self.common.bar_mappings()
            }

            /// Whether it has a PCI Express capability.
            pub fn is_pcie_device(&self) -> bool {
                self.common.is_pcie_device()
            }

            /// The PCI Express capability, if there is one.
            pub fn pci_express(&self) -> Option<&PciExpressCapability> {
                self.common.pci_express()
            }

            /// Sets Presence Detect State in the PCI Express capability; without one, nothing happens.
            pub fn set_presence_detect_state(&mut self, present: bool) {
                if let Some(pcie) = self.pci_express() {
                    pcie.set_presence_detect_state(present);
                }
            }

            /// The page that holds the configuration space.
            pub fn page(&self) -> &Arc<Page> {
                self.common.page()
            }

            /// What reads of the function need, for a device that keeps those of many functions side by side.
            pub fn image(&self) -> &ConfigSpaceImage {
                self.common.image()
            }
        }
    };
}

function!(ConfigSpaceType0Emulator);
function!(ConfigSpaceType1Emulator);
