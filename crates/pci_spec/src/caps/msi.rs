//! Message Signaled Interrupts (PCIe 6.2 section 7.7.1): up to 32 vectors that differ in the low bits of the data.
//!
//! The capability has four layouts, depending on whether the address has 64 bits and whether vectors can be masked
//! one by one: [`MSI_32`], [`MSI_64`], [`MSI_32_MASKED`] and [`MSI_64_MASKED`].
//!
//! Not emulated: Extended Message Data.

use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Offsets of the dwords of the layouts with a 64-bit address; `MSG_DATA_32` is that of a 32-bit address.
#[open_enum(allow_alias)]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum MsiCapabilityHeader {
    /// Message Control, next pointer and capability ID.
    CONTROL_CAPS = 0x00,
    /// Message Address.
    MSG_ADDR_LO = 0x04,
    /// Message Upper Address.
    MSG_ADDR_HI = 0x08,
    /// Message Data, if the address has 32 bits.
    MSG_DATA_32 = 0x08,
    /// Message Data, if the address has 64 bits.
    MSG_DATA_64 = 0x0c,
    /// Mask Bits, if the address has 64 bits.
    MASK_BITS = 0x10,
    /// Pending Bits, if the address has 64 bits.
    PENDING_BITS = 0x14,
}

/// The Message Control register (PCIe 6.2 section 7.7.1.2).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct MessageControl {
    /// MSI is in use; the function does not assert INTx.
    pub msi_enable: bool,
    /// Vectors that the function asks for: 1 shifted left by this, at most 5.
    #[bits(3)]
    pub multiple_message_capable: u8,
    /// Vectors that software grants: 1 shifted left by this.
    #[bits(3)]
    pub multiple_message_enable: u8,
    /// The message address has 64 bits.
    pub address_64_bit_capable: bool,
    /// Vectors can be masked one by one.
    pub per_vector_masking_capable: bool,
    /// The upper 16 bits of the message data can be given.
    pub extended_message_data_capable: bool,
    /// They are in use.
    pub extended_message_data_enable: bool,
    #[bits(5)]
    _reserved: u16,
}

const _: () = assert!(size_of::<MessageControl>() == 2);

/// Message Control of the layout with 32-bit addresses and no masks.
const CONTROL_32: u32 = 0;
const CONTROL_64: u32 = MessageControl::new()
    .with_address_64_bit_capable(true)
    .into_bits() as u32;
const CONTROL_32_MASKED: u32 = MessageControl::new()
    .with_per_vector_masking_capable(true)
    .into_bits() as u32;
const CONTROL_64_MASKED: u32 = CONTROL_64 | CONTROL_32_MASKED;

// In every layout the low two bits of the address are stored as written: the specification reserves them, but callers
// of this interface read back what they wrote.

register_block! {
    /// MSI with a 32-bit address.
    pub MSI_32: Msi32Reg = "msi_32" {
        title: "MSI capability, 32-bit address",
        section: "PCIe 6.2 section 7.7.1",
        bytes: 0x0c,
    }
    0x00 capability_id: u8 as () = 0x05, "PCIe 6.2 section 7.7.1.1" { ro: [value[7:0]] }
    0x01 next_pointer: u8 as () = 0, "PCIe 6.2 section 7.7.1.1" { ro: [value[7:0]] }
    0x02 message_control: u16 as MessageControl = CONTROL_32, "PCIe 6.2 section 7.7.1.2" {
        rw: [msi_enable, multiple_message_enable => Doubling(1)],
        hwinit: [multiple_message_capable => Doubling(1), address_64_bit_capable, per_vector_masking_capable],
        ro: [extended_message_data_capable, extended_message_data_enable],
    }
    0x04 message_address: u32 as () = 0, "PCIe 6.2 section 7.7.1.3" { rw: [value[31:0]] }
    0x08 message_data: u16 as () = 0, "PCIe 6.2 section 7.7.1.5" { rw: [value[15:0]] }
    0x0a extended_message_data: u16 as () = 0, "PCIe 6.2 section 7.7.1.6" { ro: [value[15:0]] }
}

register_block! {
    /// MSI with a 64-bit address.
    pub MSI_64: Msi64Reg = "msi_64" {
        title: "MSI capability, 64-bit address",
        section: "PCIe 6.2 section 7.7.1",
        bytes: 0x10,
    }
    0x00 capability_id: u8 as () = 0x05, "PCIe 6.2 section 7.7.1.1" { ro: [value[7:0]] }
    0x01 next_pointer: u8 as () = 0, "PCIe 6.2 section 7.7.1.1" { ro: [value[7:0]] }
    0x02 message_control: u16 as MessageControl = CONTROL_64, "PCIe 6.2 section 7.7.1.2" {
        rw: [msi_enable, multiple_message_enable => Doubling(1)],
        hwinit: [multiple_message_capable => Doubling(1), address_64_bit_capable, per_vector_masking_capable],
        ro: [extended_message_data_capable, extended_message_data_enable],
    }
    0x04 message_address: u32 as () = 0, "PCIe 6.2 section 7.7.1.3" { rw: [value[31:0]] }
    0x08 message_upper_address: u32 as () = 0, "PCIe 6.2 section 7.7.1.4" { rw: [value[31:0] => Address(32)] }
    0x0c message_data: u16 as () = 0, "PCIe 6.2 section 7.7.1.5" { rw: [value[15:0]] }
    0x0e extended_message_data: u16 as () = 0, "PCIe 6.2 section 7.7.1.6" { ro: [value[15:0]] }
}

register_block! {
    /// MSI with a 32-bit address and masks. The composer narrows the masks to the vectors there are.
    pub MSI_32_MASKED: Msi32MaskedReg = "msi_32_masked" {
        title: "MSI capability, 32-bit address, per-vector masking",
        section: "PCIe 6.2 section 7.7.1",
        bytes: 0x14,
    }
    0x00 capability_id: u8 as () = 0x05, "PCIe 6.2 section 7.7.1.1" { ro: [value[7:0]] }
    0x01 next_pointer: u8 as () = 0, "PCIe 6.2 section 7.7.1.1" { ro: [value[7:0]] }
    0x02 message_control: u16 as MessageControl = CONTROL_32_MASKED, "PCIe 6.2 section 7.7.1.2" {
        rw: [msi_enable, multiple_message_enable => Doubling(1)],
        hwinit: [multiple_message_capable => Doubling(1), address_64_bit_capable, per_vector_masking_capable],
        ro: [extended_message_data_capable, extended_message_data_enable],
    }
    0x04 message_address: u32 as () = 0, "PCIe 6.2 section 7.7.1.3" { rw: [value[31:0]] }
    0x08 message_data: u16 as () = 0, "PCIe 6.2 section 7.7.1.5" { rw: [value[15:0]] }
    0x0a extended_message_data: u16 as () = 0, "PCIe 6.2 section 7.7.1.6" { ro: [value[15:0]] }
    0x0c mask_bits: u32 as () = 0, "PCIe 6.2 section 7.7.1.7" { rw: [value[31:0]] }
    0x10 pending_bits: u32 as () = 0, "PCIe 6.2 section 7.7.1.8" { ro: [value[31:0]] }
}

register_block! {
    /// MSI with a 64-bit address and masks. The composer narrows the masks to the vectors there are.
    pub MSI_64_MASKED: Msi64MaskedReg = "msi_64_masked" {
        title: "MSI capability, 64-bit address, per-vector masking",
        section: "PCIe 6.2 section 7.7.1",
        bytes: 0x18,
    }
    0x00 capability_id: u8 as () = 0x05, "PCIe 6.2 section 7.7.1.1" { ro: [value[7:0]] }
    0x01 next_pointer: u8 as () = 0, "PCIe 6.2 section 7.7.1.1" { ro: [value[7:0]] }
    0x02 message_control: u16 as MessageControl = CONTROL_64_MASKED, "PCIe 6.2 section 7.7.1.2" {
        rw: [msi_enable, multiple_message_enable => Doubling(1)],
        hwinit: [multiple_message_capable => Doubling(1), address_64_bit_capable, per_vector_masking_capable],
        ro: [extended_message_data_capable, extended_message_data_enable],
    }
    0x04 message_address: u32 as () = 0, "PCIe 6.2 section 7.7.1.3" { rw: [value[31:0]] }
    0x08 message_upper_address: u32 as () = 0, "PCIe 6.2 section 7.7.1.4" { rw: [value[31:0] => Address(32)] }
    0x0c message_data: u16 as () = 0, "PCIe 6.2 section 7.7.1.5" { rw: [value[15:0]] }
    0x0e extended_message_data: u16 as () = 0, "PCIe 6.2 section 7.7.1.6" { ro: [value[15:0]] }
    0x10 mask_bits: u32 as () = 0, "PCIe 6.2 section 7.7.1.7" { rw: [value[31:0]] }
    0x14 pending_bits: u32 as () = 0, "PCIe 6.2 section 7.7.1.8" { ro: [value[31:0]] }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use reg_table::Block;
    use reg_table::RegisterFile;
    use std::vec::Vec;

    fn reset_words(block: &Block) -> Vec<u32> {
        block.masks.iter().map(|mask| mask.reset).collect()
    }

    #[test]
    fn reset_values_say_which_layout_it_is() {
        assert_eq!(reset_words(&MSI_32), [0x0000_0005, 0, 0]);
        assert_eq!(reset_words(&MSI_64), [0x0080_0005, 0, 0, 0]);
        assert_eq!(reset_words(&MSI_32_MASKED), [0x0100_0005, 0, 0, 0, 0]);
        assert_eq!(reset_words(&MSI_64_MASKED), [0x0180_0005, 0, 0, 0, 0, 0]);
    }

    /// Four vectors asked for, 64-bit: enabling with two granted keeps what the function says of itself.
    #[test]
    fn control_keeps_what_the_composer_gave() {
        let mut msi = RegisterFile::new(Msi64Reg::CapabilityId);
        let control = MessageControl::from_bits(msi.get16(Msi64Reg::MessageControl));
        msi.init(
            Msi64Reg::MessageControl,
            control.with_multiple_message_capable(2).into_bits(),
        );
        assert_eq!(msi.read(0), 0x0084_0005);
        msi.write(0, 0x0011_0005, u32::MAX);
        assert_eq!(msi.read(0), 0x0095_0005);
    }

    #[test]
    fn masks_can_be_written_and_pending_bits_cannot() {
        for (block, mask_bits) in [(&MSI_32_MASKED, 3), (&MSI_64_MASKED, 4)] {
            assert_eq!(block.masks[mask_bits].rw, u32::MAX, "{}", block.name);
            assert_eq!(block.masks[mask_bits + 1].writable(), 0, "{}", block.name);
        }
    }

    #[test]
    fn registers_lie_where_linux_expects_them() {
        for (block, register, offset) in [
            (&MSI_32, "message_control", 0x02),       // PCI_MSI_FLAGS
            (&MSI_32, "message_address", 0x04),       // PCI_MSI_ADDRESS_LO
            (&MSI_32, "message_data", 0x08),          // PCI_MSI_DATA_32
            (&MSI_32_MASKED, "mask_bits", 0x0c),      // PCI_MSI_MASK_32
            (&MSI_32_MASKED, "pending_bits", 0x10),   // PCI_MSI_PENDING_32
            (&MSI_64, "message_upper_address", 0x08), // PCI_MSI_ADDRESS_HI
            (&MSI_64, "message_data", 0x0c),          // PCI_MSI_DATA_64
            (&MSI_64_MASKED, "mask_bits", 0x10),      // PCI_MSI_MASK_64
            (&MSI_64_MASKED, "pending_bits", 0x14),   // PCI_MSI_PENDING_64
        ] {
            let found = block.registers.iter().find(|r| r.name == register);
            assert_eq!(
                found.map(|r| r.offset),
                Some(offset),
                "{} {register}",
                block.name
            );
        }
        for (control, bits) in [
            (MessageControl::new().with_msi_enable(true), 0x0001), // PCI_MSI_FLAGS_ENABLE
            (
                MessageControl::new().with_multiple_message_capable(7),
                0x000e,
            ), // PCI_MSI_FLAGS_QMASK
            (
                MessageControl::new().with_multiple_message_enable(7),
                0x0070,
            ), // PCI_MSI_FLAGS_QSIZE
            (
                MessageControl::new().with_address_64_bit_capable(true),
                0x0080,
            ), // PCI_MSI_FLAGS_64BIT
            (
                MessageControl::new().with_per_vector_masking_capable(true),
                0x0100,
            ), // PCI_MSI_FLAGS_MASKBIT
        ] {
            assert_eq!(control.into_bits(), bits, "{control:?}");
        }
    }
}
