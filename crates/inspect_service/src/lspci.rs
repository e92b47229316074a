//! Configuration spaces in the hex format that `lspci -F` reads.

use pci_spec::SegmentedBdf;
use std::fmt;

/// Bytes of a function's configuration space.
pub const CONFIG_SPACE_BYTES: usize = 4096;

/// Bytes on a line.
const LINE_BYTES: usize = 16;

/// A function's configuration space at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigSpace {
    /// The function.
    pub address: SegmentedBdf,
    /// What it is, in words; lspci skips it.
    pub description: String,
    /// Its bytes.
    pub bytes: Box<[u8; CONFIG_SPACE_BYTES]>,
}

/// Prints configuration spaces: for each a line with address and description, 256 lines of bytes, and a blank line.
pub struct Dump<'a>(pub &'a [ConfigSpace]);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for space in self.0 {
            writeln!(f, "{} {}", space.address, space.description)?;
            for (index, line) in space.bytes.chunks(LINE_BYTES).enumerate() {
                write!(f, "{:02x}:", index * LINE_BYTES)?;
                line.iter().try_for_each(|byte| write!(f, " {byte:02x}"))?;
                writeln!(f)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
