//! What a port of a description is composed from.

use super::Registration;
use crate::CapabilitiesSpec;
use crate::CxlPortSpec;
use crate::LinkSpec;
use crate::LinkSpeedSpec;
use crate::PortBarSpec;
use crate::PortSpec;
use crate::SerialNumber;
use crate::Size;
use crate::SlotSpec;
use crate::endpoint::rom;
use crate::layout;
use crate::layout::Place;
use crate::layout::PortBar;
use crate::layout::Region;
use crate::port_scratch::PortScratch;
use cxl_spec::pci_registers::spec::flex_bus_port_dvsec::CxlFlexBusPortDvsecCapability;
use pci_core::capabilities::pci_express::LinkConfig;
use pci_core::capabilities::pci_express::SlotConfig;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::spec::caps::acs::DEFAULT_ACS_CAP_MASK;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::caps::pci_express::LinkSpeed;
use pci_core::spec::caps::pci_express::LinkWidth;
use pcie::CxlPortOptions;
use pcie::PciePortSettings;
use pcie::PortBarDefinition;
use pcie::PortBarSubregionDefinition;
use pcie::PortBarSubregionKind;
use pcie::PortBars;
use pcie::PortConfig;
use pcie::PortOptions;

pub(super) fn serial_number(given: Option<SerialNumber>, name: &str) -> u64 {
    given.unwrap_or_else(|| SerialNumber::from_name(name)).0
}

/// `number` tells the port from the others of its root complex or switch: Linux knows the ports of a CXL host bridge by it, as HDM decoders do.
pub(super) fn port_config(
    port: &PortSpec,
    port_type: DevicePortType,
    place: Place,
    number: u8,
    register: &mut Registration<'_>,
) -> PortConfig {
    let registers = layout::port_bar(port);
    let of_registers = registers.as_ref().map(|bar| bar.place);
    PortConfig {
        settings: PciePortSettings {
            acs_capabilities_supported: port.acs.unwrap_or(DEFAULT_ACS_CAP_MASK),
            cxl_flex_bus_port_capability: port.cxl.as_ref().map(flex_bus),
        },
        bar: registers.map(register_bar),
        bars: own_bars(
            &port.name,
            port_type,
            &port.bar,
            of_registers,
            port.rom,
            register,
        ),
        options: PortOptions {
            serial_number: Some(serial_number(port.serial_number, &port.name)),
            ari_forwarding: port.ari_forwarding,
            retry_visibility: true,
            cxl: port
                .cxl
                .as_ref()
                .map_or_else(CxlPortOptions::default, |cxl| CxlPortOptions {
                    ras: cxl.ras,
                    link: cxl.link,
                }),
            slot: port.slot.as_ref().map(slot_config),
            link: Some(port_link(port, number)),
            io_window: port.io_window.map(Into::into),
            interrupt_pin: port.intx.map(Into::into),
            ..port_options(&port.capabilities)
        },
        ..PortConfig::new(&*port.name, place.device, place.function)
    }
}

pub(super) fn port_options(capabilities: &CapabilitiesSpec) -> PortOptions {
    PortOptions {
        power_management: capabilities.power_management,
        error_reporting: capabilities.error_reporting,
        physical_layer: capabilities.physical_layer,
        dpc: capabilities.dpc,
        ltr: capabilities.ltr,
        l1_pm_substates: capabilities.l1_pm_substates,
        ptm: capabilities.ptm,
        virtual_channel: capabilities.virtual_channel,
        read_requests_of_512: true,
        ..PortOptions::default()
    }
}

/// A link that goes down unasked is an error, but where devices may leave without notice (PCIe 6.2 section 3.2.1).
fn port_link(port: &PortSpec, number: u8) -> LinkConfig {
    let link = port.link.map_or(
        LinkConfig::new(LinkSpeed::Speed32_0GtS, LinkWidth::X16),
        link_config,
    );
    LinkConfig {
        port_number: number,
        surprise_down_reporting: port.capabilities.error_reporting
            && port.slot.as_ref().is_none_or(|slot| !slot.surprise),
        ..link
    }
}

/// The slot takes commands if it has a part that is commanded, and then tells when they are done.
fn slot_config(slot: &SlotSpec) -> SlotConfig {
    let commanded =
        slot.power_controller || slot.attention_indicator || slot.power_indicator || slot.interlock;
    SlotConfig {
        attention_button: slot.attention_button,
        power_controller: slot.power_controller,
        mrl_sensor: slot.mrl_sensor,
        attention_indicator: slot.attention_indicator,
        power_indicator: slot.power_indicator,
        hot_plug_surprise: slot.surprise,
        electromechanical_interlock: slot.interlock,
        in_band_presence_disable: slot.in_band_presence_disable,
        command_completed: commanded,
        ..SlotConfig::surprise(slot.number)
    }
}

pub(crate) fn link_config(link: LinkSpec) -> LinkConfig {
    let speed = match link.speed {
        LinkSpeedSpec::Gen1 => LinkSpeed::Speed2_5GtS,
        LinkSpeedSpec::Gen2 => LinkSpeed::Speed5_0GtS,
        LinkSpeedSpec::Gen3 => LinkSpeed::Speed8_0GtS,
        LinkSpeedSpec::Gen4 => LinkSpeed::Speed16_0GtS,
        LinkSpeedSpec::Gen5 => LinkSpeed::Speed32_0GtS,
        LinkSpeedSpec::Gen6 => LinkSpeed::Speed64_0GtS,
    };
    LinkConfig::new(speed, LinkWidth(link.width.into()))
}

fn flex_bus(cxl: &CxlPortSpec) -> CxlFlexBusPortDvsecCapability {
    CxlFlexBusPortDvsecCapability::new()
        .with_io_capable(true)
        .with_cache_capable(cxl.cache)
        .with_mem_capable(cxl.mem)
        .with_cxl_68b_flit_and_vh_capable(cxl.flit_68b_and_vh)
        .with_cxl_multi_logical_device_capable(cxl.multi_logical_device)
        .with_cxl_latency_optimized_256b_flit_capable(cxl.latency_optimized_256b_flit)
        .with_cxl_pbr_flit_capable(cxl.pbr_flit)
}

/// BARs of scratch memory and an expansion ROM of port `name`. `of_registers` says which BAR is none of them.
pub(super) fn own_bars(
    name: &str,
    port_type: DevicePortType,
    bars: &[PortBarSpec],
    of_registers: Option<usize>,
    rom: Option<Size>,
    register: &mut Registration<'_>,
) -> PortBars {
    let numbered = bars.iter().zip(layout::port_bar_numbers(bars)).enumerate();
    let own = numbered.filter(|(place, _)| Some(*place) != of_registers);
    let own: Vec<_> = own
        .filter_map(|(_, (bar, index))| Some((index?, bar.kind, layout::scratch_bar_size(bar))))
        .collect();
    if own.is_empty() && rom.is_none() {
        return PortBars::default();
    }
    let mut made = DeviceBars::new();
    for &(index, kind, len) in &own {
        let memory = register.bar(&format!("{name}-bar{index}"), kind, len);
        made = made.with(index.into(), kind.into(), len, memory);
    }
    let mut image = Vec::new();
    if let Some(rom) = rom {
        let region = register.mmio.new_io_region(&format!("{name}-rom"), rom.0);
        made = made.rom(rom.0, BarMemoryKind::Intercept(region));
        image = rom::image(&pcie::port_hardware_ids(port_type));
    }
    let sizes = own.into_iter().map(|(index, _, len)| (index, len));
    PortBars::new(made).with_registers(Box::new(PortScratch::new(sizes, image)))
}

fn register_bar(bar: PortBar) -> PortBarDefinition {
    let subregion = |kind: PortBarSubregionKind, region: Region| PortBarSubregionDefinition {
        kind,
        offset: region.offset,
        size_bytes: region.len,
    };
    let mut subregions = Vec::new();
    subregions.extend(
        bar.component_registers
            .map(|r| subregion(PortBarSubregionKind::CxlComponentRegisters, r)),
    );
    if let Some(msix) = bar.msix {
        subregions.push(subregion(PortBarSubregionKind::MsiXTable, msix.table));
        subregions.push(subregion(PortBarSubregionKind::MsiXPba, msix.pba));
    }
    PortBarDefinition {
        index: 0,
        size_bytes: bar.size,
        subregions,
    }
}
