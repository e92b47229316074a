//! BARs and the expansion ROM: what a device asks for, and what the guest maps.

use super::ConfigSpaceError;
use crate::bar_mapping::BarMapping;
use chipset_device::mmio::ControlMmioIntercept;
use chipset_device::pio::ControlPortIoIntercept;
use inspect::Inspect;
use std::fmt;
use vmcore::guest_memory::MappableGuestMemory;

/// The smallest memory BAR: a page, so that a monitor can map each by itself.
const MIN_LEN: u64 = 4096;
/// The smallest and the largest I/O BAR (PCIe 6.2 section 7.5.1.2.1).
const IO_LEN: std::ops::RangeInclusive<u64> = 4..=256;
/// The largest expansion ROM: 16 MiB (PCIe 6.2 section 7.5.1.2.4).
const ROM_MAX_LEN: u64 = 16 << 20;
/// Expansion ROM Enable.
const ROM_ENABLE: u32 = 1;

/// Where the expansion ROM is named by a BAR number: that after the last BAR.
pub const EXPANSION_ROM: u8 = 6;

/// What stands behind a BAR.
#[derive(Inspect)]
#[inspect(tag = "kind")]
pub enum BarMemoryKind {
    /// Accesses come to the device.
    Intercept(#[inspect(rename = "control")] Box<dyn ControlMmioIntercept>),
    /// Accesses to the ports of an I/O BAR come to the device.
    PortIo(#[inspect(rename = "control")] Box<dyn ControlPortIoIntercept>),
    /// The guest reaches memory without an exit.
    SharedMem(#[inspect(skip)] Box<dyn MappableGuestMemory>),
    /// Nothing is registered with the monitor; the device finds its accesses by address.
    Dummy,
}

impl fmt::Debug for BarMemoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intercept(control) => write!(
                f,
                "Intercept({:?}, {:?})",
                control.region_name(),
                control.addr()
            ),
            Self::PortIo(control) => {
                write!(
                    f,
                    "PortIo({:?}, {:?})",
                    control.region_name(),
                    control.addr()
                )
            }
            Self::SharedMem(_) => f.write_str("SharedMem"),
            Self::Dummy => f.write_str("Dummy"),
        }
    }
}

impl BarMemoryKind {
    fn map(&mut self, address: u64) {
        match self {
            Self::Intercept(control) => control.map(address),
            // What is beyond the last port is not mapped to begin with.
            Self::PortIo(control) => match u16::try_from(address) {
                Ok(port) => control.map(port),
                Err(_) => control.unmap(),
            },
            Self::SharedMem(memory) => {
                if let Err(error) = memory.map_to_guest(address, true) {
                    tracelimit::error_ratelimited!(address, error = %error, "BAR memory not mapped");
                }
            }
            Self::Dummy => {}
        }
    }

    fn unmap(&mut self) {
        match self {
            Self::Intercept(control) => control.unmap(),
            Self::PortIo(control) => control.unmap(),
            Self::SharedMem(memory) => memory.unmap_from_guest(),
            Self::Dummy => {}
        }
    }
}

/// Address space, width and prefetchability of a BAR (PCIe 6.2 section 7.5.1.2.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Inspect)]
pub enum BarKind {
    /// 32-bit, non-prefetchable.
    Memory32,
    /// 32-bit, prefetchable.
    Memory32Prefetchable,
    /// 64-bit, non-prefetchable. Takes two slots.
    Memory64,
    /// 64-bit, prefetchable. Takes two slots.
    Memory64Prefetchable,
    /// I/O space, of which accesses to ports 0 to 0xffff can reach the device.
    Io,
}

impl BarKind {
    /// Whether it takes the slot after its own as well.
    pub const fn is_64_bit(self) -> bool {
        matches!(self, Self::Memory64 | Self::Memory64Prefetchable)
    }

    /// Whether it is of I/O space.
    pub const fn is_io(self) -> bool {
        matches!(self, Self::Io)
    }

    /// Bits 3:0 of the register.
    const fn encoding(self) -> u32 {
        match self {
            Self::Memory32 => 0b0000,
            Self::Memory64 => 0b0100,
            Self::Memory64Prefetchable => 0b1100,
            Self::Memory32Prefetchable => 0b1000,
            Self::Io => 0b01,
        }
    }

    const fn max_len(self) -> u64 {
        match self {
            Self::Memory32 | Self::Memory32Prefetchable => 1 << 31,
            Self::Memory64 | Self::Memory64Prefetchable => 1 << 63,
            Self::Io => *IO_LEN.end(),
        }
    }

    const fn min_len(self) -> u64 {
        match self {
            Self::Io => *IO_LEN.start(),
            _ => MIN_LEN,
        }
    }
}

/// A BAR that a device asks for.
#[derive(Debug)]
pub struct BarDefinition {
    /// Its kind.
    pub kind: BarKind,
    /// Bytes; rounded up to a power of two of at least 4096, of an I/O BAR of at least 4 and at most 256.
    pub len: u64,
    /// What stands behind it.
    pub memory: BarMemoryKind,
}

/// The BARs and the expansion ROM a device asks for.
#[derive(Debug, Default)]
pub struct DeviceBars {
    pub(super) slots: [Option<BarDefinition>; 6],
    /// Slot, bytes, and what stands behind the BAR while it has that size.
    pub(super) other_sizes: Vec<(usize, u64, BarMemoryKind)>,
    pub(super) rom: Option<(u64, BarMemoryKind)>,
}

impl DeviceBars {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// A 64-bit BAR in slots 0 and 1.
    pub fn bar0(self, len: u64, memory: BarMemoryKind) -> Self {
        self.with(0, BarKind::Memory64, len, memory)
    }

    /// A 64-bit BAR in slots 2 and 3.
    pub fn bar2(self, len: u64, memory: BarMemoryKind) -> Self {
        self.with(2, BarKind::Memory64, len, memory)
    }

    /// A 64-bit BAR in slots 4 and 5.
    pub fn bar4(self, len: u64, memory: BarMemoryKind) -> Self {
        self.with(4, BarKind::Memory64, len, memory)
    }

    /// An expansion ROM of `len` bytes, rounded up to a power of two of at least 4096 and at most 16 MiB. Where it answers, it is
    /// found as BAR [`EXPANSION_ROM`].
    pub fn rom(self, len: u64, memory: BarMemoryKind) -> Self {
        Self {
            rom: Some((len, memory)),
            ..self
        }
    }

    /// A BAR of any kind in slot `index`. There is no slot above 5, and a BAR asked for there is not made.
    pub fn with(mut self, index: usize, kind: BarKind, len: u64, memory: BarMemoryKind) -> Self {
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(BarDefinition { kind, len, memory });
        }
        self
    }

    /// The numbers of the BARs asked for, ascending; of a 64-bit BAR the lower of its two.
    pub fn numbers(&self) -> impl Iterator<Item = u8> + '_ {
        (0..)
            .zip(&self.slots)
            .filter_map(|(index, slot)| slot.as_ref().map(|_| index))
    }

    /// What stands behind the BAR in slot `index` while it has another size, as the
    /// [Resizable BAR capability](crate::capabilities::extended::resizable_bar) lets software choose: a region has one length. A BAR with
    /// [`BarMemoryKind::Dummy`] needs nothing else behind it.
    pub fn with_other_size(mut self, index: usize, len: u64, memory: BarMemoryKind) -> Self {
        self.other_sizes.push((index, len, memory));
        self
    }
}

/// A BAR of a composed function.
#[derive(Debug, Inspect)]
pub(super) struct Bar {
    pub(super) kind: BarKind,
    #[inspect(hex)]
    pub(super) len: u64,
    memory: BarMemoryKind,
    /// What stands behind it at other sizes.
    #[inspect(skip)]
    other_sizes: Vec<(u64, BarMemoryKind)>,
    /// Where it is mapped now.
    #[inspect(hex)]
    mapped: Option<u64>,
}

impl Bar {
    /// Checks what slot `index` of `count` asks for.
    pub(super) fn new(
        index: usize,
        count: usize,
        definition: BarDefinition,
    ) -> Result<Self, ConfigSpaceError> {
        let BarDefinition { kind, len, memory } = definition;
        if kind.is_64_bit() && index + 1 >= count {
            return Err(ConfigSpaceError::BarSlots { index, count });
        }
        let suits = match &memory {
            BarMemoryKind::Intercept(_) | BarMemoryKind::SharedMem(_) => !kind.is_io(),
            BarMemoryKind::PortIo(_) => kind.is_io(),
            BarMemoryKind::Dummy => true,
        };
        if !suits {
            return Err(ConfigSpaceError::BarSpace { index, kind });
        }
        match len.max(kind.min_len()).checked_next_power_of_two() {
            Some(rounded) if rounded <= kind.max_len() => Ok(Self {
                kind,
                len: rounded,
                memory,
                other_sizes: Vec::new(),
                mapped: None,
            }),
            _ => Err(ConfigSpaceError::BarTooLarge {
                index,
                len,
                max: kind.max_len(),
            }),
        }
    }

    /// Says what stands behind it at another size.
    pub(super) fn add_size(&mut self, len: u64, memory: BarMemoryKind) {
        self.other_sizes.push((len, memory));
    }

    /// Whether it can have a size.
    pub(super) fn check_size(&self, index: usize, len: u64) -> Result<(), ConfigSpaceError> {
        let max = self.kind.max_len();
        if len > max {
            return Err(ConfigSpaceError::BarTooLarge { index, len, max });
        }
        let behind = len == self.len
            || matches!(self.memory, BarMemoryKind::Dummy)
            || self.other_sizes.iter().any(|(other, _)| *other == len);
        let missing = ConfigSpaceError::NothingBehindSize { index, len };
        behind.then_some(()).ok_or(missing)
    }

    /// Gives it a size that it can have. It answers nowhere until it is placed again.
    pub(super) fn resize(&mut self, len: u64) {
        self.place(None);
        let other = self.other_sizes.iter_mut().find(|(other, _)| *other == len);
        if let Some((other, memory)) = other {
            std::mem::swap(&mut self.memory, memory);
            *other = self.len;
        }
        self.len = len;
    }

    /// Bits 3:0 of the register, the same after every reset.
    pub(super) fn encoding(&self) -> u32 {
        self.kind.encoding()
    }

    /// The writable bits of the register and, of a 64-bit BAR, of the next.
    pub(super) fn writable(&self) -> [u32; 2] {
        let mask = (!(self.len - 1)).to_le_bytes();
        let [b0, b1, b2, b3, b4, b5, b6, b7] = mask;
        [
            u32::from_le_bytes([b0, b1, b2, b3]),
            u32::from_le_bytes([b4, b5, b6, b7]),
        ]
    }

    /// Maps it at `address`, or nowhere; nothing happens if it is there already.
    pub(super) fn place(&mut self, address: Option<u64>) {
        if self.mapped == address {
            return;
        }
        if self.mapped.is_some() {
            self.memory.unmap();
        }
        if let Some(address) = address {
            self.memory.map(address);
        }
        self.mapped = address;
    }
}

/// The expansion ROM of a composed function (PCIe 6.2 section 7.5.1.2.4).
#[derive(Debug, Inspect)]
#[inspect(transparent)]
pub(super) struct Rom(Bar);

impl Rom {
    pub(super) fn new(len: u64, memory: BarMemoryKind) -> Result<Self, ConfigSpaceError> {
        if len > ROM_MAX_LEN {
            return Err(ConfigSpaceError::RomTooLarge { len });
        }
        let index = usize::from(EXPANSION_ROM);
        let definition = BarDefinition {
            kind: BarKind::Memory32,
            len,
            memory,
        };
        // One register, whatever BARs the header has.
        Ok(Self(Bar::new(index, index + 1, definition)?))
    }

    /// The writable bits of the register.
    pub(super) fn writable(&self) -> u32 {
        let [address, _] = self.0.writable();
        address | ROM_ENABLE
    }

    /// Where the register says it answers; nowhere while Expansion ROM Enable is clear.
    pub(super) fn mapping(&self, register: u32) -> Option<BarMapping> {
        let [address, _] = self.0.writable();
        (register & ROM_ENABLE != 0).then(|| BarMapping {
            index: EXPANSION_ROM,
            base_address: (register & address).into(),
            len: self.0.len,
        })
    }

    pub(super) fn place(&mut self, address: Option<u64>) {
        self.0.place(address);
    }
}
