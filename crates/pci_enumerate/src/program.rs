//! Writes what was decided: BARs, expansion ROMs, windows, and the Command register last.

use pci_spec::cfg_space::{Command, Type0HeaderReg, Type1HeaderReg};

use crate::access::{Config, ConfigAccess, header};
use crate::bar::{self, Bar, BarKind, ROM_ADDRESS_MASK, Rom};
use crate::hierarchy::{AddressBits, Bridge, Function, HeaderType, Window};
use crate::host_bridge::Options;
use crate::identify::IO_ADDRESS_MASK;
use crate::shortfall::{Resource, Shortfall};

/// Programs all functions, each bridge before what is behind it. Registers that do not take what is written are added
/// to `shortfalls`.
pub(crate) fn program(
    access: &mut dyn ConfigAccess,
    options: &Options,
    functions: &mut [Function],
    shortfalls: &mut Vec<Shortfall>,
) {
    for function in functions {
        let mut programmer = Programmer {
            config: Config::new(access, function.bdf),
            shortfalls,
        };
        programmer.function(function, options);
        if let Some(bridge) = &mut function.bridge {
            program(access, options, &mut bridge.functions, shortfalls);
        }
    }
}

struct Programmer<'a> {
    config: Config<'a>,
    shortfalls: &'a mut Vec<Shortfall>,
}

impl Programmer<'_> {
    fn function(&mut self, function: &mut Function, options: &Options) {
        let rom_offset = match function.header_type {
            HeaderType::Type0 => header(Type0HeaderReg::ExpansionRomBaseAddress),
            HeaderType::Type1 => header(Type1HeaderReg::ExpansionRomBaseAddress),
            HeaderType::Other(_) => return,
        };
        for bar in &mut function.bars {
            self.bar(bar);
        }
        if let Some(rom) = &mut function.rom {
            self.rom(rom, rom_offset);
        }
        if let Some(bridge) = &function.bridge {
            self.windows(bridge);
        }
        self.command(function, options);
    }

    fn bar(&mut self, bar: &mut Bar) {
        let offset = bar::offset(bar.index);
        let address = bar.address.unwrap_or(0);
        let (lower, upper) = halves(address);
        let type_bits = if bar.kind == BarKind::Io {
            0b11
        } else {
            0b1111
        };
        self.config.write_u32(offset, lower);
        let mut read = u64::from(self.config.read_u32(offset) & !type_bits);
        if let BarKind::Memory64 { .. } = bar.kind {
            self.config.write_u32(offset + 4, upper);
            read |= u64::from(self.config.read_u32(offset + 4)) << 32;
        }
        if !self.check("Base Address", address, read) {
            bar.address = None;
        }
    }

    fn rom(&mut self, rom: &mut Rom, offset: u16) {
        let address = rom.address.unwrap_or(0);
        self.config.write_u32(offset, halves(address).0);
        let read = self.config.read_u32(offset) & ROM_ADDRESS_MASK;
        if !self.check("Expansion ROM Base Address", address, read.into()) {
            rom.address = None;
        }
    }

    fn windows(&mut self, bridge: &Bridge) {
        if let Some(bits) = bridge.implemented.io {
            self.io_window(bridge.io, bits);
        }
        if bridge.implemented.memory {
            let written = memory_bits(bridge.memory);
            self.config
                .write_u32(header(Type1HeaderReg::MemoryBase), written);
            let read = self.config.read_u32(header(Type1HeaderReg::MemoryBase)) & 0xfff0_fff0;
            self.check("Memory Base and Limit", written.into(), read.into());
        }
        if let Some(bits) = bridge.implemented.prefetchable {
            self.prefetchable_window(bridge.prefetchable, bits);
        }
    }

    fn io_window(&mut self, window: Option<Window>, bits: AddressBits) {
        // Not as one dword: the upper half of it is Secondary Status, whose bits a write of ones clears.
        let nibble = |address: u64| (address >> 8 & 0xff) as u8 & IO_ADDRESS_MASK;
        let (base, limit) = window.map_or((IO_ADDRESS_MASK, 0), |window| {
            (nibble(window.base), nibble(window.limit))
        });
        let written = u16::from_le_bytes([base, limit]);
        self.config
            .write_u16(header(Type1HeaderReg::IoBase), written);
        if bits == AddressBits::Long {
            // The I/O aperture ends at 64 KiB.
            self.config
                .write_u32(header(Type1HeaderReg::IoBaseUpper), 0);
        }
        let read = self.config.read_u16(header(Type1HeaderReg::IoBase))
            & u16::from_le_bytes([IO_ADDRESS_MASK; 2]);
        self.check("I/O Base and Limit", written.into(), read.into());
    }

    fn prefetchable_window(&mut self, window: Option<Window>, bits: AddressBits) {
        let written = memory_bits(window);
        self.config
            .write_u32(header(Type1HeaderReg::PrefetchableMemoryBase), written);
        let read = self
            .config
            .read_u32(header(Type1HeaderReg::PrefetchableMemoryBase))
            & 0xfff0_fff0;
        self.check(
            "Prefetchable Memory Base and Limit",
            written.into(),
            read.into(),
        );
        if bits == AddressBits::Short {
            return;
        }
        let (base, limit) = window.map_or((0, 0), |window| {
            (halves(window.base).1, halves(window.limit).1)
        });
        self.config
            .write_u32(header(Type1HeaderReg::PrefetchableBaseUpper), base);
        self.config
            .write_u32(header(Type1HeaderReg::PrefetchableLimitUpper), limit);
        let read = [
            header(Type1HeaderReg::PrefetchableBaseUpper),
            header(Type1HeaderReg::PrefetchableLimitUpper),
        ]
        .map(|offset| u64::from(self.config.read_u32(offset)));
        let joined = |[base, limit]: [u64; 2]| limit << 32 | base;
        self.check(
            "Prefetchable Base and Limit Upper 32 Bits",
            joined([base.into(), limit.into()]),
            joined(read),
        );
    }

    /// Turns on the decoding of each space in which everything of the function has an address.
    fn command(&mut self, function: &mut Function, options: &Options) {
        let sound = !function
            .faults
            .iter()
            .any(|(resource, _)| *resource != Resource::Rom);
        let placed = |io: bool| {
            let mut bars = function
                .bars
                .iter()
                .filter(|bar| (bar.kind == BarKind::Io) == io);
            sound && bars.all(|bar| bar.address.is_some())
        };
        let has = |io: bool| {
            function
                .bars
                .iter()
                .any(|bar| (bar.kind == BarKind::Io) == io)
        };
        let (io_open, memory_open) = function.bridge.as_ref().map_or((false, false), |bridge| {
            (
                bridge.io.is_some(),
                bridge.memory.is_some() || bridge.prefetchable.is_some(),
            )
        });
        let io_decode = placed(true) && (has(true) || io_open);
        let memory_decode = placed(false) && (has(false) || memory_open);
        let bus_master = function.bridge.is_some() || options.endpoint_bus_master;
        let set = Command::new()
            .with_pio_enabled(io_decode)
            .with_mmio_enabled(memory_decode)
            .with_bus_master(bus_master);
        self.config
            .update_u16(header(Type0HeaderReg::Command), 0, set.into_bits());
        function.io_decode = io_decode;
        function.memory_decode = memory_decode;
    }

    fn check(&mut self, register: &'static str, written: u64, read: u64) -> bool {
        if written != read {
            self.shortfalls.push(Shortfall::NotTaken {
                function: self.config.bdf,
                register,
                written,
                read,
            });
        }
        written == read
    }
}

/// Base in bits 15:4 and limit in bits 31:20 of a memory window's register, for address bits 31:20; base above limit
/// closes it.
fn memory_bits(window: Option<Window>) -> u32 {
    let Some(Window { base, limit }) = window else {
        return 0x0000_fff0;
    };
    (halves(limit).0 & 0xfff0_0000) | (halves(base).0 >> 16 & 0xfff0)
}

/// Bits 31:0 and bits 63:32.
fn halves(address: u64) -> (u32, u32) {
    ((address & 0xffff_ffff) as u32, (address >> 32) as u32)
}
