//! Composing an endpoint from its description.

use super::TestEndpoint;
use super::function::ComponentRegisters;
use super::function::EndpointFunction;
use super::function::Msix;
use super::rom;
use crate::CxlDeviceSpec;
use crate::EndpointSpec;
use crate::MediaType;
use crate::Seat;
use crate::SerialNumber;
use crate::Size;
use crate::compose::Registration;
use crate::compose::link_config;
use crate::layout;
use cxl_spec::CxlComponentRegisters;
use cxl_spec::CxlDeviceDevsecExtendedCapability;
use cxl_spec::CxlFlexBusPortDvsecExtendedCapability;
use cxl_spec::CxlRegisterLocatorDvsecExtendedCapability;
use cxl_spec::component_registers::CxlHdmDecoderCapability;
use cxl_spec::component_registers::CxlHdmDecoderCapabilityOptions;
use cxl_spec::component_registers::CxlRasCapability;
use cxl_spec::pci_registers::spec::cxl_device_dvsec::CxlDeviceDvsecDesiredInterleave;
use cxl_spec::pci_registers::spec::cxl_device_dvsec::CxlDeviceDvsecMediaType;
use cxl_spec::pci_registers::spec::cxl_device_dvsec::CxlDeviceDvsecMemoryActiveTimeout;
use cxl_spec::pci_registers::spec::cxl_device_dvsec::CxlDeviceDvsecMemoryClass;
use cxl_spec::pci_registers::spec::register_locator_dvsec::CxlRegisterLocatorRegisterBir;
use cxl_spec::pci_registers::spec::register_locator_dvsec::CxlRegisterLocatorRegisterBlockIdentifier;
use pci_bus::Fabric;
use pci_core::PciInterruptPin;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::PciExtendedCapability;
use pci_core::capabilities::advanced_features::AdvancedFeaturesCapability;
use pci_core::capabilities::extended::aer::AerExtendedCapability;
use pci_core::capabilities::extended::fixed::FixedExtendedCapability;
use pci_core::capabilities::extended::link_speed::link_speed_capabilities;
use pci_core::capabilities::extended::resizable_bar::ResizableBar;
use pci_core::capabilities::extended::resizable_bar::ResizableBarError;
use pci_core::capabilities::extended::resizable_bar::ResizableBarExtendedCapability;
use pci_core::capabilities::extended::table::TableExtendedCapability;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::capabilities::msix::MsixLayoutError;
use pci_core::capabilities::pci_express::LinkError;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::power_management::PowerManagementCapability;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceError;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::aer::UncorrectableErrors;
use pci_core::spec::caps::l1_pm_substates::L1PmSubstatesCapabilities;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::caps::pci_express::LinkSpeed;
use pci_core::spec::caps::pci_express::LinkWidth;
use pci_core::spec::caps::power_management::PowerManagementCapabilities;
use pci_core::spec::caps::ptm::PtmCapability;
use pci_core::spec::hwid::HardwareIds;
use vmcore::line_interrupt::LineInterrupt;

/// Class code of a device that fits no class.
const UNASSIGNED_CLASS: u32 = 0xff_0000;
/// Class code of a CXL memory device (CXL 3.1 section 8.1.12.1).
const CXL_MEMORY_CLASS: u32 = 0x05_0210;
/// Bits of an address within a mebibyte, the unit of a resizable BAR.
const MEBIBYTE_BITS: u32 = 20;
/// PME Support of a function that signals from D0 and D3hot.
const PME_FROM_D0_AND_D3HOT: u8 = 0b01001;
/// Functions of a device that are reached without ARI.
const FUNCTIONS_WITHOUT_ARI: u16 = 8;

/// An endpoint that cannot be composed, though its description was found to be sound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error(transparent)]
    ConfigSpace(#[from] ConfigSpaceError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    ResizableBar(#[from] ResizableBarError),
    #[error(transparent)]
    Msix(#[from] MsixLayoutError),
    #[error(transparent)]
    Memory(#[from] cxl_spec::CxlMemoryConfigError),
    #[error(transparent)]
    HdmDecoders(#[from] cxl_spec::component_registers::CxlHdmDecoderCapabilityError),
    #[error(transparent)]
    RegisterLocator(#[from] cxl_spec::RegisterLocatorConfigError),
}

impl TestEndpoint {
    /// Composes an endpoint whose description was validated.
    pub(crate) fn compose(
        spec: &EndpointSpec,
        seat: Seat,
        msi_target: &MsiTarget,
        register: &mut Registration<'_>,
    ) -> Result<Self, EndpointError> {
        let function = |number: u8| {
            let target = if number == 0 {
                msi_target.clone()
            } else {
                msi_target.with_devfn(number)
            };
            compose_function(spec, seat, number, &target, register)
        };
        let functions = (0..=u8::MAX)
            .take(spec.functions.into())
            .map(function)
            .collect::<Result<Vec<_>, _>>()?;
        let images = functions.iter().map(|f| f.cfg_space.image().clone());
        Ok(Self {
            name: spec.name.as_str().into(),
            images: images.collect(),
            functions,
            fabric: Fabric::default(),
            retries: spec.retries,
            retries_left: spec.retries,
        })
    }
}

fn compose_function(
    spec: &EndpointSpec,
    seat: Seat,
    number: u8,
    msi_target: &MsiTarget,
    register: &mut Registration<'_>,
) -> Result<EndpointFunction, EndpointError> {
    let (port_type, multi_function) = match seat {
        Seat::BehindPort => (DevicePortType::Endpoint, spec.functions > 1),
        Seat::RootBus { multi_function } => (
            DevicePortType::RootComplexIntegratedEndpoint,
            multi_function,
        ),
    };
    let has = &spec.capabilities;
    let mut capabilities: Vec<Box<dyn PciCapability>> = vec![match spec.conventional {
        true => Box::new(AdvancedFeaturesCapability::default()),
        false => Box::new(pci_express(spec, port_type)?),
    }];
    let mut msi = None;
    if let Some(spec) = &spec.msi {
        let capability = MsiCapability::new(
            spec.vectors.ilog2().to_le_bytes()[0],
            true,
            true,
            msi_target,
        );
        msi = Some(capability.clone());
        capabilities.push(Box::new(capability));
    }
    let mut msix = None;
    if let (Some(spec), Some(regions)) = (&spec.msix, layout::endpoint_msix(spec)) {
        let (emulator, capability) = MsixEmulator::with_layout(regions.layout(spec), msi_target)?;
        capabilities.push(Box::new(capability));
        msix = Some(Msix {
            bar: spec.bar,
            table: regions.table,
            pba: regions.pba,
            emulator,
        });
    }
    if has.power_management {
        // The state survives D3hot, and the function wakes the system from there, if it has messages to do that with.
        let pme_support = match spec.conventional {
            true => 0,
            false => PME_FROM_D0_AND_D3HOT,
        };
        let has = PowerManagementCapabilities::new().with_pme_support(pme_support);
        capabilities.push(Box::new(PowerManagementCapability::new(has, true)));
    }
    let cxl = spec.cxl.as_ref().filter(|_| number == 0);
    let cxl = cxl
        .map(|cxl| component_registers(spec, cxl))
        .transpose()?
        .flatten();
    let mut extended = Vec::new();
    if !spec.conventional {
        extended = extended_capabilities(spec, number)?;
        extended.extend(modern_capabilities(spec, port_type, number));
        if let Some(resizable) = resizable_bars(spec)? {
            extended.push(Box::new(resizable));
        }
    }
    let bars = device_bars(spec, number, register);
    let ids = hardware_ids(spec);
    let rom = spec.rom.map_or_else(Vec::new, |_| rom::image(&ids));
    let mut cfg_space = ConfigSpaceType0Emulator::try_new(ids, capabilities, extended, bars)?
        .with_multi_function_bit(multi_function)
        .with_bus_master_gate()
        .with_answer_beyond();
    let intx = spec.intx.map(|pin| {
        let pin = PciInterruptPin::from(pin);
        (
            pin,
            cfg_space.set_interrupt_pin(pin, LineInterrupt::detached()),
        )
    });
    Ok(EndpointFunction {
        cfg_space,
        scratch: Vec::new(),
        msix,
        msi,
        cxl,
        intx,
        rom,
        doorbell_rings: 0,
    })
}

fn pci_express(
    spec: &EndpointSpec,
    port_type: DevicePortType,
) -> Result<PciExpressCapability, LinkError> {
    let has = &spec.capabilities;
    let mut pcie = PciExpressCapability::new(port_type, None)
        .with_function_level_reset()
        .with_read_requests_of_512();
    if has.error_reporting {
        pcie = pcie.with_role_based_error_reporting();
    }
    if has.ltr && port_type == DevicePortType::Endpoint {
        pcie = pcie.with_ltr();
    }
    match spec.link {
        Some(link) => pcie.with_link(link_config(link)),
        None => Ok(pcie),
    }
}

fn hardware_ids(spec: &EndpointSpec) -> HardwareIds {
    let class = spec.class.unwrap_or(if spec.cxl.is_some() {
        CXL_MEMORY_CLASS
    } else {
        UNASSIGNED_CLASS
    });
    let [prog_if, sub_class, base_class, _] = class.to_le_bytes();
    HardwareIds {
        vendor_id: spec.vendor_id,
        device_id: spec.device_id,
        revision_id: spec.revision,
        prog_if: prog_if.into(),
        sub_class: sub_class.into(),
        base_class: base_class.into(),
        type0_sub_vendor_id: spec.subsystem_vendor_id,
        type0_sub_system_id: spec.subsystem_id,
    }
}

fn device_bars(spec: &EndpointSpec, number: u8, register: &mut Registration<'_>) -> DeviceBars {
    let mut bars = DeviceBars::new();
    if let Some(rom) = spec.rom {
        let name = format!("{}.{number}-rom", spec.name);
        let region = register.mmio.new_io_region(&name, rom.0);
        bars = bars.rom(rom.0, BarMemoryKind::Intercept(region));
    }
    for (bar, index) in spec.bar.iter().zip(layout::bar_numbers(&spec.bar)) {
        let Some(index) = index else { continue };
        let (name, len) = (format!("{}.{number}-bar{index}", spec.name), bar.size.0);
        let memory = register.bar(&name, bar.kind, len);
        bars = bars.with(index.into(), bar.kind.into(), len, memory);
        // A region has one length: each size has its own.
        for size in bar.sizes().into_iter().filter(|size| *size != bar.size.0) {
            let name = format!("{}.{number}-bar{index}-{}", spec.name, Size(size));
            let region = register.mmio.new_io_region(&name, size);
            bars = bars.with_other_size(index.into(), size, BarMemoryKind::Intercept(region));
        }
    }
    bars
}

/// The Resizable BAR capability, where a BAR is resizable.
fn resizable_bars(
    spec: &EndpointSpec,
) -> Result<Option<ResizableBarExtendedCapability>, ResizableBarError> {
    let exponent = |bytes: u64| bytes.ilog2().saturating_sub(MEBIBYTE_BITS);
    let bars: Vec<_> = spec
        .bar
        .iter()
        .zip(layout::bar_numbers(&spec.bar))
        .filter(|(bar, _)| !bar.resizable.is_empty())
        .filter_map(|(bar, index)| {
            let sizes = bar.sizes().into_iter();
            Some(ResizableBar {
                index: index?,
                supported_sizes: sizes.fold(0, |sizes, size| sizes | 1 << exponent(size)),
                default_size: exponent(bar.size.0).to_le_bytes()[0],
            })
        })
        .collect();
    if bars.is_empty() {
        return Ok(None);
    }
    ResizableBarExtendedCapability::new(&bars).map(Some)
}

fn extended_capabilities(
    spec: &EndpointSpec,
    number: u8,
) -> Result<Vec<Box<dyn PciExtendedCapability>>, EndpointError> {
    let serial = spec
        .serial_number
        .unwrap_or_else(|| SerialNumber::from_name(&spec.name));
    let mut extended: Vec<Box<dyn PciExtendedCapability>> = vec![Box::new(
        FixedExtendedCapability::device_serial_number(serial.0),
    )];
    if spec.functions > FUNCTIONS_WITHOUT_ARI {
        let next = number
            .checked_add(1)
            .filter(|next| u16::from(*next) < spec.functions);
        extended.push(Box::new(FixedExtendedCapability::ari(next.unwrap_or(0))));
    }
    if let Some(cxl) = spec.cxl.as_ref().filter(|_| number == 0) {
        let media = match cxl.media {
            MediaType::Volatile => CxlDeviceDvsecMediaType::VolatileMemory,
            MediaType::NonVolatile => CxlDeviceDvsecMediaType::NonVolatileMemory,
        };
        extended.push(Box::new(
            CxlDeviceDevsecExtendedCapability::new(None, None).with_cxl_memory(
                cxl.memory.0,
                None,
                media,
                CxlDeviceDvsecMemoryClass::Memory,
                CxlDeviceDvsecDesiredInterleave::NoInterleave,
                CxlDeviceDvsecMemoryActiveTimeout::Seconds1,
            )?,
        ));
        let flex_bus = CxlFlexBusPortDvsecExtendedCapability::new()
            .with_optional_capabilities(false, true, false, false, false)
            .with_mem_capable(true);
        extended.push(Box::new(flex_bus));
        if let Some(region) = layout::endpoint_component_registers(spec) {
            extended.push(Box::new(
                CxlRegisterLocatorDvsecExtendedCapability::new().with_register_block(
                    register_bir(cxl.bar),
                    CxlRegisterLocatorRegisterBlockIdentifier::COMPONENT_REGISTERS,
                    region.offset,
                )?,
            ));
        }
    }
    Ok(extended)
}

/// Error reporting, and what the link asks for. These come after all others, so that a guest that was saved on a version without them
/// finds what it knows where it was. What is the link's or the device's is in function 0 alone.
fn modern_capabilities(
    spec: &EndpointSpec,
    port_type: DevicePortType,
    number: u8,
) -> Vec<Box<dyn PciExtendedCapability>> {
    let has = &spec.capabilities;
    let mut extended: Vec<Box<dyn PciExtendedCapability>> = Vec::new();
    if has.error_reporting {
        let errors = UncorrectableErrors::from_bits(u32::MAX).with_surprise_down(false);
        extended.push(Box::new(
            AerExtendedCapability::new().with_uncorrectable_errors(errors),
        ));
    }
    if has.virtual_channel && number == 0 {
        extended.push(Box::new(TableExtendedCapability::virtual_channel()));
    }
    if port_type != DevicePortType::Endpoint || number != 0 {
        return extended;
    }
    if has.physical_layer {
        let link = spec.link.map(link_config);
        let (speed, width) = link.map_or((LinkSpeed::Speed32_0GtS, LinkWidth::X16), |link| {
            (link.max_speed, link.max_width)
        });
        extended.extend(link_speed_capabilities(port_type, speed, width));
    }
    if has.l1_pm_substates {
        let substates = L1PmSubstatesCapabilities::new()
            .with_pci_pm_l1_1_supported(true)
            .with_pci_pm_l1_2_supported(has.ltr);
        extended.push(Box::new(TableExtendedCapability::l1_pm_substates(
            substates, port_type,
        )));
    }
    if has.ltr {
        extended.push(Box::new(TableExtendedCapability::ltr()));
    }
    if has.ptm {
        let requester = PtmCapability::new().with_requester_capable(true);
        extended.push(Box::new(TableExtendedCapability::ptm(requester)));
    }
    extended
}

fn register_bir(bar: u8) -> CxlRegisterLocatorRegisterBir {
    match bar {
        0 => CxlRegisterLocatorRegisterBir::BAR_10H,
        1 => CxlRegisterLocatorRegisterBir::BAR_14H,
        2 => CxlRegisterLocatorRegisterBir::BAR_18H,
        3 => CxlRegisterLocatorRegisterBir::BAR_1CH,
        4 => CxlRegisterLocatorRegisterBir::BAR_20H,
        _ => CxlRegisterLocatorRegisterBir::BAR_24H,
    }
}

fn component_registers(
    spec: &EndpointSpec,
    cxl: &CxlDeviceSpec,
) -> Result<Option<ComponentRegisters>, EndpointError> {
    let Some(region) = layout::endpoint_component_registers(spec) else {
        return Ok(None);
    };
    let mut registers = CxlComponentRegisters::new();
    registers.add_register(Box::new(CxlRasCapability::new()));
    let options = CxlHdmDecoderCapabilityOptions::default();
    registers.add_register(Box::new(CxlHdmDecoderCapability::with_options(
        options,
        cxl.hdm_decoders.into(),
    )?));
    Ok(Some(ComponentRegisters {
        bar: cxl.bar,
        region,
        registers,
    }))
}
