//! Functions as the common plan ([`reg_table::plan`]) drives them: their headers, and capabilities within them.

use super::BarKind;
use super::BarMemoryKind;
use super::ConfigSpaceType0Emulator;
use super::ConfigSpaceType1Emulator;
use super::DeviceBars;
use crate::capabilities::CapabilityRegisters;
use crate::capabilities::extended::acs::AcsExtendedCapability;
use crate::capabilities::msi_cap::MsiCapability;
use crate::capabilities::pci_express::PciExpressCapability;
use crate::capabilities::plan_subject::enables;
use crate::capabilities::plan_subject::encoded;
use crate::capabilities::plan_subject::restore_encoded;
use crate::msi::MsiTarget;
use crate::spec::caps::pci_express::DevicePortType;
use crate::spec::cfg_space::IoAddressing;
use crate::spec::hwid::ClassCode;
use crate::spec::hwid::HardwareIds;
use crate::spec::hwid::ProgrammingInterface;
use crate::spec::hwid::Subclass;
use reg_table::Block;
use reg_table::Reset;
use reg_table::WordMask;
use reg_table::plan::Consequence;
use reg_table::plan::Subject;
use reg_table::plan_subjects;

/// A run of a function's configuration space.
struct FunctionSubject {
    function: Function,
    offset: u16,
    /// The bits of the first dword that belong to the capability list.
    link: u32,
    registers: CapabilityRegisters,
    consequences: &'static [Consequence],
}

enum Function {
    Type0(Box<ConfigSpaceType0Emulator>),
    Type1(Box<ConfigSpaceType1Emulator>),
}

/// Runs one expression on a function of whichever type it is.
macro_rules! each {
    ($function:expr, $emulator:ident => $body:expr) => {
        match $function {
            Function::Type0($emulator) => $body,
            Function::Type1($emulator) => $body,
        }
    };
}

impl FunctionSubject {
    fn header(function: Function, consequences: &'static [Consequence]) -> Self {
        let registers = each!(&function, emulator => emulator.common.header.registers());
        Self {
            function,
            offset: 0,
            link: 0,
            registers,
            consequences,
        }
    }

    /// The extended capability at 0x100.
    ///
    /// # Panics
    ///
    /// When the function has none that has a table.
    #[expect(clippy::expect_used, reason = "documented; only tests come here")]
    fn first_extended(function: Function) -> Self {
        let registers = each!(&function, emulator => &emulator.common.extended_capabilities)
            .first()
            .and_then(|capability| capability.registers())
            .expect("an extended capability with a register table");
        Self {
            function,
            offset: 0x100,
            link: 0xfff0_0000,
            registers,
            consequences: &[],
        }
    }

    fn link(&self, offset: u16) -> u32 {
        if offset == 0 { self.link } else { 0 }
    }
}

impl Subject for FunctionSubject {
    fn block(&self) -> &'static Block {
        self.registers.block
    }

    fn masks(&self) -> Vec<WordMask> {
        self.registers.masks.clone()
    }

    fn read(&self, offset: u16) -> u32 {
        let mut value = 0;
        // An error leaves zero, which is not what the plan expects.
        let _ =
            each!(&self.function, emulator => emulator.read_u32(self.offset + offset, &mut value));
        value & !self.link(offset)
    }

    fn write(&mut self, offset: u16, value: u32, lanes: u32) {
        let _ = each!(&mut self.function, emulator => {
            emulator.write_bytes(self.offset + offset, value, enables(lanes))
        });
    }

    fn latch(&mut self, offset: u16, bits: u32) {
        self.registers.hardware.set_bits(offset, bits);
    }

    fn reset(&mut self, kind: Reset) {
        each!(&mut self.function, emulator => emulator.reset_by(kind));
    }

    fn save(&mut self) -> Vec<u8> {
        each!(&mut self.function, emulator => encoded(emulator.as_mut()))
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        each!(&mut self.function, emulator => restore_encoded(emulator.as_mut(), saved))
    }

    fn consequences(&self) -> &'static [Consequence] {
        self.consequences
    }
}

fn ids(base_class: ClassCode, sub_class: Subclass) -> HardwareIds {
    HardwareIds {
        vendor_id: 0x1234,
        device_id: 0x5678,
        revision_id: 9,
        prog_if: ProgrammingInterface::NONE,
        sub_class,
        base_class,
        type0_sub_vendor_id: 0x4321,
        type0_sub_system_id: 0x8765,
    }
}

fn endpoint(bars: DeviceBars) -> Function {
    Function::Type0(Box::new(endpoint_emulator(bars)))
}

fn standard_endpoint() -> Function {
    let emulator = endpoint_emulator(every_bar_kind()).with_standard_header();
    Function::Type0(Box::new(emulator))
}

fn endpoint_emulator(bars: DeviceBars) -> ConfigSpaceType0Emulator {
    ConfigSpaceType0Emulator::new(
        ids(ClassCode::MASS_STORAGE_CONTROLLER, Subclass::NONE),
        vec![
            Box::new(PciExpressCapability::new(DevicePortType::Endpoint, None)),
            Box::new(MsiCapability::new(
                0,
                true,
                false,
                &MsiTarget::disconnected(),
            )),
        ],
        vec![
            Box::new(AcsExtendedCapability::new()),
            Box::new(AcsExtendedCapability::with_capabilities(1)),
        ],
        bars,
    )
    .with_multi_function_bit(true)
}

fn every_bar_kind() -> DeviceBars {
    DeviceBars::new()
        .with(0, BarKind::Memory32, 0x1000, BarMemoryKind::Dummy)
        .with(1, BarKind::Memory64, 0x1_0000_0000, BarMemoryKind::Dummy)
        .with(
            4,
            BarKind::Memory64Prefetchable,
            0x4000,
            BarMemoryKind::Dummy,
        )
}

fn narrow_bars_and_a_rom() -> DeviceBars {
    DeviceBars::new()
        .with(0, BarKind::Io, 4, BarMemoryKind::Dummy)
        .with(
            3,
            BarKind::Memory32Prefetchable,
            0x2000,
            BarMemoryKind::Dummy,
        )
        .with(5, BarKind::Io, 256, BarMemoryKind::Dummy)
        .rom(0x1_0000, BarMemoryKind::Dummy)
}

fn bridge(bars: DeviceBars) -> Function {
    Function::Type1(Box::new(bridge_emulator(bars)))
}

fn standard_bridge() -> Function {
    let emulator = bridge_emulator(DeviceBars::new()).with_standard_header();
    Function::Type1(Box::new(emulator))
}

fn bridge_with_io_window(addressing: IoAddressing) -> Function {
    let bars = DeviceBars::new()
        .with(1, BarKind::Io, 16, BarMemoryKind::Dummy)
        .rom(0x800, BarMemoryKind::Dummy);
    Function::Type1(Box::new(bridge_emulator(bars).with_io_window(addressing)))
}

fn bridge_emulator(bars: DeviceBars) -> ConfigSpaceType1Emulator {
    ConfigSpaceType1Emulator::new_with_bars(
        ids(ClassCode::BRIDGE, Subclass::BRIDGE_PCI_TO_PCI),
        vec![Box::new(PciExpressCapability::new(
            DevicePortType::RootPort,
            None,
        ))],
        vec![Box::new(AcsExtendedCapability::new())],
        bars,
    )
}

/// What is stored at 0x3E shows as the latency timer as well.
const LATENCY: &[Consequence] = &[Consequence {
    of: "min_gnt",
    on: "latency_timer",
    bits: 0xff,
}];

plan_subjects! {
    "type 0 header without BARs" => FunctionSubject::header(endpoint(DeviceBars::new()), LATENCY),
    "type 0 header with BARs of every kind" => FunctionSubject::header(endpoint(every_bar_kind()), LATENCY),
    "type 0 header with narrow BARs and an expansion ROM" =>
        FunctionSubject::header(endpoint(narrow_bars_and_a_rom()), LATENCY),
    "type 1 header with an I/O window of 16 bits" =>
        FunctionSubject::header(bridge_with_io_window(IoAddressing::Bits16), &[]),
    "type 1 header with an I/O window of 32 bits" =>
        FunctionSubject::header(bridge_with_io_window(IoAddressing::Bits32), &[]),
    "type 1 header without BARs" => FunctionSubject::header(bridge(DeviceBars::new()), &[]),
    "type 1 header with a BAR" => FunctionSubject::header(
        bridge(DeviceBars::new().bar0(0x1_0000, BarMemoryKind::Dummy)), &[]
    ),
    "type 0 header of PCI Express" => FunctionSubject::header(standard_endpoint(), &[]),
    "type 1 header of PCI Express" => FunctionSubject::header(standard_bridge(), &[]),
    "acs within an endpoint" => FunctionSubject::first_extended(endpoint(DeviceBars::new())),
}

#[cfg(test)]
mod tests {
    use reg_table::plan;

    #[test]
    fn every_block_passes_the_plan() {
        let findings: Vec<_> = plan::SUBJECTS.iter().flat_map(plan::run).collect();
        assert_eq!(findings, Vec::<String>::new());
    }

    #[test]
    fn no_block_is_forgotten() {
        assert_eq!(plan::blocks_without_subject(), Vec::<&str>::new());
    }
}
