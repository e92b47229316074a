//! `_DSM`: what an operating system asks of a device beyond ACPI's own objects (ACPI 6.5 section 9.1.1), of PCI devices (PCI
//! Firmware 3.3 section 4.6) and of the CXL root (CXL 3.1 section 9.17.3).
//!
//! Not said, of PCI devices:
//!
//! - function 8, whether delays after a resume can be left out: there is no sleep from which the machine resumes;
//! - function 9 of what is in a slot: a card of any kind may come, and may ask for time;
//! - functions 10 to 13: power limits, PERST# delays and firmware's part in containment, none of which there is.
//!
//! Nor is there `_HPX` (ACPI 6.5 section 6.2.9) or `_HPP`, settings of firmware for what is plugged in: each register of a device has
//! in this stack the reset value that its specification gives, error masks and severities among them, and payload and request sizes
//! depend on what is above, which the operating system sees as firmware would. A record could only repeat that.

use super::dsdt::terms;
use super::encode::Encoded;
use super::encode::encode;
use acpi_tables::aml::Arg;
use acpi_tables::aml::BufferData;
use acpi_tables::aml::Equal;
use acpi_tables::aml::GreaterEqual;
use acpi_tables::aml::If;
use acpi_tables::aml::Method;
use acpi_tables::aml::Package;
use acpi_tables::aml::Return;
use acpi_tables::aml::Uuid;
use std::collections::BTreeSet;

/// Of PCI devices.
pub(super) const PCI: &str = "E5C937D0-3553-4D7A-9117-EA4D19C3434D";
/// Of the CXL root.
pub(super) const CXL_ROOT: &str = "F365F9A6-A7DE-4071-A66A-B40C0B4F8E52";

/// Which functions there are.
const QUERY: u8 = 0;

/// What is returned for one number, whatever the further arguments.
pub(super) struct Function {
    number: u8,
    /// The first revision that has it.
    revision: u8,
    value: Encoded,
}

/// Of a host bridge: 0 where the operating system must keep bus numbers and BARs as it finds them, and 1 where it need not (section
/// 4.6.5).
pub(super) fn boot_configuration(preserve: bool) -> Function {
    Function {
        number: 5,
        revision: 1,
        value: encode(&u8::from(!preserve)),
    }
}

/// Of the device in a slot: the slot's number and its name (section 4.6.7).
pub(super) fn device_name(slot: u32, label: &str) -> Function {
    Function {
        number: 7,
        revision: 2,
        value: encode(&Package::new(vec![&slot, &label.to_owned()])),
    }
}

/// Of a port: after a reset, when its link is up, after a function-level reset, after D3hot, and after virtual functions were enabled, it
/// is ready at once, in 0 microseconds (section 4.6.9).
pub(super) fn ready_at_once() -> Function {
    Function {
        number: 9,
        revision: 3,
        value: encode(&Package::new(vec![&0_u8, &0_u8, &0_u8, &0_u8, &0_u8])),
    }
}

/// Of the CXL root: the QoS throttling groups for memory of the performance that is asked about, the best first. Memory that is
/// emulated has one performance, so all groups that windows have are as good, and are named in the windows' order.
pub(super) fn qos_groups(of_windows: &[u16]) -> Function {
    let mut seen = BTreeSet::new();
    let mut groups: Vec<u16> = of_windows
        .iter()
        .copied()
        .filter(|group| seen.insert(*group))
        .collect();
    if groups.is_empty() {
        groups.push(0);
    }
    let highest = groups.iter().max().copied().unwrap_or(0);
    let groups: Vec<Encoded> = groups.iter().map(|group| encode(group)).collect();
    Function {
        number: 1,
        revision: 1,
        value: encode(&Package::new(vec![&highest, &Package::new(terms(&groups))])),
    }
}

/// A method with these functions and the query for them.
pub(super) fn method(uuid: &str, functions: &[Function]) -> Encoded {
    let revisions: BTreeSet<u8> = functions.iter().map(|function| function.revision).collect();
    // The highest revision that is not above the one asked for answers.
    let queries = revisions.iter().rev().map(|revision| {
        let known = functions
            .iter()
            .filter(|function| function.revision <= *revision)
            .fold(1_u32 << QUERY, |known, function| {
                known | 1 << function.number
            });
        answer(QUERY, *revision, &encode(&BufferData::new(mask(known))))
    });
    let others = functions
        .iter()
        .map(|function| answer(function.number, function.revision, &function.value));
    let answers: Vec<Encoded> = queries.chain(others).collect();
    let body = [
        encode(&If::new(
            &Equal::new(&Arg(0), &Uuid::new(uuid)),
            terms(&answers),
        )),
        // No function at all.
        encode(&Return::new(&BufferData::new(vec![0]))),
    ];
    encode(&Method::new("_DSM".into(), 4, true, terms(&body)))
}

fn answer(function: u8, revision: u8, value: &Encoded) -> Encoded {
    encode(&If::new(
        &Equal::new(&Arg(2), &function),
        vec![&If::new(
            &GreaterEqual::new(&Arg(1), &revision),
            vec![&Return::new(value)],
        )],
    ))
}

/// As many bytes as have a bit.
fn mask(bits: u32) -> Vec<u8> {
    let mut bytes = bits.to_le_bytes().to_vec();
    while bytes.len() > 1 && bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}
