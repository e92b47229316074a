//! The image in the expansion ROM of an endpoint or a port (PCI Firmware Specification 3.3 section 5.1.1).

use pci_core::spec::hwid::HardwareIds;

/// Bytes of the image; the rest of the ROM reads zero.
const IMAGE_LEN: usize = 512;
/// Offset of the PCI Data Structure.
const DATA_STRUCTURE: u8 = 0x1c;
/// Bytes of the PCI Data Structure of revision 3.
const DATA_STRUCTURE_LEN: u8 = 0x1c;
/// Code Type of an image for no machine in particular: Open Firmware, without a program.
const CODE_TYPE: u8 = 1;
/// Indicator of the last image.
const LAST_IMAGE: u8 = 0x80;

/// An image that says whose it is, and does nothing.
pub(crate) fn image(ids: &HardwareIds) -> Vec<u8> {
    let [vendor_low, vendor_high] = ids.vendor_id.to_le_bytes();
    let [device_low, device_high] = ids.device_id.to_le_bytes();
    let header = [0x55, 0xaa, 1];
    let pointer = [DATA_STRUCTURE, 0];
    let data_structure = [
        b'P',
        b'C',
        b'I',
        b'R',
        vendor_low,
        vendor_high,
        device_low,
        device_high,
        0,
        0,
        DATA_STRUCTURE_LEN,
        0,
        3,
        u8::from(ids.prog_if),
        u8::from(ids.sub_class),
        u8::from(ids.base_class),
        1, // image length in units of 512 bytes
        0,
        0,
        0,
        CODE_TYPE,
        LAST_IMAGE,
    ];
    let mut image = Vec::with_capacity(IMAGE_LEN);
    image.extend(header);
    image.resize(0x18, 0);
    image.extend(pointer);
    image.resize(DATA_STRUCTURE.into(), 0);
    image.extend(data_structure);
    image.resize(IMAGE_LEN, 0);
    image
}
