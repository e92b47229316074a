//! Physical layer capabilities (PCIe 6.2 section 7.7.5 to section 7.7.7): equalization of a link at 16.0 GT/s and above, a
//! capability for each speed.

pub mod gt16;
pub mod gt32;
pub mod gt64;

use bitfield_struct::bitfield;
use inspect::Inspect;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Lane Equalization Control of one lane at 16.0, 32.0 and 64.0 GT/s (PCIe 6.2 section 7.7.5.9, section 7.7.6.9 and
/// section 7.7.7.5).
#[derive(Inspect)]
#[bitfield(u8)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct LaneEqualizationControl {
    /// Transmitter preset of the downstream port.
    #[bits(4)]
    pub downstream_port_transmitter_preset: u8,
    /// Transmitter preset of the upstream port.
    #[bits(4)]
    pub upstream_port_transmitter_preset: u8,
}

const _: () = assert!(size_of::<LaneEqualizationControl>() == 1);
