//! Whatever a guest does, in whatever order: nothing panics, odd sizes are errors, and the state can be saved and restored; a
//! state that is refused changes nothing. `PROPTEST_CASES` says how often.

use crate::model::*;
use crate::switch::row;
use chipset_device::ChipsetDevice;
use chipset_device::io::IoResult;
use chipset_device::io::deferred::DeferredRead;
use chipset_device::io::deferred::defer_read;
use chipset_device::io::deferred::defer_write;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::MmioIntercept;
use cxl_spec::pci_registers::spec::flex_bus_port_dvsec::CxlFlexBusPortDvsecCapability;
use memory_range::MemoryRange;
use pci_bus::GenericPciBusDevice;
use pci_core::msi::MsiTarget;
use pcie::CxlPortOptions;
use pcie::PciePortSettings;
use pcie::PortBarDefinition;
use pcie::PortBarSubregionDefinition;
use pcie::PortBarSubregionKind;
use pcie::PortConfig;
use pcie::PortOptions;
use pcie::root::GenericPcieRootComplex;
use pcie::switch::SwitchConfig;
use proptest::collection::vec;
use proptest::prelude::*;
use std::task::Context;
use std::task::Waker;
use vmcore::save_restore::SaveRestore;

const BAR: u64 = 0xc000_0000;
const CHBCR: u64 = 0xd000_0000;

/// Ports that some hierarchy has, or none.
const NAMES: [&str; 6] = ["rp0", "rp1", "sw0-0", "sw2-1", "dsp", "nobody"];

/// What happens to a root complex.
#[derive(Clone, Debug)]
enum Action {
    Read {
        address: u64,
        len: usize,
    },
    Write {
        address: u64,
        data: Vec<u8>,
    },
    /// Bus numbers of a bridge, as a guest writes them.
    Number {
        bus: u8,
        devfn: u8,
        numbers: u32,
    },
    Plug {
        port: usize,
        device: u8,
    },
    Unplug {
        port: usize,
    },
    Poll,
    Reset,
    /// Saves and restores that.
    Restore,
    /// Restores what was saved with bytes changed.
    RestoreChanged(Vec<(prop::sample::Index, u8)>),
}

fn address() -> impl Strategy<Value = u64> {
    let devfn = prop_oneof![Just(0u8), Just(8), Just(0x10), any::<u8>()];
    let config =
        (0u8..10, devfn, 0u16..0x1000).prop_map(|(bus, devfn, offset)| config(bus, devfn, offset));
    let registers = (prop_oneof![Just(BAR), Just(CHBCR)], 0u64..0x4_0000)
        .prop_map(|(base, offset)| base + offset);
    let directory = (prop_oneof![Just(BAR), Just(CHBCR)], 0u64..0x200)
        .prop_map(|(base, offset)| base + 0x1000 + offset);
    let extreme = prop_oneof![
        Just(0),
        Just(ECAM - 1),
        Just(ECAM + (32 << 20) - 1),
        Just(u64::MAX),
        Just(u64::MAX - 7),
        any::<u64>()
    ];
    let any = prop_oneof![8 => config, 3 => registers, 3 => directory, 1 => extreme];
    // Most accesses of a processor are aligned.
    (
        any,
        prop_oneof![3 => Just(!7u64), 3 => Just(!3), 1 => Just(!0)],
    )
        .prop_map(|(address, mask)| address & mask)
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(1usize),
        Just(2),
        Just(3),
        Just(4),
        Just(4),
        Just(4),
        Just(8),
        Just(16)
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let write = len().prop_flat_map(|len| (address(), vec(any::<u8>(), len)));
    let number = (
        0u8..8,
        prop_oneof![Just(0u8), Just(8)],
        any::<u32>(),
        any::<bool>(),
    );
    prop_oneof![
        10 => (address(), len()).prop_map(|(address, len)| Action::Read { address, len }),
        20 => write.prop_map(|(address, data)| Action::Write { address, data }),
        4 => number.prop_map(|(bus, devfn, numbers, small)| Action::Number {
            bus,
            devfn,
            numbers: if small { numbers & 0x000f_0f0f } else { numbers },
        }),
        2 => (0..NAMES.len(), 0u8..3).prop_map(|(port, device)| Action::Plug { port, device }),
        1 => (0..NAMES.len()).prop_map(|port| Action::Unplug { port }),
        1 => Just(Action::Poll),
        1 => Just(Action::Reset),
        1 => Just(Action::Restore),
        2 => vec((any::<prop::sample::Index>(), any::<u8>()), 1..4).prop_map(Action::RestoreChanged),
    ]
}

/// Defers every access, and answers the one before by the next.
#[derive(Default)]
struct Slow(Option<DeferredRead>);

impl GenericPciBusDevice for Slow {
    fn pci_cfg_read(&mut self, offset: u16, _value: &mut u32) -> Option<IoResult> {
        let (read, token) = defer_read();
        if let Some(before) = self.0.replace(read) {
            before.complete(&u32::from(offset).to_ne_bytes());
        }
        Some(IoResult::Defer(token))
    }

    fn pci_cfg_write(&mut self, _offset: u16, _value: u32) -> Option<IoResult> {
        Some(IoResult::Defer(defer_write().1))
    }
}

fn device(kind: u8) -> Box<dyn GenericPciBusDevice> {
    match kind {
        0 => Scratch::boxed(0xd000),
        1 => Box::new(Slow::default()),
        _ => switch("sw2", 2).into_device(),
    }
}

fn flat() -> GenericPcieRootComplex {
    let (_, connection) = Messages::connected();
    let mut root = builder()
        .port(PortConfig::new("rp0", 0, 0).with_slot(1))
        .port(PortConfig {
            options: PortOptions {
                ari_forwarding: true,
                ..PortOptions::default()
            },
            ..PortConfig::new("rp1", 1, 0)
        })
        .integrated_endpoint("rciep", 2, 0, Scratch::boxed(0xe000))
        .build(&mut ExternallyManagedMmioIntercepts, connection.target())
        .unwrap();
    root.add_pcie_device(8, "slow", Box::new(Slow::default()))
        .unwrap();
    root.number((0, 0), 1, 1);
    root.number((0, 8), 2, 2);
    root
}

fn nested() -> GenericPcieRootComplex {
    row(3).0
}

fn cxl() -> GenericPcieRootComplex {
    let settings = PciePortSettings {
        acs_capabilities_supported: 0x5f,
        cxl_flex_bus_port_capability: Some(
            CxlFlexBusPortDvsecCapability::new()
                .with_mem_capable(true)
                .with_cache_capable(true),
        ),
    };
    let part = |kind, offset, size_bytes| PortBarSubregionDefinition {
        kind,
        offset,
        size_bytes,
    };
    let port = |name, device| PortConfig {
        settings: settings.clone(),
        bar: Some(PortBarDefinition {
            index: 0,
            size_bytes: 0x2_0000,
            subregions: vec![
                part(PortBarSubregionKind::CxlComponentRegisters, 0, 0x1_0000),
                part(PortBarSubregionKind::MsiXTable, 0x1_1000, 0x40),
                part(PortBarSubregionKind::MsiXPba, 0x1_2000, 8),
            ],
        }),
        options: PortOptions {
            serial_number: Some(1),
            cxl: CxlPortOptions {
                ras: true,
                link: true,
            },
            ..PortOptions::default()
        },
        ..PortConfig::new(name, device, 0).with_slot(device.into())
    };
    let (_, connection) = Messages::connected();
    let mut config = SwitchConfig::new("sw");
    config.ports = vec![port("dsp", 0)];
    let sw = config
        .build(
            connection.target(),
            Some(&mut ExternallyManagedMmioIntercepts),
        )
        .unwrap();
    let mut root = builder()
        .host_bridge_registers(MemoryRange::new(CHBCR..CHBCR + 0x1_1000))
        .port(port("rp0", 0))
        .port(port("rp1", 1))
        .build(&mut ExternallyManagedMmioIntercepts, connection.target())
        .unwrap();
    root.add_pcie_device(8, "sw", sw.into_device()).unwrap();
    root.number((0, 0), 1, 1);
    root.number((0, 8), 2, 4);
    root.number((2, 0), 3, 4);
    root.number((3, 0), 4, 4);
    for (bus, devfn, bar) in [(0, 0, BAR), (3, 0, BAR + 0x2_0000)] {
        root.write(bus, devfn, 0x10, bar as u32);
        root.write(bus, devfn, 0x04, 6);
    }
    root
}

fn perform(root: &mut GenericPcieRootComplex, action: Action) -> Result<(), TestCaseError> {
    match action {
        Action::Read { address, len } => {
            let result = root.mmio_read(address, &mut vec![0; len]);
            odd_sizes_are_errors(len, &result)?;
        }
        Action::Write { address, data } => {
            let result = root.mmio_write(address, &data);
            odd_sizes_are_errors(data.len(), &result)?;
        }
        Action::Number {
            bus,
            devfn,
            numbers,
        } => {
            // The bridge may be gone; a BAR may lie over it.
            let _ = root.mmio_write(config(bus, devfn, 0x18), &numbers.to_le_bytes());
        }
        Action::Plug { port, device: kind } => {
            let _ = root.hotplug_add_device(NAMES[port], "plugged", device(kind));
        }
        Action::Unplug { port } => {
            let _ = root.hotplug_remove_device(NAMES[port]);
        }
        Action::Poll => {
            let device = root.supports_poll_device().unwrap();
            device.poll_device(&mut Context::from_waker(Waker::noop()));
        }
        Action::Reset => reset(root),
        Action::Restore => {
            let state = saved(root);
            restore(root, &state).unwrap();
            prop_assert_eq!(saved(root), state);
        }
        Action::RestoreChanged(changes) => {
            let before = saved(root);
            let mut state = before.clone();
            for (place, value) in changes {
                let place = place.index(state.len());
                state[place] = value;
            }
            type State = <GenericPcieRootComplex as SaveRestore>::SavedState;
            let Ok(state) = mesh_protobuf::decode::<State>(&state) else {
                return Ok(());
            };
            match root.restore(state) {
                Ok(()) => {
                    let taken = saved(root);
                    restore(root, &taken).unwrap();
                    prop_assert_eq!(saved(root), taken);
                }
                Err(_) => prop_assert_eq!(saved(root), before),
            }
        }
    }
    Ok(())
}

fn odd_sizes_are_errors(len: usize, result: &IoResult) -> Result<(), TestCaseError> {
    if matches!(len, 3 | 16) {
        prop_assert!(
            matches!(result, IoResult::Err(_)),
            "{} bytes: {:?}",
            len,
            result
        );
    }
    Ok(())
}

fn run(mut root: GenericPcieRootComplex, actions: Vec<Action>) -> Result<(), TestCaseError> {
    for action in actions {
        perform(&mut root, action)?;
    }
    perform(&mut root, Action::Restore)?;
    // What the guest did does not stay where a reset reaches.
    reset(&mut root);
    let after_reset = saved(&mut root);
    reset(&mut root);
    prop_assert_eq!(saved(&mut root), after_reset);
    Ok(())
}

proptest! {
    #[test]
    fn fuzz_flat(actions in vec(action(), 1..40)) {
        run(flat(), actions)?;
    }

    #[test]
    fn fuzz_nested_switches(actions in vec(action(), 1..40)) {
        run(nested(), actions)?;
    }

    #[test]
    fn fuzz_cxl(actions in vec(action(), 1..40)) {
        run(cxl(), actions)?;
    }

    /// Composing never panics: it gives a root complex or an error, and an error leaves nothing registered.
    #[test]
    fn fuzz_builder(
        ports in vec((0u8..4, 0u8..34, 0u8..9, any::<Option<u16>>(), any::<bool>(), bar()), 0..4),
        (start, end, mib) in (any::<u8>(), any::<u8>(), 0u64..4),
    ) {
        let (end, mib) = if mib == 3 { (end, mib) } else { (start, 1) };
        let mut builder = GenericPcieRootComplex::builder(start, end, MemoryRange::new(ECAM..ECAM + (mib << 20)));
        for (name, device, function, slot_number, is_cxl, bar) in ports {
            let cxl = CxlFlexBusPortDvsecCapability::new().with_mem_capable(is_cxl);
            builder = builder.port(PortConfig {
                slot_number: slot_number.map(u32::from),
                bar,
                settings: PciePortSettings { acs_capabilities_supported: 0xffff, cxl_flex_bus_port_capability: Some(cxl) },
                ..PortConfig::new(format!("rp{name}"), device, function)
            });
        }
        let mut regions = Regions::default();
        match builder.build(&mut regions, &MsiTarget::disconnected()) {
            Ok(mut root) => {
                let state = saved(&mut root);
                restore(&mut root, &state).unwrap();
                drop(root);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        prop_assert_eq!(regions.live(), []);
    }
}

fn bar() -> impl Strategy<Value = Option<PortBarDefinition>> {
    let size = || {
        prop_oneof![
            Just(0u64),
            Just(8),
            Just(0x40),
            Just(0x1_0000),
            0..0x2_0000u64,
            any::<u64>()
        ]
    };
    let kind = prop_oneof![
        Just(PortBarSubregionKind::CxlComponentRegisters),
        Just(PortBarSubregionKind::MsiXTable),
        Just(PortBarSubregionKind::MsiXPba)
    ];
    let part =
        (kind, size(), size()).prop_map(|(kind, offset, size_bytes)| PortBarSubregionDefinition {
            kind,
            offset,
            size_bytes,
        });
    let bar = (
        prop_oneof![5 => Just(0u8), 1 => any::<u8>()],
        prop_oneof![Just(0x4_0000), size()],
        vec(part, 0..4),
    )
        .prop_map(|(index, size_bytes, subregions)| PortBarDefinition {
            index,
            size_bytes,
            subregions,
        });
    prop::option::of(bar)
}
