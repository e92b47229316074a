//! DSDT: the devices of the machine.

use super::dsm;
use super::encode::Encoded;
use super::encode::encode;
use super::host_bridge;
use super::host_bridge::name;
use super::table as with_header;
use crate::Platform;
use crate::SerialPort;
use crate::cxl;
use crate::platform::SLEEP_TYPE_S5;
use acpi_tables::Aml;
use acpi_tables::AmlSink;
use acpi_tables::aml::Device;
use acpi_tables::aml::EISAName;
use acpi_tables::aml::IO;
use acpi_tables::aml::Interrupt;
use acpi_tables::aml::Package;
use acpi_tables::aml::ResourceTemplate;
use acpi_tables::aml::Scope;
use acpi_tables::sdt::Sdt;
use pcie_topology::AddressRange;

/// From 2 on, integers have 64 bits.
const REVISION: u8 = 2;

pub(super) fn table(platform: &Platform) -> Sdt {
    let mut devices = Vec::new();
    devices.extend((0_u32..).zip(&platform.cpus).map(|(uid, _)| cpu(uid)));
    devices.extend((1_u32..).zip(&platform.serial_ports).map(serial_port));
    devices.extend(motherboard(platform));
    devices.extend(
        (0_u8..=u8::MAX)
            .zip(&platform.host_bridges)
            .map(host_bridge::device),
    );
    if platform.host_bridges.iter().any(|b| b.cxl.is_some()) {
        devices.push(cxl_root(platform));
    }
    let mut body = encode(&Scope::new("_SB_".into(), terms(&devices))).0;
    if platform.power.is_some() {
        let values = Package::new(vec![&SLEEP_TYPE_S5, &SLEEP_TYPE_S5, &0_u8, &0_u8]);
        name("_S5_", &values).to_aml_bytes(&mut body);
    }
    with_header(b"DSDT", REVISION, &body)
}

/// As the constructors of `acpi_tables` take them.
pub(super) fn terms(terms: &[Encoded]) -> Vec<&dyn Aml> {
    terms.iter().map(|term| term as &dyn Aml).collect()
}

/// The processor whose structure in the MADT has this `_UID`.
fn cpu(uid: u32) -> Encoded {
    let children = [name("_HID", &"ACPI0007"), name("_UID", &uid)];
    encode(&Device::new(
        format!("C{uid:03X}").as_str().into(),
        terms(&children),
    ))
}

fn serial_port((uid, port): (u32, &SerialPort)) -> Encoded {
    // Edge-triggered and active-high, as the ISA bus has it.
    let io = IO::new(port.base, port.base, 1, 8);
    let interrupt = Interrupt::new(true, true, false, false, port.gsi);
    let children = [
        name("_HID", &EISAName::new("PNP0501")),
        name("_UID", &uid),
        name("_CRS", &ResourceTemplate::new(vec![&io, &interrupt])),
    ];
    encode(&Device::new(
        format!("COM{uid:X}").as_str().into(),
        terms(&children),
    ))
}

/// The device that has the addresses which no other may be given: ECAM, without which Linux does not use MCFG, component registers of CXL
/// host bridges, and what else is reserved.
fn motherboard(platform: &Platform) -> Option<Encoded> {
    let bridges = platform.host_bridges.iter();
    let component_registers = bridges
        .clone()
        .filter_map(|bridge| bridge.cxl)
        .map(|cxl| AddressRange::new(cxl.component_registers, cxl::COMPONENT_REGISTERS_LEN));
    let ranges: Vec<Encoded> = bridges
        .map(|bridge| bridge.ecam)
        .chain(component_registers)
        .chain(platform.reserved.iter().copied())
        .map(|range| encode(&FixedMemory(range)))
        .collect();
    if ranges.is_empty() {
        return None;
    }
    let children = [
        name("_HID", &EISAName::new("PNP0C02")),
        name("_UID", &0_u8),
        name("_CRS", &ResourceTemplate::new(terms(&ranges))),
    ];
    Some(encode(&Device::new("MBRD".into(), terms(&children))))
}

/// The root of all CXL devices, which stands for the CEDT (CXL 3.1 section 9.18.1.1).
fn cxl_root(platform: &Platform) -> Encoded {
    let windows = platform.cxl_windows.iter();
    let groups: Vec<u16> = windows.map(|window| window.qos_group).collect();
    let children = [
        name("_HID", &"ACPI0017"),
        name("_UID", &0_u8),
        dsm::method(dsm::CXL_ROOT, &[dsm::qos_groups(&groups)]),
    ];
    encode(&Device::new("CXLM".into(), terms(&children)))
}

/// Memory that a device has and does not pass on: a QWord address space descriptor of a consumer (ACPI 6.5 section 6.4.3.5.1), which
/// `acpi_tables` cannot write.
struct FixedMemory(AddressRange);

impl Aml for FixedMemory {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        const QWORD_ADDRESS_SPACE: u8 = 0x8a;
        const MEMORY: u8 = 0;
        const CONSUMER_MIN_FIXED_MAX_FIXED: u8 = 0b1101;
        const READ_WRITE: u8 = 1;
        sink.byte(QWORD_ADDRESS_SPACE);
        sink.word(0x2b);
        sink.vec(&[MEMORY, CONSUMER_MIN_FIXED_MAX_FIXED, READ_WRITE]);
        sink.qword(0);
        sink.qword(self.0.base);
        sink.qword(self.0.end().saturating_sub(1));
        sink.qword(0);
        sink.qword(self.0.size.0);
    }
}
