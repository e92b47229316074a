//! The address of a function: bus, device and function number, and the segment they live in
//! (PCIe 6.2 section 2.2.4.2, the Routing ID; PCI Firmware Specification 3.3 section 4, segment groups).

use core::fmt;
use core::str::FromStr;

/// A function's Routing ID: bus number in bits 15:8, device number in bits 7:3, function number in bits 2:0.
///
/// Every 16-bit pattern is a valid `Bdf`; holding one says nothing about whether a function answers there.
/// With Alternative Routing-ID Interpretation (ARI, PCIe 6.2 section 6.13) bits 7:0 are one flat function
/// number of device 0: see [`from_ari`](Self::from_ari) and [`ari_function`](Self::ari_function).
///
/// It prints, and parses, as people write it:
///
/// ```
/// use pci_spec::Bdf;
///
/// let bdf: Bdf = "3a:1f.7".parse().unwrap();
/// assert_eq!((bdf.bus(), bdf.device(), bdf.function()), (0x3a, 0x1f, 7));
/// assert_eq!(bdf.to_string(), "3a:1f.7");
/// assert!("3a:20.0".parse::<Bdf>().is_err());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Bdf(u16);

impl Bdf {
    /// The largest device number.
    pub const DEVICE_MAX: u8 = 31;
    /// The largest function number without ARI.
    pub const FUNCTION_MAX: u8 = 7;

    /// The function at `bus`, `device` and `function`; `None` when `device` is above 31 or `function` above 7.
    ///
    /// ```
    /// use pci_spec::Bdf;
    ///
    /// assert_eq!(Bdf::new(0, 31, 7).map(Bdf::bits), Some(0x00ff));
    /// assert_eq!(Bdf::new(0, 32, 0), None);
    /// ```
    pub const fn new(bus: u8, device: u8, function: u8) -> Option<Self> {
        if device > Self::DEVICE_MAX || function > Self::FUNCTION_MAX {
            return None;
        }
        Some(Self::from_devfn(bus, device << 3 | function))
    }

    /// The function at `bus` whose device number is bits 7:3 and function number bits 2:0 of `devfn`.
    pub const fn from_devfn(bus: u8, devfn: u8) -> Self {
        Self((bus as u16) << 8 | devfn as u16)
    }

    /// The function `function` of the ARI device on `bus` (PCIe 6.2 section 6.13).
    pub const fn from_ari(bus: u8, function: u8) -> Self {
        Self::from_devfn(bus, function)
    }

    /// The function with the Routing ID `bits`.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The Routing ID as a Transaction Layer Packet carries it.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The bus number.
    pub const fn bus(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// The device number, 0 to 31.
    pub const fn device(self) -> u8 {
        self.devfn() >> 3
    }

    /// The function number without ARI, 0 to 7.
    pub const fn function(self) -> u8 {
        self.devfn() & Self::FUNCTION_MAX
    }

    /// Device number in bits 7:3, function number in bits 2:0.
    pub const fn devfn(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    /// The function number as an ARI device counts it, 0 to 255.
    pub const fn ari_function(self) -> u8 {
        self.devfn()
    }

    /// This function in the segment `segment`.
    pub const fn in_segment(self, segment: u16) -> SegmentedBdf {
        SegmentedBdf { segment, bdf: self }
    }
}

impl From<u16> for Bdf {
    fn from(bits: u16) -> Self {
        Self::from_bits(bits)
    }
}

impl From<Bdf> for u16 {
    fn from(bdf: Bdf) -> Self {
        bdf.bits()
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02x}:{:02x}.{}",
            self.bus(),
            self.device(),
            self.function()
        )
    }
}

impl fmt::Debug for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Bdf {
    type Err = ParseBdfError;

    /// Parses `bus:device.function`, hexadecimal, as `3a:1f.7`.
    ///
    /// # Errors
    ///
    /// - [`ParseBdfError::Shape`]: there is no `:` or no `.`.
    /// - [`ParseBdfError::Bus`], [`Device`](ParseBdfError::Device), [`Function`](ParseBdfError::Function):
    ///   that number is not hexadecimal, has too many digits, or is above its bound.
    fn from_str(text: &str) -> Result<Self, ParseBdfError> {
        let (bus, devfn) = text.split_once(':').ok_or(ParseBdfError::Shape)?;
        let (device, function) = devfn.split_once('.').ok_or(ParseBdfError::Shape)?;
        let bus = hex_u8(bus, 0xff).ok_or(ParseBdfError::Bus)?;
        let device = hex_u8(device, Self::DEVICE_MAX).ok_or(ParseBdfError::Device)?;
        let function = hex_u8(function, Self::FUNCTION_MAX).ok_or(ParseBdfError::Function)?;
        Ok(Self::from_devfn(bus, device << 3 | function))
    }
}

/// A function's address across segment groups: a 16-bit segment and a [`Bdf`] within it.
///
/// ```
/// use pci_spec::SegmentedBdf;
///
/// let address: SegmentedBdf = "0001:3a:1f.7".parse().unwrap();
/// assert_eq!(address.segment, 1);
/// assert_eq!(address.to_string(), "0001:3a:1f.7");
/// assert_eq!("3a:1f.7".parse::<SegmentedBdf>().unwrap().to_string(), "0000:3a:1f.7");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentedBdf {
    /// The segment group number.
    pub segment: u16,
    /// The function within the segment.
    pub bdf: Bdf,
}

impl SegmentedBdf {
    /// Segment in bits 31:16, Routing ID in bits 15:0: the form interrupt controllers know a requester by.
    pub const fn bits(self) -> u32 {
        (self.segment as u32) << 16 | self.bdf.bits() as u32
    }
}

impl fmt::Display for SegmentedBdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{}", self.segment, self.bdf)
    }
}

impl fmt::Debug for SegmentedBdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SegmentedBdf {
    type Err = ParseBdfError;

    /// Parses `segment:bus:device.function`, hexadecimal, as `0000:3a:1f.7`; without a segment it is 0.
    ///
    /// # Errors
    ///
    /// - [`ParseBdfError::Segment`]: the segment is not hexadecimal or has more than four digits.
    /// - Any error of parsing a [`Bdf`].
    fn from_str(text: &str) -> Result<Self, ParseBdfError> {
        // The function has one colon of its own, so only what precedes a second one is a segment.
        let (segment, bdf) = match text.split_once(':') {
            Some((segment, bdf)) if bdf.contains(':') => {
                (hex(segment, 4).ok_or(ParseBdfError::Segment)?, bdf)
            }
            _ => (0, text),
        };
        Ok(bdf.parse::<Bdf>()?.in_segment(segment))
    }
}

/// Why a text is not a function's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseBdfError {
    /// The text has not the shape `bus:device.function`.
    Shape,
    /// The segment is not a hexadecimal number of one to four digits.
    Segment,
    /// The bus is not a hexadecimal number of at most ff.
    Bus,
    /// The device is not a hexadecimal number of at most 1f.
    Device,
    /// The function is not a number of at most 7.
    Function,
}

impl fmt::Display for ParseBdfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "a PCI address is written bus:device.function, as in 3a:1f.7",
            Self::Segment => "the segment of a PCI address is hexadecimal, at most ffff",
            Self::Bus => "the bus of a PCI address is hexadecimal, at most ff",
            Self::Device => "the device of a PCI address is hexadecimal, at most 1f",
            Self::Function => "the function of a PCI address is at most 7",
        })
    }
}

impl core::error::Error for ParseBdfError {}

/// The value of one to `digits_max` hexadecimal digits; a sign, which the standard parser takes, is refused.
fn hex(text: &str, digits_max: usize) -> Option<u16> {
    let well_formed =
        (1..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !well_formed {
        return None;
    }
    u16::from_str_radix(text, 16).ok()
}

fn hex_u8(text: &str, max: u8) -> Option<u8> {
    let value = u8::try_from(hex(text, 2)?).ok()?;
    (value <= max).then_some(value)
}

const _: () = assert!(size_of::<Bdf>() == 2);

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    #[test]
    fn every_routing_id_survives_printing_and_parsing() {
        for bits in 0..=u16::MAX {
            let bdf = Bdf::from_bits(bits);
            assert_eq!(bdf.to_string().parse(), Ok(bdf));
            assert_eq!(Bdf::new(bdf.bus(), bdf.device(), bdf.function()), Some(bdf));
            assert_eq!(Bdf::from_ari(bdf.bus(), bdf.ari_function()), bdf);
        }
    }

    #[test]
    fn fields_sit_where_the_routing_id_has_them() {
        let bdf = Bdf::new(0x3a, 0x1f, 7).unwrap();
        assert_eq!(bdf.bits(), 0x3aff);
        assert_eq!(bdf.devfn(), 0xff);
        assert_eq!(bdf.in_segment(0x12).bits(), 0x0012_3aff);
        assert_eq!(Bdf::new(0, 0x20, 0), None);
        assert_eq!(Bdf::new(0, 0, 8), None);
    }

    #[test]
    fn parsing_names_the_part_that_is_wrong() {
        let error = |text: &str| text.parse::<SegmentedBdf>().unwrap_err();
        assert_eq!(error(""), ParseBdfError::Shape);
        assert_eq!(error("3a"), ParseBdfError::Shape);
        assert_eq!(error("3a:1f"), ParseBdfError::Shape);
        assert_eq!(error("10000:3a:1f.7"), ParseBdfError::Segment);
        assert_eq!(error("+001:3a:1f.7"), ParseBdfError::Segment);
        assert_eq!(error(":3a:1f.7"), ParseBdfError::Segment);
        assert_eq!(error("100:1f.7"), ParseBdfError::Bus);
        assert_eq!(error("-1:1f.7"), ParseBdfError::Bus);
        assert_eq!(error("3a:20.0"), ParseBdfError::Device);
        assert_eq!(error("3a:1f.8"), ParseBdfError::Function);
        assert_eq!(error("3a:1f.7 "), ParseBdfError::Function);
        assert_eq!(error("0:0:0:0.0"), ParseBdfError::Device);
    }

    #[test]
    fn a_segment_may_be_left_out() {
        let address = "3A:1F.7".parse::<SegmentedBdf>().unwrap();
        assert_eq!(address.to_string(), "0000:3a:1f.7");
    }
}
