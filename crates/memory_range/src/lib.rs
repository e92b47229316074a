//! Page-aligned guest physical address ranges.
