//! BARs: how large they may be, and in which slots of a header.

use super::ADDRESS_END;
use super::Checker;
use crate::BarKind;
use crate::layout::IO_BAR_MAX;
use crate::layout::PAGE_SIZE;
use std::ops::RangeInclusive;

/// The largest expansion ROM (PCIe 6.2 section 7.5.1.2.4).
pub(super) const ROM_MAX: u64 = 16 << 20;
/// Bytes of an I/O BAR (PCIe 6.2 section 7.5.1.2.1).
const IO_BAR: RangeInclusive<u64> = 4..=IO_BAR_MAX;

/// The largest BAR of a kind, of 64 bits a quarter of the addresses there are; none of I/O space, which has other bounds.
pub(super) fn largest(kind: BarKind) -> Option<u64> {
    match kind {
        BarKind::Memory32 | BarKind::Memory32Prefetchable => Some(1 << 31),
        BarKind::Memory64 | BarKind::Prefetchable => Some(ADDRESS_END / 4),
        BarKind::Io => None,
    }
}

/// The slots of a header, and which BAR has each.
pub(super) struct Slots {
    /// What has the header: `a function`.
    of: &'static str,
    room: u8,
    taken: Vec<(u8, usize)>,
}

impl Slots {
    pub(super) fn new(of: &'static str, room: u8) -> Self {
        Self {
            of,
            room,
            taken: Vec::new(),
        }
    }
}

impl Checker {
    /// Checks that `bar[i]` has slots of its own, and says its number.
    pub(super) fn bar_place(
        &mut self,
        place: &str,
        i: usize,
        kind: BarKind,
        index: Option<u8>,
        slots: &mut Slots,
    ) -> Option<u8> {
        let (of, room, width) = (slots.of, slots.room, kind.slots());
        let Some(index) = index else {
            let message =
                format!("there is no room for it: {of} has {room} slots, and a 64-bit BAR takes 2");
            self.problem(place, "", message);
            return None;
        };
        if index > room - width {
            let last = room - width;
            let message = format!("{index}; such a BAR is number 0 to {last}");
            self.problem(place, "index", message);
            return None;
        }
        let own = index..index + width;
        if let Some((slot, other)) = slots.taken.iter().find(|(slot, _)| own.contains(slot)) {
            let message = format!("slot {slot} is taken by bar[{other}]");
            self.problem(place, "index", message);
        }
        slots.taken.extend(own.map(|slot| (slot, i)));
        Some(index)
    }

    /// Checks the size of a BAR of memory space, or of an expansion ROM.
    pub(super) fn bar_size(&mut self, place: &str, field: &str, size: u64, max: u64) {
        if !size.is_power_of_two() || size < PAGE_SIZE {
            self.problem(
                place,
                field,
                format_args!("{size:#x} bytes; a BAR is a power of two of at least {PAGE_SIZE:#x}"),
            );
        } else if size > max {
            self.problem(
                place,
                field,
                format_args!("{size:#x} bytes; such a BAR has {max:#x} at most"),
            );
        }
    }

    /// Checks the size of an I/O BAR.
    pub(super) fn io_bar_size(&mut self, place: &str, size: u64) {
        if !size.is_power_of_two() || !IO_BAR.contains(&size) {
            let (least, most) = (IO_BAR.start(), IO_BAR.end());
            let message =
                format!("{size:#x} bytes; an I/O BAR is a power of two from {least} to {most}");
            self.problem(place, "size", message);
        }
    }
}
