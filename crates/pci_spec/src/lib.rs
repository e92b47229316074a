//! PCI and PCI Express register layouts and identifiers.
//!
//! What the PCI Express base specification prints as tables, as Rust types and as [`reg_table`] blocks: bit-field types
//! name the bits of a register once, and the block beside them gives offsets, reset values and access rights in terms
//! of those names. Nothing here has state, takes a decision or allocates.
//!
//! Every bit pattern is a value: encodings are open enums, so that a reserved value read from hardware, a guest or a
//! file is kept and shown as a number.

#![no_std]
#![forbid(unsafe_code)]

/// Total conversions between an open enum and the bits of a register field, as `bitfield-struct` calls them.
macro_rules! bit_conversions {
    ($ty:ident, $repr:ty) => {
        impl $ty {
            /// The value of these bits. Every pattern is a value; a reserved one has no name.
            pub const fn from_bits(bits: $repr) -> Self {
                Self(bits)
            }

            /// The bits of this value, in the low bits.
            pub const fn into_bits(self) -> $repr {
                self.0
            }
        }
    };
}

pub mod bdf;
pub mod caps;
pub mod cfg_space;
pub mod errors;
pub mod hwid;
pub mod messages;

pub use bdf::Bdf;
pub use bdf::ParseBdfError;
pub use bdf::SegmentedBdf;

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    #[test]
    fn the_blocks_of_this_crate() {
        let mut names: Vec<_> = reg_table::BLOCKS.iter().map(|block| block.name).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "acs",
                "advanced_features",
                "aer",
                "ari",
                "data_link_feature",
                "device_serial_number",
                "dpc",
                "event_collector_association",
                "l1_pm_substates",
                "lane_margining",
                "ltr",
                "msi_32",
                "msi_32_masked",
                "msi_64",
                "msi_64_masked",
                "msix",
                "msix_table_entry",
                "pci_express",
                "physical_layer_16gt",
                "physical_layer_32gt",
                "physical_layer_64gt",
                "power_management",
                "ptm",
                "resizable_bar",
                "secondary_pci_express",
                "slot_numbering",
                "subsystem_id",
                "type0_header",
                "type1_header",
                "virtual_channel",
            ]
        );
    }
}
