//! What a port is composed from inside the crate: the settings, and what its root complex or switch adds.

use super::PciePortSettings;
use super::PortBarDefinition;
use super::PortBarSubregionDefinition;
use super::PortBarSubregionKind;
use super::PortBars;
use super::PortError;
use super::PortOptions;
use super::bar;
use super::build_cxl_register_locator_extended_capability;
use super::own_bars;
use cxl_spec::pci_registers::spec::register_locator_dvsec::CxlRegisterLocatorRegisterBir;
use cxl_spec::spec::CXL_COMPONENT_REGISTERS_SIZE_BYTES;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::hwid::HardwareIds;

/// What a port is composed from.
pub(crate) struct PortDefinition {
    pub(crate) name: String,
    pub(crate) hardware_ids: HardwareIds,
    pub(crate) port_type: DevicePortType,
    pub(crate) multi_function: bool,
    pub(crate) hotplug_slot_number: Option<u32>,
    pub(crate) settings: PciePortSettings,
    pub(crate) bar: Option<PortBarDefinition>,
    /// Those beside it.
    pub(crate) bars: PortBars,
    pub(crate) options: PortOptions,
    /// Whether Bus Master Enable gates the port's messages.
    pub(crate) gates_messages: bool,
}

impl PortDefinition {
    pub(super) fn is_cxl(&self) -> bool {
        self.settings
            .cxl_flex_bus_port_capability
            .is_some_and(|cxl| cxl.cache_capable() || cxl.mem_capable())
    }

    /// Gives a CXL port that was given no BAR one for its component registers.
    fn with_default_bar(mut self) -> Self {
        if self.bar.is_none() && self.is_cxl() {
            self.bar = Some(PortBarDefinition {
                index: 0,
                size_bytes: CXL_COMPONENT_REGISTERS_SIZE_BYTES,
                subregions: vec![PortBarSubregionDefinition {
                    kind: PortBarSubregionKind::CxlComponentRegisters,
                    offset: 0,
                    size_bytes: CXL_COMPONENT_REGISTERS_SIZE_BYTES,
                }],
            });
        }
        self
    }

    /// Checks what was asked for.
    pub(super) fn checked(self, can_register: bool) -> Result<Self, PortError> {
        let definition = self.with_default_bar();
        let port = &definition.name;
        own_bars::check(port, &definition.bars, definition.bar.as_ref())?;
        if let Some(bar) = &definition.bar {
            bar::check(port, bar, definition.is_cxl())?;
            if !can_register {
                return Err(PortError::NoMmioRegistration { port: port.clone() });
            }
        }
        Ok(definition)
    }

    /// What [`PcieDownstreamPort::new`](super::PcieDownstreamPort::new) promises: the BAR and CXL are left out, with a warning,
    /// where they cannot be; parts of the BAR for MSI-X stay empty.
    pub(super) fn without_the_impossible(self, can_register: bool) -> Self {
        let mut definition = self.with_default_bar();
        let is_cxl = definition.is_cxl();
        let Some(bar) = &mut definition.bar else {
            return definition;
        };
        bar.subregions
            .retain(|region| region.kind == PortBarSubregionKind::CxlComponentRegisters);
        let can_have_bar = can_register && bar.index == 0;
        let can_have_cxl = can_have_bar
            && bar::component_registers_offset(bar)
                .and_then(|offset| {
                    build_cxl_register_locator_extended_capability(
                        CxlRegisterLocatorRegisterBir::BAR_10H,
                        offset,
                    )
                })
                .is_some();
        if !can_have_bar {
            tracelimit::warn_ratelimited!(port = %definition.name, "no MMIO registration, or not BAR0: the port goes without a BAR");
            definition.bar = None;
        }
        if is_cxl && !can_have_cxl {
            tracelimit::warn_ratelimited!(port = %definition.name, "no place for the component registers: the port goes without CXL");
            definition.settings.cxl_flex_bus_port_capability = None;
        }
        definition
    }
}
