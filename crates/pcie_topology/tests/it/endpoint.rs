//! Test endpoints: scratch memory, doorbell, interrupts, component registers, resets.

use crate::machine::Machine;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use pci_bus::GenericPciBusDevice;
use pci_bus::ManagedDevice;
use pci_core::msi::MsiTarget;
use pcie_topology::DOORBELL_OFFSET;
use pcie_topology::EndpointSpec;
use pcie_topology::TestEndpoint;
use reg_table::Reset;

const BAR: u64 = 0x40_0000_0000;

const MACHINE: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    buses = { start = 0x10, end = 0x1f }
    chbcr = 0xf000_0000

    [[root_complex.port]]
    name = "rp0"
    cxl = {}

    [root_complex.port.endpoint]
    name = "ep0"
    functions = 2
    bar = [{ kind = "64", size = "128K" }]
    msix = { vectors = 3 }
    msi = { vectors = 2 }
    cxl = { memory = "1G", hdm_decoders = 2 }
"#;

/// BAR 0 of function `nth` at `BAR`.
fn machine(nth: usize) -> Machine {
    let mut machine = Machine::from_toml(MACHINE);
    machine.number_buses();
    machine.place_bar("ep0", nth, 0, BAR);
    machine
}

fn program_vector(machine: &mut Machine, vector: u64, address: u64, data: u64) {
    let entry = BAR + 0x1000 + 16 * vector;
    machine.write(0, entry, address, 8).unwrap();
    machine.write(0, entry + 8, data, 4).unwrap();
    machine.write(0, entry + 12, 0, 4).unwrap();
}

#[test]
fn scratch_memory_keeps_what_is_written_until_a_reset() {
    let mut machine = machine(0);
    machine.write(0, BAR, 0x8877_6655_4433_2211, 8).unwrap();
    machine.write(0, BAR + 1, 0xaa, 1).unwrap();
    machine.write(0, BAR + 0xff8, 0x5566_7788, 4).unwrap();
    assert_eq!(machine.read(0, BAR, 8), Ok(0x8877_6655_4433_aa11));
    assert_eq!(machine.read(0, BAR + 2, 2), Ok(0x4433));
    assert_eq!(
        machine.read(0, BAR + 0xff8, 8),
        Ok(0x5566_7788),
        "the doorbell reads zero"
    );
    assert_eq!(machine.read(0, BAR + 1, 2), Err(IoError::UnalignedAccess));
    assert_eq!(machine.write(0, BAR, 0, 3), Err(IoError::InvalidAccessSize));
    assert_eq!(
        machine.write(0, BAR + 0x1000, 0, 2),
        Err(IoError::InvalidAccessSize),
        "MSI-X takes dwords and quadwords"
    );

    // Initiate Function Level Reset is bit 15 of Device Control.
    let pcie = machine.capability("ep0", 0, 0x10).unwrap();
    assert_eq!(machine.config("ep0", 0, pcie + 4) >> 28 & 1, 1);
    machine.set_config("ep0", 0, pcie + 8, &[0, 0x80]);
    assert_eq!(
        machine.read(0, BAR, 8),
        Err(IoError::InvalidRegister),
        "decoding is off after the reset"
    );
    machine.place_bar("ep0", 0, 0, BAR);
    assert_eq!(machine.read(0, BAR, 8), Ok(0));
}

#[test]
fn the_doorbell_raises_msix_vectors_from_the_function() {
    let mut machine = machine(1);
    for vector in 0..3 {
        program_vector(&mut machine, vector, 0xfee0_0000 + vector, 0x40 + vector);
    }
    let msix = machine.capability("ep0", 1, 0x11).unwrap();
    machine.set_config("ep0", 1, msix + 2, &[0x00, 0x80]);
    for vector in [2, 0, 3, 0xffff_ffff] {
        machine.write(0, BAR + DOORBELL_OFFSET, vector, 4).unwrap();
    }
    // Bus 0x11, function 1.
    assert_eq!(
        machine.interrupts.take(),
        [(0x1101, 0xfee0_0002, 0x42), (0x1101, 0xfee0_0000, 0x40)]
    );
    machine.write(0, BAR + 0xff8, 1 << 32, 8).unwrap();
    assert_eq!(
        machine.interrupts.take(),
        [(0x1101, 0xfee0_0001, 0x41)],
        "as the high half of a quadword"
    );
    machine.write(0, BAR + DOORBELL_OFFSET, 1, 2).unwrap();
    machine.write(0, BAR + 0xffe, 1, 2).unwrap();
    assert_eq!(machine.interrupts.take(), [], "not by a part of it");

    // Masked, the vector becomes pending; the pending bits follow the table.
    machine.write(0, BAR + 0x1000 + 16 + 12, 1, 4).unwrap();
    machine.write(0, BAR + DOORBELL_OFFSET, 1, 4).unwrap();
    assert_eq!(machine.read(0, BAR + 0x1030, 8), Ok(2));
    assert_eq!(machine.interrupts.take(), []);
    machine.write(0, BAR + 0x1000 + 16 + 12, 0, 4).unwrap();
    assert_eq!(machine.interrupts.take(), [(0x1101, 0xfee0_0001, 0x41)]);
}

#[test]
fn the_doorbell_raises_msi_while_msix_is_off() {
    let mut machine = machine(0);
    let msi = machine.capability("ep0", 0, 0x05).unwrap();
    machine.set_config("ep0", 0, msi + 4, &0xfee0_1000_u32.to_le_bytes());
    machine.set_config("ep0", 0, msi + 12, &0x50_u16.to_le_bytes());
    machine.set_config("ep0", 0, msi + 2, &[0x11, 0x00]);
    for vector in [1, 0, 2] {
        machine.write(0, BAR + DOORBELL_OFFSET, vector, 4).unwrap();
    }
    assert_eq!(
        machine.interrupts.take(),
        [(0x1100, 0xfee0_1000, 0x51), (0x1100, 0xfee0_1000, 0x50)]
    );
}

#[test]
fn function_0_is_the_cxl_device() {
    let mut machine = machine(0);
    // The DVSECs of a memory device: device (0), Flex Bus port (7), register locator (8).
    let dvsecs = |machine: &mut Machine, nth| -> Vec<u32> {
        let found = machine.extended_capabilities("ep0", nth);
        let found = found.into_iter().filter(|(id, _)| *id == 0x23);
        found
            .map(|(_, at)| machine.config("ep0", nth, at + 8) & 0xffff)
            .collect()
    };
    assert_eq!(dvsecs(&mut machine, 0), [0, 7, 8]);
    assert_eq!(dvsecs(&mut machine, 1), []);
    let (_, device) = machine
        .extended_capabilities("ep0", 0)
        .into_iter()
        .find(|(id, _)| *id == 0x23)
        .unwrap();
    assert_eq!(
        machine.config("ep0", 0, device + 0x18),
        0,
        "high half of the size"
    );
    assert_eq!(
        machine.config("ep0", 0, device + 0x1c) & 0xf000_0003,
        0x4000_0003,
        "1 GiB, valid and active"
    );
    let mut extended = machine.extended_capabilities("ep0", 0).into_iter();
    let (_, locator) = extended.rfind(|(id, _)| *id == 0x23).unwrap();
    assert_eq!(
        machine.config("ep0", 0, locator + 0x0c),
        0x0001_0100,
        "component registers in BAR 0 at 64 KiB"
    );

    // The capability directory begins at 0x1000 with ID 1.
    assert_eq!(machine.read(0, BAR + 0x1_1000, 4).unwrap() & 0xffff, 1);
    let entries = machine.read(0, BAR + 0x1_1000, 4).unwrap() >> 24;
    let ids: Vec<_> = (1..=entries)
        .map(|i| machine.read(0, BAR + 0x1_1000 + 4 * i, 4).unwrap() & 0xffff)
        .collect();
    assert_eq!(ids, [2, 5], "RAS and HDM decoders");
    let hdm = machine.read(0, BAR + 0x1_1008, 4).unwrap() >> 20 & 0xfff;
    assert_eq!(
        machine.read(0, BAR + 0x1_1000 + hdm, 4).unwrap() & 0xf,
        1,
        "two decoders"
    );
    assert_eq!(
        machine.read(0, BAR + 0x1_0000, 1),
        Err(IoError::InvalidAccessSize)
    );
}

#[test]
fn what_is_not_there_reads_all_ones_and_ignores_writes() {
    let mut machine = machine(0);
    let (ep, bus) = (machine.function("ep0", 0), 1_u64 << 20);
    assert_eq!(ep.bdf.unwrap().bus(), 0x11);
    for function in 2..8 {
        let address = 0xe000_0000 + bus + (function << 12);
        assert_eq!(machine.read(0, address, 4), Ok(0xffff_ffff));
        machine.write(0, address, 0, 4).unwrap();
    }
    assert_eq!(
        machine.config("ep0", 0, 0x0c) >> 16 & 0xff,
        0x80,
        "a multi-function device"
    );
}

#[test]
fn each_function_reads_what_was_written_to_it() {
    let spec = EndpointSpec {
        functions: 3,
        ..EndpointSpec::new("ep0")
    };
    let msi_target = MsiTarget::disconnected();
    let mut endpoint =
        TestEndpoint::new(&spec, &msi_target, &mut ExternallyManagedMmioIntercepts).unwrap();
    let interrupt_lines = |endpoint: &mut TestEndpoint| {
        [0, 1, 2, 3].map(|function| {
            let mut value = 0;
            let result = endpoint.pci_cfg_read_with_routing(1, 1, function, 0x3c, &mut value);
            result.unwrap().unwrap();
            value
        })
    };
    for function in 0..4 {
        let line = 0x10 + u32::from(function);
        let result = endpoint.pci_cfg_write_with_routing(1, 1, function, 0x3c, line);
        result.unwrap().unwrap();
    }
    let written = [0x10, 0x11, 0x12, u32::MAX];
    assert_eq!(interrupt_lines(&mut endpoint), written);
    let state = endpoint.save().unwrap();
    endpoint.reset(Reset::Cold);
    assert_eq!(interrupt_lines(&mut endpoint), [0, 0, 0, u32::MAX]);
    endpoint.restore(state).unwrap();
    assert_eq!(interrupt_lines(&mut endpoint), written);

    let mut value = 7;
    let below = endpoint.pci_cfg_read_with_routing(1, 2, 0, 0, &mut value);
    below.unwrap().unwrap();
    assert_eq!(value, u32::MAX, "there is no bus below it");
    for offset in [0x3e, 0x1000] {
        let read = endpoint.pci_cfg_read_with_routing(1, 1, 2, offset, &mut value);
        let Some(IoResult::Err(error)) = read else {
            panic!("{read:?}");
        };
        assert_eq!(error, IoError::InvalidRegister, "{offset:#x}");
    }
}

/// The BAR kinds of a description, with what bits 3:0 of the register read (PCIe 6.2 section 7.5.1.2.1), and how many slots each takes.
const KINDS: [(&str, u32, usize); 5] = [
    ("32", 0x0, 1),
    ("64", 0x4, 2),
    ("32-prefetchable", 0x8, 1),
    ("prefetchable", 0xc, 2),
    ("io", 0x1, 1),
];

#[test]
fn every_slot_takes_every_kind() {
    for (kind, encoding, slots) in KINDS {
        for (slot, bits) in (0..=6 - slots).flat_map(|slot| [4, 8, 12, 24].map(|bits| (slot, bits)))
        {
            let is_io = kind == "io";
            if is_io != (bits <= 8) {
                continue;
            }
            let size = 1_u64 << bits;
            let mut machine = Machine::from_toml(&format!(
                r#"
                [[root_complex]]
                name = "rc0"
                ecam = 0xe000_0000
                [[root_complex.endpoint]]
                name = "ep0"
                bar = [{{ index = {slot}, kind = "{kind}", size = {size} }}]
                rom = "1M"
                "#
            ));
            let bar = |index| 0x10 + 4 * index as u64;
            for index in 0..6 {
                machine.set_config("ep0", 0, bar(index), &[0xff; 4]);
            }
            machine.set_config("ep0", 0, 0x30, &[0xff; 4]);
            let read: Vec<_> = (0..6)
                .map(|index| machine.config("ep0", 0, bar(index)))
                .collect();
            let mut expected = vec![0; 6];
            expected[slot] = (u32::MAX << bits) | encoding;
            if slots == 2 {
                expected[slot + 1] = u32::MAX;
            }
            assert_eq!(read, expected, "{kind} in slot {slot}, {size:#x} bytes");
            assert_eq!(
                machine.config("ep0", 0, 0x30),
                0xfff0_0001,
                "the ROM beside it"
            );
        }
    }
}

#[test]
fn six_bars_and_a_rom_answer_at_once() {
    use chipset_device::pio::PortIoIntercept;
    let mut machine = Machine::from_toml(
        r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe000_0000
        [[root_complex.endpoint]]
        name = "ep0"
        bar = [
            { kind = "32", size = "4K" },
            { kind = "io", size = 256 },
            { kind = "32-prefetchable", size = "1M" },
            { kind = "io", size = 4 },
            { kind = "prefetchable", size = "8G" },
        ]
        rom = "16M"
        "#,
    );
    for (offset, value) in [
        (0x10, 0xc000_0000_u32),
        (0x14, 0x2000),
        (0x18, 0xc010_0000),
        (0x1c, 0x3ffc),
        (0x20, 0),
        (0x24, 0x42),
        (0x30, 0xc100_0001),
        (0x04, 3),
    ] {
        machine.set_config("ep0", 0, offset, &value.to_le_bytes());
    }
    machine.write(0, 0xc000_0000, 0x0403_0201, 4).unwrap();
    let root = &mut machine.hierarchy.complexes[0].root;
    for port in [0x2000, 0x3ffc] {
        let mut data = [0; 4];
        root.io_read(port, &mut data).unwrap();
        assert_eq!(data, [1, 2, 3, 4], "the scratch memory, by port {port:#x}");
    }
    for (first, last) in [
        (0xc000_0000, 0xc000_0fff),
        (0xc010_0000, 0xc01f_ffff),
        (0x42_0000_0000, 0x43_ffff_ffff),
        (0xc100_0000, 0xc1ff_ffff),
    ] {
        assert!(machine.read(0, first, 1).is_ok(), "{first:#x}");
        assert!(machine.read(0, last, 1).is_ok(), "{last:#x}");
        assert_eq!(machine.read(0, last + 1, 1), Err(IoError::InvalidRegister));
    }
    assert_eq!(machine.read(0, 0xc100_0000, 2), Ok(0xaa55));
}
