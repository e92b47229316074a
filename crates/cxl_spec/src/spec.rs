//! Numbers of the component register space, and of the ACPI tables that describe it (CXL 3.1 section 8.2.3, section 8.2.4
//! and section 9.18.1).

use bitfield_struct::bitfield;
use inspect::Inspect;
use std::ops::BitOr;
use std::ops::BitOrAssign;

/// Alignment of host physical addresses that decoders map, in bytes: 256 MiB.
pub const CXL_HPA_ALIGNMENT: u64 = 0x1000_0000;

/// Bytes of the component registers of a host bridge (CXL 3.1 section 9.18.1.2).
pub const CXL_HOST_BRIDGE_COMPONENT_REGISTERS_SIZE_BYTES: u64 = CXL_COMPONENT_REGISTERS_SIZE_BYTES;

/// Bytes of the component registers of any CXL component (CXL 3.1 section 8.2.3).
pub const CXL_COMPONENT_REGISTERS_SIZE_BYTES: u64 = 0x1_0000;

/// Start of the range that belongs to CXL.io (CXL 3.1 table 8-21).
pub const CXL_COMPONENT_REG_RANGE_CXL_IO_RESERVED_OFFSET: u64 = 0;
/// Bytes of that range.
pub const CXL_COMPONENT_REG_RANGE_CXL_IO_RESERVED_SIZE_BYTES: u64 = 0x1000;
/// Start of the primary range of CXL.cache and CXL.mem registers.
pub const CXL_COMPONENT_REG_RANGE_CACHEMEM_PRIMARY_OFFSET: u64 = 0x1000;
/// Bytes of that range.
pub const CXL_COMPONENT_REG_RANGE_CACHEMEM_PRIMARY_SIZE_BYTES: u64 = 0x1000;
/// Start of the extended ranges of CXL.cache and CXL.mem registers, 4 KiB each.
pub const CXL_COMPONENT_REG_RANGE_CACHEMEM_EXTENDED_OFFSET: u64 = 0x2000;
/// Bytes of all extended ranges.
pub const CXL_COMPONENT_REG_RANGE_CACHEMEM_EXTENDED_SIZE_BYTES: u64 = 0xC000;
/// Start of the registers of the arbiter/multiplexer.
pub const CXL_COMPONENT_REG_RANGE_RAB_MUX_OFFSET: u64 = 0xE000;
/// Bytes of that range.
pub const CXL_COMPONENT_REG_RANGE_RAB_MUX_SIZE_BYTES: u64 = 0x400;
/// Start of the reserved rest.
pub const CXL_COMPONENT_REG_RANGE_TRAILING_RESERVED_OFFSET: u64 = 0xE400;
/// Bytes of that rest.
pub const CXL_COMPONENT_REG_RANGE_TRAILING_RESERVED_SIZE_BYTES: u64 = 0x1C00;

/// Bytes of one range of CXL.cache and CXL.mem registers.
pub const CXL_CACHEMEM_REGION_SIZE_BYTES: u64 = 0x1000;
/// Offset of the capability header in its range.
pub const CXL_CACHEMEM_CAPABILITY_ARRAY_HEADER_OFFSET: u64 = 0;
/// Offset of the first entry of the capability array.
pub const CXL_CACHEMEM_CAPABILITY_ARRAY_FIRST_ENTRY_OFFSET: u64 = 4;
/// Bytes of an entry.
pub const CXL_CACHEMEM_CAPABILITY_ARRAY_ENTRY_SIZE_BYTES: u64 = 4;
/// Most entries that the header can count.
pub const CXL_CACHEMEM_CAPABILITY_ARRAY_MAX_ENTRIES: usize = 255;
/// Lowest capability ID that must not be in an extended range, but in the primary one.
pub const CXL_CACHEMEM_EXTENDED_FORBIDDEN_CAPABILITY_ID_MIN: u16 = 1;
/// Highest such ID.
pub const CXL_CACHEMEM_EXTENDED_FORBIDDEN_CAPABILITY_ID_MAX: u16 = 0xA;

/// Type of the CXL Host Bridge Structure in the CXL Early Discovery Table (CXL 3.1 section 9.18.1.2).
pub const CEDT_STRUCTURE_TYPE_CHBS: u8 = 0;
/// Type of the CXL Fixed Memory Window Structure (CXL 3.1 section 9.18.1.3).
pub const CEDT_STRUCTURE_TYPE_CFMWS: u8 = 1;

/// Window restrictions of a CXL Fixed Memory Window Structure (CXL 3.1 table 9-22): what may be mapped into the window.
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CfmwsWindowRestrictions {
    /// Device-coherent memory.
    pub device_coherent: bool,
    /// Host-only coherent memory.
    pub host_only_coherent: bool,
    /// Volatile memory.
    pub volatile: bool,
    /// Persistent memory.
    pub persistent: bool,
    /// The configuration of the devices behind it is fixed.
    pub fixed_device_configuration: bool,
    /// Memory with back-invalidation.
    pub bi: bool,
    #[bits(10)]
    _reserved: u16,
}

impl CfmwsWindowRestrictions {
    /// Nothing.
    pub const NONE: Self = Self::new();
    /// Device-coherent memory.
    pub const DEVICE_COHERENT: Self = Self::new().with_device_coherent(true);
    /// Host-only coherent memory.
    pub const HOST_ONLY_COHERENT: Self = Self::new().with_host_only_coherent(true);
    /// Volatile memory.
    pub const VOLATILE: Self = Self::new().with_volatile(true);
    /// Persistent memory.
    pub const PERSISTENT: Self = Self::new().with_persistent(true);
    /// Fixed device configuration.
    pub const FIXED_DEVICE_CONFIGURATION: Self = Self::new().with_fixed_device_configuration(true);
    /// Back-invalidation.
    pub const BI: Self = Self::new().with_bi(true);
    /// The bits that are defined.
    pub const VALID_BITS_MASK: u16 = Self::DEVICE_COHERENT
        .union(Self::HOST_ONLY_COHERENT)
        .union(Self::VOLATILE)
        .union(Self::PERSISTENT)
        .union(Self::FIXED_DEVICE_CONFIGURATION)
        .union(Self::BI)
        .bits();

    const fn union(self, other: Self) -> Self {
        Self::from_bits(self.bits() | other.bits())
    }

    /// The bits.
    pub const fn bits(self) -> u16 {
        self.into_bits()
    }

    /// The restrictions of these bits; `None` when a reserved one is set.
    pub const fn try_from_bits(bits: u16) -> Option<Self> {
        if Self::is_valid_bits(bits) {
            Some(Self::from_bits(bits))
        } else {
            None
        }
    }

    /// Whether no reserved bit is set.
    pub const fn is_valid_bits(bits: u16) -> bool {
        bits & !Self::VALID_BITS_MASK == 0
    }

    /// Whether all of `other` is in `self`.
    pub const fn contains(self, other: Self) -> bool {
        self.bits() & other.bits() == other.bits()
    }
}

impl BitOr for CfmwsWindowRestrictions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitOrAssign for CfmwsWindowRestrictions {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.union(other);
    }
}

/// Encodings of the number of interleave ways (CXL 3.1 section 9.18.1.3).
#[derive(Debug)]
pub struct InterleaveWays;

impl InterleaveWays {
    /// No interleaving.
    pub const WAY_1: u8 = 0;
    /// 2 ways.
    pub const WAY_2: u8 = 1;
    /// 4 ways.
    pub const WAY_4: u8 = 2;
    /// 8 ways.
    pub const WAY_8: u8 = 3;
    /// 16 ways.
    pub const WAY_16: u8 = 4;
    /// 3 ways.
    pub const WAY_3: u8 = 8;
    /// 6 ways.
    pub const WAY_6: u8 = 9;
    /// 12 ways.
    pub const WAY_12: u8 = 0xA;
}

/// Encodings of the interleave granularity: bytes that go to one way before the next one's turn.
#[derive(Debug)]
pub struct InterleaveGranularity;

impl InterleaveGranularity {
    /// 256 bytes.
    pub const BYTES_256: u8 = 0;
    /// 512 bytes.
    pub const BYTES_512: u8 = 1;
    /// 1 KiB.
    pub const BYTES_1024: u8 = 2;
    /// 2 KiB.
    pub const BYTES_2048: u8 = 3;
    /// 4 KiB.
    pub const BYTES_4096: u8 = 4;
    /// 8 KiB.
    pub const BYTES_8192: u8 = 5;
    /// 16 KiB.
    pub const BYTES_16384: u8 = 6;
}

/// Encodings of how the target is computed from the address (CXL 3.1 section 9.18.1.3).
#[derive(Debug)]
pub struct InterleaveArithmetic;

impl InterleaveArithmetic {
    /// The address bits above the granularity.
    pub const STANDARD_MODULO: u8 = 0;
    /// These, combined with higher bits by exclusive or.
    pub const MODULO_XOR: u8 = 1;
}

/// The header of a range's capability array (CXL 3.1 section 8.2.4.1).
#[derive(Debug)]
pub struct CxlCacheMemCapabilityHeader;

impl CxlCacheMemCapabilityHeader {
    /// ID of the header itself.
    pub const CAPABILITY_ID: u8 = 1;
    /// Version of the header.
    pub const CAPABILITY_VERSION: u8 = 1;
    /// Version of the CXL.cache and CXL.mem protocols.
    pub const CACHE_MEM_VERSION: u8 = 1;

    /// The header of an array of `array_size` entries; `None` for more than 255.
    ///
    /// ```
    /// assert_eq!(cxl_spec::spec::CxlCacheMemCapabilityHeader::encode(1), Some(0x0111_0001));
    /// assert_eq!(cxl_spec::spec::CxlCacheMemCapabilityHeader::encode(256), None);
    /// ```
    pub fn encode(array_size: usize) -> Option<u32> {
        let array_size = u8::try_from(array_size).ok()?;
        Some(
            CapabilityHeader::new()
                .with_capability_id(Self::CAPABILITY_ID.into())
                .with_capability_version(Self::CAPABILITY_VERSION)
                .with_cache_mem_version(Self::CACHE_MEM_VERSION)
                .with_array_size(array_size)
                .into_bits(),
        )
    }
}

#[bitfield(u32)]
struct CapabilityHeader {
    capability_id: u16,
    #[bits(4)]
    capability_version: u8,
    #[bits(4)]
    cache_mem_version: u8,
    array_size: u8,
}

/// An entry of a range's capability array (CXL 3.1 section 8.2.4.2 and following).
#[derive(Debug)]
pub struct CxlCacheMemCapabilityArrayEntry;

impl CxlCacheMemCapabilityArrayEntry {
    /// The entry of a capability `pointer` bytes behind the array's header; `None` when the version is above 15, or the
    /// pointer is no multiple of 4 or above 0xFFC.
    ///
    /// The pointer field counts bytes: its 12 bits span the 4 KiB of a range, and so Linux reads it
    /// (`cxl_probe_component_regs`).
    ///
    /// ```
    /// use cxl_spec::spec::CxlCacheMemCapabilityArrayEntry;
    /// assert_eq!(CxlCacheMemCapabilityArrayEntry::encode(0x20, 1, 8), Some(0x0081_0020));
    /// assert_eq!(CxlCacheMemCapabilityArrayEntry::encode(0x20, 1, 6), None);
    /// ```
    pub fn encode(capability_id: u16, capability_version: u8, pointer: u16) -> Option<u32> {
        (capability_version <= 0xF && pointer.is_multiple_of(4) && pointer <= 0xFFC).then(|| {
            ArrayEntry::new()
                .with_capability_id(capability_id)
                .with_capability_version(capability_version)
                .with_pointer(pointer)
                .into_bits()
        })
    }
}

#[bitfield(u32)]
struct ArrayEntry {
    capability_id: u16,
    #[bits(4)]
    capability_version: u8,
    #[bits(12)]
    pointer: u16,
}

/// Where in the component register space a block belongs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Inspect)]
pub enum CxlComponentRegisterType {
    /// The primary range of CXL.cache and CXL.mem registers.
    CacheMemRegister,
    /// One of the extended ranges.
    CacheMemExtendedRegister,
    /// The registers of the arbiter/multiplexer.
    CxlArbMuxRegister,
}

impl CxlComponentRegisterType {
    /// [`Self::CacheMemRegister`].
    pub const CXL_CACHE_MEM_REGISTER: Self = Self::CacheMemRegister;
    /// [`Self::CacheMemExtendedRegister`].
    pub const CXL_CACHE_MEM_EXTENDED_REGISTER: Self = Self::CacheMemExtendedRegister;
    /// [`Self::CxlArbMuxRegister`].
    pub const CXL_ARB_MUX_REGISTER: Self = Self::CxlArbMuxRegister;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_fill_the_space() {
        let mut next = 0;
        for (offset, bytes) in [
            (
                CXL_COMPONENT_REG_RANGE_CXL_IO_RESERVED_OFFSET,
                CXL_COMPONENT_REG_RANGE_CXL_IO_RESERVED_SIZE_BYTES,
            ),
            (
                CXL_COMPONENT_REG_RANGE_CACHEMEM_PRIMARY_OFFSET,
                CXL_COMPONENT_REG_RANGE_CACHEMEM_PRIMARY_SIZE_BYTES,
            ),
            (
                CXL_COMPONENT_REG_RANGE_CACHEMEM_EXTENDED_OFFSET,
                CXL_COMPONENT_REG_RANGE_CACHEMEM_EXTENDED_SIZE_BYTES,
            ),
            (
                CXL_COMPONENT_REG_RANGE_RAB_MUX_OFFSET,
                CXL_COMPONENT_REG_RANGE_RAB_MUX_SIZE_BYTES,
            ),
            (
                CXL_COMPONENT_REG_RANGE_TRAILING_RESERVED_OFFSET,
                CXL_COMPONENT_REG_RANGE_TRAILING_RESERVED_SIZE_BYTES,
            ),
        ] {
            assert_eq!(offset, next);
            next += bytes;
        }
        assert_eq!(next, CXL_COMPONENT_REGISTERS_SIZE_BYTES);
    }

    #[test]
    fn array_words() {
        assert_eq!(CxlCacheMemCapabilityHeader::encode(0), Some(0x0011_0001));
        assert_eq!(CxlCacheMemCapabilityHeader::encode(255), Some(0xff11_0001));
        let entry = CxlCacheMemCapabilityArrayEntry::encode;
        assert_eq!(entry(5, 3, 0xffc), Some(0xffc3_0005));
        assert_eq!(entry(5, 16, 8), None, "version");
        assert_eq!(entry(5, 1, 0x1000), None, "past the range");
    }

    #[test]
    fn window_restrictions() {
        assert_eq!(CfmwsWindowRestrictions::VALID_BITS_MASK, 0x3f);
        assert_eq!(CfmwsWindowRestrictions::try_from_bits(0x40), None);
        let mut both =
            CfmwsWindowRestrictions::VOLATILE | CfmwsWindowRestrictions::HOST_ONLY_COHERENT;
        assert_eq!(both.bits(), 0x6);
        both |= CfmwsWindowRestrictions::BI;
        assert!(both.contains(CfmwsWindowRestrictions::VOLATILE));
        assert!(!both.contains(CfmwsWindowRestrictions::PERSISTENT));
    }
}
