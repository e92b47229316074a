//! The methods and resources of the demo's host bridges, as ACPICA's interpreter has them.
//!
//! `\_SB.PC00` is the plain host bridge and `\_SB.PC01` that of CXL; what they must say follows from
//! `crates/rootplex/examples/demo.toml` and from what `rootplex tables` grants.

use super::output;
use crate::judge::Judgement;
use crate::judge::Outcome;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// 33DB4D5B-1FF7-401C-9657-7441C03DD766 in the byte order of a buffer.
const PCI: &str = "(5B 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66)";
/// 68F2D50B-C469-4D8A-BD3D-941A103FD3FC.
const CXL: &str = "(0B D5 F2 68 69 C4 8A 4D BD 3D 94 1A 10 3F D3 FC)";
/// E5C937D0-3553-4D7A-9117-EA4D19C3434D.
const DSM: &str = "(D0 37 C9 E5 53 35 7A 4D 91 17 EA 4D 19 C3 43 4D)";
/// F365F9A6-A7DE-4071-A66A-B40C0B4F8E52.
const CXL_ROOT: &str = "(A6 F9 65 F3 DE A7 71 40 A6 6A B4 0C 0B 4F 8E 52)";
const OTHER: &str = "(00 11 22 33 44 55 66 77 88 99 AA BB CC DD EE FF)";

/// A call of `_OSC`: the bridge, UUID, revision, dwords given, dwords answered.
///
/// The bits of the third dword (PCI Firmware 3.3 table 4-6) that are granted follow from what `demo.toml` has: native hot-plug (0x01) for
/// slots, PME (0x04) for root ports, AER (0x08) for error reporting, which is on unless said, the PCI Express capability structure (0x10);
/// and on `pcie0` alone LTR (0x20) for `nic-port` and DPC (0x80) for `front-slot`. So 0xbd and 0x1d. SHPC (0x02), completion timeouts
/// (0x100) and SFI (0x200) are implemented nowhere. The first dword of an answer has the error bits of ACPI 6.5 table 6.13: 0x02 failure,
/// 0x04 unrecognized UUID, 0x08 unrecognized revision, 0x10 capabilities masked.
type OscCall = (
    &'static str,
    &'static str,
    u32,
    &'static [u32],
    &'static [u32],
);

const OSC_CALLS: &[OscCall] = &[
    // A query for everything: masked, and said so; the query bit stays.
    ("PC00", PCI, 1, &[1, 0x1f, 0x3ff], &[0x11, 0x1f, 0xbd]),
    // A request for everything is answered as the query was.
    ("PC00", PCI, 1, &[0, 0x1f, 0x3ff], &[0x10, 0x1f, 0xbd]),
    // No control asked for: none is granted, and nothing was masked.
    ("PC00", PCI, 1, &[0, 0x1f, 0], &[0, 0x1f, 0]),
    ("PC00", PCI, 1, &[0, 0, 0], &[0, 0, 0]),
    // A request for what is granted, for parts of it, and as Linux makes it.
    ("PC00", PCI, 1, &[0, 0x1f, 0xbd], &[0, 0x1f, 0xbd]),
    ("PC00", PCI, 1, &[0, 0x1f, 0x11], &[0, 0x1f, 0x11]),
    ("PC00", PCI, 1, &[0, 0x1f, 0x10], &[0, 0x1f, 0x10]),
    ("PC00", PCI, 1, &[0, 0x11f, 0xbd], &[0, 0x11f, 0xbd]),
    // Containment without error reporting: it is taken back, and the rest stays.
    ("PC00", PCI, 1, &[0, 0x1f, 0x91], &[0x10, 0x1f, 0x11]),
    ("PC00", PCI, 1, &[1, 0x1f, 0x90], &[0x11, 0x1f, 0x10]),
    // Features without the capability structure that they are used through: nothing is granted.
    ("PC00", PCI, 1, &[0, 0x1f, 0xad], &[0x10, 0x1f, 0]),
    ("PC00", PCI, 1, &[0, 0x1f, 0x01], &[0x10, 0x1f, 0]),
    // Errors that are there before are not an answer.
    ("PC00", PCI, 1, &[0x1e, 0x1f, 0x11], &[0, 0x1f, 0x11]),
    // A revision that is not known: what this one knows is answered.
    ("PC00", PCI, 2, &[0, 0x1f, 0x1b], &[0x18, 0x1f, 0x19]),
    ("PC00", PCI, 0, &[0, 0x1f, 0x19], &[0x08, 0x1f, 0x19]),
    // A UUID that is not known: nothing else changes.
    ("PC00", OTHER, 1, &[0, 0x1f, 0x3ff], &[4, 0x1f, 0x3ff]),
    // Nor is that of CXL where the host bridge is none.
    (
        "PC00",
        CXL,
        1,
        &[0, 0x1f, 0x3ff, 1, 1],
        &[4, 0x1f, 0x3ff, 1, 1],
    ),
    // Too few dwords.
    ("PC00", PCI, 1, &[0, 0x1f], &[2, 0x1f]),
    ("PC01", CXL, 1, &[0, 0x1f, 0x11], &[2, 0x1f, 0x11]),
    // A CXL host bridge understands both. It has neither LTR nor DPC.
    ("PC01", PCI, 1, &[1, 0x1f, 0x3ff], &[0x11, 0x1f, 0x1d]),
    ("PC01", PCI, 1, &[0, 0x1f, 0xbd], &[0x10, 0x1f, 0x1d]),
    (
        "PC01",
        OTHER,
        1,
        &[0, 0x1f, 0x1d, 1, 1],
        &[4, 0x1f, 0x1d, 1, 1],
    ),
    // Of CXL nothing is granted: memory error reporting (0x01) is a device's event logs, which none has.
    (
        "PC01",
        CXL,
        1,
        &[1, 0x1f, 0x1d, 0xf, 1],
        &[0x11, 0x1f, 0x1d, 0xf, 0],
    ),
    (
        "PC01",
        CXL,
        1,
        &[0, 0x1f, 0x1d, 0xf, 0],
        &[0, 0x1f, 0x1d, 0xf, 0],
    ),
    (
        "PC01",
        CXL,
        2,
        &[0, 0x1f, 0x3ff, 0xf, 0],
        &[0x18, 0x1f, 0x1d, 0xf, 0],
    ),
];

/// What evaluating an object must print, apart from addresses and layout.
const VALUES: &[(&str, &[&str])] = &[
    ("\\_SB.PC00._SEG", &["[Integer] = 0000000000000000"]),
    ("\\_SB.PC00._BBN", &["[Integer] = 0000000000000000"]),
    ("\\_SB.PC01._BBN", &["[Integer] = 0000000000000080"]),
    ("\\_SB.PC01._UID", &["[Integer] = 0000000000000001"]),
    ("\\_SB.PC01._HID", &["\"ACPI0016\""]),
    ("\\_SB.CXLM._HID", &["\"ACPI0017\""]),
    // Ports in the order of devices: 2, 3.0, 3.1.
    ("\\_SB.PC00.S010._ADR", &["[Integer] = 0000000000020000"]),
    ("\\_SB.PC00.S019._ADR", &["[Integer] = 0000000000030001"]),
    (
        "\\_SB.PC00.S019.SLOT._SUN",
        &["[Integer] = 0000000000000003"],
    ),
    // Below a switch as well: slot 17 is device 1 of the inner switch.
    (
        "\\_SB.PC00.S020.SWUP.S008.SWUP.S008.SLOT._SUN",
        &["[Integer] = 0000000000000011"],
    ),
    (
        "\\_SB.PC01.S008.SWUP.S008.SLOT._SUN",
        &["[Integer] = 0000000000000020"],
    ),
    ("\\_S5", &["[Integer] = 0000000000000005"]),
];

/// A call of `_DSM`: the device, UUID, revision, function, further argument, and what the answer must show.
type DsmCall = (
    &'static str,
    &'static str,
    u32,
    u32,
    &'static str,
    &'static [&'static str],
);

const DSM_CALLS: &[DsmCall] = &[
    // Functions 0 and 5; the operating system need not keep what it finds.
    ("PC00", DSM, 1, 0, "[0]", &["0000: 21 "]),
    ("PC00", DSM, 1, 5, "[0]", &["[Integer] = 0000000000000001"]),
    // No such function, revision or UUID: a byte of zero.
    ("PC00", DSM, 1, 6, "[0]", &["0000: 00 "]),
    ("PC00", DSM, 0, 0, "[0]", &["0000: 00 "]),
    ("PC00", OTHER, 1, 0, "[0]", &["0000: 00 "]),
    // A slot: functions 0 and 7, from revision 2 on. 2 is the slot's number in the description.
    ("PC00.S018.SLOT", DSM, 2, 0, "[0]", &["0000: 81 "]),
    (
        "PC00.S018.SLOT",
        DSM,
        2,
        7,
        "[0]",
        &["[Integer] = 0000000000000002", "\"nvme-port0\""],
    ),
    ("PC00.S010.SLOT", DSM, 3, 7, "[0]", &["\"front-slot\""]),
    ("PC00.S010.SLOT", DSM, 1, 7, "[0]", &["0000: 00 "]),
    // Slots below switches have their names too, however deep.
    (
        "PC00.S020.SWUP.S000.SLOT",
        DSM,
        2,
        7,
        "[0]",
        &["\"switch0-port0\""],
    ),
    (
        "PC00.S020.SWUP.S008.SWUP.S008.SLOT",
        DSM,
        2,
        7,
        "[0]",
        &["\"switch1-port1\""],
    ),
    // A port: functions 0 and 9, whose bit is in a second byte, from revision 3 on; five times 0 microseconds.
    ("PC00.S010", DSM, 3, 0, "[0]", &["0000: 01 02 "]),
    (
        "PC00.S010",
        DSM,
        3,
        9,
        "[0]",
        &["Contains 5 Elements", "[Integer] = 0000000000000000"],
    ),
    ("PC00.S010", DSM, 2, 9, "[0]", &["0000: 00 "]),
    // The CXL root: functions 0 and 1. The highest group and the recommended one are that of the demo's only window.
    ("CXLM", CXL_ROOT, 1, 0, "[0]", &["0000: 03 "]),
    (
        "CXLM",
        CXL_ROOT,
        1,
        1,
        "[100 100 1000 1000]",
        &[
            "Contains 2 Elements",
            "Contains 1 Elements",
            "[Integer] = 0000000000000000",
        ],
    ),
    ("CXLM", DSM, 1, 1, "[0]", &["0000: 00 "]),
];

/// What each bridge passes on: buses, I/O, and memory, each from its first to its last.
const RESOURCES: &[(&str, &[(u64, u64)])] = &[
    (
        "PC00",
        &[
            (0x00, 0x7f),
            (0x1000, 0x7fff),
            (0xc000_0000, 0xcfff_ffff),
            (0x40_0000_0000, 0x7f_ffff_ffff),
        ],
    ),
    (
        "PC01",
        &[
            (0x80, 0xff),
            (0xd000_0000, 0xdfff_ffff),
            (0x80_0000_0000, 0xbf_ffff_ffff),
        ],
    ),
    // ECAM of both, and the CXL host bridge's component registers.
    (
        "MBRD",
        &[
            (0xe000_0000, 0xe7ff_ffff),
            (0xe800_0000, 0xefff_ffff),
            (0xf000_0000, 0xf000_ffff),
        ],
    ),
];

/// The interrupts of the demo: pin `p` of device `d` is on the `(d + p) % 4`-th from here.
const FIRST_INTX: u64 = 16;

/// What an interpreter prints when a table is not as it must be.
const MARKS: &[&str] = &[
    "ACPI Error",
    "ACPI Warning",
    "ACPI Exception",
    "failed",
    "AE_",
];

/// One thing to judge.
type Test = (&'static str, fn(&Path) -> Result<Vec<String>>);

const TESTS: &[Test] = &[
    ("acpiexec: _OSC", osc),
    ("acpiexec: _DSM", dsm),
    ("acpiexec: _CRS", resources),
    ("acpiexec: _PRT", routes),
    ("acpiexec: _ADR, _SEG, _BBN, _SUN and others", values),
];

/// The names of all judgements.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TESTS.iter().map(|(name, _)| *name)
}

/// Judges the DSDT in `folder`.
pub(super) fn judge(folder: &Path) -> Result<Vec<Judgement>> {
    let judgement = |(name, test): &Test| {
        Ok(Judgement {
            name: (*name).into(),
            outcome: Outcome::of(&test(folder)?),
        })
    };
    TESTS.iter().map(judgement).collect()
}

/// What a command of the interpreter prints, after it loaded the table.
fn execute(folder: &Path, command: &str) -> Result<String> {
    let said = output(
        Command::new("acpiexec")
            .current_dir(folder)
            .args(["-b", command, "dsdt.aml"]),
    )?;
    Ok(said)
}

/// Evaluates, and complains where what is printed lacks something or shows that something is wrong.
fn expect(folder: &Path, command: &str, wanted: &[&str]) -> Result<Vec<String>> {
    let said = execute(folder, command)?;
    let is_wrong = !wanted.iter().all(|text| said.contains(text))
        || MARKS.iter().any(|mark| said.contains(mark));
    Ok(is_wrong
        .then(|| format!("{command}: wanted {wanted:?}, and it says\n{said}"))
        .into_iter()
        .collect())
}

fn osc(folder: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (bridge, uuid, revision, given, answer) in OSC_CALLS {
        let buffer = hex(given);
        let count = given.len();
        let command = format!("evaluate \\_SB.{bridge}._OSC {uuid} {revision} {count} ({buffer})");
        let said = execute(folder, &command)?;
        if bytes(&said) != hex(answer) || MARKS.iter().any(|mark| said.contains(mark)) {
            complaints.push(format!(
                "{command}: wanted {}, and it says\n{said}",
                hex(answer)
            ));
        }
    }
    Ok(complaints)
}

fn dsm(folder: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (device, uuid, revision, function, argument, wanted) in DSM_CALLS {
        let command =
            format!("evaluate \\_SB.{device}._DSM {uuid} {revision} {function} {argument}");
        complaints.extend(expect(folder, &command, wanted)?);
    }
    Ok(complaints)
}

fn values(folder: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (object, wanted) in VALUES {
        complaints.extend(expect(folder, &format!("evaluate {object}"), wanted)?);
    }
    Ok(complaints)
}

fn resources(folder: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (device, wanted) in RESOURCES {
        let said = execute(folder, &format!("resources \\_SB.{device}"))?;
        let found: Vec<(u64, u64)> = numbers(&said, "Address Minimum :")
            .into_iter()
            .zip(numbers(&said, "Address Maximum :"))
            .collect();
        if found != *wanted {
            complaints.push(format!("{device} has {found:#x?}, not {wanted:#x?}"));
        }
    }
    Ok(complaints)
}

fn routes(folder: &Path) -> Result<Vec<String>> {
    let said = execute(folder, "evaluate \\_SB.PC00._PRT")?;
    let wanted: Vec<u64> = (0..32)
        .flat_map(|device| {
            (0..4).flat_map(move |pin| {
                [
                    device << 16 | 0xffff,
                    pin,
                    0,
                    FIRST_INTX + (device + pin) % 4,
                ]
            })
        })
        .collect();
    let found = numbers(&said, "[Integer] =");
    Ok((found != wanted)
        .then(|| format!("_PRT has {found:x?}, not {wanted:x?}"))
        .into_iter()
        .collect())
}

/// The hexadecimal numbers that follow a text.
fn numbers(said: &str, before: &str) -> Vec<u64> {
    said.lines()
        .filter_map(|line| line.split_once(before))
        .filter_map(|(_, number)| u64::from_str_radix(number.trim(), 16).ok())
        .collect()
}

/// Dwords as the bytes of a buffer.
fn hex(dwords: &[u32]) -> String {
    let bytes: Vec<String> = dwords
        .iter()
        .flat_map(|dword| dword.to_le_bytes())
        .map(|byte| format!("{byte:02X}"))
        .collect();
    bytes.join(" ")
}

/// The bytes of the buffer that is printed: lines of an offset, bytes, and what they are as text.
fn bytes(said: &str) -> String {
    said.lines()
        .filter_map(|line| line.split_once("//"))
        .filter_map(|(bytes, _)| bytes.split_once("0: "))
        .map(|(_, bytes)| bytes.trim())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_read_from_what_is_printed() {
        let said = "  [Buffer] Length 14 = \n    0000: 11 00 00 00 1F 00 00 00 11 00 00 00 0F 00 00 00  // ....\n    \
                    0010: 00 00 00 00                                      // ....\n";
        assert_eq!(bytes(said), hex(&[0x11, 0x1f, 0x11, 0xf, 0]));
        let short = "  [Buffer] Length 04 =     0000: 02 00 00 00                                      // ....\n";
        assert_eq!(bytes(short), hex(&[2]));
    }

    #[test]
    fn numbers_are_read_from_what_is_printed() {
        assert_eq!(
            numbers("   Address Minimum : 000C\n x : 2\n", "Address Minimum :"),
            [12]
        );
    }
}
