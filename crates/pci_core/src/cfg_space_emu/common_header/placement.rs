//! Where BARs answer: composed, placed where the registers say, mapped where the bridges above let accesses through.

use super::super::BarDefinition;
use super::super::ConfigSpaceError;
use super::super::DeviceBars;
use super::super::EXPANSION_ROM;
use super::super::bars::Bar;
use super::super::bars::Rom;
use super::super::header::Header;
use super::super::header_type_consts::TYPE0_BAR_COUNT;
use super::BAR0;
use super::ConfigSpaceCommonHeaderEmulator;
use crate::bar_mapping::BarMappings;
use crate::spec::caps::power_management::PowerState;
use crate::spec::cfg_space::Command;
use pci_bus::AddressRanges;
use std::ops::RangeInclusive;

/// The ports that a processor can reach.
const PORTS: RangeInclusive<u64> = 0..=0xffff;

impl<const N: usize> ConfigSpaceCommonHeaderEmulator<N> {
    /// Maps the memory BARs where the registers say, or unmaps them all.
    pub fn update_mmio_enabled(&mut self, enabled: bool) {
        self.place_bars_if(self.command().with_mmio_enabled(enabled));
    }

    /// Sets the BAR registers; encoding bits and bits below a BAR's size stay.
    pub fn set_base_addresses(&mut self, base_addresses: &[u32; N]) {
        for (index, &value) in base_addresses.iter().enumerate() {
            self.header.set_bar(index, value);
        }
        self.place_bars();
    }

    pub(in crate::cfg_space_emu) fn place_bars(&mut self) {
        self.place_bars_if(self.command());
    }

    /// Maps what decodes under `command` and can be reached, and unmaps the rest.
    pub(super) fn place_bars_if(&mut self, command: Command) {
        for (value, offset) in self.base_addresses.iter_mut().zip((BAR0..).step_by(4)) {
            *value = self.image.page.load(offset);
        }
        let (mut addresses, mut masks) = ([0; TYPE0_BAR_COUNT], [0; TYPE0_BAR_COUNT]);
        let slots = addresses.iter_mut().zip(&mut masks);
        for ((address, mask), (from, writable)) in
            slots.zip(self.base_addresses.iter().zip(&self.bar_masks))
        {
            (*address, *mask) = (*from, *writable);
        }
        self.mappings = BarMappings::default();
        // Below D0, a function answers configuration requests only (PCIe 6.2 section 5.3.1).
        let in_d0 = self.power_state() == PowerState::D0;
        if in_d0 && command.mmio_enabled() {
            let register = self.header.rom();
            self.mappings = BarMappings::parse(&addresses, &masks)
                .with(self.rom.as_ref().and_then(|rom| rom.mapping(register)))
                .within(&self.upstream.memory);
        }
        self.io_mappings = BarMappings::default();
        if in_d0 && command.pio_enabled() {
            self.io_mappings = BarMappings::parse_io(&addresses, &masks)
                .within(&self.upstream.io)
                .within(&AddressRanges::from_iter([PORTS]));
        }
        for (index, bar) in (0u8..).zip(&mut self.bars) {
            if let Some(bar) = bar {
                let mappings = match bar.kind.is_io() {
                    true => &self.io_mappings,
                    false => &self.mappings,
                };
                bar.place(mappings.get(index));
            }
        }
        if let Some(rom) = &mut self.rom {
            rom.place(self.mappings.get(EXPANSION_ROM));
        }
    }

    /// Which memory BAR claims an address, and the offset into it; none while Memory Space Enable is clear, or where a bridge above
    /// does not let accesses to all of the BAR through. The expansion ROM is [`EXPANSION_ROM`].
    #[inline]
    pub fn find_bar(&self, address: u64) -> Option<(u8, u64)> {
        self.mappings.find(address)
    }

    /// Which I/O BAR claims a port, and the offset into it; as [`Self::find_bar`], by I/O Space Enable.
    pub fn find_io_bar(&self, port: u16) -> Option<(u8, u64)> {
        self.io_mappings.find(port.into())
    }

    /// Where a BAR answers, if it does: the address of a memory BAR or the port of an I/O BAR.
    pub fn bar_address(&self, bar: u8) -> Option<u64> {
        self.mappings.get(bar).or_else(|| self.io_mappings.get(bar))
    }

    /// Where memory BARs and the expansion ROM answer.
    pub fn bar_mappings(&self) -> &BarMappings {
        &self.mappings
    }

    /// Where I/O BARs answer.
    pub fn io_bar_mappings(&self) -> &BarMappings {
        &self.io_mappings
    }

    /// What sizing the BARs reads.
    #[cfg(test)]
    pub fn bar_masks(&self) -> &[u32; N] {
        &self.bar_masks
    }
}

/// The composed BARs, what sizing each register reads, and the expansion ROM.
pub(super) type Bars<const N: usize> = ([Option<Bar>; N], [u32; N], Option<Rom>);

/// Composes the BAR registers of the header.
pub(super) fn compose_bars<const N: usize>(
    header: &mut Header,
    definitions: DeviceBars,
) -> Result<Bars<N>, ConfigSpaceError> {
    let mut bars = [const { None }; N];
    let mut registers = [(0, 0); N];
    let DeviceBars {
        slots,
        other_sizes,
        rom,
    } = definitions;
    for (index, definition) in slots.into_iter().enumerate().take(N) {
        let Some(definition): Option<BarDefinition> = definition else {
            continue;
        };
        if index
            .checked_sub(1)
            .and_then(|i| bars.get(i)?.as_ref())
            .is_some_and(|bar: &Bar| bar.kind.is_64_bit())
        {
            return Err(ConfigSpaceError::BarOccupied { index });
        }
        let bar = Bar::new(index, N, definition)?;
        let [low, high] = bar.writable();
        if let Some(register) = registers.get_mut(index) {
            *register = (low, bar.encoding());
        }
        if bar.kind.is_64_bit()
            && let Some(register) = registers.get_mut(index + 1)
        {
            *register = (high, 0);
        }
        if let Some(slot) = bars.get_mut(index) {
            *slot = Some(bar);
        }
    }
    for (index, len, memory) in other_sizes {
        if let Some(Some(bar)) = bars.get_mut(index) {
            bar.add_size(len, memory);
        }
    }
    for (index, &(writable, encoding)) in registers.iter().enumerate() {
        header.init_bar(index, writable, encoding);
    }
    let rom = rom.map(|(len, memory)| Rom::new(len, memory)).transpose()?;
    header.init_rom(rom.as_ref().map_or(0, Rom::writable));
    Ok((
        bars,
        registers.map(|(writable, encoding)| writable | encoding),
        rom,
    ))
}
