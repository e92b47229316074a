//! Reads what a function is and asks for (PCIe 6.2 section 7.5).

use pci_spec::caps::device_serial_number::DeviceSerialNumberReg;
use pci_spec::caps::pci_express::{
    DevicePortType, PciExpressCapabilities, PciExpressReg, RootCapabilities, RootControl,
    SlotCapabilities,
};
use pci_spec::caps::{CapabilityId, ExtendedCapabilityId};
use pci_spec::cfg_space::{
    Command, MEMORY_BASE_LIMIT_ADDRESS_MASK, PREFETCH_MEMORY_BASE_LIMIT_64BIT, Type0HeaderReg,
    Type1HeaderReg,
};

use crate::access::{Config, header, within};
use crate::bar::{self, Sized};
use crate::capability;
use crate::hierarchy::{AddressBits, Bridge, Function, HeaderType, Implemented, Slot};
use crate::number;
use crate::shortfall::Resource;

/// Subsystem Vendor ID in a bridge's Subsystem ID capability (PCIe 6.2 section 7.9.23), from its start.
const BRIDGE_SUBSYSTEM_VENDOR_ID: u16 = 4;
/// Multi-Function Device in the Header Type register.
const MULTI_FUNCTION: u8 = 1 << 7;
/// Address bits 15:12 in I/O Base and I/O Limit.
pub(crate) const IO_ADDRESS_MASK: u8 = 0xf0;

/// True if the device of this function 0 may have other functions.
pub(crate) fn is_multi_function(config: &mut Config<'_>) -> bool {
    config.read_u8(header(Type0HeaderReg::HeaderType)) & MULTI_FUNCTION != 0
}

/// Reads what a function is and asks for, turning its decoding off.
pub(crate) fn read_function(config: &mut Config<'_>, vendor_id: u16, device_id: u16) -> Function {
    let class = config.read_u32(header(Type0HeaderReg::RevisionId));
    let header_type = HeaderType::from_bits(config.read_u8(header(Type0HeaderReg::HeaderType)));
    let mut function = Function {
        bdf: config.bdf,
        vendor_id,
        device_id,
        revision_id: (class & 0xff) as u8,
        class_code: class >> 8,
        subsystem: None,
        header_type,
        port_type: None,
        slot: None,
        serial_number: None,
        capabilities: Vec::new(),
        extended_capabilities: Vec::new(),
        bars: Vec::new(),
        rom: None,
        io_decode: false,
        memory_decode: false,
        bridge: None,
        faults: Vec::new(),
    };
    let (bars, rom) = match header_type {
        HeaderType::Type0 => (6, header(Type0HeaderReg::ExpansionRomBaseAddress)),
        HeaderType::Type1 => (2, header(Type1HeaderReg::ExpansionRomBaseAddress)),
        HeaderType::Other(_) => return function,
    };
    let decoding = Command::new()
        .with_pio_enabled(true)
        .with_mmio_enabled(true);
    config.update_u16(header(Type0HeaderReg::Command), decoding.into_bits(), 0);
    read_capabilities(config, &mut function);
    read_resources(config, &mut function, bars, rom);
    if header_type == HeaderType::Type1 {
        number::clear(config);
        function.bridge = Some(Bridge {
            buses: None,
            io: None,
            memory: None,
            prefetchable: None,
            functions: Vec::new(),
            not_ready: Vec::new(),
            refusal: None,
            implemented: probe_windows(config),
        });
    }
    function
}

fn read_capabilities(config: &mut Config<'_>, function: &mut Function) {
    function.capabilities = capability::capabilities(config);
    if let Some(express) = function.capability(CapabilityId::PCI_EXPRESS) {
        function.extended_capabilities = capability::extended_capabilities(config);
        read_express(config, function, express);
    }
    let subsystem = match function.header_type {
        HeaderType::Type0 => Some(header(Type0HeaderReg::SubsystemVendorId)),
        _ => function
            .capability(CapabilityId::BRIDGE_SUBSYSTEM_ID)
            .map(|offset| offset + BRIDGE_SUBSYSTEM_VENDOR_ID),
    };
    function.subsystem = subsystem.map(|offset| {
        let id = config.read_u32(offset);
        ((id & 0xffff) as u16, (id >> 16) as u16)
    });
    let serial = function.extended_capability(ExtendedCapabilityId::DEVICE_SERIAL_NUMBER);
    function.serial_number = serial.and_then(|serial| {
        let lower = config.read_u32(within(serial, DeviceSerialNumberReg::SerialNumberLower));
        let upper = config.read_u32(within(serial, DeviceSerialNumberReg::SerialNumberUpper));
        let number = u64::from(upper) << 32 | u64::from(lower);
        // All ones is what lies beyond the end of config space, and no EUI-64.
        (number != u64::MAX).then_some(number)
    });
}

fn read_express(config: &mut Config<'_>, function: &mut Function, express: u16) {
    let capabilities = config.read_u16(within(express, PciExpressReg::Capabilities));
    let capabilities = PciExpressCapabilities::from_bits(capabilities);
    function.port_type = Some(capabilities.device_port_type());
    if function.is_downstream_port() && capabilities.slot_implemented() {
        let slot = config.read_u32(within(express, PciExpressReg::SlotCapabilities));
        let slot = SlotCapabilities::from_bits(slot);
        function.slot = Some(Slot {
            number: slot.physical_slot_number(),
            hot_plug: slot.hot_plug_capable(),
        });
    }
    if function.port_type == Some(DevicePortType::RootPort) {
        show_retry_status(config, express);
    }
}

/// Lets software see that a device is not ready; it would look absent otherwise.
fn show_retry_status(config: &mut Config<'_>, root_port: u16) {
    let capabilities = config.read_u16(within(root_port, PciExpressReg::RootCapabilities));
    if RootCapabilities::from_bits(capabilities).crs_software_visibility() {
        let visible = RootControl::new().with_crs_software_visibility_enable(true);
        let root_control = within(root_port, PciExpressReg::RootControl);
        config.update_u16(root_control, 0, visible.into_bits());
    }
}

fn read_resources(config: &mut Config<'_>, function: &mut Function, bars: u8, rom: u16) {
    let Sized { bars, faults } = bar::size_bars(config, bars);
    function.bars = bars;
    function.faults = faults;
    match bar::size_rom(config, rom) {
        Ok(rom) => function.rom = rom,
        Err(fault) => function.faults.push((Resource::Rom, fault)),
    }
}

/// Finds out which windows a bridge implements and closes them (PCIe 6.2 sections 7.5.1.3.6 to 7.5.1.3.9): the address
/// bits of a window that is not implemented are read-only zero.
fn probe_windows(config: &mut Config<'_>) -> Implemented {
    // Each limit first, so that no window is open in between.
    config.write_u8(header(Type1HeaderReg::IoLimit), 0);
    config.write_u8(header(Type1HeaderReg::IoBase), IO_ADDRESS_MASK);
    let io = config.read_u8(header(Type1HeaderReg::IoBase));
    let mut probe = |limit, base| {
        config.write_u16(header(limit), 0);
        config.write_u16(header(base), MEMORY_BASE_LIMIT_ADDRESS_MASK);
        config.read_u16(header(base))
    };
    let memory = probe(Type1HeaderReg::MemoryLimit, Type1HeaderReg::MemoryBase);
    let prefetchable = probe(
        Type1HeaderReg::PrefetchableMemoryLimit,
        Type1HeaderReg::PrefetchableMemoryBase,
    );
    let has = |bits: u16, mask: u16| bits & mask == mask;
    // In I/O and prefetchable windows alike, 1 in the low four bits says that there is an upper register.
    let address_bits = |bits: u16| match bits & 0xf {
        PREFETCH_MEMORY_BASE_LIMIT_64BIT => AddressBits::Long,
        _ => AddressBits::Short,
    };
    Implemented {
        io: has(io.into(), IO_ADDRESS_MASK.into()).then(|| address_bits(io.into())),
        memory: has(memory, MEMORY_BASE_LIMIT_ADDRESS_MASK),
        prefetchable: has(prefetchable, MEMORY_BASE_LIMIT_ADDRESS_MASK)
            .then(|| address_bits(prefetchable)),
    }
}
