//! A driver in the guest: finds capabilities, sizes BARs and programs MSI-X the way Linux does.
//!
//! It shares nothing with [`pci_enumerate`] but the types of the results, so that each checks the other.

use pci_core::spec::caps::CapabilityId;
use pci_core::spec::caps::EXT_CAP_START;
use pci_core::spec::caps::ExtendedCapabilityHeader;
use pci_core::spec::caps::ExtendedCapabilityId;
use pci_core::spec::caps::msix::MsixLocation;
use pci_core::spec::caps::msix::MsixMessageControl;
use pci_core::spec::cfg_space::Command;
use pci_core::spec::cfg_space::Status;
use pci_enumerate::Bar;
use pci_enumerate::BarKind;
use pci_enumerate::Bdf;
use pci_enumerate::ConfigAccess;
use pci_enumerate::EcamAccess;
use pci_enumerate::Width;
use pcie::root::GenericPcieRootComplex;

/// Configuration registers the driver uses, by offset.
mod register {
    pub(super) const COMMAND: u16 = 0x04;
    pub(super) const STATUS: u16 = 0x06;
    pub(super) const HEADER_TYPE: u16 = 0x0e;
    pub(super) const BAR0: u16 = 0x10;
    pub(super) const CAPABILITIES_POINTER: u16 = 0x34;
    pub(super) const MSIX_CONTROL: u16 = 0x02;
    pub(super) const MSIX_TABLE: u16 = 0x04;
}

/// Bytes of an MSI-X table entry, and the offset of its Vector Control.
const MSIX_ENTRY_BYTES: u64 = 16;
const MSIX_ENTRY_VECTOR_CONTROL: u64 = 12;
const MSIX_ENTRY_MASK: u32 = 1;

/// Capabilities walked before the list is taken for a loop: as many as Linux follows.
const CAPABILITIES_MAX: usize = 48;
const EXTENDED_CAPABILITIES_MAX: usize = 960;

/// What a driver gives up on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The function lacks the capability.
    #[error("{bdf} has no capability {id:?}")]
    NoCapability {
        /// The function.
        bdf: Bdf,
        /// The capability.
        id: CapabilityId,
    },
    /// More vectors asked for than there are.
    #[error("{bdf}: {asked} MSI-X vectors asked for; it has {available}")]
    Vectors {
        /// The function.
        bdf: Bdf,
        /// Vectors asked for.
        asked: usize,
        /// Vectors of the function.
        available: u16,
    },
    /// The BAR that the MSI-X table is said to lie in does not decode.
    #[error("{bdf}: the MSI-X table is in BAR {bar}, which has no address")]
    NoTable {
        /// The function.
        bdf: Bdf,
        /// The BAR.
        bar: u8,
    },
}

/// A driver bound to one function of a root complex.
pub struct Driver<'a> {
    access: EcamAccess<'a>,
    bdf: Bdf,
}

impl<'a> Driver<'a> {
    /// Binds to the function at `bdf`.
    pub fn new(root: &'a mut GenericPcieRootComplex, bdf: Bdf) -> Self {
        Self {
            access: crate::ecam(root),
            bdf,
        }
    }

    /// Reads `width` of configuration space at `offset`, a multiple of it.
    pub fn read(&mut self, offset: u16, width: Width) -> u32 {
        self.access.read(self.bdf, offset, width)
    }

    /// Writes `width` of configuration space at `offset`, a multiple of it.
    pub fn write(&mut self, offset: u16, width: Width, value: u32) {
        self.access.write(self.bdf, offset, width, value);
    }

    fn read_u8(&mut self, offset: u16) -> u8 {
        let [low, ..] = self.read(offset, Width::Byte).to_le_bytes();
        low
    }

    fn read_u16(&mut self, offset: u16) -> u16 {
        let [low, high, ..] = self.read(offset, Width::Word).to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    fn write_u16(&mut self, offset: u16, value: u16) {
        self.write(offset, Width::Word, value.into());
    }

    /// Reads a dword of a BAR.
    pub fn read_memory(&mut self, address: u64) -> u32 {
        let mut bytes = [0; 4];
        self.access.read_memory(address, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Writes a dword of a BAR.
    pub fn write_memory(&mut self, address: u64, value: u32) {
        self.access.write_memory(address, &value.to_le_bytes());
    }

    /// The capabilities in list order, each with its offset. A loop ends after 48.
    pub fn capabilities(&mut self) -> Vec<(CapabilityId, u16)> {
        let mut found = Vec::new();
        if !Status::from_bits(self.read_u16(register::STATUS)).capabilities_list() {
            return found;
        }
        let mut offset = u16::from(self.read_u8(register::CAPABILITIES_POINTER)) & !3;
        while offset >= 0x40 && found.len() < CAPABILITIES_MAX {
            let [id, next] = self.read_u16(offset).to_le_bytes();
            if id == 0xff {
                break;
            }
            found.push((CapabilityId(id), offset));
            offset = u16::from(next) & !3;
        }
        found
    }

    /// The extended capabilities in list order, each with its offset. A loop ends after 960.
    pub fn extended_capabilities(&mut self) -> Vec<(ExtendedCapabilityId, u16)> {
        let mut found = Vec::new();
        let mut offset = EXT_CAP_START;
        while offset >= EXT_CAP_START && found.len() < EXTENDED_CAPABILITIES_MAX {
            let bits = self.read(offset, Width::Dword);
            if bits == 0 || bits == u32::MAX {
                break;
            }
            let header = ExtendedCapabilityHeader::from_bits(bits);
            found.push((ExtendedCapabilityId(header.capability_id()), offset));
            offset = header.next_offset() & !3;
        }
        found
    }

    /// The offset of the first capability `id`.
    pub fn find_capability(&mut self, id: CapabilityId) -> Option<u16> {
        self.capabilities()
            .into_iter()
            .find(|(found, _)| *found == id)
            .map(|(_, offset)| offset)
    }

    /// The offset of the first extended capability `id`.
    pub fn find_extended_capability(&mut self, id: ExtendedCapabilityId) -> Option<u16> {
        self.extended_capabilities()
            .into_iter()
            .find(|(found, _)| *found == id)
            .map(|(_, offset)| offset)
    }

    /// The BARs with size and current address, sized with decoding off as `__pci_read_base` of Linux does.
    pub fn size_bars(&mut self) -> Vec<Bar> {
        let count = if self.read_u8(register::HEADER_TYPE) & 0x7f == 1 {
            2
        } else {
            6
        };
        let command = self.read_u16(register::COMMAND);
        let off = Command::from_bits(command)
            .with_mmio_enabled(false)
            .with_pio_enabled(false);
        self.write_u16(register::COMMAND, off.into_bits());
        let mut bars = Vec::new();
        let mut index = 0;
        while index < count {
            let (bar, slots) = self.size_bar(index);
            bars.extend(bar);
            index += slots;
        }
        self.write_u16(register::COMMAND, command);
        bars
    }

    /// A BAR and the slots it takes.
    fn size_bar(&mut self, index: u8) -> (Option<Bar>, u8) {
        let (low, low_mask) = self.probe(index);
        if low & 1 != 0 {
            let port = u64::from(low & !0x3);
            let bar = Bar {
                index,
                kind: BarKind::Io,
                size: (low_mask & !0x3).wrapping_neg().into(),
                address: Some(port).filter(|port| *port != 0),
            };
            return (Some(bar), 1);
        }
        let wide = low & 0b110 == 0b100;
        let (high, high_mask) = if wide {
            self.probe(index + 1)
        } else {
            (0, u32::MAX)
        };
        let address = (u64::from(high) << 32) | u64::from(low & !0xf);
        let mask = (u64::from(high_mask) << 32) | u64::from(low_mask & !0xf);
        let prefetchable = low & 0b1000 != 0;
        let bar = Bar {
            index,
            kind: match wide {
                true => BarKind::Memory64 { prefetchable },
                false => BarKind::Memory32 { prefetchable },
            },
            size: mask.wrapping_neg(),
            address: Some(address).filter(|address| *address != 0),
        };
        (
            Some(bar).filter(|_| low_mask != 0),
            if wide { 2 } else { 1 },
        )
    }

    /// What a BAR register holds, and what it reads after all-ones were written; it holds its value again then.
    fn probe(&mut self, index: u8) -> (u32, u32) {
        let offset = register::BAR0 + 4 * u16::from(index);
        let value = self.read(offset, Width::Dword);
        self.write(offset, Width::Dword, u32::MAX);
        let mask = self.read(offset, Width::Dword);
        self.write(offset, Width::Dword, value);
        (value, mask)
    }

    /// Turns on MSI-X and lets vector i write `messages[i].1` to address `messages[i].0`, in the order Linux does it: enabled
    /// with everything masked, the table masked entry by entry, INTx off, the function mask lifted; then each vector
    /// gets its message while masked, and is unmasked.
    ///
    /// # Errors
    ///
    /// - there is no MSI-X capability;
    /// - more messages than vectors;
    /// - the table's BAR has no address.
    pub fn enable_msix(&mut self, messages: &[(u64, u32)]) -> Result<(), DriverError> {
        let bdf = self.bdf;
        let id = CapabilityId::MSIX;
        let capability = self
            .find_capability(id)
            .ok_or(DriverError::NoCapability { bdf, id })?;
        let control_offset = capability + register::MSIX_CONTROL;
        let control = MsixMessageControl::from_bits(self.read_u16(control_offset));
        let available = control.table_size() + 1;
        if messages.len() > available.into() {
            return Err(DriverError::Vectors {
                bdf,
                asked: messages.len(),
                available,
            });
        }
        let table = self.msix_table(capability)?;

        self.write_u16(
            control_offset,
            control
                .with_msix_enable(true)
                .with_function_mask(true)
                .into_bits(),
        );
        for entry in 0..u64::from(available) {
            let vector_control = table + entry * MSIX_ENTRY_BYTES + MSIX_ENTRY_VECTOR_CONTROL;
            self.write_memory(vector_control, MSIX_ENTRY_MASK);
        }
        let command = Command::from_bits(self.read_u16(register::COMMAND));
        self.write_u16(
            register::COMMAND,
            command
                .with_intx_disable(true)
                .with_bus_master(true)
                .into_bits(),
        );
        self.write_u16(
            control_offset,
            control
                .with_msix_enable(true)
                .with_function_mask(false)
                .into_bits(),
        );

        for (entry, (address, data)) in (0u64..).zip(messages) {
            let entry = table + entry * MSIX_ENTRY_BYTES;
            let [low, high] = [*address, *address >> 32].map(|half| (half & 0xffff_ffff) as u32);
            for (offset, value) in [(0, low), (4, high), (8, *data)] {
                self.write_memory(entry + offset, value);
            }
            let vector_control = entry + MSIX_ENTRY_VECTOR_CONTROL;
            let masked = self.read_memory(vector_control);
            self.write_memory(vector_control, masked & !MSIX_ENTRY_MASK);
            // Reading it back waits until the write has arrived.
            self.read_memory(vector_control);
        }
        Ok(())
    }

    /// The address of the MSI-X table.
    fn msix_table(&mut self, capability: u16) -> Result<u64, DriverError> {
        let location =
            MsixLocation::from_bits(self.read(capability + register::MSIX_TABLE, Width::Dword));
        let [bar, ..] = location.bir().to_le_bytes();
        let found = self
            .size_bars()
            .into_iter()
            .find(|found| found.index == bar);
        let base = found
            .and_then(|found| found.address)
            .ok_or(DriverError::NoTable { bdf: self.bdf, bar })?;
        Ok(base + u64::from(location.offset()) * 8)
    }
}
