//! Ports and switches.

use super::Above;
use super::Checker;
use super::PortTraits;
use super::root_complex::port_tenants;
use crate::CapabilitiesSpec;
use crate::LinkSpec;
use crate::MsixSpec;
use crate::PortBarSpec;
use crate::PortSpec;
use crate::SlotSpec;
use crate::SwitchSpec;
use crate::layout;
use crate::layout::MsixRegions;
use crate::layout::PAGE_SIZE;
use crate::layout::Region;
use cxl_spec::spec::CXL_COMPONENT_REGISTERS_SIZE_BYTES;
use pci_core::capabilities::msix::MSIX_VECTORS_MAX;
use pci_core::spec::caps::acs::DEFAULT_ACS_CAP_MASK;
use std::ops::RangeInclusive;

const SLOT_MAX: u32 = 8191;
/// The largest BAR: a quarter of the addresses there are.
const BAR_MAX: u64 = 1 << 50;
/// Bytes of an I/O BAR (PCIe 6.2 section 7.5.1.2.1).
const IO_BAR: RangeInclusive<u64> = 4..=256;

impl Checker {
    /// Checks a port and what is behind it. `is_cxl` says whether the root complex has host bridge registers.
    pub(super) fn port(&mut self, place: &str, port: &PortSpec, is_cxl: bool) {
        self.name(place, &port.name);
        if let Some(slot) = &port.slot {
            self.slot(place, slot);
        }
        if let Some(link) = &port.link {
            self.link(place, link);
        }
        if let Some(acs) = port.acs.filter(|acs| acs & !DEFAULT_ACS_CAP_MASK != 0) {
            let not_emulated = acs & !DEFAULT_ACS_CAP_MASK;
            let message = format!(
                "{acs:#06x}: services {not_emulated:#06x} are not emulated, only {DEFAULT_ACS_CAP_MASK:#06x} are"
            );
            self.problem(place, "acs", message);
        }
        if port.capabilities.dpc && !port.capabilities.error_reporting {
            self.problem(
                place,
                "capabilities.dpc",
                "containment needs `error_reporting` in the same port",
            );
        }
        if let Some(cxl) = &port.cxl {
            if !is_cxl {
                self.problem(place, "cxl", "a CXL port needs `chbcr` in its root complex");
            }
            if !cxl.cache && !cxl.mem {
                self.problem(place, "cxl", "a CXL port has cache, mem, or both");
            }
        }
        if let Some(bar) = &port.bar {
            self.port_bar(place, port, bar);
        }
        if port.switch.is_some() && port.endpoint.is_some() {
            self.problem(
                place,
                "endpoint",
                "there is a switch behind the port already; a port has one link",
            );
        }
        if let Some(switch) = &port.switch {
            let place = format!("{place}.switch");
            self.switch(&place, switch, is_cxl);
            if port.io_window.is_none() {
                self.no_io_windows(&place, switch);
            }
        }
        if let Some(endpoint) = &port.endpoint {
            self.endpoint(
                &format!("{place}.endpoint"),
                endpoint,
                Above::Port(PortTraits::of(port)),
            );
        }
    }

    fn switch(&mut self, place: &str, switch: &SwitchSpec, is_cxl: bool) {
        self.name(place, &switch.name);
        self.no_containment(place, &switch.capabilities);
        if let Some(link) = &switch.link {
            self.link(place, link);
        }
        self.tenants(
            &port_tenants(place, &switch.port),
            &layout::port_places(&switch.port),
        );
        for (i, port) in switch.port.iter().enumerate() {
            self.port(&format!("{place}.port[{i}]"), port, is_cxl);
        }
    }

    /// Behind a port without I/O window nothing has I/O space.
    fn no_io_windows(&mut self, place: &str, switch: &SwitchSpec) {
        for (i, port) in switch.port.iter().enumerate() {
            if port.io_window.is_some() {
                self.problem(
                    &format!("{place}.port[{i}]"),
                    "io_window",
                    "the port above the switch has none, and lets no I/O access through",
                );
            }
        }
    }

    /// Only what has a link below contains it.
    pub(super) fn no_containment(&mut self, place: &str, capabilities: &CapabilitiesSpec) {
        if capabilities.dpc {
            self.problem(
                place,
                "capabilities.dpc",
                "only root ports and downstream ports contain errors",
            );
        }
    }

    /// Checks a link.
    pub(super) fn link(&mut self, place: &str, link: &LinkSpec) {
        if ![1, 2, 4, 8, 16].contains(&link.width) {
            let message = format!("{}; a link has 1, 2, 4, 8 or 16 lanes", link.width);
            self.problem(place, "link.width", message);
        }
    }

    fn slot(&mut self, place: &str, slot: &SlotSpec) {
        let field = if *slot == SlotSpec::from(slot.number) {
            "slot"
        } else {
            "slot.number"
        };
        let slot = slot.number;
        if slot > SLOT_MAX {
            self.problem(
                place,
                field,
                format_args!("{slot}; slot numbers are 0 to {SLOT_MAX}"),
            );
        } else if let Some(other) = self.slots.get(&slot) {
            let message = format!("slot {slot} is {other} as well");
            self.problem(place, field, message);
        } else {
            self.slots.insert(slot, place.to_owned());
        }
    }

    fn port_bar(&mut self, place: &str, port: &PortSpec, bar: &PortBarSpec) {
        if let Some(size) = bar.size {
            self.bar_size(place, "bar.size", size.0, BAR_MAX);
        }
        match bar.component_registers {
            Some(_) if port.cxl.is_none() => {
                self.problem(
                    place,
                    "bar.component_registers",
                    "only a CXL port has component registers; it needs `cxl`",
                );
            }
            Some(offset) => self.component_registers(place, "bar.component_registers", offset),
            None => {}
        }
        let Some(layout) = layout::port_bar(port) else {
            return;
        };
        let mut regions: Vec<(&str, Region)> = Vec::new();
        regions.extend(
            layout
                .component_registers
                .map(|region| ("bar.component_registers", region)),
        );
        if let (Some(msix), Some(found)) = (&bar.msix, &layout.msix) {
            if msix.bar != 0 {
                self.problem(
                    place,
                    "bar.msix.bar",
                    format_args!("{}; a port has BAR 0 only", msix.bar),
                );
            }
            self.msix(place, "bar.msix", msix, found);
            regions.extend([("bar.msix.table", found.table), ("bar.msix.pba", found.pba)]);
        }
        // Where the size is not said it follows from the parts, and where it cannot be that is said already.
        self.regions(place, "BAR 0", layout.size, &regions);
    }

    /// Checks the size of a BAR.
    pub(super) fn bar_size(&mut self, place: &str, field: &str, size: u64, max: u64) {
        if !size.is_power_of_two() || size < PAGE_SIZE {
            self.problem(
                place,
                field,
                format_args!("{size:#x} bytes; a BAR is a power of two of at least {PAGE_SIZE:#x}"),
            );
        } else if size > max {
            self.problem(
                place,
                field,
                format_args!("{size:#x} bytes; such a BAR has {max:#x} at most"),
            );
        }
    }

    /// Checks the size of an I/O BAR.
    pub(super) fn io_bar_size(&mut self, place: &str, size: u64) {
        if !size.is_power_of_two() || !IO_BAR.contains(&size) {
            let (least, most) = (IO_BAR.start(), IO_BAR.end());
            let message =
                format!("{size:#x} bytes; an I/O BAR is a power of two from {least} to {most}");
            self.problem(place, "size", message);
        }
    }

    pub(super) fn component_registers(&mut self, place: &str, field: &str, offset: u64) {
        let align = CXL_COMPONENT_REGISTERS_SIZE_BYTES;
        if !offset.is_multiple_of(align) {
            self.problem(
                place,
                field,
                format_args!("{offset:#x} is not a multiple of {align:#x}"),
            );
        }
    }

    /// Checks what MSI-X says by itself.
    pub(super) fn msix(&mut self, place: &str, field: &str, spec: &MsixSpec, found: &MsixRegions) {
        let vectors = spec.vectors;
        if !(1..=MSIX_VECTORS_MAX).contains(&vectors) {
            self.problem(
                place,
                &format!("{field}.vectors"),
                format_args!("{vectors}; MSI-X has 1 to {MSIX_VECTORS_MAX}"),
            );
        }
        for (name, offset) in [("table", found.table.offset), ("pba", found.pba.offset)] {
            if !offset.is_multiple_of(8) {
                self.problem(
                    place,
                    &format!("{field}.{name}"),
                    format_args!("{offset:#x} is not a multiple of 8"),
                );
            }
            if u32::try_from(offset).is_err() {
                self.problem(
                    place,
                    &format!("{field}.{name}"),
                    format_args!("{offset:#x} has more than 32 bits"),
                );
            }
        }
    }
}

impl PortTraits {
    pub(crate) fn of(port: &PortSpec) -> Self {
        Self {
            ari_forwarding: port.ari_forwarding,
            cxl_mem: port.cxl.as_ref().is_some_and(|cxl| cxl.mem),
            io_window: port.io_window.is_some(),
        }
    }
}
