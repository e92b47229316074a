//! Which BAR claims an address.

use inspect::Inspect;
use pci_bus::AddressRanges;

/// Bits 3:0 of a memory BAR: its encoding, not its address (PCIe 6.2 section 7.5.1.2.1).
const ENCODING_BITS: u64 = 0xf;
/// Bits 1:0 of an I/O BAR.
const IO_ENCODING_BITS: u32 = 0x3;
const TYPE_64_BIT: u32 = 1 << 2;
const IO_SPACE: u32 = 1 << 0;

/// A BAR as the guest placed it.
#[derive(Debug, Clone, PartialEq, Eq, Inspect)]
pub struct BarMapping {
    /// BAR number, 0 to 5; of a 64-bit BAR the lower of its two. The expansion ROM is
    /// [`EXPANSION_ROM`](crate::cfg_space_emu::EXPANSION_ROM).
    pub index: u8,
    /// Guest physical address of its first byte; of an I/O BAR its first port.
    #[inspect(hex)]
    pub base_address: u64,
    /// Length in bytes.
    #[inspect(hex)]
    pub len: u64,
}

/// The BARs of a function that answer, those of memory space or those of I/O space.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct BarMappings {
    mappings: Vec<BarMapping>,
}

impl Inspect for BarMappings {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        for bar in &self.mappings {
            resp.field(
                &format!("bar{}", bar.index),
                format!("{:#010x}:{:#x}", bar.base_address, bar.len),
            );
        }
    }
}

impl BarMappings {
    /// Reads the six BAR registers with their masks of writable bits (what sizing reads back). A mask with bit 2 set makes a
    /// 64-bit BAR of its slot and the next; in slot 5, which has no next, it is treated as a 32-bit one. I/O and absent
    /// BARs are left out.
    pub fn parse(base_addresses: &[u32; 6], bar_masks: &[u32; 6]) -> Self {
        let mut mappings = Vec::new();
        let mut slots = (0u8..).zip(base_addresses.iter().zip(bar_masks)).peekable();
        while let Some((index, (&base, &mask))) = slots.next() {
            if mask == 0 || mask & IO_SPACE != 0 {
                continue;
            }
            let (mut base, mut wide) = (u64::from(base), u64::from(mask) | 0xffff_ffff_0000_0000);
            if mask & TYPE_64_BIT != 0
                && let Some((_, (&high_base, &high_mask))) = slots.next()
            {
                base |= u64::from(high_base) << 32;
                wide = u64::from(mask) | (u64::from(high_mask) << 32);
            }
            let wide = wide & !ENCODING_BITS;
            if wide == 0 {
                continue;
            }
            mappings.push(BarMapping {
                index,
                base_address: base & wide,
                len: (!wide).wrapping_add(1),
            });
        }
        Self { mappings }
    }

    /// As [`Self::parse`], the I/O BARs, and these alone. One whose upper 16 bits cannot be written decodes 16 bits.
    pub fn parse_io(base_addresses: &[u32; 6], bar_masks: &[u32; 6]) -> Self {
        let mut mappings = Vec::new();
        let mut slots = (0u8..).zip(base_addresses.iter().zip(bar_masks));
        while let Some((index, (&base, &mask))) = slots.next() {
            if mask & IO_SPACE == 0 {
                if mask & TYPE_64_BIT != 0 {
                    slots.next();
                }
                continue;
            }
            let address = match mask & !IO_ENCODING_BITS {
                0 => continue,
                narrow @ 1..=0xffff => narrow | 0xffff_0000,
                wide => wide,
            };
            mappings.push(BarMapping {
                index,
                base_address: (base & mask & address).into(),
                len: (!address).wrapping_add(1).into(),
            });
        }
        Self { mappings }
    }

    /// With one more, if there is one.
    pub(crate) fn with(mut self, mapping: Option<BarMapping>) -> Self {
        self.mappings.extend(mapping);
        self
    }

    /// Those that lie wholly in `reachable`.
    pub(crate) fn within(mut self, reachable: &AddressRanges) -> Self {
        self.mappings
            .retain(|bar| reachable.contains(bar.base_address, bar.len));
        self
    }

    /// The first BAR that claims `address`: its number and the offset into it.
    #[inline]
    pub fn find(&self, address: u64) -> Option<(u8, u64)> {
        self.mappings.iter().find_map(|bar| {
            let offset = address.checked_sub(bar.base_address)?;
            (offset < bar.len).then_some((bar.index, offset))
        })
    }

    /// The address of a BAR.
    pub fn get(&self, bar: u8) -> Option<u64> {
        self.mappings
            .iter()
            .find(|m| m.index == bar)
            .map(|m| m.base_address)
    }

    /// All of them, in order of BAR number.
    pub fn iter(&self) -> impl Iterator<Item = &BarMapping> {
        self.mappings.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_64_bit_pair_takes_two_slots() {
        let bars = BarMappings::parse(
            &[0x1000_0004, 0x2, 0xfe00_0000, 0, 0, 0],
            &[0xffff_0004, 0xffff_ffff, 0xfff0_0000, 0, 0, 0],
        );
        assert_eq!(bars.find(0x2_1000_0000), Some((0, 0)));
        assert_eq!(bars.find(0x2_1000_ffff), Some((0, 0xffff)));
        assert_eq!(bars.find(0x2_1001_0000), None);
        assert_eq!(bars.find(0xfe0f_ffff), Some((2, 0xf_ffff)));
        assert_eq!(bars.get(0), Some(0x2_1000_0000));
        assert_eq!(bars.get(1), None);
        assert_eq!(bars.iter().count(), 2);
    }

    #[test]
    fn offsets_keep_all_64_bits() {
        let bars = BarMappings::parse(&[4, 0x10, 0, 0, 0, 0], &[4, 0xffff_fff0, 0, 0, 0, 0]);
        assert_eq!(bars.find(0x1f_0000_0010), Some((0, 0xf_0000_0010)));
    }

    #[test]
    fn io_bars_have_two_encoding_bits_and_maybe_16_address_bits() {
        let bars = BarMappings::parse_io(
            &[0xe000_0004, 0xffff_ff01, 0x6011, 0x1_6021, 0, 0],
            &[0xffff_f004, 0xffff_ffff, 0xfff1, 0xffff_ffe1, 0, 0],
        );
        assert_eq!(bars.get(0), None, "memory, with slot 1");
        assert_eq!(
            (bars.find(0x6010), bars.find(0x601f)),
            (Some((2, 0)), Some((2, 0xf)))
        );
        assert_eq!(bars.find(0x1_6020), Some((3, 0)));
    }

    #[test]
    fn odd_masks_do_no_harm() {
        assert_eq!(
            BarMappings::parse(&[u32::MAX; 6], &[0; 6]),
            BarMappings::default()
        );
        let last = BarMappings::parse(&[0, 0, 0, 0, 0, 0xe000_0000], &[0, 0, 0, 0, 0, 0xffff_f004]);
        assert_eq!(
            last.find(0xe000_0fff),
            Some((5, 0xfff)),
            "slot 5 has no upper half"
        );
        let io = (&[0x1001, 0, 0, 0, 0, 0], &[0xffff_ff01, 0, 0, 0, 0, 0]);
        assert_eq!(BarMappings::parse(io.0, io.1), BarMappings::default());
        let io = BarMappings::parse_io(io.0, io.1);
        assert_eq!((io.find(0x10ff), io.find(0x1100)), (Some((0, 0xff)), None));
        let four_gib = BarMappings::parse(&[4, 1, 0, 0, 0, 0], &[4, 0xffff_ffff, 0, 0, 0, 0]);
        assert_eq!(four_gib.find(0x1_ffff_ffff), Some((0, 0xffff_ffff)));
        let whole = BarMappings::parse(&[4, 0, 0, 0, 0, 0], &[4, 0, 0, 0, 0, 0]);
        assert_eq!(
            whole,
            BarMappings::default(),
            "no writable address bit, no BAR"
        );
    }
}
