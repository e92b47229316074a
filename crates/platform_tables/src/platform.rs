//! The machine around the host bridges.

use crate::CxlWindow;
use crate::HostBridge;
use pcie_topology::AddressRange;

/// A machine: what its tables are written from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Processors; the first is the one that boots.
    pub cpus: Vec<Cpu>,
    /// Memory. Its nodes are told (SRAT); what there is, the boot protocol tells.
    pub memory: Vec<Memory>,
    /// Address of the local APICs.
    pub local_apic: u32,
    /// The I/O APIC.
    pub io_apic: IoApic,
    /// 16550 serial ports (PNP0501), the first is `ttyS0`.
    pub serial_ports: Vec<SerialPort>,
    /// Powering off; without it the guest cannot.
    pub power: Option<PowerRegisters>,
    /// A register, and the byte that resets the machine when written to it.
    pub reset: Option<(Register, u8)>,
    /// Addresses that no device may be given, besides those that follow from the rest.
    pub reserved: Vec<AddressRange>,
    /// Host bridges, one a root complex.
    pub host_bridges: Vec<HostBridge>,
    /// Windows for CXL memory.
    pub cxl_windows: Vec<CxlWindow>,
}

impl Platform {
    /// A PC of so many processors without nodes: APICs where PCs have them, a serial port at 0x3f8 on interrupt 4, and neither power
    /// control nor host bridges.
    pub fn new(cpus: u32) -> Self {
        Self {
            cpus: (0..cpus)
                .map(|apic_id| Cpu {
                    apic_id,
                    node: None,
                })
                .collect(),
            memory: Vec::new(),
            local_apic: 0xfee0_0000,
            io_apic: IoApic {
                id: 0,
                address: 0xfec0_0000,
                gsi_base: 0,
            },
            serial_ports: vec![SerialPort {
                base: 0x3f8,
                gsi: 4,
            }],
            power: None,
            reset: None,
            reserved: Vec::new(),
            host_bridges: Vec::new(),
            cxl_windows: Vec::new(),
        }
    }
}

/// A processor.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its local APIC's ID; from 255 up it is an x2APIC.
    pub apic_id: u32,
    /// Its proximity domain. Either all processors and memory have one, or none.
    pub node: Option<u32>,
}

/// A range of memory.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Where.
    pub range: AddressRange,
    /// Its proximity domain.
    pub node: Option<u32>,
}

/// An I/O APIC.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its ID.
    pub id: u8,
    /// Its address.
    pub address: u32,
    /// The global system interrupt of its first input.
    pub gsi_base: u32,
}

/// A 16550 serial port of eight I/O ports.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SerialPort {
    /// The first I/O port.
    pub base: u16,
    /// Its global system interrupt, edge-triggered as on a PC.
    pub gsi: u32,
}

/// A register of one byte.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Register {
    /// In memory.
    Memory(u64),
    /// An I/O port.
    Io(u16),
}

/// The sleep registers of hardware-reduced ACPI (ACPI 6.5 section 4.8.3.7).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PowerRegisters {
    /// Sleep control: the guest writes [`SLEEP_CONTROL_POWER_OFF`] to power off.
    pub sleep_control: Register,
    /// Sleep status: bit 7 is the wake status; reads 0 in a machine that never slept.
    pub sleep_status: Register,
}

/// Sleep type of S5, as `_S5` gives it.
pub(crate) const SLEEP_TYPE_S5: u8 = 5;

/// What the guest writes to the sleep control register to power off: sleep type 5 in bits 4:2, and sleep enable, bit 5.
pub const SLEEP_CONTROL_POWER_OFF: u8 = (SLEEP_TYPE_S5 << 2) | (1 << 5);

impl Platform {
    /// Whether anything has a proximity domain of its own.
    pub(crate) fn has_nodes(&self) -> bool {
        self.cpus.iter().any(|cpu| cpu.node.is_some())
            || self.memory.iter().any(|memory| memory.node.is_some())
    }
}
