//! The capabilities that ports have beyond what every version of them had: power management, error reporting, and what the speed of the
//! link asks for.
//!
//! They come after all others, so that a guest that was saved on a version without them finds what it knows where it was.

use super::PortOptions;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::extended::PciExtendedCapability;
use pci_core::capabilities::extended::aer::AerExtendedCapability;
use pci_core::capabilities::extended::dpc::DpcExtendedCapability;
use pci_core::capabilities::extended::link_speed::link_speed_capabilities;
use pci_core::capabilities::extended::table::TableExtendedCapability;
use pci_core::capabilities::pci_express::LinkConfig;
use pci_core::capabilities::power_management::PowerManagementCapability;
use pci_core::spec::caps::aer::UncorrectableErrors;
use pci_core::spec::caps::l1_pm_substates::L1PmSubstatesCapabilities;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::caps::pci_express::LinkSpeed;
use pci_core::spec::caps::pci_express::LinkWidth;
use pci_core::spec::caps::power_management::PowerManagementCapabilities;
use pci_core::spec::caps::ptm::PtmCapability;
use vmcore::interrupt::Interrupt;

/// The vector of a port's own interrupts, by MSI or MSI-X.
const EVENT_VECTOR: u8 = 0;
/// PME Support of a function that signals from D0 and D3hot.
const PME_FROM_D0_AND_D3HOT: u8 = 0b01001;
/// Granularity of a root port's clock in nanoseconds.
const PTM_GRANULARITY_NS: u8 = 1;

/// The link of a port that was not given one.
pub(crate) const DEFAULT_LINK: LinkConfig =
    LinkConfig::new(LinkSpeed::Speed32_0GtS, LinkWidth::X16);

/// The legacy capabilities.
pub(crate) fn legacy(options: &PortOptions) -> Vec<Box<dyn PciCapability>> {
    let mut capabilities: Vec<Box<dyn PciCapability>> = Vec::new();
    if options.power_management {
        // A port keeps its state in D3hot: bus numbers and windows are there when it comes back.
        // It wakes the system for what happens at its slot.
        let has = PowerManagementCapabilities::new().with_pme_support(PME_FROM_D0_AND_D3HOT);
        capabilities.push(Box::new(PowerManagementCapability::new(has, true)));
    }
    capabilities
}

/// The extended capabilities, in order. `events` is the port's interrupt, where it has one.
pub(crate) fn extended(
    port_type: DevicePortType,
    options: &PortOptions,
    events: Option<Interrupt>,
) -> Vec<Box<dyn PciExtendedCapability>> {
    let mut capabilities: Vec<Box<dyn PciExtendedCapability>> = Vec::new();
    let link = options.link.unwrap_or(DEFAULT_LINK);
    if options.error_reporting {
        capabilities.push(Box::new(aer(port_type, &link, events.clone())));
    }
    if options.physical_layer {
        capabilities.extend(link_speed_capabilities(
            port_type,
            link.max_speed,
            link.max_width,
        ));
    }
    if options.dpc && port_type.is_downstream() {
        let mut dpc = DpcExtendedCapability::new(EVENT_VECTOR);
        dpc.set_interrupt(events.unwrap_or_default());
        capabilities.push(Box::new(dpc));
    }
    if options.l1_pm_substates {
        let has = L1PmSubstatesCapabilities::new()
            .with_pci_pm_l1_1_supported(true)
            .with_pci_pm_l1_2_supported(options.ltr);
        capabilities.push(Box::new(TableExtendedCapability::l1_pm_substates(
            has, port_type,
        )));
    }
    // In a switch, the upstream port has these for all (PCIe 6.2 sections 7.8.2 and 7.9.15).
    if options.ltr && port_type == DevicePortType::UpstreamSwitchPort {
        capabilities.push(Box::new(TableExtendedCapability::ltr()));
    }
    if let Some(ptm) = Some(ptm_role(port_type)).filter(|_| options.ptm).flatten() {
        capabilities.push(Box::new(TableExtendedCapability::ptm(ptm)));
    }
    if options.virtual_channel {
        capabilities.push(Box::new(TableExtendedCapability::virtual_channel()));
    }
    capabilities
}

fn aer(
    port_type: DevicePortType,
    link: &LinkConfig,
    events: Option<Interrupt>,
) -> AerExtendedCapability {
    let errors = UncorrectableErrors::from_bits(u32::MAX)
        .with_surprise_down(port_type.is_downstream() && link.surprise_down_reporting);
    if port_type == DevicePortType::RootPort {
        let mut aer = AerExtendedCapability::new_root(EVENT_VECTOR);
        aer.set_error_interrupt(events.unwrap_or_default());
        aer.with_uncorrectable_errors(errors)
    } else {
        AerExtendedCapability::new().with_uncorrectable_errors(errors)
    }
}

fn ptm_role(port_type: DevicePortType) -> Option<PtmCapability> {
    let ptm = PtmCapability::new().with_local_clock_granularity(PTM_GRANULARITY_NS);
    match port_type {
        DevicePortType::RootPort => Some(ptm.with_responder_capable(true).with_root_capable(true)),
        DevicePortType::UpstreamSwitchPort => Some(
            ptm.with_requester_capable(true)
                .with_responder_capable(true),
        ),
        _ => None,
    }
}
