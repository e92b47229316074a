//! Files with mistakes, and every line that is said of them.

use expect_test::Expect;
use expect_test::expect;
use pcie_topology::Topology;

fn check(text: &str, expected: Expect) {
    let problems = Topology::from_toml(text).unwrap_err();
    expected.assert_eq(&problems.to_string());
    for problem in &problems {
        assert!(
            !problem.to_string().contains('\n'),
            "{problem:?} is one line"
        );
    }
}

/// A sound root complex with these ports.
fn with_ports(ports: &str) -> String {
    format!(
        "[[root_complex]]\nname = \"rc0\"\necam = 0xe0000000\nchbcr = 0xf0000000\nport = [{ports}]"
    )
}

/// A sound port with this endpoint.
fn with_endpoint(endpoint: &str) -> String {
    with_ports(&format!(
        "{{ name = \"rp0\", endpoint = {{ name = \"ep0\", {endpoint} }} }}"
    ))
}

#[test]
fn syntax_and_types() {
    check(
        "[[root_complex]]\nname = ",
        expect!["line 2, column 8: string values must be quoted, expected literal string"],
    );
    check(
        "[[root_complex]]\nname = \"rc0\"\nsegment = 65536\necam = 0",
        expect!["line 3, column 11: invalid value: integer `65536`, expected u16"],
    );
    check(
        "[[root_complex]]\nname = \"rc0\"\necam = 0\ncolour = 1",
        expect![
            "line 4, column 1: unknown field `colour`, expected one of `name`, `segment`, `buses`, `ecam`, `chbcr`, `mmio32`, `mmio64`, `io`, `port`, `endpoint`, `event_collector`"
        ],
    );
    check(
        "[[root_complex]]\nname = \"rc0\"",
        expect!["line 1, column 1: missing field `ecam`"],
    );
    check(
        "[[root_complex]]\nname = \"rc0\"\necam = 0\nmmio32 = { base = 0, size = \"12Q\" }",
        expect![[
            r#"line 4, column 29: "12Q" is no size: a size is an integer, or one with K, M, G or T behind it, below 2^64"#
        ]],
    );
    check(
        "[[root_complex]]\nname = \"rc0\"\necam = 0\nmmio32 = { base = 0, size = -1 }",
        expect!["line 4, column 29: a size of -1 bytes is below 0"],
    );
    check(
        &with_endpoint("bar = [{ size = \"4K\", kind = \"16\" }]"),
        expect![
            "line 5, column 81: unknown variant `16`, expected one of `32`, `64`, `prefetchable`, `32-prefetchable`, `io`"
        ],
    );
    check(
        &with_endpoint("serial_number = \"1-2\""),
        expect![[
            r#"line 5, column 68: "1-2" is no serial number: one is eight bytes, such as "02-00-5e-ff-fe-00-00-01""#
        ]],
    );
}

#[test]
fn nothing_at_all() {
    check(
        "# to be written",
        expect!["root_complex: there is none, and so nothing to compose"],
    );
}

#[test]
fn names() {
    check(
        r#"
        [[root_complex]]
        name = "rc 0"
        ecam = 0xe0000000
        buses = { start = 0, end = 7 }
        port = [
            { name = "rp0" },
            { name = "" },
            { name = "rp2", switch = { name = "rp0", port = [{ name = "dp0", endpoint = { name = "rp2" } }, { name = "rp0" }] } },
        ]
        [[root_complex]]
        name = "rp0"
        ecam = 0xe1000000
        buses = { start = 8, end = 15 }
        endpoint = [{ name = "dp0" }]
        "#,
        expect![[r#"
            root_complex[0].name: "rc 0" is no name: a name is letters, digits, '_', '.' and '-'
            root_complex[0].port[1].name: "" is no name: a name is letters, digits, '_', '.' and '-'
            root_complex[0].port[2].switch.name: "rp0" is used by root_complex[0].port[0] as well
            root_complex[0].port[2].switch.port[0].endpoint.name: "rp2" is used by root_complex[0].port[2] as well
            root_complex[0].port[2].switch.port[1].name: "rp0" is used by root_complex[0].port[0] as well
            root_complex[1].name: "rp0" is used by root_complex[0].port[0] as well
            root_complex[1].endpoint[0].name: "dp0" is used by root_complex[0].port[2].switch.port[0] as well"#]],
    );
}

#[test]
fn buses_and_addresses() {
    check(
        r#"
        [[root_complex]]
        name = "a"
        ecam = 0xe0000000
        buses = { start = 0, end = 3 }
        chbcr = 0xe0010000
        mmio32 = { base = 0xf0000000, size = "512M" }
        mmio64 = { base = 0x80000000, size = "1G" }
        io = { base = 0xf000, size = "8K" }
        port = [{ name = "p" }, { name = "q", switch = { name = "s", port = [{ name = "t" }, { name = "u" }] } }]

        [[root_complex]]
        name = "b"
        ecam = 0xe0080000
        buses = { start = 3, end = 2 }
        chbcr = 0xd0001000
        mmio32 = { base = 0xc0000000, size = 0 }
        mmio64 = { base = 0xffff_ffff_ffff, size = "16T" }
        io = { base = 0x100, size = 100 }

        [[root_complex]]
        name = "c"
        ecam = 0xe0200000
        buses = { start = 2, end = 4 }
        mmio64 = { base = 0x7fff_ffff_ffff_f000, size = "8192T" }
        "#,
        expect![[r#"
            root_complex[0].buses: the root bus and what is below take 6 buses; 0x00-0x03 has 4
            root_complex[0].mmio32: 0xf0000000-0x10fffffff is not within 0x0-0xffffffff
            root_complex[0].mmio64: 0x80000000-0xbfffffff is not within 0x100000000-0xfffffffffffff
            root_complex[0].io: 0xf000-0x10fff is not within 0x0-0xffff
            root_complex[0].chbcr: 0xe0010000-0xe001ffff overlaps root_complex[0].ecam at 0xe0000000-0xe03fffff
            root_complex[1].buses: 0x03-0x02: the first is above the last
            root_complex[1].ecam: 0xe0080000 is not a multiple of 0x100000
            root_complex[1].chbcr: 0xd0001000 is not a multiple of 0x10000
            root_complex[1].mmio32: an aperture of 0 bytes; leave it out, or give it some
            root_complex[1].mmio64: 0xffffffffffff is not a multiple of 0x1000
            root_complex[1].io: its size of 0x64 bytes is not a multiple of 0x1000
            root_complex[1].io: 0x100 is not a multiple of 0x1000
            root_complex[2].mmio64: 0x7ffffffffffff000-0x801fffffffffefff is not within 0x100000000-0xfffffffffffff
            root_complex[2].buses: 0x02-0x04 overlap 0x00-0x03 of root_complex[0] in segment 0
            root_complex[2].ecam: 0xe0200000-0xe04fffff overlaps root_complex[0].ecam at 0xe0000000-0xe03fffff"#]],
    );
}

#[test]
fn places() {
    let many: String = (0..35).map(|i| format!("{{ name = \"p{i}\" }},")).collect();
    check(
        &with_ports(&many),
        expect!["root_complex[0].port[32].device: there is no device number left: a bus has 32"],
    );
    check(
        r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe0000000
        port = [
            { name = "a", device = 32 },
            { name = "b", device = 1, function = 8 },
            { name = "c", function = 1 },
            { name = "d", device = 2 },
            { name = "e", device = 2 },
            { name = "f", device = 3, function = 1 },
            { name = "g", slot = 8192 },
            { name = "h", slot = 7, switch = { name = "s", port = [{ name = "i", slot = 7 }, { name = "j", device = 0, function = 2 }] } },
        ]
        endpoint = [{ name = "k", device = 2 }, { name = "l", functions = 2 }, { name = "m", device = 4, cxl = { memory = "256M" }, bar = [{ size = "128K" }] }]
        "#,
        expect![[r#"
            root_complex[0].port[0].device: 32; device numbers are 0 to 31
            root_complex[0].port[1].function: 8; function numbers are 0 to 7
            root_complex[0].port[2].function: function 1 needs a device number as well
            root_complex[0].port[4].device: 02.0 is where root_complex[0].port[3] ("d") is
            root_complex[0].port[5].function: device 0x03 has no function 0, and so is never found
            root_complex[0].endpoint[0].device: 02.0 is where root_complex[0].port[3] ("d") is
            root_complex[0].port[6].slot: 8192; slot numbers are 0 to 8191
            root_complex[0].port[7].switch.port[1].function: device 0x00 has no function 0, and so is never found
            root_complex[0].port[7].switch.port[0].slot: slot 7 is root_complex[0].port[7] as well
            root_complex[0].endpoint[1].functions: 2; an integrated endpoint is one function: describe the others by themselves
            root_complex[0].endpoint[2].cxl: a CXL device is behind a port"#]],
    );
}

#[test]
fn ports() {
    check(
        &with_ports(
            r#"
            { name = "a", acs = 0x20 },
            { name = "b", cxl = { mem = false } },
            { name = "c", bar = { size = "3K" } },
            { name = "d", bar = { size = "64K", msix = { vectors = 0, bar = 1 } } },
            { name = "e", bar = { component_registers = 0 } },
            { name = "f", cxl = {}, bar = { size = "64K", component_registers = 0x8000 } },
            { name = "g", cxl = {}, bar = { size = "128K", component_registers = 0x10000, msix = { vectors = 4, table = 0xfff0, pba = 4 } } },
            { name = "h", bar = { msix = { vectors = 2049, table = 0xffff_fff8 } } },
            { name = "i", switch = { name = "s" }, endpoint = { name = "x" } },
            "#,
        ),
        expect![[r#"
            root_complex[0].port[0].acs: 0x0020: services 0x0020 are not emulated, only 0x005f are
            root_complex[0].port[1].cxl: a CXL port has cache, mem, or both
            root_complex[0].port[2].bar[0].size: 0xc00 bytes; a BAR is a power of two of at least 0x1000
            root_complex[0].port[3].bar[0].msix.bar: 1; a port's is in BAR 0
            root_complex[0].port[3].bar[0].msix.vectors: 0; MSI-X has 1 to 2048
            root_complex[0].port[4].bar[0].component_registers: only a CXL port has component registers; it needs `cxl`
            root_complex[0].port[5].bar[0].component_registers: 0x8000 is not a multiple of 0x10000
            root_complex[0].port[5].bar[0].component_registers: 0x10000 bytes at 0x8000 do not fit in BAR 0, which has 0x10000
            root_complex[0].port[6].bar[0].msix.pba: 0x4 is not a multiple of 8
            root_complex[0].port[6].bar[0].msix.table: at 0xfff0 of BAR 0 it overlaps component_registers at 0x10000
            root_complex[0].port[7].bar[0].msix.vectors: 2049; MSI-X has 1 to 2048
            root_complex[0].port[7].bar[0].msix.pba: 0x100008008 has more than 32 bits
            root_complex[0].port[8].endpoint: there is a switch behind the port already; a port has one link"#]],
    );
    check(
        "[[root_complex]]\nname = \"rc0\"\necam = 0xe0000000\nport = [{ name = \"rp0\", cxl = {}, switch = { name = \"s\", port = [{ name = \"t\", cxl = {} }] } }]",
        expect![[r#"
            root_complex[0].port[0].cxl: a CXL port needs `chbcr` in its root complex
            root_complex[0].port[0].switch.port[0].cxl: a CXL port needs `chbcr` in its root complex"#]],
    );
}

#[test]
fn conventional_functions() {
    check(
        &with_endpoint("conventional = true"),
        expect![
            "root_complex[0].port[0].endpoint.conventional: a conventional function is integrated in a root complex; behind a port everything is PCI Express"
        ],
    );
    check(
        r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe000_0000
        [[root_complex.endpoint]]
        name = "a"
        conventional = true
        functions = 2
        link = { speed = "8GT/s", width = 1 }
        serial_number = "02-00-5e-ff-fe-00-00-01"
        bar = [{ size = "1M", resizable = ["2M"] }]
        capabilities = { ltr = true, l1_pm_substates = true, ptm = true, virtual_channel = true, dpc = true }
        [[root_complex.endpoint]]
        name = "b"
        kind = "nvme"
        conventional = true
        "#,
        expect![[r#"
            root_complex[0].endpoint[0].capabilities.dpc: only root ports and downstream ports contain errors
            root_complex[0].endpoint[0].functions: 2; an integrated endpoint is one function: describe the others by themselves
            root_complex[0].endpoint[0].serial_number: a conventional function has no extended configuration space for it
            root_complex[0].endpoint[0].capabilities.ltr: a conventional function has no extended configuration space for it
            root_complex[0].endpoint[0].capabilities.l1_pm_substates: a conventional function has no extended configuration space for it
            root_complex[0].endpoint[0].capabilities.ptm: a conventional function has no extended configuration space for it
            root_complex[0].endpoint[0].capabilities.virtual_channel: a conventional function has no extended configuration space for it
            root_complex[0].endpoint[0].bar.resizable: a conventional function has no extended configuration space for it
            root_complex[0].endpoint[0].link: an integrated endpoint has no link
            root_complex[0].endpoint[1].conventional: only for test endpoints; this is of kind "nvme""#]],
    );
}

#[test]
fn bars_of_ports() {
    check(
        &with_ports(
            r#"
            { name = "a", cxl = {}, bar = [{ kind = "io" }, { kind = "32" }] },
            { name = "b", cxl = {}, bar = [{}, { kind = "32" }] },
            { name = "c", bar = [{ kind = "32", size = "2K" }, { kind = "io", size = 512 }] },
            { name = "d", bar = [{ index = 1 }, { index = 2, kind = "32" }], rom = "32M" },
            { name = "e", bar = [{ index = 1, kind = "32" }, { index = 1, kind = "32" }] },
            { name = "f", bar = [{ kind = "32", msix = { vectors = 1 } }, { kind = "32", msix = { vectors = 1 } }] },
            { name = "g", switch = { name = "s", bar = [{ kind = "io", msix = { vectors = 1 } }], port = [{ name = "t", bar = { kind = "io", size = 8 } }] } },
            "#,
        ),
        expect![[r#"
            root_complex[0].port[0].bar[0]: BAR 0 is taken: the component registers of a CXL port have BARs 0 and 1
            root_complex[0].port[0].bar[1]: BAR 1 is taken: the component registers of a CXL port have BARs 0 and 1
            root_complex[0].port[1].bar[1]: there is no room for it: a port has 2 slots, and a 64-bit BAR takes 2
            root_complex[0].port[2].bar[0].size: 0x800 bytes; a BAR is a power of two of at least 0x1000
            root_complex[0].port[2].bar[1].size: 0x200 bytes; an I/O BAR is a power of two from 4 to 256
            root_complex[0].port[3].bar[0].index: 1; such a BAR is number 0 to 0
            root_complex[0].port[3].bar[1].index: 2; such a BAR is number 0 to 1
            root_complex[0].port[3].rom: 0x2000000 bytes; such a BAR has 0x1000000 at most
            root_complex[0].port[4].bar[1].index: slot 1 is taken by bar[0]
            root_complex[0].port[5].bar[1].msix: a port has one BAR of registers
            root_complex[0].port[5].bar[0].kind: component registers and MSI-X are in a 64-bit BAR
            root_complex[0].port[6].switch.bar[0]: an upstream port has neither component registers nor MSI-X
            root_complex[0].port[6].switch.bar[0].kind: an I/O BAR needs `io_window` in the port above the switch
            root_complex[0].port[6].switch.port[0].bar[0].kind: an I/O BAR needs `io_window` in the port above the switch"#]],
    );
    check(
        &with_ports(r#"{ name = "a", bar = 1 }"#),
        expect![
            "line 5, column 29: invalid type: integer `1`, expected a list of BARs, or a table for a single one"
        ],
    );
    check(
        &with_ports(r#"{ name = "a", bar = { colour = 1 } }"#),
        expect![
            "line 5, column 31: unknown field `colour`, expected one of `index`, `kind`, `size`, `component_registers`, `msix`"
        ],
    );
}

#[test]
fn endpoints() {
    check(
        &with_endpoint(
            "vendor_id = 0xffff, class = 0x1000000, device = 0, function = 1, functions = 0",
        ),
        expect![[r#"
        root_complex[0].port[0].endpoint.vendor_id: 0xffff is no vendor's
        root_complex[0].port[0].endpoint.class: 0x1000000; a class code has 24 bits
        root_complex[0].port[0].endpoint.functions: 0; a device has 1 to 256
        root_complex[0].port[0].endpoint.device: only an endpoint integrated in a root complex has a device number
        root_complex[0].port[0].endpoint.function: only an endpoint integrated in a root complex has a function number"#]],
    );
    check(
        &with_endpoint("functions = 257"),
        expect!["root_complex[0].port[0].endpoint.functions: 257; a device has 1 to 256"],
    );
    check(
        &with_endpoint(
            "bar = [{ size = \"6K\" }, { size = \"4G\" }, { size = \"2K\" }, { kind = \"64\", size = 0 }]",
        ),
        expect![[r#"
        root_complex[0].port[0].endpoint.bar[0].size: 0x1800 bytes; a BAR is a power of two of at least 0x1000
        root_complex[0].port[0].endpoint.bar[1].size: 0x100000000 bytes; such a BAR has 0x80000000 at most
        root_complex[0].port[0].endpoint.bar[2].size: 0x800 bytes; a BAR is a power of two of at least 0x1000
        root_complex[0].port[0].endpoint.bar[3].size: 0x0 bytes; a BAR is a power of two of at least 0x1000"#]],
    );
    check(
        &with_endpoint(
            "bar = [{ index = 5, kind = \"64\", size = \"4K\" }, { index = 6, size = \"4K\" }]",
        ),
        expect![[r#"
        root_complex[0].port[0].endpoint.bar[0].index: 5; such a BAR is number 0 to 4
        root_complex[0].port[0].endpoint.bar[1].index: 6; such a BAR is number 0 to 5"#]],
    );
    check(
        &with_endpoint(
            "bar = [{ kind = \"64\", size = \"4K\" }, { index = 1, size = \"4K\" }, { kind = \"64\", size = \"4K\" }, { kind = \"prefetchable\", size = \"4K\" }]",
        ),
        expect![
            "root_complex[0].port[0].endpoint.bar[3]: there is no room for it: a function has 6 slots, and a 64-bit BAR takes 2"
        ],
    );
    check(
        &with_endpoint("msi = { vectors = 3 }, msix = { vectors = 1 }"),
        expect![[r#"
        root_complex[0].port[0].endpoint.msi.vectors: 3; MSI has 1, 2, 4, 8, 16 or 32
        root_complex[0].port[0].endpoint.msix.bar: there is no BAR 0"#]],
    );
    check(
        &with_endpoint(
            "msi = { vectors = 64 }, msix = { vectors = 300, table = 0 }, bar = [{ size = \"4K\" }]",
        ),
        expect![[r#"
        root_complex[0].port[0].endpoint.msi.vectors: 64; MSI has 1, 2, 4, 8, 16 or 32
        root_complex[0].port[0].endpoint.msix.table: 0x12c0 bytes at 0x0 do not fit in BAR 0, which has 0x1000
        root_complex[0].port[0].endpoint.msix.table: at 0x0 of BAR 0 it overlaps the scratch page at 0x0
        root_complex[0].port[0].endpoint.msix.pba: 0x28 bytes at 0x12c0 do not fit in BAR 0, which has 0x1000"#]],
    );
    check(
        &with_endpoint(
            "msix = { vectors = 8, bar = 1, table = 4, pba = 0x40 }, bar = [{ size = \"4K\" }, { size = \"4K\" }]",
        ),
        expect![[r#"
        root_complex[0].port[0].endpoint.msix.table: 0x4 is not a multiple of 8
        root_complex[0].port[0].endpoint.msix.pba: at 0x40 of BAR 1 it overlaps msix.table at 0x4"#]],
    );
    check(
        &with_endpoint(
            "cxl = { memory = \"100M\", hdm_decoders = 3, component_registers = 4096 }, bar = [{ size = \"64K\" }]",
        ),
        expect![[r#"
        root_complex[0].port[0].endpoint.cxl: a CXL memory device needs `cxl` with mem in the port above
        root_complex[0].port[0].endpoint.cxl.memory: 0x6400000 bytes; CXL memory is a multiple of 256 MiB, up to 0x10000000000000
        root_complex[0].port[0].endpoint.cxl.hdm_decoders: 3; a device has 1, 2, 4, 6, 8 or 10
        root_complex[0].port[0].endpoint.cxl.component_registers: 0x1000 is not a multiple of 0x10000
        root_complex[0].port[0].endpoint.cxl.component_registers: 0x10000 bytes at 0x1000 do not fit in BAR 0, which has 0x10000"#]],
    );
}

#[test]
fn slots_and_links() {
    check(
        &with_ports(
            r#"
            { name = "a", slot = { number = 8192, surprise = false } },
            { name = "b", slot = { number = 3, attention_button = true } },
            { name = "c", slot = 3, link = { speed = "16GT/s", width = 12 } },
            { name = "d", endpoint = { name = "e", link = { speed = "2.5GT/s", width = 0 } } },
            "#,
        ),
        expect![[r#"
            root_complex[0].port[0].slot.number: 8192; slot numbers are 0 to 8191
            root_complex[0].port[2].slot: slot 3 is root_complex[0].port[1] as well
            root_complex[0].port[2].link.width: 12; a link has 1, 2, 4, 8 or 16 lanes
            root_complex[0].port[3].endpoint.link.width: 0; a link has 1, 2, 4, 8 or 16 lanes"#]],
    );
    check(
        r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe0000000
        endpoint = [{ name = "a", link = { speed = "8GT/s", width = 1 } }]
        "#,
        expect!["root_complex[0].endpoint[0].link: an integrated endpoint has no link"],
    );
    for (port, expected) in [
        (
            r#"{ name = "a", slot = -1 }"#,
            "-1: a slot number is not negative",
        ),
        (
            r#"{ name = "a", slot = "3" }"#,
            "expected a slot number, or a table with the `number` and what the slot has",
        ),
        (
            r#"{ name = "a", slot = { attention_button = true } }"#,
            "missing field `number`",
        ),
        (
            r#"{ name = "a", slot = { number = 1, buton = true } }"#,
            "unknown field `buton`",
        ),
        (
            r#"{ name = "a", link = { speed = "33GT/s", width = 1 } }"#,
            "unknown variant `33GT/s`, expected one of `2.5GT/s`",
        ),
    ] {
        let problems = Topology::from_toml(&with_ports(port)).unwrap_err();
        let text = problems.to_string();
        assert!(text.starts_with("line 5, column "), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn cxl_windows() {
    let check_window = |fields: &str, expected: Expect| {
        let two = "root_complex = [
            { name = \"cxl0\", ecam = 0xe0000000, chbcr = 0xf0000000, buses = { start = 0, end = 15 }, mmio64 = { base = 0x1000000000, size = \"1G\" } },
            { name = \"cxl1\", ecam = 0xe8000000, chbcr = 0xf0010000, buses = { start = 16, end = 31 } },
            { name = \"rc2\", ecam = 0xec000000, buses = { start = 32, end = 47 } },
        ]";
        check(&format!("{two}\n[[cxl_window]]\n{fields}"), expected);
    };
    check_window(
        r#"name = "w"
size = "256M"
targets = ["cxl0", "rc2", "cxl0", "none", "cxl1"]"#,
        expect![[r#"
            cxl_window[0].size: 0x10000000 bytes; a window to 5 has a multiple of 0x50000000, and 0x10000000000000 at most
            cxl_window[0].targets: there are 5; there can be 1, 2, 3, 4, 6, 8, 12 or 16
            cxl_window[0].targets[1]: "rc2" is no CXL host bridge: it has no `chbcr`
            cxl_window[0].targets[2]: "cxl0" is a target already
            cxl_window[0].targets[3]: no root complex is named "none""#]],
    );
    check_window(
        r#"name = "cxl0"
size = 0
targets = []
granularity = 384
host_only_coherent = false"#,
        expect![[r#"
            cxl_window[0].name: "cxl0" is used by root_complex[0] as well
            cxl_window[0].size: 0x0 bytes; a window to 0 has a multiple of 0x10000000, and 0x10000000000000 at most
            cxl_window[0].targets: there are 0; there can be 1, 2, 3, 4, 6, 8, 12 or 16
            cxl_window[0].granularity: 384 bytes; a granularity is a power of two from 256 to 16384
            cxl_window[0]: it allows no memory: it needs `host_only_coherent`, `device_coherent` or `back_invalidate`, and `volatile` or `persistent`"#]],
    );
    check_window(
        r#"name = "low"
base = 0xc0000000
size = "256M"
targets = ["cxl1"]
granularity = "32K"
[[cxl_window]]
name = "inside"
base = 0x1001000000
size = "1G"
targets = ["cxl0"]
[[cxl_window]]
name = "again"
base = 0x1040000000
size = "256M"
targets = ["cxl0"]
volatile = false"#,
        expect![[r#"
            cxl_window[0].granularity: 32768 bytes; a granularity is a power of two from 256 to 16384
            cxl_window[0].base: 0xc0000000-0xcfffffff is not within 0x100000000-0xfffffffffffff
            cxl_window[1].base: 0x1001000000 is not a multiple of 0x10000000
            cxl_window[1].base: 0x1001000000-0x1040ffffff overlaps root_complex[0].mmio64 at 0x1000000000-0x103fffffff
            cxl_window[2]: it allows no memory: it needs `host_only_coherent`, `device_coherent` or `back_invalidate`, and `volatile` or `persistent`
            cxl_window[2].base: 0x1040000000-0x104fffffff overlaps cxl_window[1] at 0x1001000000-0x1040ffffff"#]],
    );
}
