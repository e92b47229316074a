//! `_OSC`: the operating system asks for control, and is granted what is implemented (PCI Firmware 3.3 section 4.5.1, CXL 3.1
//! section 9.18.2, ACPI 6.5 section 6.2.11).
//!
//! The method has no state: a query and a request are answered alike, and what was granted is granted again.
//!
//! Containment is given to an operating system that takes AER as well: the two have one owner. There is no firmware that would handle either in its place: a port contains nothing until somebody enables its trigger. So
//! no port is notified of an Error Disconnect Recover request (`Notify` with 0x0f), and no `_DSM` function 12 or 13 enables or locates
//! containment for firmware.

use super::dsdt::terms;
use super::encode::Encoded;
use super::encode::encode;
use super::encode::sequence;
use crate::HostBridge;
use crate::PciControl;
use acpi_tables::Aml;
use acpi_tables::aml::And;
use acpi_tables::aml::Arg;
use acpi_tables::aml::CreateDWordField;
use acpi_tables::aml::Equal;
use acpi_tables::aml::If;
use acpi_tables::aml::LessThan;
use acpi_tables::aml::Local;
use acpi_tables::aml::Method;
use acpi_tables::aml::NotEqual;
use acpi_tables::aml::Or;
use acpi_tables::aml::Path;
use acpi_tables::aml::Return;
use acpi_tables::aml::SizeOf;
use acpi_tables::aml::Store;
use acpi_tables::aml::Uuid;

const PCI_UUID: &str = "33DB4D5B-1FF7-401C-9657-7441C03DD766";
const CXL_UUID: &str = "68F2D50B-C469-4D8A-BD3D-941A103FD3FC";

/// Bits of the first dword.
const FAILURE: u8 = 1 << 1;
const UNRECOGNIZED_UUID: u8 = 1 << 2;
const UNRECOGNIZED_REVISION: u8 = 1 << 3;
const CAPABILITIES_MASKED: u8 = 1 << 4;
const ERRORS: u8 = FAILURE | UNRECOGNIZED_UUID | UNRECOGNIZED_REVISION | CAPABILITIES_MASKED;

const REVISION: u8 = 1;
/// Bytes of capabilities: three dwords, and five with CXL.
const PCI_LEN: u8 = 12;
const CXL_LEN: u8 = 20;
/// Offsets of the control dwords.
const PCI_CONTROL: u8 = 8;
const CXL_CONTROL: u8 = 16;

const UUID: Arg = Arg(0);
const GIVEN_REVISION: Arg = Arg(1);
const CAPABILITIES: Arg = Arg(3);
/// How many bytes the UUID's capabilities have; 0 where the UUID is unknown.
const LEN: Local = Local(0);
/// What is granted.
const GRANTED: Local = Local(1);

pub(super) fn method(bridge: &HostBridge) -> Encoded {
    let mut body = vec![
        // Without the first dword there is nowhere to say that anything is wrong.
        encode(&If::new(
            &LessThan::new(&SizeOf::new(&CAPABILITIES), &4_u8),
            vec![&Return::new(&CAPABILITIES)],
        )),
        field("CDW1", 0),
        encode(&And::new(&path("CDW1"), &path("CDW1"), &!u32::from(ERRORS))),
        encode(&Store::new(&LEN, &0_u8)),
        recognize(PCI_UUID, PCI_LEN),
    ];
    if bridge.cxl.is_some() {
        body.push(recognize(CXL_UUID, CXL_LEN));
    }
    body.extend([
        give_up(&Equal::new(&LEN, &0_u8), UNRECOGNIZED_UUID),
        give_up(&LessThan::new(&SizeOf::new(&CAPABILITIES), &LEN), FAILURE),
        // What this revision knows is granted all the same.
        encode(&If::new(
            &NotEqual::new(&GIVEN_REVISION, &REVISION),
            vec![&complain(UNRECOGNIZED_REVISION)],
        )),
        grant("CDW3", PCI_CONTROL, bridge.control.into_bits()),
        dependencies(),
    ]);
    if let Some(cxl) = bridge.cxl {
        let grant = grant("CDW5", CXL_CONTROL, cxl.control.into_bits());
        body.push(encode(&If::new(&Equal::new(&LEN, &CXL_LEN), vec![&grant])));
    }
    body.push(encode(&Return::new(&CAPABILITIES)));
    // Serialized, since it makes named objects.
    encode(&Method::new("_OSC".into(), 4, true, terms(&body)))
}

fn path(name: &str) -> Path {
    Path::new(name)
}

/// Names a dword of the capabilities.
fn field(name: &str, offset: u8) -> Encoded {
    encode(&CreateDWordField::new(&path(name), &CAPABILITIES, &offset))
}

fn recognize(uuid: &str, len: u8) -> Encoded {
    encode(&If::new(
        &Equal::new(&UUID, &Uuid::new(uuid)),
        vec![&Store::new(&LEN, &len)],
    ))
}

fn complain(error: u8) -> Encoded {
    encode(&Or::new(&path("CDW1"), &path("CDW1"), &error))
}

fn give_up(condition: &dyn Aml, error: u8) -> Encoded {
    encode(&If::new(
        condition,
        vec![&complain(error), &Return::new(&CAPABILITIES)],
    ))
}

/// The PCI Express features are used through the PCI Express capability structure, and containment with error reporting: an operating
/// system that does not take the one does not get the other (PCI Firmware 3.3 section 4.5.2.4).
fn dependencies() -> Encoded {
    let structure = PciControl::new().with_capability_structure(true);
    let error_reporting = PciControl::new().with_aer(true);
    let containment = PciControl::new().with_dpc(true);
    let others = !structure.into_bits();
    sequence(&[
        &needs(others, structure.into_bits()),
        &needs(containment.into_bits(), error_reporting.into_bits()),
    ])
}

/// Takes back what was granted without what it needs.
fn needs(dependent: u32, needed: u32) -> Encoded {
    encode(&If::new(
        &Equal::new(&And::new(&GRANTED, &path("CDW3"), &needed), &0_u8),
        vec![
            &And::new(&GRANTED, &path("CDW3"), &dependent),
            &If::new(
                &NotEqual::new(&GRANTED, &0_u8),
                vec![
                    &And::new(&path("CDW3"), &path("CDW3"), &!dependent),
                    &complain(CAPABILITIES_MASKED),
                ],
            ),
        ],
    ))
}

/// Masks what is not implemented, and says so if it was asked for.
fn grant(name: &str, offset: u8, implemented: u32) -> Encoded {
    sequence(&[
        &field(name, offset),
        &And::new(&GRANTED, &path(name), &implemented),
        &If::new(
            &NotEqual::new(&GRANTED, &path(name)),
            vec![&complain(CAPABILITIES_MASKED)],
        ),
        &Store::new(&path(name), &GRANTED),
    ])
}
