//! Numbers as people write them: sizes, addresses, bus numbers, serial numbers.

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::Error;
use serde::de::Visitor;
use std::fmt;

/// A number of bytes. In a file it is an integer, or a string with a binary suffix: `"4K"`, `"2M"`, `"1G"`, `"1T"`.
///
/// ```
/// use pcie_topology::Size;
///
/// assert_eq!("64K".parse(), Ok(Size(0x1_0000)));
/// assert_eq!(Size(3 << 20).to_string(), "3M");
/// assert!("64KB".parse::<Size>().is_err());
/// ```
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Suffixes and the power of two they stand for, the largest first.
const SUFFIXES: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

/// A string that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is no size: a size is an integer, or one with K, M, G or T behind it, below 2^64"
)]
pub struct ParseSizeError {
    text: String,
}

impl std::str::FromStr for Size {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        let error = || ParseSizeError {
            text: text.to_owned(),
        };
        let (digits, shift) = SUFFIXES
            .iter()
            .find_map(|(suffix, shift)| Some((text.strip_suffix(*suffix)?, *shift)))
            .unwrap_or((text, 0));
        let number = match digits.strip_prefix("0x") {
            Some(hex) if hex.starts_with(|c: char| c.is_ascii_hexdigit()) => {
                u64::from_str_radix(hex, 16)
            }
            _ if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse(),
            _ => return Err(error()),
        };
        let number = number.map_err(|_| error())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SUFFIXES
            .iter()
            .find(|(_, shift)| self.0 != 0 && self.0.trailing_zeros() >= *shift)
        {
            Some((suffix, shift)) => write!(f, "{}{suffix}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size in bytes, such as 4096 or \"4K\"")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
        u64::try_from(bytes)
            .map(Size)
            .map_err(|_| E::custom(format_args!("a size of {bytes} bytes is below 0")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(E::custom)
    }
}

/// A range of addresses, `{ base = 0xc000_0000, size = "512M" }`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressRange {
    /// The first address.
    pub base: u64,
    /// How many there are.
    pub size: Size,
}

impl AddressRange {
    /// `size` bytes from `base`.
    pub const fn new(base: u64, size: u64) -> Self {
        Self {
            base,
            size: Size(size),
        }
    }

    /// The address after the last; of a range that was not validated, the largest address at most.
    pub const fn end(&self) -> u64 {
        self.base.saturating_add(self.size.0)
    }

    pub(crate) const fn overlaps(&self, other: &Self) -> bool {
        self.base < other.end() && other.base < self.end()
    }
}

/// Prints the first and the last address.
impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}", self.base, self.end().saturating_sub(1))
    }
}

/// The bus numbers of a root complex, `{ start = 0x00, end = 0x7f }`: all, unless said.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusNumbers {
    /// The first: the root bus.
    pub start: u8,
    /// The last.
    pub end: u8,
}

impl Default for BusNumbers {
    fn default() -> Self {
        Self {
            start: 0,
            end: 0xff,
        }
    }
}

impl BusNumbers {
    /// How many there are; 0 where the first is above the last.
    pub fn count(&self) -> u16 {
        (u16::from(self.end) + 1).saturating_sub(self.start.into())
    }
}

impl fmt::Display for BusNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}-{:#04x}", self.start, self.end)
    }
}

/// A Device Serial Number, an EUI-64 (PCIe 6.2 section 7.9.3). In a file it is a string of eight bytes, the most significant
/// first, as `lspci` prints it: `"02-00-5e-ff-fe-00-00-01"`.
///
/// ```
/// use pcie_topology::SerialNumber;
///
/// let serial: SerialNumber = "02-00-5e-ff-fe-00-00-01".parse()?;
/// assert_eq!(serial, SerialNumber(0x0200_5eff_fe00_0001));
/// assert!("02-00-5e".parse::<SerialNumber>().is_err());
/// # Ok::<(), pcie_topology::ParseSerialNumberError>(())
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber(pub u64);

/// A string that is no serial number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no serial number: one is eight bytes, such as \"02-00-5e-ff-fe-00-00-01\"")]
pub struct ParseSerialNumberError {
    text: String,
}

impl SerialNumber {
    /// The serial number of what has this name and was given none: the same for the same name, and marked as locally
    /// administered, since no registry assigned it.
    pub fn from_name(name: &str) -> Self {
        const LOCALLY_ADMINISTERED: u64 = 1 << 57;
        const GROUP: u64 = 1 << 56;
        // FNV-1a, 64 bits.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self((hash | LOCALLY_ADMINISTERED) & !GROUP)
    }
}

impl std::str::FromStr for SerialNumber {
    type Err = ParseSerialNumberError;

    fn from_str(text: &str) -> Result<Self, ParseSerialNumberError> {
        let error = || ParseSerialNumberError {
            text: text.to_owned(),
        };
        let mut bytes = [0; 8];
        let mut parts = text.split('-');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or_else(error)?, 16).map_err(|_| error())?;
        }
        match parts.next() {
            None => Ok(Self(u64::from_be_bytes(bytes))),
            Some(_) => Err(error()),
        }
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.to_be_bytes().iter().enumerate() {
            let separator = if i == 0 { "" } else { "-" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for SerialNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SerialNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_printed() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("0x10", 16),
            ("4K", 4096),
            ("2M", 2 << 20),
            ("1025K", 1025 << 10),
            ("16T", 16 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)), "{text}");
        }
        assert_eq!(Size(4096).to_string(), "4K");
        assert_eq!(Size(4097).to_string(), "4097");
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "4k",
            "4KB",
            "0x",
            "0x+1",
            "1.5M",
            "18446744073709551616",
            "16777216T",
            " 1",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn derived_serial_numbers_differ_and_are_locally_administered() {
        let (a, b) = (
            SerialNumber::from_name("rp0"),
            SerialNumber::from_name("rp1"),
        );
        assert_ne!(a, b);
        assert_eq!(a, SerialNumber::from_name("rp0"));
        for serial in [a, b] {
            assert_eq!(serial.0 >> 56 & 3, 2, "{serial}");
            assert_eq!(serial.to_string().parse(), Ok(serial));
        }
    }

    #[test]
    fn malformed_serial_numbers_are_refused() {
        for text in [
            "",
            "00-00-00-00-00-00-00",
            "00-00-00-00-00-00-00-00-00",
            "00-00-00-00-00-00-00-0g",
            "+0-00-00-00-00-00-00-00",
        ] {
            assert!(text.parse::<SerialNumber>().is_err(), "{text}");
        }
    }

    #[test]
    fn bus_numbers_count() {
        assert_eq!(BusNumbers::default().count(), 256);
        assert_eq!(BusNumbers { start: 4, end: 3 }.count(), 0);
        assert_eq!(BusNumbers { start: 9, end: 3 }.count(), 0);
    }
}
