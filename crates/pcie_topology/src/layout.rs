//! What a description leaves open, decided: device numbers, BAR numbers, and where things lie in a BAR.

use crate::BarKind;
use crate::BarSpec;
use crate::EndpointSpec;
use crate::MsixSpec;
use crate::PortBarSpec;
use crate::PortSpec;
use crate::RootComplexSpec;
use cxl_spec::spec::CXL_COMPONENT_REGISTERS_SIZE_BYTES;
use pci_core::capabilities::msix::MsixLayout;

/// Device numbers of a bus.
pub(crate) const DEVICES: u8 = 32;
/// Slots for BARs in an endpoint's header.
pub(crate) const BARS: u8 = 6;
/// Slots for BARs in a port's header.
pub(crate) const PORT_BARS: u8 = 2;
/// The largest I/O BAR (PCIe 6.2 section 7.5.1.2.1).
pub(crate) const IO_BAR_MAX: u64 = 256;
/// Bytes of the smallest BAR, and of an endpoint's scratch page.
pub(crate) const PAGE_SIZE: u64 = 4096;

/// A place on a bus.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) device: u8,
    pub(crate) function: u8,
}

impl Place {
    pub(crate) fn devfn(self) -> u8 {
        (self.device << 3) | self.function
    }
}

/// Gives each function of a bus its place: the device number it asks for, or else the lowest that none asks for and that is not
/// given yet. `None` once there is none left.
pub(crate) fn places(
    requests: impl Iterator<Item = (Option<u8>, u8)> + Clone,
) -> Vec<Option<Place>> {
    let asked: Vec<u8> = requests.clone().filter_map(|(device, _)| device).collect();
    let mut free = (0..DEVICES).filter(|device| !asked.contains(device));
    let place = |(device, function): (Option<u8>, u8)| {
        let device = device.or_else(|| free.next())?;
        Some(Place { device, function })
    };
    requests.map(place).collect()
}

/// The functions of a root bus in order: ports, then integrated endpoints, then the event collector.
pub(crate) fn root_bus_places(root_complex: &RootComplexSpec) -> Vec<Option<Place>> {
    let ports = root_complex
        .port
        .iter()
        .map(|port| (port.device, port.function));
    places(
        ports
            .chain(
                root_complex
                    .endpoint
                    .iter()
                    .map(|endpoint| (endpoint.device, endpoint.function)),
            )
            .chain(
                root_complex
                    .event_collector
                    .iter()
                    .map(|collector| (collector.device, collector.function)),
            ),
    )
}

/// The downstream ports of a switch in order.
pub(crate) fn port_places(ports: &[PortSpec]) -> Vec<Option<Place>> {
    places(ports.iter().map(|port| (port.device, port.function)))
}

/// Gives each BAR of an endpoint its number.
pub(crate) fn bar_numbers(bars: &[BarSpec]) -> Vec<Option<u8>> {
    number_bars(bars.iter().map(|bar| (bar.index, bar.kind)), BARS)
}

/// Gives each BAR of a port its number.
pub(crate) fn port_bar_numbers(bars: &[PortBarSpec]) -> Vec<Option<u8>> {
    number_bars(bars.iter().map(|bar| (bar.index, bar.kind)), PORT_BARS)
}

/// Gives each BAR its number: the one it asks for, or else the lowest whose slots none asks for. `None` where there is no room in a header
/// with `room` slots.
fn number_bars(
    bars: impl Iterator<Item = (Option<u8>, BarKind)> + Clone,
    room: u8,
) -> Vec<Option<u8>> {
    let slots = |index: u8, kind: BarKind| index..index.saturating_add(kind.slots());
    let mut taken: Vec<u8> = bars
        .clone()
        .filter_map(|(index, kind)| Some(slots(index?, kind)))
        .flatten()
        .collect();
    bars.map(|(index, kind)| {
        if index.is_some() {
            return index;
        }
        let fits =
            |index: &u8| slots(*index, kind).all(|slot| slot < room && !taken.contains(&slot));
        let index = (0..room).find(fits)?;
        taken.extend(slots(index, kind));
        Some(index)
    })
    .collect()
}

/// A part of a BAR.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// Bytes from the start of the BAR.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) len: u64,
}

impl Region {
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }

    fn component_registers(offset: u64) -> Self {
        Self {
            offset,
            len: CXL_COMPONENT_REGISTERS_SIZE_BYTES,
        }
    }
}

/// Where MSI-X is in its BAR.
pub(crate) struct MsixRegions {
    pub(crate) table: Region,
    pub(crate) pba: Region,
}

impl MsixRegions {
    /// MSI-X that begins at `first`, unless the description says where.
    fn new(spec: &MsixSpec, first: u64) -> Self {
        let table = Region {
            offset: spec.table.map_or(first, u64::from),
            len: u64::from(spec.vectors) * 16,
        };
        let pba = Region {
            offset: spec.pba.map_or(table.end(), u64::from),
            len: u64::from(spec.vectors).div_ceil(64) * 8,
        };
        Self { table, pba }
    }

    /// The layout, of offsets that were checked.
    pub(crate) fn layout(&self, spec: &MsixSpec) -> MsixLayout {
        let narrow = |offset: u64| u32::try_from(offset).unwrap_or(u32::MAX);
        MsixLayout {
            bar: spec.bar,
            count: spec.vectors,
            table_offset: narrow(self.table.offset),
            pba_offset: narrow(self.pba.offset),
        }
    }
}

/// A port's BAR of registers: number 0, 64 bits wide.
pub(crate) struct PortBar {
    /// Which one of the description's it is.
    pub(crate) place: usize,
    pub(crate) size: u64,
    pub(crate) component_registers: Option<Region>,
    pub(crate) msix: Option<MsixRegions>,
}

/// Bytes of a BAR of scratch memory.
pub(crate) fn scratch_bar_size(bar: &PortBarSpec) -> u64 {
    let least = match bar.kind {
        BarKind::Io => IO_BAR_MAX,
        _ => PAGE_SIZE,
    };
    bar.size.map_or(least, |size| size.0)
}

/// The BAR for its registers that a port asks for.
pub(crate) fn port_bar(port: &PortSpec) -> Option<PortBar> {
    let has_registers = |bar: &PortBarSpec| {
        bar.msix.is_some()
            || bar.component_registers.is_some()
            || (port.cxl.is_some() && bar.kind == BarKind::Memory64)
    };
    let place = port.bar.iter().position(has_registers)?;
    let bar = port.bar.get(place)?;
    let component_registers = port
        .cxl
        .as_ref()
        .map(|_| Region::component_registers(bar.component_registers.unwrap_or(0)));
    let first = component_registers.map_or(0, |region| region.end());
    let msix = bar.msix.as_ref().map(|msix| MsixRegions::new(msix, first));
    let end = msix.as_ref().map_or(first, |msix| {
        first.max(msix.table.end()).max(msix.pba.end())
    });
    let size = bar.size.map_or_else(
        || end.max(PAGE_SIZE).checked_next_power_of_two(),
        |size| Some(size.0),
    );
    Some(PortBar {
        place,
        size: size.unwrap_or(end),
        component_registers,
        msix,
    })
}

/// Where an endpoint's component registers are in their BAR.
pub(crate) fn endpoint_component_registers(endpoint: &EndpointSpec) -> Option<Region> {
    let cxl = endpoint.cxl.as_ref()?;
    let first = if cxl.bar == 0 {
        CXL_COMPONENT_REGISTERS_SIZE_BYTES
    } else {
        0
    };
    Some(Region::component_registers(
        cxl.component_registers.unwrap_or(first),
    ))
}

/// Where an endpoint's MSI-X is in its BAR.
pub(crate) fn endpoint_msix(endpoint: &EndpointSpec) -> Option<MsixRegions> {
    let msix = endpoint.msix.as_ref()?;
    let registers = endpoint_component_registers(endpoint);
    let shares = endpoint.cxl.as_ref().is_some_and(|cxl| cxl.bar == msix.bar);
    let first = match registers {
        _ if msix.bar == 0 => PAGE_SIZE,
        Some(registers) if shares => registers.end(),
        Some(_) | None => 0,
    };
    Some(MsixRegions::new(msix, first))
}
