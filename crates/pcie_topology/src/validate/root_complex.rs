//! Root complexes: buses, address ranges, and the functions of the root bus.

use super::ADDRESS_END;
use super::Above;
use super::Checker;
use crate::AddressRange;
use crate::PortSpec;
use crate::RootComplexSpec;
use crate::layout;
use crate::layout::DEVICES;
use crate::layout::Place;
use cxl_spec::spec::CXL_HOST_BRIDGE_COMPONENT_REGISTERS_SIZE_BYTES;

pub(super) const GIB4: u64 = 1 << 32;
const IO_END: u64 = 1 << 16;

/// A function of a bus, as the checks of places see it.
pub(super) struct Tenant<'a> {
    /// Its place in the description.
    pub(super) place: String,
    /// The device number it asks for.
    pub(super) device: Option<u8>,
    /// Its function number.
    pub(super) function: u8,
    /// Its name.
    pub(super) name: &'a str,
}

/// The ports of a bus as tenants.
pub(super) fn port_tenants<'a>(place: &str, ports: &'a [PortSpec]) -> Vec<Tenant<'a>> {
    let tenant = |(i, port): (usize, &'a PortSpec)| Tenant {
        place: format!("{place}.port[{i}]"),
        device: port.device,
        function: port.function,
        name: &port.name,
    };
    ports.iter().enumerate().map(tenant).collect()
}

impl Checker {
    pub(super) fn root_complex(&mut self, place: &str, root_complex: &RootComplexSpec) {
        self.name(place, &root_complex.name);
        self.buses(place, root_complex);
        self.ranges(place, root_complex);
        let mut tenants = port_tenants(place, &root_complex.port);
        tenants.extend(
            root_complex
                .endpoint
                .iter()
                .enumerate()
                .map(|(i, endpoint)| Tenant {
                    place: format!("{place}.endpoint[{i}]"),
                    device: endpoint.device,
                    function: endpoint.function,
                    name: &endpoint.name,
                }),
        );
        if let Some(collector) = &root_complex.event_collector {
            let place = format!("{place}.event_collector");
            self.name(&place, &collector.name);
            tenants.push(Tenant {
                place,
                device: collector.device,
                function: collector.function,
                name: &collector.name,
            });
        }
        self.tenants(&tenants, &layout::root_bus_places(root_complex));
        for (i, port) in root_complex.port.iter().enumerate() {
            self.port(
                &format!("{place}.port[{i}]"),
                port,
                root_complex.chbcr.is_some(),
            );
        }
        for (i, endpoint) in root_complex.endpoint.iter().enumerate() {
            self.endpoint(&format!("{place}.endpoint[{i}]"), endpoint, Above::RootBus);
        }
    }

    /// What two root complexes must not share; `other` is the earlier.
    pub(super) fn root_complexes(
        &mut self,
        place: &str,
        root_complex: &RootComplexSpec,
        other_place: &str,
        other: &RootComplexSpec,
    ) {
        let (buses, others) = (root_complex.buses, other.buses);
        let share = buses.start <= others.end && others.start <= buses.end;
        if root_complex.segment == other.segment
            && buses.count() != 0
            && others.count() != 0
            && share
        {
            let segment = root_complex.segment;
            let message = format!("{buses} overlap {others} of {other_place} in segment {segment}");
            self.problem(place, "buses", message);
        }
        for (field, range) in memory_ranges(root_complex) {
            for (other_field, other_range) in memory_ranges(other) {
                self.apart(
                    place,
                    (field, range),
                    &format!("{other_place}.{other_field}"),
                    other_range,
                );
            }
        }
        // Where I/O space is mapped into memory, each root complex may have all of it.
        if let (Some(io), Some(other_io)) = (root_complex.io, other.io)
            && io != other_io
        {
            self.apart(place, ("io", io), &format!("{other_place}.io"), other_io);
        }
    }

    fn buses(&mut self, place: &str, root_complex: &RootComplexSpec) {
        let buses = root_complex.buses;
        if buses.start > buses.end {
            self.problem(
                place,
                "buses",
                format_args!("{buses}: the first is above the last"),
            );
            return;
        }
        let needed = 1 + root_complex.port.iter().map(buses_below).sum::<usize>();
        if needed > usize::from(buses.count()) {
            let count = buses.count();
            let message =
                format!("the root bus and what is below take {needed} buses; {buses} has {count}");
            self.problem(place, "buses", message);
        }
    }

    fn ranges(&mut self, place: &str, root_complex: &RootComplexSpec) {
        self.range(
            place,
            "ecam",
            root_complex.ecam_range(),
            1 << 20,
            0..ADDRESS_END,
        );
        if let Some(range) = root_complex.chbcr_range() {
            let align = CXL_HOST_BRIDGE_COMPONENT_REGISTERS_SIZE_BYTES;
            self.range(place, "chbcr", range, align, 0..ADDRESS_END);
        }
        let apertures = [
            ("mmio32", root_complex.mmio32, 0..GIB4),
            ("mmio64", root_complex.mmio64, GIB4..ADDRESS_END),
            ("io", root_complex.io, 0..IO_END),
        ];
        for (field, range, within) in apertures {
            if let Some(range) = range {
                if range.size.0 == 0 {
                    self.problem(
                        place,
                        field,
                        "an aperture of 0 bytes; leave it out, or give it some",
                    );
                } else if !range.size.0.is_multiple_of(layout::PAGE_SIZE) {
                    let message = format!(
                        "its size of {:#x} bytes is not a multiple of {:#x}",
                        range.size.0,
                        layout::PAGE_SIZE
                    );
                    self.problem(place, field, message);
                }
                self.range(place, field, range, layout::PAGE_SIZE, within);
            }
        }
        let ranges: Vec<_> = memory_ranges(root_complex).collect();
        for (i, (field, range)) in ranges.iter().enumerate() {
            for (other_field, other) in ranges.iter().take(i) {
                self.apart(
                    place,
                    (field, *range),
                    &format!("{place}.{other_field}"),
                    *other,
                );
            }
        }
    }

    pub(super) fn range(
        &mut self,
        place: &str,
        field: &str,
        range: AddressRange,
        align: u64,
        within: std::ops::Range<u64>,
    ) {
        if !range.base.is_multiple_of(align) {
            self.problem(
                place,
                field,
                format_args!("{:#x} is not a multiple of {align:#x}", range.base),
            );
        }
        if range.size.0 != 0 && (range.base < within.start || range.end() > within.end) {
            let (first, last) = (within.start, within.end - 1);
            self.problem(
                place,
                field,
                format_args!("{range} is not within {first:#x}-{last:#x}"),
            );
        }
    }

    pub(super) fn apart(
        &mut self,
        place: &str,
        (field, range): (&str, AddressRange),
        other_place: &str,
        other: AddressRange,
    ) {
        if range.overlaps(&other) {
            self.problem(
                place,
                field,
                format_args!("{range} overlaps {other_place} at {other}"),
            );
        }
    }

    /// Checks the places of the functions of a bus.
    pub(super) fn tenants(&mut self, tenants: &[Tenant<'_>], places: &[Option<Place>]) {
        let placed: Vec<_> = tenants.iter().zip(places).collect();
        let mut is_full = false;
        for (i, (tenant, found)) in placed.iter().enumerate() {
            let Tenant {
                place,
                device,
                function,
                ..
            } = tenant;
            if let Some(device) = device.filter(|device| *device >= DEVICES) {
                self.problem(
                    place,
                    "device",
                    format_args!("{device}; device numbers are 0 to {}", DEVICES - 1),
                );
                continue;
            }
            if *function > 7 {
                self.problem(
                    place,
                    "function",
                    format_args!("{function}; function numbers are 0 to 7"),
                );
                continue;
            }
            if device.is_none() && *function != 0 {
                self.problem(
                    place,
                    "function",
                    format_args!("function {function} needs a device number as well"),
                );
                continue;
            }
            let Some(found) = found else {
                // Once for the bus: what follows lacks a number for the same reason.
                if !is_full {
                    self.problem(
                        place,
                        "device",
                        format_args!("there is no device number left: a bus has {DEVICES}"),
                    );
                }
                is_full = true;
                continue;
            };
            let mut earlier = placed.iter().take(i);
            if let Some((other, _)) = earlier.find(|(_, other)| *other == &Some(*found)) {
                let Place { device, function } = found;
                let message = format!(
                    "{device:02x}.{function} is where {} (\"{}\") is",
                    other.place, other.name
                );
                self.problem(place, "device", message);
            }
            let is_function_0 = |place: &Option<Place>| {
                *place
                    == Some(Place {
                        function: 0,
                        ..*found
                    })
            };
            if !places.iter().any(is_function_0) {
                let device = found.device;
                let message =
                    format!("device {device:#04x} has no function 0, and so is never found");
                self.problem(place, "function", message);
            }
        }
    }
}

/// The ranges of memory addresses that a root complex takes, by field.
pub(super) fn memory_ranges(
    root_complex: &RootComplexSpec,
) -> impl Iterator<Item = (&'static str, AddressRange)> {
    let optional = [
        ("chbcr", root_complex.chbcr_range()),
        ("mmio32", root_complex.mmio32),
        ("mmio64", root_complex.mmio64),
    ];
    let optional = optional
        .into_iter()
        .filter_map(|(field, range)| Some((field, range?)));
    std::iter::once(("ecam", root_complex.ecam_range()))
        .chain(optional)
        .filter(|(_, range)| range.size.0 != 0)
}

/// Buses that a port and what is behind it take: one below each port, one inside each switch.
fn buses_below(port: &PortSpec) -> usize {
    1 + port.switch.as_ref().map_or(0, |switch| {
        1 + switch.port.iter().map(buses_below).sum::<usize>()
    })
}
