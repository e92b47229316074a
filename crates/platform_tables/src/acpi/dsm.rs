//! `_DSM` of PCI devices (PCI Firmware 3.3 section 4.6).

use super::dsdt::terms;
use super::encode::Encoded;
use super::encode::encode;
use acpi_tables::Aml;
use acpi_tables::aml::Arg;
use acpi_tables::aml::BufferData;
use acpi_tables::aml::Equal;
use acpi_tables::aml::GreaterEqual;
use acpi_tables::aml::If;
use acpi_tables::aml::Method;
use acpi_tables::aml::Package;
use acpi_tables::aml::Return;
use acpi_tables::aml::Uuid;

const PCI_UUID: &str = "E5C937D0-3553-4D7A-9117-EA4D19C3434D";
/// Which functions there are.
const QUERY: u8 = 0;
/// Whether the boot configuration may be ignored.
const BOOT_CONFIGURATION: u8 = 5;
const BOOT_CONFIGURATION_REVISION: u8 = 1;
/// A device's name under an operating system.
const DEVICE_NAME: u8 = 7;
const DEVICE_NAME_REVISION: u8 = 2;

/// Of a host bridge: 0 where the operating system must keep bus numbers and BARs as it finds them, and 1 where it need not.
pub(super) fn boot_configuration(preserve: bool) -> Encoded {
    method(
        BOOT_CONFIGURATION_REVISION,
        BOOT_CONFIGURATION,
        &u8::from(!preserve),
    )
}

/// Of the device in a slot: the slot's number and its name.
pub(super) fn device_name(slot: u32, label: &str) -> Encoded {
    let name = label.to_owned();
    method(
        DEVICE_NAME_REVISION,
        DEVICE_NAME,
        &Package::new(vec![&slot, &name]),
    )
}

/// A method with one function besides the query, from a revision on.
fn method(revision: u8, function: u8, value: &dyn Aml) -> Encoded {
    let functions = BufferData::new(vec![1 << QUERY | 1 << function]);
    let body = [
        encode(&If::new(
            &Equal::new(&Arg(0), &Uuid::new(PCI_UUID)),
            vec![&If::new(
                &GreaterEqual::new(&Arg(1), &revision),
                vec![
                    &If::new(&Equal::new(&Arg(2), &QUERY), vec![&Return::new(&functions)]),
                    &If::new(&Equal::new(&Arg(2), &function), vec![&Return::new(value)]),
                ],
            )],
        )),
        // No function at all.
        encode(&Return::new(&BufferData::new(vec![0]))),
    ];
    encode(&Method::new("_DSM".into(), 4, true, terms(&body)))
}
