//! Endpoints.

use super::ADDRESS_END;
use super::Above;
use super::Checker;
use super::PortTraits;
use super::bar::ROM_MAX;
use super::bar::Slots;
use super::bar::largest;
use crate::BarKind;
use crate::BarSpec;
use crate::CxlDeviceSpec;
use crate::EndpointSpec;
use crate::layout;
use crate::layout::BARS;
use crate::layout::PAGE_SIZE;
use crate::layout::Region;
use cxl_spec::spec::CXL_HPA_ALIGNMENT;

/// Functions of a device.
const FUNCTIONS_MAX: u16 = 256;
/// Functions that are reached without ARI.
const FUNCTIONS_WITHOUT_ARI: u16 = 8;
/// Numbers of HDM decoders that a device can say it has (CXL 3.1 section 8.2.4.20.1).
const HDM_DECODERS: [u8; 6] = [1, 2, 4, 6, 8, 10];
/// Vendor IDs that mean that there is no function, or that it is not ready (PCIe 6.2 sections 2.3.1 and 2.3.2).
const NO_VENDOR: [u16; 3] = [0x0000, 0x0001, 0xffff];

/// Sizes of a resizable BAR: 1 MiB to 128 TiB (PCIe 6.2 section 7.8.6.2).
const RESIZABLE: std::ops::RangeInclusive<u64> = 1 << 20..=128 << 40;

impl Checker {
    pub(super) fn endpoint(&mut self, place: &str, endpoint: &EndpointSpec, above: Above) {
        self.name(place, &endpoint.name);
        if NO_VENDOR.contains(&endpoint.vendor_id) {
            self.problem(
                place,
                "vendor_id",
                format_args!("{:#06x} is no vendor's", endpoint.vendor_id),
            );
        }
        if let Some(class) = endpoint.class.filter(|class| *class > 0xff_ffff) {
            self.problem(
                place,
                "class",
                format_args!("{class:#x}; a class code has 24 bits"),
            );
        }
        self.kind(place, endpoint);
        self.no_containment(place, &endpoint.capabilities);
        self.functions(place, endpoint, above);
        if !endpoint.is_test() {
            if let (Some(link), Above::Port(_)) = (&endpoint.link, above) {
                self.link(place, link);
            }
            return;
        }
        if endpoint.conventional {
            self.conventional(place, endpoint, above);
        }
        let bars = self.bars(place, &endpoint.bar, above);
        if let Some(rom) = endpoint.rom {
            self.bar_size(place, "rom", rom.0, ROM_MAX);
        }
        if let Some(msi) = &endpoint.msi
            && !(msi.vectors.is_power_of_two() && msi.vectors <= 32)
        {
            self.problem(
                place,
                "msi.vectors",
                format_args!("{}; MSI has 1, 2, 4, 8, 16 or 32", msi.vectors),
            );
        }
        match (&endpoint.link, above) {
            (Some(_), Above::RootBus) => {
                self.problem(place, "link", "an integrated endpoint has no link");
            }
            (Some(link), Above::Port(_)) => self.link(place, link),
            (None, _) => {}
        }
        if let Some(cxl) = &endpoint.cxl {
            self.cxl_device(place, cxl, above);
        }
        self.parts(place, endpoint, &bars);
    }

    /// What a kind brings along is not described.
    fn kind(&mut self, place: &str, endpoint: &EndpointSpec) {
        if endpoint.is_test() {
            if !endpoint.options.is_empty() {
                self.problem(place, "options", "a test endpoint has none");
            }
            return;
        }
        for (field, said) in [
            ("conventional", endpoint.conventional),
            ("functions", endpoint.functions != 1),
            ("bar", !endpoint.bar.is_empty()),
            ("msix", endpoint.msix.is_some()),
            ("msi", endpoint.msi.is_some()),
            ("cxl", endpoint.cxl.is_some()),
            ("rom", endpoint.rom.is_some()),
            ("intx", endpoint.intx.is_some()),
            ("retries", endpoint.retries != 0),
            ("capabilities", endpoint.capabilities != Default::default()),
        ] {
            if said {
                let message = format!(
                    "only for test endpoints; this is of kind {:?}",
                    endpoint.kind
                );
                self.problem(place, field, message);
            }
        }
    }

    /// What a function without PCI Express capability cannot have; that it has no link is said elsewhere.
    fn conventional(&mut self, place: &str, endpoint: &EndpointSpec, above: Above) {
        if let Above::Port(_) = above {
            let message = "a conventional function is integrated in a root complex; behind a port everything is PCI Express";
            self.problem(place, "conventional", message);
        }
        let has = &endpoint.capabilities;
        let resizable = endpoint.bar.iter().any(|bar| !bar.resizable.is_empty());
        for (field, said) in [
            ("serial_number", endpoint.serial_number.is_some()),
            ("capabilities.ltr", has.ltr),
            ("capabilities.l1_pm_substates", has.l1_pm_substates),
            ("capabilities.ptm", has.ptm),
            ("capabilities.virtual_channel", has.virtual_channel),
            ("bar.resizable", resizable),
        ] {
            if said {
                let message = "a conventional function has no extended configuration space for it";
                self.problem(place, field, message);
            }
        }
    }

    fn functions(&mut self, place: &str, endpoint: &EndpointSpec, above: Above) {
        let functions = endpoint.functions;
        if !(1..=FUNCTIONS_MAX).contains(&functions) {
            self.problem(
                place,
                "functions",
                format_args!("{functions}; a device has 1 to {FUNCTIONS_MAX}"),
            );
        }
        match above {
            Above::RootBus if functions > 1 => {
                let message = format!(
                    "{functions}; an integrated endpoint is one function: describe the others by themselves"
                );
                self.problem(place, "functions", message);
            }
            Above::Port(port)
                if (FUNCTIONS_WITHOUT_ARI + 1..=FUNCTIONS_MAX).contains(&functions)
                    && !port.ari_forwarding =>
            {
                let message = format!(
                    "{functions}; more than {FUNCTIONS_WITHOUT_ARI} need `ari_forwarding` in the port above"
                );
                self.problem(place, "functions", message);
            }
            Above::RootBus | Above::Port(_) => {}
        }
        if let Above::Port(_) = above {
            if endpoint.device.is_some() {
                self.problem(
                    place,
                    "device",
                    "only an endpoint integrated in a root complex has a device number",
                );
            }
            if endpoint.function != 0 {
                self.problem(
                    place,
                    "function",
                    "only an endpoint integrated in a root complex has a function number",
                );
            }
        }
    }

    /// Checks the BARs, and says which there are of memory space: their numbers and sizes.
    fn bars(&mut self, place: &str, bars: &[BarSpec], above: Above) -> Vec<(u8, u64)> {
        let mut found: Vec<(u8, u64)> = Vec::new();
        let mut slots = Slots::new("a function", BARS);
        for (i, (bar, index)) in bars.iter().zip(layout::bar_numbers(bars)).enumerate() {
            let place = format!("{place}{}bar[{i}]", if place.is_empty() { "" } else { "." });
            let max = largest(bar.kind);
            match max {
                Some(max) => self.bar_size(&place, "size", bar.size.0, max),
                None => self.io_bar(&place, bar, above),
            }
            self.resizable(&place, bar, max);
            if let Some(index) = self.bar_place(&place, i, bar.kind, index, &mut slots)
                && bar.kind != BarKind::Io
            {
                // What lies in it fits whatever size the guest chooses.
                found.push((index, bar.sizes().first().copied().unwrap_or(0)));
            }
        }
        found
    }

    /// `max` is the largest BAR of its kind; none of I/O space.
    fn resizable(&mut self, place: &str, bar: &BarSpec, max: Option<u64>) {
        if bar.resizable.is_empty() {
            return;
        }
        let Some(max) = max else {
            self.problem(place, "resizable", "an I/O BAR has one size");
            return;
        };
        let max = max.min(*RESIZABLE.end());
        let is_size =
            |size: u64| size.is_power_of_two() && (*RESIZABLE.start()..=max).contains(&size);
        for size in bar.sizes().into_iter().filter(|size| !is_size(*size)) {
            let message = format!(
                "{size:#x} bytes; a resizable BAR of this kind is a power of two from {:#x} to {max:#x}",
                RESIZABLE.start()
            );
            self.problem(place, "resizable", message);
        }
    }

    fn io_bar(&mut self, place: &str, bar: &BarSpec, above: Above) {
        self.io_bar_size(place, bar.size.0);
        if let Above::Port(PortTraits {
            io_window: false, ..
        }) = above
        {
            self.problem(
                place,
                "kind",
                "an I/O BAR needs `io_window` in the port above",
            );
        }
    }

    fn cxl_device(&mut self, place: &str, cxl: &CxlDeviceSpec, above: Above) {
        match above {
            Above::RootBus => self.problem(place, "cxl", "a CXL device is behind a port"),
            Above::Port(port) if !port.cxl_mem => {
                self.problem(
                    place,
                    "cxl",
                    "a CXL memory device needs `cxl` with mem in the port above",
                );
            }
            Above::Port(_) => {}
        }
        let memory = cxl.memory.0;
        if memory == 0 || !memory.is_multiple_of(CXL_HPA_ALIGNMENT) || memory > ADDRESS_END {
            let message = format!(
                "{memory:#x} bytes; CXL memory is a multiple of 256 MiB, up to {ADDRESS_END:#x}"
            );
            self.problem(place, "cxl.memory", message);
        }
        if !HDM_DECODERS.contains(&cxl.hdm_decoders) {
            let message = format!("{}; a device has 1, 2, 4, 6, 8 or 10", cxl.hdm_decoders);
            self.problem(place, "cxl.hdm_decoders", message);
        }
        if let Some(offset) = cxl.component_registers {
            self.component_registers(place, "cxl.component_registers", offset);
        }
    }

    /// Checks what lies in the BARs.
    fn parts(&mut self, place: &str, endpoint: &EndpointSpec, bars: &[(u8, u64)]) {
        let mut parts: Vec<(u8, &str, Region)> = vec![(
            0,
            "the scratch page",
            Region {
                offset: 0,
                len: PAGE_SIZE,
            },
        )];
        if let (Some(msix), Some(found)) = (&endpoint.msix, layout::endpoint_msix(endpoint)) {
            self.msix(place, "msix", msix, &found);
            self.bar_exists(place, "msix.bar", msix.bar, bars);
            parts.extend([
                (msix.bar, "msix.table", found.table),
                (msix.bar, "msix.pba", found.pba),
            ]);
        }
        if let (Some(cxl), Some(registers)) = (
            &endpoint.cxl,
            layout::endpoint_component_registers(endpoint),
        ) {
            self.bar_exists(place, "cxl.bar", cxl.bar, bars);
            parts.push((cxl.bar, "cxl.component_registers", registers));
        }
        for (bar, size) in bars {
            let inside: Vec<_> = parts
                .iter()
                .filter(|(of, ..)| of == bar)
                .map(|(_, field, part)| (*field, *part))
                .collect();
            // A BAR that is too small for its scratch page is a problem already.
            self.regions(
                place,
                &format!("BAR {bar}"),
                (*size).max(PAGE_SIZE),
                &inside,
            );
        }
    }

    fn bar_exists(&mut self, place: &str, field: &str, bar: u8, bars: &[(u8, u64)]) {
        if !bars.iter().any(|(index, _)| *index == bar) {
            self.problem(place, field, format_args!("there is no BAR {bar}"));
        }
    }
}
