//! CXL host bridges: the guest's own drivers find them, their windows, their ports and their decoders.
//!
//! A memory device is there to be seen and has no driver: Linux's needs a mailbox, which test endpoints do not have. So no decoder is
//! committed.

use crate::scenario::Sides;
use crate::scenario::agree;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use pcie_topology::Topology;
use serde_json::Value;

/// Each host bridge has two ports: where there is one, 6.1 needs no decoder and looks for none.
const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "cxl0"
    buses = { start = 0, end = 63 }
    ecam = 0xe000_0000
    chbcr = 0xf000_0000
    mmio32 = { base = 0xc000_0000, size = "128M" }
    mmio64 = { base = 0x40_0000_0000, size = "64G" }
    [[root_complex.port]]
    name = "cxl-port"
    cxl = { mem = true }
    [root_complex.port.endpoint]
    name = "mem0"
    bar = [{ kind = "64", size = "128K" }]
    cxl = { memory = "1G" }
    [[root_complex.port]]
    name = "cxl-empty"
    cxl = { mem = true }

    [[root_complex]]
    name = "cxl1"
    buses = { start = 64, end = 127 }
    ecam = 0xe800_0000
    chbcr = 0xf001_0000
    mmio32 = { base = 0xd000_0000, size = "128M" }
    mmio64 = { base = 0x50_0000_0000, size = "64G" }
    port = [{ name = "cxl-slot1", slot = 1, cxl = { mem = true } }, { name = "cxl-slot2", slot = 2, cxl = { mem = true } }]

    # Where the monitor puts it: the first place above memory that is free.
    [[cxl_window]]
    name = "volatile"
    size = "1G"
    targets = ["cxl0"]

    [[cxl_window]]
    name = "interleaved"
    base = 0x60_0000_0000
    size = "512M"
    targets = ["cxl1", "cxl0"]
    granularity = "1K"
    persistent = true
    volatile = false
    qos_group = 3
"#;

const DEVICES: &str = "/sys/bus/cxl/devices";

/// What a window's decoder must show in sysfs (Linux, Documentation/ABI/testing/sysfs-bus-cxl).
const WINDOWS: &[(&str, &[(&str, &str)])] = &[
    (
        "decoder0.0",
        &[
            ("start", "0x100000000"),
            ("size", "0x40000000"),
            ("cap_type3", "1"),
            ("cap_ram", "1"),
            ("cap_pmem", "0"),
            ("cap_type2", "0"),
            ("interleave_ways", "1"),
            ("interleave_granularity", "256"),
            ("target_list", "0"),
        ],
    ),
    (
        "decoder0.1",
        &[
            ("start", "0x6000000000"),
            ("size", "0x20000000"),
            ("cap_type3", "1"),
            ("cap_ram", "0"),
            ("cap_pmem", "1"),
            ("interleave_ways", "2"),
            ("interleave_granularity", "1024"),
            // `_UID`s in the order of the description.
            ("target_list", "1,0"),
        ],
    ),
];

/// Of each host bridge.
const DECODERS: usize = 4;

pub(super) fn topology() -> Result<Topology> {
    Ok(Topology::from_toml(TOPOLOGY)?)
}

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    sides.step("cxl-port", "both host bridges are controlled by the guest");
    let controls = sides
        .guest
        .run("dmesg | grep -c '_OSC: OS now controls .*PME AER PCIeCapability'")?;
    agree("host bridges", &"2", &controls.trim())?;

    sides.step("cxl-port", "cxl_acpi is loaded");
    sides
        .guest
        .run("insmod /lib/modules/$(uname -r)/cxl_acpi.ko")?;
    sides.guest.wait_for(
        &format!("[ -e {DEVICES}/port1/driver ] && [ -e {DEVICES}/port2/driver ]"),
        30,
    )?;
    for (decoder, attributes) in WINDOWS {
        for (attribute, expected) in *attributes {
            let found = sides
                .guest
                .run(&format!("cat {DEVICES}/{decoder}/{attribute}"))?;
            agree(&format!("{decoder}: {attribute}"), expected, &found.trim())?;
        }
    }
    let windows = sides.guest.run("grep 'CXL Window' /proc/iomem")?;
    for window in [
        "100000000-13fffffff : CXL Window 0",
        "6000000000-601fffffff : CXL Window 1",
    ] {
        ensure!(windows.contains(window), "no {window}: {windows}");
    }

    sides.step("cxl-port", "ports and decoders of the host bridges");
    for port in ["port1", "port2"] {
        let driver = sides
            .guest
            .run(&format!("basename $(readlink {DEVICES}/{port}/driver)"))?;
        agree(
            &format!("the driver of {port}"),
            &"cxl_port",
            &driver.trim(),
        )?;
        let number = port.trim_start_matches("port");
        for index in 0..DECODERS {
            let decoder = format!("{DEVICES}/decoder{number}.{index}");
            let size = sides.guest.run(&format!("cat {decoder}/size"))?;
            agree(&format!("{decoder}: size"), &"0x0", &size.trim())?;
        }
        let beyond = sides
            .guest
            .run(&format!("ls {DEVICES} | grep -c '^decoder{number}\\.'"))?;
        agree(
            &format!("decoders of {port}"),
            &DECODERS.to_string().as_str(),
            &beyond.trim(),
        )?;
    }
    // Which port is which host bridge's is not said in advance.
    let uports = sides.guest.run(&format!(
        "for n in 1 2; do basename $(readlink {DEVICES}/port$n/uport); done | sort"
    ))?;
    // 6.1 names the ACPI device, and 6.12 the root bus that it is for.
    let names = ["ACPI0016:00\nACPI0016:01", "pci0000:00\npci0000:40"];
    ensure!(
        names.contains(&uports.trim()),
        "the ports are those of {uports}"
    );

    for name in ["cxl0", "cxl1"] {
        host_bridge(sides, name)?;
    }
    memory_device(sides)?;
    sides.no_complaints()
}

/// What the guest did to the decoders of a host bridge: it made them those of type 3 devices, as it does with all that are not committed,
/// and had nothing to map.
fn host_bridge(sides: &Sides, name: &str) -> Result<()> {
    let registers = sides
        .host
        .inspect(&format!("{name}/host_bridge/registers"))?;
    let block = registers
        .get("0x1008-cxl-hdm-decoder-capability")
        .with_context(|| format!("no HDM decoders: {registers}"))?;
    for index in 0..DECODERS {
        for (field, expected) in [
            ("control/target_range_type", true),
            ("control/commit", false),
            ("control/committed", false),
            ("control/error_not_committed", false),
        ] {
            let pointer = format!("/decoders/{index}/{field}");
            let shown = block.pointer(&pointer);
            ensure!(
                shown == Some(&Value::Bool(expected)),
                "{name}: {pointer} is {shown:?}"
            );
        }
    }
    let beyond = block.pointer(&format!("/decoders/{DECODERS}"));
    ensure!(beyond.is_none(), "{name} has more decoders: {beyond:?}");
    let enabled = block.pointer("/global_control/hdm_decoder_enable");
    ensure!(
        enabled == Some(&Value::Bool(false)),
        "{name}: decoding is enabled: {enabled:?}"
    );
    Ok(())
}

/// The device shows the same registers to both sides.
fn memory_device(sides: &mut Sides) -> Result<()> {
    sides.step("cxl-port", "what there is of a memory device");
    let card = sides.host.address("mem0")?;
    let port = sides.host.address("cxl-port")?;
    let class = sides
        .guest
        .run(&format!("cat /sys/bus/pci/devices/{card}/class"))?;
    agree("class", &"0x050210", &class.trim())?;
    let shown = sides
        .guest
        .run(&format!("lspci -s {card} -vvv 2>/dev/null | grep -A 3 CXL"))?;
    ensure!(shown.contains("Mem+"), "no CXL.mem: {shown}");
    let shown = sides
        .guest
        .run(&format!("lspci -s {port} -vvv 2>/dev/null | grep CXL"))?;
    ensure!(shown.contains("CXL"), "{shown}");
    let mem = sides.host.inspect_port("mem0")?;
    let dvsec = mem
        .pointer("/cfg_space/extended_capabilities/cxl_device_dvsec/dvsec_header_1/dvsec_vendor_id")
        .and_then(Value::as_u64);
    agree("the DVSEC's vendor", &Some(0x1e98), &dvsec)
}
