//! What holds of every description.

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use pcie_topology::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// Mostly numbers that are right, now and then one that is not.
fn mostly<T: Clone + std::fmt::Debug + 'static>(
    right: impl Strategy<Value = T> + 'static,
    any: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    prop_oneof![40 => right, 1 => any].boxed()
}

fn size() -> BoxedStrategy<Size> {
    mostly(
        (12..26_u32).prop_map(|shift| Size(1 << shift)),
        any::<u64>().prop_map(Size),
    )
}

fn bar_kind() -> impl Strategy<Value = BarKind> {
    prop_oneof![
        4 => Just(BarKind::Memory32),
        4 => Just(BarKind::Memory64),
        4 => Just(BarKind::Memory32Prefetchable),
        1 => Just(BarKind::Io),
        4 => Just(BarKind::Prefetchable)
    ]
}

fn bar() -> impl Strategy<Value = BarSpec> {
    let ports = mostly((2..9_u32).prop_map(|shift| Size(1 << shift)), size());
    let other = (20..26_u32).prop_map(|shift| Size(1 << shift));
    let parts = (
        option::weighted(0.1, 0..7_u8),
        bar_kind(),
        size(),
        ports,
        vec(other, 0..3),
    );
    parts.prop_map(|(index, kind, size, ports, mut resizable)| {
        // A BAR of less cannot be resizable, and one of I/O space neither.
        resizable.retain(|_| size.0 >= 1 << 20 && kind != BarKind::Io);
        BarSpec {
            index,
            kind,
            size: if kind == BarKind::Io { ports } else { size },
            resizable,
        }
    })
}

fn msix() -> impl Strategy<Value = MsixSpec> {
    let vectors = mostly(1..64_u16, any::<u16>());
    let offset = || {
        option::weighted(
            0.1,
            mostly((0..0x200_u32).prop_map(|n| n * 64), any::<u32>()),
        )
    };
    (vectors, mostly(Just(0), 0..8_u8), offset(), offset()).prop_map(
        |(vectors, bar, table, pba)| MsixSpec {
            vectors,
            bar,
            table,
            pba,
        },
    )
}

fn cxl_device() -> impl Strategy<Value = CxlDeviceSpec> {
    let memory = mostly(
        (1..64_u64).prop_map(|n| Size(n << 28)),
        any::<u64>().prop_map(Size),
    );
    let registers = option::weighted(0.2, mostly((0..4_u64).prop_map(|n| n << 16), any::<u64>()));
    (
        memory,
        mostly(Just(1_u8), 0..12_u8),
        mostly(Just(0), 0..6_u8),
        registers,
    )
        .prop_map(
            |(memory, hdm_decoders, bar, component_registers)| CxlDeviceSpec {
                hdm_decoders,
                bar,
                component_registers,
                ..CxlDeviceSpec::new(memory.0)
            },
        )
}

fn endpoint() -> impl Strategy<Value = EndpointSpec> {
    let functions = mostly(Just(1), prop_oneof![1..9_u16, 9..258_u16]);
    let msi = option::weighted(0.3, mostly((0..6_u32).prop_map(|n| 1_u8 << n), any::<u8>()));
    let cxl = option::weighted(0.1, cxl_device());
    (
        any::<u16>(),
        functions,
        vec(bar(), 0..4),
        option::weighted(0.3, msix()),
        msi,
        option::weighted(0.2, link()),
        cxl,
        option::weighted(0.1, (12..24_u32).prop_map(|shift| Size(1 << shift))),
        option::weighted(0.5, Just(PinSpec::B)),
    )
        .prop_map(
            |(device_id, functions, bar, msix, msi, link, cxl, rom, intx)| EndpointSpec {
                rom,
                intx,
                device_id,
                functions,
                bar,
                msix,
                msi: msi.map(|vectors| MsiSpec { vectors }),
                link,
                cxl,
                ..EndpointSpec::new("")
            },
        )
}

fn port_bar() -> impl Strategy<Value = PortBarSpec> {
    let registers = option::weighted(0.1, mostly((0..2_u64).prop_map(|n| n << 16), any::<u64>()));
    let kind = mostly(Just(BarKind::Memory64), bar_kind());
    (
        option::weighted(0.2, 0..3_u8),
        kind,
        option::weighted(0.2, size()),
        registers,
        option::weighted(0.3, msix()),
    )
        .prop_map(
            |(index, kind, size, component_registers, msix)| PortBarSpec {
                index,
                kind,
                size,
                component_registers,
                msix,
            },
        )
}

/// BARs that a port may have, and others.
fn port_bars() -> impl Strategy<Value = Vec<PortBarSpec>> {
    let own = (any::<bool>(), any::<bool>()).prop_map(|(io, wide)| match wide {
        true => vec![PortBarSpec::new(BarKind::Prefetchable, 0x1_0000)],
        false => vec![
            PortBarSpec::new(BarKind::Memory32, 0x1000),
            PortBarSpec::new(
                if io { BarKind::Io } else { BarKind::Memory32 },
                0x1000 >> (8 * u8::from(io)),
            ),
        ],
    });
    prop_oneof![
        60 => Just(Vec::new()),
        6 => own,
        1 => vec(port_bar(), 1..3),
    ]
}

fn slot() -> impl Strategy<Value = SlotSpec> {
    let table = (0..9000_u32, any::<[bool; 8]>()).prop_map(|(number, has)| {
        let [
            surprise,
            attention_button,
            power_controller,
            mrl_sensor,
            attention_indicator,
            power_indicator,
            interlock,
            in_band_presence_disable,
        ] = has;
        SlotSpec {
            number,
            surprise,
            attention_button,
            power_controller,
            mrl_sensor,
            attention_indicator,
            power_indicator,
            interlock,
            in_band_presence_disable,
        }
    });
    prop_oneof![(0..9000_u32).prop_map(SlotSpec::from), table]
}

fn link() -> impl Strategy<Value = LinkSpec> {
    let speed = prop::sample::select(vec![
        LinkSpeedSpec::Gen1,
        LinkSpeedSpec::Gen2,
        LinkSpeedSpec::Gen3,
        LinkSpeedSpec::Gen4,
        LinkSpeedSpec::Gen5,
        LinkSpeedSpec::Gen6,
    ]);
    let width = mostly((0..5_u8).prop_map(|n| 1 << n), any::<u8>());
    (speed, width).prop_map(|(speed, width)| LinkSpec { speed, width })
}

fn port() -> impl Strategy<Value = PortSpec> {
    let device = option::weighted(0.05, mostly(0..32_u8, any::<u8>()));
    let function = mostly(Just(0), 0..9_u8);
    let slot = option::weighted(0.3, slot());
    let link = option::weighted(0.2, link());
    let acs = option::weighted(0.2, mostly(0..0x20_u16, any::<u16>()));
    let cxl = option::weighted(
        0.2,
        (
            any::<bool>(),
            mostly(Just(true), any::<bool>()),
            any::<bool>(),
            any::<bool>(),
        ),
    );
    let bar = port_bars();
    let rom = option::weighted(0.1, Just(Size(0x1_0000)));
    let leaf = (
        device,
        function,
        (slot, link),
        acs,
        any::<bool>(),
        cxl,
        (bar, rom),
        option::of(endpoint()),
        mostly(Just(Some(IoWindowSpec::Bits32)), Just(None)),
        option::weighted(0.5, Just(PinSpec::A)),
    )
        .prop_map(
            |(
                device,
                function,
                (slot, link),
                acs,
                ari_forwarding,
                cxl,
                (bar, rom),
                endpoint,
                io_window,
                intx,
            )| PortSpec {
                io_window,
                intx,
                device,
                function,
                slot,
                link,
                acs,
                ari_forwarding,
                cxl: cxl.map(|(cache, mem, ras, link)| CxlPortSpec {
                    cache,
                    mem,
                    ras,
                    link,
                    ..CxlPortSpec::default()
                }),
                bar,
                rom,
                endpoint: endpoint.map(Box::new),
                ..PortSpec::new("")
            },
        );
    leaf.prop_recursive(3, 12, 4, |inner| {
        (inner.clone(), vec(inner, 0..4), port_bars()).prop_map(|(mut port, below, bar)| {
            port.endpoint = None;
            port.with_switch(SwitchSpec {
                bar,
                port: below,
                ..SwitchSpec::new("")
            })
        })
    })
}

/// Gives everything a name of its own.
fn name_ports(prefix: &str, ports: &mut [PortSpec]) {
    for (i, port) in ports.iter_mut().enumerate() {
        port.name = format!("{prefix}p{i}");
        if let Some(endpoint) = &mut port.endpoint {
            endpoint.name = format!("{prefix}e{i}");
        }
        if let Some(switch) = &mut port.switch {
            switch.name = format!("{prefix}s{i}");
            name_ports(&format!("{}-", switch.name), &mut switch.port);
        }
    }
}

prop_compose! {
    fn root_complex()(
        ports in vec(port(), 0..4),
        endpoints in vec(endpoint(), 0..2),
        chbcr in mostly(Just(true), any::<bool>()),
        disorder in mostly(Just(0), any::<u64>()),
    ) -> RootComplexSpec {
        RootComplexSpec {
            ecam: disorder,
            chbcr: chbcr.then_some(0),
            port: ports,
            endpoint: endpoints,
            ..RootComplexSpec::new("", 0)
        }
    }
}

/// Topologies of which a good part is sound.
fn topology() -> impl Strategy<Value = Topology> {
    vec(root_complex(), 0..3).prop_map(|mut root_complex| {
        for (i, spec) in (0_u16..).zip(&mut root_complex) {
            let base = 0x10_0000_0000 * (u64::from(i) + 1);
            spec.name = format!("rc{i}");
            spec.segment = i;
            spec.ecam ^= base;
            spec.chbcr = spec.chbcr.map(|_| base + 0x4000_0000);
            name_ports(&format!("rc{i}-"), &mut spec.port);
            for (j, endpoint) in spec.endpoint.iter_mut().enumerate() {
                endpoint.name = format!("rc{i}-i{j}");
                // Integrated endpoints have none.
                endpoint.link = None;
            }
        }
        Topology {
            root_complex,
            ..Topology::default()
        }
    })
}

#[test]
fn what_is_valid_composes() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut sound, mut refused) = (0, 0);
    for _ in 0..400 {
        let topology = topology().new_tree(&mut runner).unwrap().current();
        match topology.validate() {
            Ok(()) => {
                sound += 1;
                let composed = topology.compose(&mut ExternallyManagedMmioIntercepts, None);
                let hierarchy = composed
                    .map_err(|problems| format!("{problems}\n{topology:#?}"))
                    .unwrap();
                let names = hierarchy.functions();
                assert!(names.iter().all(|function| !function.path.is_empty()));
            }
            Err(problems) => {
                refused += 1;
                let text = problems.to_string();
                assert!(text.lines().count() == problems.iter().count(), "{text}");
            }
        }
    }
    // The generator is of use only while it makes both.
    assert!(
        sound > 80 && refused > 40,
        "{sound} sound, {refused} refused"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_is_written_reads_back(topology in topology()) {
        if topology.validate().is_ok() {
            let text = topology.to_toml().unwrap();
            prop_assert_eq!(Topology::from_toml(&text).map_err(|problems| format!("{problems}\n{text}")), Ok(topology));
        }
    }

    #[test]
    fn any_text_is_read_without_panic(text in ".{0,200}") {
        let _ = Topology::from_toml(&text);
    }

    /// The demonstration with a part cut out or overwritten.
    #[test]
    fn any_damage_is_read_without_panic(at in 0..crate::machine::DEMO.len(), len in 0..40_usize, insert in "[a-z0-9\\[\\]{}=\", \n]{0,12}") {
        let text = crate::machine::DEMO;
        if let (Some(before), Some(after)) = (text.get(..at), text.get((at + len).min(text.len())..))
            && let Ok(topology) = Topology::from_toml(&format!("{before}{insert}{after}"))
        {
            prop_assert!(topology.compose(&mut ExternallyManagedMmioIntercepts, None).is_ok());
        }
    }
}

#[test]
fn deep_nesting_is_refused_or_composed() {
    for depth in [1, 20, 126, 127, 128, 5000, 100_000] {
        let path = "switch.port.".repeat(depth);
        let text = format!(
            "[[root_complex]]\nname = \"rc0\"\necam = 0\n[[root_complex.port.{}]]",
            path.trim_end_matches('.')
        );
        let _ = Topology::from_toml(&text);
        let text = format!("root_complex = {}", "[".repeat(depth));
        let _ = Topology::from_toml(&text);
    }
}
