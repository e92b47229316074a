//! A bridge's windows: which addresses it forwards to its secondary bus (PCIe 6.2 sections 7.5.1.3.6 to 7.5.1.3.13).
//!
//! A bridge forwards a request whose address lies in its memory window, its prefetchable window or its I/O window, whatever BAR
//! there is behind it; base above limit closes a window. Two bits of Bridge Control change that: VGA Enable adds the addresses of
//! a VGA controller, and ISA Enable takes the upper 768 of each 1,024 ports out of the I/O window.

use super::ConfigSpaceType1Emulator;
use crate::spec::caps::power_management::PowerState;
use crate::spec::cfg_space::IO_BASE_LIMIT_ADDRESS_MASK;
use crate::spec::cfg_space::IoAddressing;
use crate::spec::cfg_space::MEMORY_BASE_LIMIT_ADDRESS_MASK;
use crate::spec::cfg_space::Type1HeaderReg;
use pci_bus::AddressRanges;
use pci_bus::Upstream;
use std::ops::RangeInclusive;

/// Memory of a VGA controller.
const VGA_MEMORY: RangeInclusive<u64> = 0xa_0000..=0xb_ffff;
/// Ports of a VGA controller.
const VGA_PORTS: [RangeInclusive<u64>; 2] = [0x3b0..=0x3bb, 0x3c0..=0x3df];
/// An ISA card decodes 10 bits of a port's number, and a bridge 16: each block has as many aliases in the rest.
const ISA_BLOCK: usize = 0x400;
/// Ports of each block that ISA Enable leaves to the bridge.
const ISA_BLOCK_PORTS: u64 = 0x100;
/// The last port that VGA and ISA decoding are about.
const ISA_PORT_MAX: u64 = 0xffff;

/// The first port of each block of [`ISA_BLOCK`] ports.
fn isa_blocks() -> impl Iterator<Item = u64> {
    (0..=ISA_PORT_MAX).step_by(ISA_BLOCK)
}

impl ConfigSpaceType1Emulator {
    /// The non-prefetchable memory window; none while Memory Space Enable is clear or base is above limit.
    pub fn assigned_memory_range(&self) -> Option<RangeInclusive<u32>> {
        let address = u32::from(MEMORY_BASE_LIMIT_ADDRESS_MASK);
        let base = (self.get(Type1HeaderReg::MemoryBase) & address) << 16;
        let limit = ((self.get(Type1HeaderReg::MemoryLimit) & address) << 16) | 0xf_ffff;
        (self.common.command().mmio_enabled() && base <= limit).then_some(base..=limit)
    }

    /// The prefetchable memory window; none while Memory Space Enable is clear or base is above limit.
    pub fn assigned_prefetch_range(&self) -> Option<RangeInclusive<u64>> {
        let address = u32::from(MEMORY_BASE_LIMIT_ADDRESS_MASK);
        let full = |low, upper| {
            (u64::from(self.get(upper)) << 32) | (u64::from(self.get(low) & address) << 16)
        };
        let base = full(
            Type1HeaderReg::PrefetchableMemoryBase,
            Type1HeaderReg::PrefetchableBaseUpper,
        );
        let limit = full(
            Type1HeaderReg::PrefetchableMemoryLimit,
            Type1HeaderReg::PrefetchableLimitUpper,
        ) | 0xf_ffff;
        (self.common.command().mmio_enabled() && base <= limit).then_some(base..=limit)
    }

    /// The I/O window; none while I/O Space Enable is clear or base is above limit, and where the bridge has none.
    pub fn assigned_io_range(&self) -> Option<RangeInclusive<u32>> {
        let address = u32::from(IO_BASE_LIMIT_ADDRESS_MASK);
        let full = |low, upper| {
            let low = self.get(low);
            let long = low & !address == IoAddressing::Bits32 as u32;
            let upper = if long { self.get(upper) << 16 } else { 0 };
            upper | ((low & address) << 8)
        };
        let base = full(Type1HeaderReg::IoBase, Type1HeaderReg::IoBaseUpper);
        let limit = full(Type1HeaderReg::IoLimit, Type1HeaderReg::IoLimitUpper) | 0xfff;
        let has_window = self.has_io_window();
        (has_window && self.common.command().pio_enabled() && base <= limit).then_some(base..=limit)
    }

    /// What the bridge lets through, of what the bridges above it do. Nothing, while it holds its secondary bus in reset, and in a
    /// power state below D0 (PCIe 6.2 section 5.3.1).
    pub fn downstream(&self) -> Upstream {
        if self.secondary_bus_reset() || self.power_state() != PowerState::D0 {
            return Upstream::closed();
        }
        self.upstream().and(&Upstream {
            memory: self.forwarded_memory(),
            io: self.forwarded_io(),
            bus_master: self.common.command().bus_master(),
        })
    }

    fn forwarded_memory(&self) -> AddressRanges {
        let memory = self
            .assigned_memory_range()
            .map(|window| (*window.start()).into()..=(*window.end()).into());
        let vga = self.common.command().mmio_enabled() && self.bridge_control().vga_enable();
        let windows = memory.into_iter().chain(self.assigned_prefetch_range());
        windows.chain(vga.then_some(VGA_MEMORY)).collect()
    }

    fn forwarded_io(&self) -> AddressRanges {
        let control = self.bridge_control();
        let window: AddressRanges = self
            .assigned_io_range()
            .map(|window| (*window.start()).into()..=(*window.end()).into())
            .into_iter()
            .collect();
        let window = if control.isa_enable() {
            let blocks = isa_blocks().map(|block| block..=block + (ISA_BLOCK_PORTS - 1));
            window.intersection(&blocks.chain([ISA_PORT_MAX + 1..=u64::MAX]).collect())
        } else {
            window
        };
        if !(control.vga_enable() && self.common.command().pio_enabled()) {
            return window;
        }
        let vga = isa_blocks()
            .take_while(|block| *block == 0 || !control.vga_16_bit_decode())
            .flat_map(|block| VGA_PORTS.map(|ports| block + ports.start()..=block + ports.end()));
        window.iter().cloned().chain(vga).collect()
    }
}
