//! Small machines, each for one rule, with what enumeration makes of them.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use pci_enumerate::{
    Apertures, Bdf, EnumerateError, Hierarchy, HostBridge, Reserve, enumerate, enumerate_all,
};
use pci_spec::caps::{CapabilityId, ExtendedCapabilityId};

use crate::invariants;
use crate::model::{DOWNSTREAM, Func, Machine, UPSTREAM};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A roomy machine without hot-plug reserves.
fn host_bridge() -> HostBridge {
    let mut host_bridge = HostBridge::new(Apertures {
        buses: 0..=255,
        mmio32: 0xc000_0000..0xfec0_0000,
        mmio64: Some(0x40_0000_0000..0x80_0000_0000),
        io: Some(0x1000..0x1_0000),
    });
    host_bridge.options.hot_plug = Reserve::NONE;
    host_bridge
}

fn run(machine: &mut Machine, host_bridge: &HostBridge) -> Hierarchy {
    machine.root_bus = *host_bridge.apertures.buses.start();
    let hierarchy = enumerate(machine, host_bridge).unwrap();
    invariants::check(machine, host_bridge, &hierarchy);
    hierarchy
}

fn check(functions: Vec<Func>, host_bridge: &HostBridge, expected: Expect) -> Machine {
    let mut machine = Machine::new(functions);
    let hierarchy = run(&mut machine, host_bridge);
    expected.assert_eq(&hierarchy.to_string());
    machine
}

fn bdf(text: &str) -> Bdf {
    text.parse().unwrap()
}

#[test]
fn an_endpoint_on_the_root_bus() {
    let endpoint = Func::endpoint(0x08)
        .bar64(0, 16 * KIB, true)
        .bar32(2, 4 * KIB, false)
        .bar_io(3, 32)
        .rom(64 * KIB)
        .extended(0x0003, &0x0011_2233_4455_6677_u64.to_le_bytes());
    let machine = check(
        vec![endpoint],
        &host_bridge(),
        expect![[r#"
        0000:00 host bridge, buses 00-ff, used to 00
        \-01.0 1414:0008 class 010802, endpoint, serial number 0011223344556677
            BAR 0: 16 KiB of 64-bit prefetchable memory, 0x4000000000
            BAR 2: 4 KiB of 32-bit memory, 0xc0010000
            BAR 3: 32 bytes of I/O, 0x1000
            ROM: 64 KiB, 0xc0000000, disabled
    "#]],
    );
    let endpoint = &machine.functions[0];
    // Memory and I/O, but no bus mastering; the pending errors in Status are still there.
    assert_eq!(endpoint.word(0x04), 0x0003);
    assert_eq!(endpoint.word(0x06), 0xf910);
    // The expansion ROM has an address and is not enabled.
    assert_eq!(endpoint.dword(0x30) & 1, 0);
}

#[test]
fn endpoints_get_bus_mastering_only_on_request() {
    let mut host_bridge = host_bridge();
    host_bridge.options.endpoint_bus_master = true;
    let mut machine = Machine::new(vec![Func::endpoint(0).bar32(0, 4 * KIB, false)]);
    run(&mut machine, &host_bridge);
    assert_eq!(machine.functions[0].word(0x04), 0x0006);
}

#[test]
fn a_port_opens_only_the_windows_it_needs() {
    let endpoint = Func::endpoint(0)
        .bar64(0, 16 * KIB, true)
        .bar32(2, 4 * KIB, false);
    let machine = check(
        vec![
            Func::slot(0x08, false, vec![endpoint]),
            Func::slot(0x10, false, vec![]),
        ],
        &host_bridge(),
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 02
            +-01.0-[01-01] 1414:0008 class 060400, root port, slot 9
            | | memory window: 0xc0000000-0xc00fffff (1 MiB)
            | | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
            | \-00.0 1414:0000 class 010802, endpoint
            |     BAR 0: 16 KiB of 64-bit prefetchable memory, 0x4000000000
            |     BAR 2: 4 KiB of 32-bit memory, 0xc0000000
            \-02.0-[02-02] 1414:0010 class 060400, root port, slot 17
        "#]],
    );
    let port = &machine.functions[0];
    assert_eq!(port.word(0x1c), 0x00f0);
    assert_eq!(port.dword(0x20), 0xc000_c000);
    assert_eq!(port.dword(0x24), 0x0001_0001);
    assert_eq!((port.dword(0x28), port.dword(0x2c)), (0x40, 0x40));
    // The errors that Secondary Status holds beside the I/O window are still there.
    assert_eq!(port.word(0x1e), 0xf900);
    let closed = &machine.functions[1];
    assert_eq!(closed.word(0x1c), 0x00f0);
    assert_eq!(closed.dword(0x20), 0x0000_fff0);
    assert_eq!(closed.dword(0x24), 0x0001_fff1);
    assert_eq!(closed.word(0x04), 0x0004);
}

#[test]
fn switches_eight_deep() {
    let mut inmost = vec![
        Func::endpoint(0)
            .bar64(0, MIB, true)
            .bar32(2, 4 * KIB, false),
    ];
    for _ in 0..8 {
        let downstream = vec![
            Func::bridge(0x08, DOWNSTREAM, inmost),
            Func::bridge(0x10, DOWNSTREAM, vec![]),
        ];
        inmost = vec![Func::bridge(0, UPSTREAM, downstream)];
    }
    check(
        vec![Func::slot(0, false, inmost)],
        &host_bridge(),
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 19
            \-00.0-[01-19] 1414:0000 class 060400, root port, slot 1
              | memory window: 0xc0000000-0xc00fffff (1 MiB)
              | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
              \-00.0-[02-19] 1414:0000 class 060400, upstream port
                | memory window: 0xc0000000-0xc00fffff (1 MiB)
                | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                +-01.0-[03-18] 1414:0008 class 060400, downstream port
                | | memory window: 0xc0000000-0xc00fffff (1 MiB)
                | | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                | \-00.0-[04-18] 1414:0000 class 060400, upstream port
                |   | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   +-01.0-[05-17] 1414:0008 class 060400, downstream port
                |   | | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   | | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   | \-00.0-[06-17] 1414:0000 class 060400, upstream port
                |   |   | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   +-01.0-[07-16] 1414:0008 class 060400, downstream port
                |   |   | | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   | | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   | \-00.0-[08-16] 1414:0000 class 060400, upstream port
                |   |   |   | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   |   | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   |   +-01.0-[09-15] 1414:0008 class 060400, downstream port
                |   |   |   | | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   |   | | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   |   | \-00.0-[0a-15] 1414:0000 class 060400, upstream port
                |   |   |   |   | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   |   |   | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   |   |   +-01.0-[0b-14] 1414:0008 class 060400, downstream port
                |   |   |   |   | | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   |   |   | | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   |   |   | \-00.0-[0c-14] 1414:0000 class 060400, upstream port
                |   |   |   |   |   | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   |   |   |   | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   |   |   |   +-01.0-[0d-13] 1414:0008 class 060400, downstream port
                |   |   |   |   |   | | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   |   |   |   | | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   |   |   |   | \-00.0-[0e-13] 1414:0000 class 060400, upstream port
                |   |   |   |   |   |   | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   |   |   |   |   | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   |   |   |   |   +-01.0-[0f-12] 1414:0008 class 060400, downstream port
                |   |   |   |   |   |   | | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   |   |   |   |   | | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   |   |   |   |   | \-00.0-[10-12] 1414:0000 class 060400, upstream port
                |   |   |   |   |   |   |   | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   |   |   |   |   |   | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   |   |   |   |   |   +-01.0-[11-11] 1414:0008 class 060400, downstream port
                |   |   |   |   |   |   |   | | memory window: 0xc0000000-0xc00fffff (1 MiB)
                |   |   |   |   |   |   |   | | prefetchable window: 0x4000000000-0x40000fffff (1 MiB)
                |   |   |   |   |   |   |   | \-00.0 1414:0000 class 010802, endpoint
                |   |   |   |   |   |   |   |     BAR 0: 1 MiB of 64-bit prefetchable memory, 0x4000000000
                |   |   |   |   |   |   |   |     BAR 2: 4 KiB of 32-bit memory, 0xc0000000
                |   |   |   |   |   |   |   \-02.0-[12-12] 1414:0010 class 060400, downstream port
                |   |   |   |   |   |   \-02.0-[13-13] 1414:0010 class 060400, downstream port
                |   |   |   |   |   \-02.0-[14-14] 1414:0010 class 060400, downstream port
                |   |   |   |   \-02.0-[15-15] 1414:0010 class 060400, downstream port
                |   |   |   \-02.0-[16-16] 1414:0010 class 060400, downstream port
                |   |   \-02.0-[17-17] 1414:0010 class 060400, downstream port
                |   \-02.0-[18-18] 1414:0010 class 060400, downstream port
                \-02.0-[19-19] 1414:0010 class 060400, downstream port
        "#]],
    );
}

#[test]
fn the_buses_run_out() {
    // 256 ports on the root bus, 255 buses behind it.
    let ports = (0..=255).map(|devfn| Func::slot(devfn, false, vec![]).multi_function());
    let mut machine = Machine::new(ports.collect());
    let hierarchy = run(&mut machine, &host_bridge());
    assert_eq!(hierarchy.last_bus_used, 255);
    let report: Vec<_> = hierarchy
        .shortfalls
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        report,
        [
            "00:1f.7: no bus number is left for what is behind the bridge; the host bridge's last is ff"
        ]
    );
    let buses = |text| {
        hierarchy
            .find(bdf(text))
            .unwrap()
            .bridge
            .as_ref()
            .unwrap()
            .buses
    };
    assert_eq!(buses("00:1f.6").unwrap().secondary, 255);
    assert_eq!(buses("00:1f.7"), None);
}

#[test]
fn what_is_behind_a_port_without_bus_stays_silent_and_the_rest_works() {
    let slot = |devfn| {
        Func::slot(
            devfn,
            false,
            vec![Func::endpoint(0).bar32(0, 4 * KIB, false)],
        )
    };
    let mut host_bridge = host_bridge();
    host_bridge.apertures.buses = 0x20..=0x22;
    check(
        vec![
            slot(0x00),
            slot(0x08),
            slot(0x10),
            Func::endpoint(0x18).bar32(0, 4 * KIB, false),
        ],
        &host_bridge,
        expect![[r#"
            0000:20 host bridge, buses 20-22, used to 22
            +-00.0-[21-21] 1414:0000 class 060400, root port, slot 1
            | | memory window: 0xc0000000-0xc00fffff (1 MiB)
            | \-00.0 1414:0000 class 010802, endpoint
            |     BAR 0: 4 KiB of 32-bit memory, 0xc0000000
            +-01.0-[22-22] 1414:0008 class 060400, root port, slot 9
            | | memory window: 0xc0100000-0xc01fffff (1 MiB)
            | \-00.0 1414:0000 class 010802, endpoint
            |     BAR 0: 4 KiB of 32-bit memory, 0xc0100000
            +-02.0-[no bus] 1414:0010 class 060400, root port, slot 17
            \-03.0 1414:0018 class 010802, endpoint
                BAR 0: 4 KiB of 32-bit memory, 0xc0200000
            shortfalls:
              20:02.0: no bus number is left for what is behind the bridge; the host bridge's last is 22
        "#]],
    );
}

#[test]
fn functions_beyond_the_first_need_the_multi_function_bit() {
    let functions = |first: Func| {
        vec![
            first.bar32(0, 4 * KIB, false),
            Func::endpoint(0x03).bar32(0, 4 * KIB, false),
            Func::endpoint(0x07).bar32(0, 4 * KIB, false),
        ]
    };
    let bdfs = |first| {
        let hierarchy = run(&mut Machine::new(functions(first)), &host_bridge());
        hierarchy
            .iter()
            .map(|function| function.bdf.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        bdfs(Func::endpoint(0).multi_function()),
        ["00:00.0", "00:00.3", "00:00.7"]
    );
    assert_eq!(bdfs(Func::endpoint(0)), ["00:00.0"]);
}

fn ari_device() -> Vec<Func> {
    let function = |number: u8, next| Func::endpoint(number).bar32(0, 4 * KIB, false).ari(next);
    vec![
        function(0, 3).multi_function(),
        function(3, 8),
        function(8, 0xff),
        function(0xff, 0),
        // In no chain.
        function(1, 0),
    ]
}

#[test]
fn an_ari_device_is_walked_by_its_chain() {
    let machine = check(
        vec![Func::slot(0, false, ari_device())],
        &host_bridge(),
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 01
            \-00.0-[01-01] 1414:0000 class 060400, root port, slot 1
              | memory window: 0xc0000000-0xc00fffff (1 MiB)
              +-00.0 1414:0000 class 010802, endpoint
              |   BAR 0: 4 KiB of 32-bit memory, 0xc0000000
              +-00.3 1414:0003 class 010802, endpoint
              |   BAR 0: 4 KiB of 32-bit memory, 0xc0001000
              +-01.0 1414:0008 class 010802, endpoint
              |   BAR 0: 4 KiB of 32-bit memory, 0xc0002000
              \-1f.7 1414:00ff class 010802, endpoint
                  BAR 0: 4 KiB of 32-bit memory, 0xc0003000
        "#]],
    );
    assert!(machine.functions[0].ari_forwarding());
}

#[test]
fn without_ari_forwarding_an_ari_device_has_eight_functions() {
    let port = Func::slot(0, false, ari_device()).without_ari_forwarding();
    let hierarchy = run(&mut Machine::new(vec![port]), &host_bridge());
    let functions: Vec<_> = hierarchy
        .iter()
        .map(|function| function.bdf.to_string())
        .collect();
    assert_eq!(functions, ["00:00.0", "01:00.0", "01:00.1", "01:00.3"]);
}

#[test]
fn an_ari_chain_that_does_not_ascend_ends() {
    let function = |number: u8, next| Func::endpoint(number).ari(next);
    let behind = vec![function(0, 9), function(9, 9), function(5, 0)];
    let hierarchy = run(
        &mut Machine::new(vec![Func::slot(0, false, behind)]),
        &host_bridge(),
    );
    let functions: Vec<_> = hierarchy
        .iter()
        .map(|function| function.bdf.to_string())
        .collect();
    assert_eq!(functions, ["00:00.0", "01:00.0", "01:01.1"]);
}

#[test]
fn a_link_has_one_device_and_a_stale_ari_forwarding_is_turned_off() {
    let mut port = Func::slot(0, false, vec![Func::endpoint(0), Func::endpoint(0x08)]);
    port.set(0x68, &[0x20]);
    let mut machine = Machine::new(vec![port]);
    let hierarchy = run(&mut machine, &host_bridge());
    assert_eq!(hierarchy.iter().count(), 2);
    assert!(!machine.functions[0].ari_forwarding());
}

#[test]
fn a_slot_keeps_room_for_what_is_plugged_in_later() {
    let mut host_bridge = host_bridge();
    host_bridge.options.hot_plug = Reserve {
        io: 4 * KIB,
        ..Reserve::SLOT
    };
    let endpoint = Func::endpoint(0)
        .bar64(0, 64 * MIB, true)
        .bar32(2, 4 * KIB, false);
    check(
        vec![
            Func::slot(0x00, true, vec![]),
            Func::slot(0x08, true, vec![endpoint]),
            Func::slot(0x10, false, vec![]),
        ],
        &host_bridge,
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 11
            +-00.0-[01-08] 1414:0000 class 060400, root port, hot-plug slot 1
            |   I/O window: 0x1000-0x1fff (4 KiB)
            |   memory window: 0xc0000000-0xc01fffff (2 MiB)
            |   prefetchable window: 0x4004000000-0x4005ffffff (32 MiB)
            +-01.0-[09-10] 1414:0008 class 060400, root port, hot-plug slot 9
            | | I/O window: 0x2000-0x2fff (4 KiB)
            | | memory window: 0xc0200000-0xc03fffff (2 MiB)
            | | prefetchable window: 0x4000000000-0x4003ffffff (64 MiB)
            | \-00.0 1414:0000 class 010802, endpoint
            |     BAR 0: 64 MiB of 64-bit prefetchable memory, 0x4000000000
            |     BAR 2: 4 KiB of 32-bit memory, 0xc0200000
            \-02.0-[11-11] 1414:0010 class 060400, root port, slot 17
        "#]],
    );
}

#[test]
fn an_empty_port_has_a_reserve_of_its_own() {
    let mut host_bridge = host_bridge();
    host_bridge.options.empty_port = Reserve {
        buses: 3,
        memory: MIB,
        ..Reserve::NONE
    };
    check(
        vec![
            Func::slot(0x00, false, vec![]),
            Func::slot(0x08, false, vec![Func::endpoint(0)]),
        ],
        &host_bridge,
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 04
            +-00.0-[01-03] 1414:0000 class 060400, root port, slot 1
            |   memory window: 0xc0000000-0xc00fffff (1 MiB)
            \-01.0-[04-04] 1414:0008 class 060400, root port, slot 9
              \-00.0 1414:0000 class 010802, endpoint
        "#]],
    );
}

#[test]
fn spare_buses_are_shared_alike() {
    let mut host_bridge = host_bridge();
    host_bridge.options.hot_plug.buses = 8;
    host_bridge.apertures.buses = 0..=11;
    // 11 buses: a switch takes 3, each of two slots 1; the other 6 go round. Behind the switch one more slot.
    let mut switch_slot = Func::slot(0x00, true, vec![]);
    switch_slot.set(0x42, &[DOWNSTREAM << 4 | 2]);
    let switch = Func::bridge(0, UPSTREAM, vec![switch_slot]);
    let mut machine = Machine::new(vec![
        Func::slot(0x00, true, vec![]),
        Func::slot(0x08, false, vec![switch]),
        Func::slot(0x10, true, vec![]),
    ]);
    let hierarchy = run(&mut machine, &host_bridge);
    let granted: Vec<_> = hierarchy
        .shortfalls
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        granted,
        [
            "00:00.0: 3 of 8 bus numbers reserved; the host bridge has no more",
            "05:00.0: 3 of 8 bus numbers reserved; the host bridge has no more",
            "00:02.0: 3 of 8 bus numbers reserved; the host bridge has no more",
        ]
    );
    assert_eq!(hierarchy.last_bus_used, 11);
}

#[test]
fn an_aperture_too_small_leaves_the_largest_out() {
    let mut host_bridge = host_bridge();
    host_bridge.apertures.mmio32 = 0xc000_0000..0xc040_0000;
    host_bridge.apertures.mmio64 = Some(4 * GIB..5 * GIB);
    host_bridge.apertures.io = None;
    let behind = Func::endpoint(0)
        .bar32(0, 2 * MIB, false)
        .bar32(1, 64 * KIB, false);
    check(
        vec![
            Func::endpoint(0x00)
                .bar64(0, 16 * GIB, true)
                .bar32(2, 4 * KIB, false)
                .bar_io(3, 64),
            Func::endpoint(0x08).bar32(0, 4 * MIB, false).rom(MIB),
            Func::slot(0x10, false, vec![behind]),
            Func::endpoint(0x18).bar64(0, 512 * MIB, true),
        ],
        &host_bridge,
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 01
            +-00.0 1414:0000 class 010802, endpoint
            |   BAR 0: 16 GiB of 64-bit prefetchable memory, unassigned
            |   BAR 2: 4 KiB of 32-bit memory, 0xc0300000, decoding off
            |   BAR 3: 64 bytes of I/O, unassigned
            +-01.0 1414:0008 class 010802, endpoint
            |   BAR 0: 4 MiB of 32-bit memory, unassigned
            |   ROM: 1 MiB, unassigned
            +-02.0-[01-01] 1414:0010 class 060400, root port, slot 17
            | | memory window: 0xc0000000-0xc02fffff (3 MiB)
            | \-00.0 1414:0000 class 010802, endpoint
            |     BAR 0: 2 MiB of 32-bit memory, 0xc0000000
            |     BAR 1: 64 KiB of 32-bit memory, 0xc0200000
            \-03.0 1414:0018 class 010802, endpoint
                BAR 0: 512 MiB of 64-bit prefetchable memory, 0x100000000
            shortfalls:
              00:00.0: BAR 3 asks for 64 bytes of I/O: the host bridge has no I/O aperture
              00:01.0: BAR 0 asks for 4 MiB of 32-bit memory: the 32-bit memory aperture 0xc0000000-0xc03fffff has 1020 KiB left, 1020 KiB in one piece
              00:01.0: the expansion ROM asks for 1 MiB: the 32-bit memory aperture 0xc0000000-0xc03fffff has 1020 KiB left, 1020 KiB in one piece
              00:00.0: BAR 0 asks for 16 GiB of 64-bit prefetchable memory: the 64-bit memory aperture 0x100000000-0x13fffffff has 512 MiB left, 512 MiB in one piece
        "#]],
    );
}

fn wide_bars() -> Func {
    Func::endpoint(0)
        .bar64(0, GIB, true)
        .bar64(2, 16 * KIB, false)
        .bar32(4, MIB, true)
}

#[test]
fn only_prefetchable_bars_go_above_4_gib_behind_a_bridge() {
    let mut on_root_bus = wide_bars();
    on_root_bus.devfn = 0x08;
    check(
        vec![Func::slot(0x00, false, vec![wide_bars()]), on_root_bus],
        &host_bridge(),
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 01
            +-00.0-[01-01] 1414:0000 class 060400, root port, slot 1
            | | memory window: 0xc0000000-0xc01fffff (2 MiB)
            | | prefetchable window: 0x4040000000-0x407fffffff (1 GiB)
            | \-00.0 1414:0000 class 010802, endpoint
            |     BAR 0: 1 GiB of 64-bit prefetchable memory, 0x4040000000
            |     BAR 2: 16 KiB of 64-bit memory, 0xc0100000
            |     BAR 4: 1 MiB of 32-bit prefetchable memory, 0xc0000000
            \-01.0 1414:0000 class 010802, endpoint
                BAR 0: 1 GiB of 64-bit prefetchable memory, 0x4000000000
                BAR 2: 16 KiB of 64-bit memory, 0x4080000000
                BAR 4: 1 MiB of 32-bit prefetchable memory, 0xc0200000
        "#]],
    );
}

#[test]
fn relaxed_takes_non_prefetchable_bars_above_4_gib_on_an_all_express_path() {
    let mut host_bridge = host_bridge();
    host_bridge.options.relaxed_prefetchable = true;
    let conventional = Func::bridge(0x08, 0, vec![wide_bars()]).conventional();
    check(
        vec![Func::slot(0x00, false, vec![wide_bars()]), conventional],
        &host_bridge,
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 02
            +-00.0-[01-01] 1414:0000 class 060400, root port, slot 1
            | | memory window: 0xc0200000-0xc02fffff (1 MiB)
            | | prefetchable window: 0x4000000000-0x40400fffff (1025 MiB)
            | \-00.0 1414:0000 class 010802, endpoint
            |     BAR 0: 1 GiB of 64-bit prefetchable memory, 0x4000000000
            |     BAR 2: 16 KiB of 64-bit memory, 0x4040000000
            |     BAR 4: 1 MiB of 32-bit prefetchable memory, 0xc0200000
            \-01.0-[02-02] 1414:0008 class 060400
              | memory window: 0xc0000000-0xc01fffff (2 MiB)
              | prefetchable window: 0x4080000000-0x40bfffffff (1 GiB)
              \-00.0 1414:0000 class 010802, endpoint
                  BAR 0: 1 GiB of 64-bit prefetchable memory, 0x4080000000
                  BAR 2: 16 KiB of 64-bit memory, 0xc0100000
                  BAR 4: 1 MiB of 32-bit prefetchable memory, 0xc0000000
        "#]],
    );
}

#[test]
fn a_bridge_without_the_window_falls_back_or_says_so() {
    let behind = || vec![wide_bars().bar_io(5, 16)];
    let narrow = Func::slot(0x00, false, behind())
        .prefetchable_window(false)
        .without_io_window();
    let none = Func::slot(0x08, true, behind()).without_prefetchable_window();
    let mut host_bridge = host_bridge();
    host_bridge.apertures.mmio32 = 0x1000_0000..0xf000_0000;
    host_bridge.options.hot_plug.prefetchable = 32 * MIB;
    check(
        vec![narrow, none],
        &host_bridge,
        expect![[r#"
        0000:00 host bridge, buses 00-ff, used to 02
        +-00.0-[01-01] 1414:0000 class 060400, root port, slot 1
        | | memory window: 0x40000000-0x801fffff (1026 MiB)
        | \-00.0 1414:0000 class 010802, endpoint
        |     BAR 0: 1 GiB of 64-bit prefetchable memory, 0x40000000
        |     BAR 2: 16 KiB of 64-bit memory, 0x80100000
        |     BAR 4: 1 MiB of 32-bit prefetchable memory, 0x80000000
        |     BAR 5: 16 bytes of I/O, unassigned
        \-01.0-[02-02] 1414:0008 class 060400, root port, hot-plug slot 9
          | I/O window: 0x1000-0x1fff (4 KiB)
          | memory window: 0x10000000-0x101fffff (2 MiB)
          \-00.0 1414:0000 class 010802, endpoint
              BAR 0: 1 GiB of 64-bit prefetchable memory, unassigned
              BAR 2: 16 KiB of 64-bit memory, 0x10100000, decoding off
              BAR 4: 1 MiB of 32-bit prefetchable memory, 0x10000000, decoding off
              BAR 5: 16 bytes of I/O, 0x1000
        shortfalls:
          01:00.0: BAR 5 asks for 16 bytes of I/O: bridge 00:00.0 can't forward it: it has no usable I/O window
          00:01.0: 0 bytes of 32 MiB reserved in the prefetchable window: bridge 00:01.0 can't forward it: it has no usable prefetchable window
          02:00.0: BAR 0 asks for 1 GiB of 64-bit prefetchable memory: the 32-bit memory aperture 0x10000000-0xefffffff has 2556 MiB left, 1790 MiB in one piece
    "#]],
    );
}

#[test]
fn without_a_64_bit_aperture_everything_stays_below() {
    let mut host_bridge = host_bridge();
    host_bridge.apertures.mmio32 = 0x4000_0000..0xf000_0000;
    host_bridge.apertures.mmio64 = None;
    check(
        vec![Func::slot(0x00, false, vec![wide_bars()])],
        &host_bridge,
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 01
            \-00.0-[01-01] 1414:0000 class 060400, root port, slot 1
              | memory window: 0x40000000-0x801fffff (1026 MiB)
              \-00.0 1414:0000 class 010802, endpoint
                  BAR 0: 1 GiB of 64-bit prefetchable memory, 0x40000000
                  BAR 2: 16 KiB of 64-bit memory, 0x80100000
                  BAR 4: 1 MiB of 32-bit prefetchable memory, 0x80000000
        "#]],
    );
}

#[test]
fn windows_are_packed_by_alignment() {
    // Ports with 16 + 1 MiB, 1 MiB and 16 MiB: the second fills the hole behind the first.
    let slot = |devfn, endpoint| Func::slot(devfn, false, vec![endpoint]);
    let mut host_bridge = host_bridge();
    host_bridge.apertures.mmio32 = 0xc000_0000..0xc300_0000;
    check(
        vec![
            slot(
                0x00,
                Func::endpoint(0)
                    .bar32(0, 16 * MIB, false)
                    .bar32(1, 4 * KIB, false),
            ),
            slot(0x08, Func::endpoint(0).bar32(0, MIB, false)),
            slot(0x10, Func::endpoint(0).bar32(0, 16 * MIB, false)),
        ],
        &host_bridge,
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 03
            +-00.0-[01-01] 1414:0000 class 060400, root port, slot 1
            | | memory window: 0xc0000000-0xc10fffff (17 MiB)
            | \-00.0 1414:0000 class 010802, endpoint
            |     BAR 0: 16 MiB of 32-bit memory, 0xc0000000
            |     BAR 1: 4 KiB of 32-bit memory, 0xc1000000
            +-01.0-[02-02] 1414:0008 class 060400, root port, slot 9
            | | memory window: 0xc1100000-0xc11fffff (1 MiB)
            | \-00.0 1414:0000 class 010802, endpoint
            |     BAR 0: 1 MiB of 32-bit memory, 0xc1100000
            \-02.0-[03-03] 1414:0010 class 060400, root port, slot 17
              | memory window: 0xc2000000-0xc2ffffff (16 MiB)
              \-00.0 1414:0000 class 010802, endpoint
                  BAR 0: 16 MiB of 32-bit memory, 0xc2000000
        "#]],
    );
}

#[test]
fn a_device_that_gets_ready_in_time_is_found() {
    let mut slow = Func::endpoint(0x08);
    slow.retries = 5;
    let mut machine = Machine::new(vec![slow]);
    let hierarchy = run(&mut machine, &host_bridge());
    assert_eq!(hierarchy.iter().count(), 1);
    assert_eq!(machine.waits, 5);
}

#[test]
fn a_device_that_is_not_ready_is_named_by_its_final_bus() {
    let mut slow = Func::endpoint(0);
    slow.retries = u32::MAX;
    let mut host_bridge = host_bridge();
    host_bridge.options.hot_plug.buses = 4;
    check(
        vec![
            Func::slot(0x00, true, vec![]),
            Func::slot(0x08, false, vec![slow]),
        ],
        &host_bridge,
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 05
            +-00.0-[01-04] 1414:0000 class 060400, root port, hot-plug slot 1
            \-01.0-[05-05] 1414:0008 class 060400, root port, slot 9
            shortfalls:
              05:00.0: the device was not ready after 100 attempts (Request Retry Status)
        "#]],
    );
}

#[test]
fn retry_status_is_made_visible_by_root_ports() {
    let mut machine = Machine::new(vec![Func::slot(0, false, vec![])]);
    run(&mut machine, &host_bridge());
    assert_eq!(machine.functions[0].word(0x5c), 0x0010);
}

#[test]
fn bars_that_make_no_sense_are_left_alone() {
    let mut changing = Func::endpoint(0x20).bar32(0, 4 * KIB, false);
    changing.mask(0x10, 0xffff_f008);
    let faulty = [
        Func::endpoint(0x00)
            .bar(0, 0xfff0_f000, 0)
            .bar32(1, 4 * KIB, false),
        Func::endpoint(0x08).bar(0, 0xffff_f000, 6),
        Func::endpoint(0x10).bar(5, 0xffff_f000, 4),
        Func::endpoint(0x18).bar64(0, 1 << 20, true).bar(1, 0, 0),
        changing,
        Func::endpoint(0x28).bar(0, 0, 8),
        Func::endpoint(0x30).bar32(0, 4 * KIB, false),
    ];
    let machine = check(
        faulty.to_vec(),
        &host_bridge(),
        expect![[r#"
        0000:00 host bridge, buses 00-ff, used to 00
        +-00.0 1414:0000 class 010802, endpoint
        |   BAR 1: 4 KiB of 32-bit memory, 0xc0000000, decoding off
        +-01.0 1414:0008 class 010802, endpoint
        +-02.0 1414:0010 class 010802, endpoint
        +-03.0 1414:0018 class 010802, endpoint
        +-04.0 1414:0020 class 010802, endpoint
        +-05.0 1414:0028 class 010802, endpoint
        \-06.0 1414:0030 class 010802, endpoint
            BAR 0: 4 KiB of 32-bit memory, 0xc0001000
        shortfalls:
          00:00.0: BAR 0 can't be used: its writable address bits 0xfff0f000 are not contiguous, so its size is no power of two
          00:01.0: BAR 0 can't be used: its type bits 0x6 are reserved
          00:02.0: BAR 5 can't be used: it is 64 bits wide, but there is no register after it for the upper half
          00:03.0: BAR 0 can't be used: its writable address bits 0xfff00000 are not contiguous, so its size is no power of two
          00:04.0: BAR 0 can't be used: its read-only type bits changed from 0x0 to 0x8 when it was written
          00:05.0: BAR 0 can't be used: its writable address bits 0x0 are not contiguous, so its size is no power of two
    "#]],
    );
    assert_eq!(machine.functions[0].dword(0x10), faulty[0].dword(0x10));
    // Its sound BAR has an address, but one faulty BAR keeps the function from decoding.
    assert_eq!(machine.functions[0].word(0x04), 0);
}

#[test]
fn a_bridge_with_a_faulty_bar_forwards_no_memory() {
    let behind = Func::endpoint(0).bar32(0, 4 * KIB, false);
    let bridge = Func::slot(0, false, vec![behind]).bar(0, 0xfff0_f000, 0);
    check(
        vec![bridge],
        &host_bridge(),
        expect![[r#"
        0000:00 host bridge, buses 00-ff, used to 01
        \-00.0-[01-01] 1414:0000 class 060400, root port, slot 1
          \-00.0 1414:0000 class 010802, endpoint
              BAR 0: 4 KiB of 32-bit memory, unassigned
        shortfalls:
          00:00.0: BAR 0 can't be used: its writable address bits 0xfff0f000 are not contiguous, so its size is no power of two
          01:00.0: BAR 0 asks for 4 KiB of 32-bit memory: bridge 00:00.0 can't forward it: it has no usable memory window
    "#]],
    );
}

#[test]
fn an_io_bar_may_leave_its_upper_half_zero() {
    let hierarchy = run(
        &mut Machine::new(vec![Func::endpoint(0).bar(0, 0xffe0, 1)]),
        &host_bridge(),
    );
    let bar = hierarchy.functions[0].bars[0];
    assert_eq!((bar.size, bar.address), (32, Some(0x1000)));
}

#[test]
fn a_bridge_that_does_not_take_its_bus_numbers_costs_no_bus() {
    let mut stuck = Func::slot(0x00, false, vec![]);
    stuck.mask(0x18, 0x0001_ffff);
    check(
        vec![stuck, Func::slot(0x08, false, vec![Func::endpoint(0)])],
        &host_bridge(),
        expect![[r#"
            0000:00 host bridge, buses 00-ff, used to 01
            +-00.0-[no bus] 1414:0000 class 060400, root port, slot 1
            \-01.0-[01-01] 1414:0008 class 060400, root port, slot 9
              \-00.0 1414:0000 class 010802, endpoint
            shortfalls:
              00:00.0: Secondary and Subordinate Bus Number reads 0x101 after 0xff01 was written
        "#]],
    );
}

#[test]
fn capability_lists_with_loops_end() {
    let mut endpoint = Func::endpoint(0)
        .extended(0x0001, &[0; 4])
        .extended(0x000b, &[0; 4]);
    // The PCI Express capability links to itself, the last extended capability to the first.
    endpoint.set(0x41, &[0x40]);
    endpoint.set(0x10a, &[0x01, 0x10]);
    let hierarchy = run(&mut Machine::new(vec![endpoint]), &host_bridge());
    let function = &hierarchy.functions[0];
    let ids: Vec<_> = function.capabilities.iter().map(|c| c.id).collect();
    assert_eq!(ids, [CapabilityId::PCI_EXPRESS]);
    let extended = function.extended_capabilities.iter();
    let ids: Vec<_> = extended.map(|c| c.id).collect();
    assert_eq!(
        ids,
        [
            ExtendedCapabilityId::AER,
            ExtendedCapabilityId::VENDOR_SPECIFIC
        ]
    );
}

#[test]
fn a_capability_at_the_end_of_config_space_is_not_followed_past_it() {
    let mut endpoint = Func::endpoint(0).extended(0x0001, &[0; 4]);
    // A serial number in the last dword: its number would lie at 0x1000 and 0x1004.
    endpoint.set(0x102, &[0xc1, 0xff]);
    endpoint.set(0xffc, &[0x03, 0x00, 0x01, 0x00]);
    let hierarchy = run(&mut Machine::new(vec![endpoint]), &host_bridge());
    assert_eq!(hierarchy.functions[0].extended_capabilities.len(), 2);
    assert_eq!(hierarchy.functions[0].serial_number, None);
}

#[test]
fn address_zero_is_not_given_out() {
    let mut host_bridge = host_bridge();
    host_bridge.apertures.io = Some(0..0x1_0000);
    host_bridge.apertures.mmio32 = 0..0x1000_0000;
    let endpoint = Func::endpoint(0).bar_io(0, 16).bar32(1, 4 * KIB, false);
    let hierarchy = run(&mut Machine::new(vec![endpoint]), &host_bridge);
    let addresses: Vec<_> = hierarchy.functions[0]
        .bars
        .iter()
        .map(|bar| bar.address)
        .collect();
    assert_eq!(addresses, [Some(0x1000), Some(0x10_0000)]);
}

#[test]
fn host_bridges_of_several_segments() {
    let machine = |root_bus| Machine {
        root_bus,
        ..Machine::new(vec![Func::slot(
            0,
            false,
            vec![Func::endpoint(0).bar32(0, 4 * KIB, false)],
        )])
    };
    let mut second = host_bridge();
    second.segment = 1;
    second.apertures.buses = 0x40..=0x7f;
    let mut segments = BTreeMap::from([(0, machine(0)), (1, machine(0x40))]);
    let bridges = [host_bridge(), second];
    assert_eq!(
        enumerate_all(&mut segments, &bridges)
            .unwrap_err()
            .to_string(),
        "two host bridges claim the same memory: 0xc0000000-0xfebfffff and 0xc0000000-0xfebfffff overlap"
    );
    let [first, mut second] = bridges;
    second.apertures.mmio32 = 0xa000_0000..0xb000_0000;
    second.apertures.mmio64 = None;
    let hierarchies = enumerate_all(&mut segments, &[first.clone(), second.clone()]).unwrap();
    let endpoint = hierarchies[1].find(bdf("41:00.0")).unwrap();
    assert_eq!(endpoint.bars[0].address, Some(0xa000_0000));
    second.segment = 0;
    second.apertures.buses = 0xff..=0xff;
    assert_eq!(
        enumerate_all(&mut segments, &[first.clone(), second.clone()]).unwrap_err(),
        EnumerateError::OverlappingBuses {
            segment: 0,
            bus: 0xff,
            first: 0..=255,
            second: 0xff..=0xff,
        }
    );
    second.segment = 7;
    assert_eq!(
        enumerate_all(&mut segments, &[first, second]).unwrap_err(),
        EnumerateError::NoAccess { segment: 7 }
    );
}

#[test]
fn a_description_that_contradicts_itself_is_refused() {
    let refused = |change: fn(&mut Apertures)| {
        let mut host_bridge = host_bridge();
        change(&mut host_bridge.apertures);
        let error = enumerate(&mut Machine::new(vec![]), &host_bridge).unwrap_err();
        error.to_string()
    };
    assert_eq!(
        refused(|apertures| apertures.buses = std::ops::RangeInclusive::new(5, 4)),
        "segment 0000: the bus range 05-04 is empty; a host bridge needs one bus at least"
    );
    assert_eq!(
        refused(|apertures| apertures.mmio64 = Some(0xffff_0000..0x2_0000_0000)),
        "the 64-bit memory aperture 0xffff0000-0x1ffffffff must lie within 0x100000000-0xfffffffffffffffe"
    );
    assert_eq!(
        refused(|apertures| apertures.io = Some(0..0x1_0001)),
        "the I/O aperture 0x0-0x10000 must lie within 0x0-0xffff"
    );
}
