//! Ports and switches.

use super::Above;
use super::Checker;
use super::PortTraits;
use super::bar::ROM_MAX;
use super::bar::Slots;
use super::bar::largest;
use super::root_complex::port_tenants;
use crate::BarKind;
use crate::CapabilitiesSpec;
use crate::LinkSpec;
use crate::MsixSpec;
use crate::PortBarSpec;
use crate::PortSpec;
use crate::Size;
use crate::SlotSpec;
use crate::SwitchSpec;
use crate::layout;
use crate::layout::MsixRegions;
use crate::layout::PORT_BARS;
use crate::layout::PortBar;
use crate::layout::Region;
use cxl_spec::spec::CXL_COMPONENT_REGISTERS_SIZE_BYTES;
use pci_core::capabilities::msix::MSIX_VECTORS_MAX;
use pci_core::spec::caps::acs::DEFAULT_ACS_CAP_MASK;

const SLOT_MAX: u32 = 8191;
/// The largest BAR: a quarter of the addresses there are.
const BAR_MAX: u64 = 1 << 50;

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
        self.port_bars(place, port);
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
        self.own_bars(place, &switch.bar, switch.rom, None);
        for (i, bar) in switch.bar.iter().enumerate() {
            if bar.component_registers.is_some() || bar.msix.is_some() {
                let message = "an upstream port has neither component registers nor MSI-X";
                self.problem(&format!("{place}.bar[{i}]"), "", message);
            }
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
        const MESSAGE: &str = "the port above the switch has none, and lets no I/O access through";
        self.no_io_bars(place, &switch.bar);
        for (i, port) in switch.port.iter().enumerate() {
            let place = format!("{place}.port[{i}]");
            if port.io_window.is_some() {
                self.problem(&place, "io_window", MESSAGE);
            }
            self.no_io_bars(&place, &port.bar);
        }
    }

    fn no_io_bars(&mut self, place: &str, bars: &[PortBarSpec]) {
        let io = bars.iter().enumerate();
        for (i, _) in io.filter(|(_, bar)| bar.kind == BarKind::Io) {
            let message = "an I/O BAR needs `io_window` in the port above the switch";
            self.problem(&format!("{place}.bar[{i}]"), "kind", message);
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

    /// Checks the BARs and the expansion ROM of a port.
    fn port_bars(&mut self, place: &str, port: &PortSpec) {
        let registers = layout::port_bar(port);
        let of_registers = registers.as_ref().map(|found| found.place);
        self.own_bars(place, &port.bar, port.rom, of_registers);
        if let Some(registers) = &registers
            && let Some(bar) = port.bar.get(registers.place)
        {
            self.register_bar(place, port, bar, registers);
        } else if port.cxl.is_some() {
            for (i, index) in layout::port_bar_numbers(&port.bar).into_iter().enumerate() {
                let message = format!(
                    "BAR {} is taken: the component registers of a CXL port have BARs 0 and 1",
                    index.unwrap_or_default()
                );
                self.problem(&format!("{place}.bar[{i}]"), "", message);
            }
        }
    }

    /// Checks BARs that the header of a port has room for, and sizes of those without registers. `of_registers` says which has such.
    fn own_bars(
        &mut self,
        place: &str,
        bars: &[PortBarSpec],
        rom: Option<Size>,
        of_registers: Option<usize>,
    ) {
        let mut slots = Slots::new("a port", PORT_BARS);
        let numbers = layout::port_bar_numbers(bars);
        for (i, (bar, index)) in bars.iter().zip(numbers).enumerate() {
            let place = format!("{place}.bar[{i}]");
            let size = layout::scratch_bar_size(bar);
            match largest(bar.kind) {
                _ if of_registers == Some(i) => {}
                Some(max) => self.bar_size(&place, "size", size, max),
                None => self.io_bar_size(&place, size),
            }
            if of_registers.is_some_and(|of_registers| of_registers != i) {
                for (field, said) in [
                    ("component_registers", bar.component_registers.is_some()),
                    ("msix", bar.msix.is_some()),
                ] {
                    if said {
                        self.problem(&place, field, "a port has one BAR of registers");
                    }
                }
            }
            self.bar_place(&place, i, bar.kind, index, &mut slots);
        }
        if let Some(rom) = rom {
            self.bar_size(place, "rom", rom.0, ROM_MAX);
        }
    }

    /// Checks the BAR of a port's registers.
    fn register_bar(
        &mut self,
        port_place: &str,
        port: &PortSpec,
        bar: &PortBarSpec,
        found: &PortBar,
    ) {
        let place = format!("{port_place}.bar[{}]", found.place);
        let place = place.as_str();
        if bar.kind != BarKind::Memory64 {
            self.problem(
                place,
                "kind",
                "component registers and MSI-X are in a 64-bit BAR",
            );
        }
        if let Some(size) = bar.size {
            self.bar_size(place, "size", size.0, BAR_MAX);
        }
        match bar.component_registers {
            Some(_) if port.cxl.is_none() => {
                self.problem(
                    place,
                    "component_registers",
                    "only a CXL port has component registers; it needs `cxl`",
                );
            }
            Some(offset) => self.component_registers(place, "component_registers", offset),
            None => {}
        }
        let mut regions: Vec<(&str, Region)> = Vec::new();
        regions.extend(
            found
                .component_registers
                .map(|region| ("component_registers", region)),
        );
        if let (Some(msix), Some(found)) = (&bar.msix, &found.msix) {
            if msix.bar != 0 {
                self.problem(
                    place,
                    "msix.bar",
                    format_args!("{}; a port's is in BAR 0", msix.bar),
                );
            }
            self.msix(place, "msix", msix, found);
            regions.extend([("msix.table", found.table), ("msix.pba", found.pba)]);
        }
        // Where the size is not said it follows from the parts, and where it cannot be that is said already.
        self.regions(place, "BAR 0", found.size, &regions);
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
