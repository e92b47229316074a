//! The registers of the blocks.

pub mod hdm_decoder;
pub mod link;
pub mod ras;
pub mod snoop_filter;
