//! The tables that the program writes.

use crate::command::file;
use crate::command::print;
use crate::command::run;
use crate::command::text;
use std::path::PathBuf;

/// A folder of one test's own, which is not there.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    path
}

#[test]
fn a_file_for_each_table() {
    let out = folder("tables");
    assert_eq!(print(&["tables", "--out", out.to_str().unwrap()]), "");
    let mut names: Vec<_> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "apic.aml",
            "cedt.aml",
            "dsdt.aml",
            "facp.aml",
            "mcfg.aml",
            "rsdp.bin",
            "srat.aml",
            "tables.dtb",
            "xsdt.aml",
        ]
    );
    for (name, start) in [
        ("rsdp.bin", &b"RSD PTR "[..]),
        ("facp.aml", b"FACP"),
        ("tables.dtb", &0xd00d_feed_u32.to_be_bytes()),
    ] {
        assert!(std::fs::read(out.join(name)).unwrap().starts_with(start));
    }
}

#[test]
fn a_topology_of_ones_own() {
    let description =
        "root_complex = [{ name = \"rc0\", ecam = 0xd000_0000, buses = { start = 1, end = 1 } }]";
    let topology = file("tables.toml", description);
    let out = folder("own-tables");
    let (topology, folder) = (topology.to_str().unwrap(), out.to_str().unwrap());
    print(&["tables", "--topology", topology, "--out", folder]);
    let mcfg = std::fs::read(out.join("mcfg.aml")).unwrap();
    // Bus 0 would be 1 MiB below.
    assert_eq!(mcfg[44..56], [0, 0, 0xf0, 0xcf, 0, 0, 0, 0, 0, 0, 1, 1]);
    assert!(!out.join("cedt.aml").exists());
}

#[test]
fn what_cannot_be_told_is_refused() {
    let description = "root_complex = [{ name = \"rc0\", ecam = 0xf800_0000 }]";
    let topology = file("apic.toml", description);
    let out = folder("no-tables");
    let (topology, folder) = (topology.to_str().unwrap(), out.to_str().unwrap());
    let output = run(&["tables", "--topology", topology, "--out", folder]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        format!(
            "rootplex: {topology}: host bridge 0: ECAM (0xf8000000-0x107ffffff) and I/O APIC (0xfec00000-0xfec00fff) overlap\n"
        )
    );
    assert!(!out.exists());
}
