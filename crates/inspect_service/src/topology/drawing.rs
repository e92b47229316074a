//! The hierarchy as a drawing: Scalable Vector Graphics without script, for light and dark pages.
//!
//! Root complexes stand below each other, each with its ports in a column at the left. What is below a port is to the right of
//! it: columns are depth, rows are leaves, so nothing can overlap.

mod layout;
mod markup;

use super::Topology;
use layout::Sheet;
use std::fmt;

/// Draws root complexes as an SVG document.
///
/// Dashed frames are hot-plug slots, filled or not; functions with CXL are marked. Text that is too long for its box is
/// cut, and is whole in the box's tooltip.
pub struct Drawing<'a>(pub &'a Topology);

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        markup::write(f, &Sheet::new(&self.0.complexes))
    }
}
