//! The dump for lspci.

use crate::command::print;
use rootplex::session::Session;

const DEMO: &str = include_str!("../../examples/demo.toml");

/// Reads a dump back: address, description, bytes.
fn parse(dump: &str) -> Vec<(String, String, Vec<u8>)> {
    let function = |block: &str| {
        let (title, lines) = block.split_once('\n').unwrap();
        let (address, description) = title.split_once(' ').unwrap();
        let mut bytes = Vec::new();
        for line in lines.lines() {
            let (offset, values) = line.split_once(": ").unwrap();
            assert_eq!(
                usize::from_str_radix(offset, 16).unwrap(),
                bytes.len(),
                "{line}"
            );
            bytes.extend(
                values
                    .split(' ')
                    .map(|byte| u8::from_str_radix(byte, 16).unwrap()),
            );
        }
        (address.to_string(), description.to_string(), bytes)
    };
    dump.split_terminator("\n\n").map(function).collect()
}

#[test]
fn the_dump_reads_back_as_the_bytes_of_every_function() {
    let mut session = Session::compose(DEMO).unwrap();
    let live: Vec<_> = session
        .config_spaces()
        .into_iter()
        .map(|space| {
            (
                space.address.to_string(),
                space.description,
                space.bytes.to_vec(),
            )
        })
        .collect();
    assert_eq!(live.len(), 43, "the functions of the demo");
    assert!(live.iter().all(|(_, _, bytes)| bytes.len() == 4096));
    let dumped = parse(&print(&["demo", "--lspci", "-"]));
    assert!(dumped == live, "the dump differs from the live functions");
}

#[test]
fn the_first_lines_are_as_lspci_reads_them() {
    let dump = print(&["demo", "--lspci", "-"]);
    let lines: Vec<_> = dump.lines().take(2).collect();
    assert_eq!(
        lines[0],
        "0000:00:01.0 iommu0: integrated endpoint 1414:c1e0"
    );
    // Vendor and device; command with Memory Space Enable, status with a capability list; revision and class.
    assert_eq!(
        lines[1],
        "00: 14 14 e0 c1 02 00 10 00 00 00 06 08 00 00 00 00"
    );
}
