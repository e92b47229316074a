//! A Designated Vendor-Specific capability (PCIe 6.2 section 7.9.6) whose contents never change.

use super::PciExtendedCapability;
use crate::capabilities::ConfigSlot;
use crate::spec::caps::ExtendedCapabilityId;
use crate::spec::caps::dvsec::DvsecHeader1;
use inspect::Inspect;
use vmcore::save_restore::NoSavedState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

/// Bytes before the vendor's own: the capability's header and the two headers of the block.
const HEADERS: usize = 0xa;

/// The most that DVSEC Length can say, less the headers.
pub const DVSEC_DATA_MAX: usize = 0xfff - HEADERS;

/// A block that is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("DVSEC '{label}': {bytes} bytes of data; it holds {DVSEC_DATA_MAX} at most")]
pub struct DvsecTooLong {
    /// The label.
    pub label: String,
    /// Bytes of data.
    pub bytes: usize,
}

/// What a DVSEC block is: its vendor gives the other two numbers their meaning.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct DvsecId {
    /// Vendor ID of whoever defined the block.
    pub vendor_id: u16,
    /// Which of that vendor's blocks it is.
    pub id: u16,
    /// Version of its layout, 4 bits.
    pub revision: u8,
}

/// A read-only DVSEC capability. There is no register table: the bytes are the vendor's.
///
/// ```
/// use pci_core::capabilities::extended::{PciExtendedCapability, dvsec::{DvsecExtendedCapability, DvsecId}};
///
/// let id = DvsecId { vendor_id: 0x1234, id: 7, revision: 1 };
/// let block = DvsecExtendedCapability::new("board", id, &[0xaa, 0xbb, 0xcc])?;
/// assert_eq!([4, 8, 12].map(|o| block.read_u32(o)), [0x00d1_1234, 0xbbaa_0007, 0xcc]);
/// assert!(DvsecExtendedCapability::new("board", id, &[0; 4096]).is_err());
/// # Ok::<_, pci_core::capabilities::extended::dvsec::DvsecTooLong>(())
/// ```
#[derive(Debug)]
pub struct DvsecExtendedCapability {
    label: String,
    id: DvsecId,
    bytes: Vec<u8>,
}

impl DvsecExtendedCapability {
    /// A block that holds `data` behind its headers. `label` must differ from that of the function's other capabilities; the
    /// low 4 bits of the revision count.
    ///
    /// # Errors
    ///
    /// [`DvsecTooLong`] above [`DVSEC_DATA_MAX`] bytes.
    pub fn new(label: impl Into<String>, id: DvsecId, data: &[u8]) -> Result<Self, DvsecTooLong> {
        let (label, length) = (label.into(), HEADERS + data.len());
        let length = match u16::try_from(length) {
            Ok(length) if data.len() <= DVSEC_DATA_MAX => length,
            _ => {
                let bytes = data.len();
                return Err(DvsecTooLong { label, bytes });
            }
        };
        let header = u32::from(ExtendedCapabilityId::DVSEC.0) | (1 << 16);
        let header_1 = DvsecHeader1::new()
            .with_dvsec_vendor_id(id.vendor_id)
            .with_dvsec_revision(id.revision & 0xf)
            .with_dvsec_length(length);
        let mut bytes = Vec::with_capacity(usize::from(length).next_multiple_of(4));
        bytes.extend(header.to_le_bytes());
        bytes.extend(header_1.into_bits().to_le_bytes());
        bytes.extend(id.id.to_le_bytes());
        bytes.extend(data);
        bytes.resize(usize::from(length).next_multiple_of(4), 0);
        Ok(Self { label, id, bytes })
    }
}

impl Inspect for DvsecExtendedCapability {
    fn inspect(&self, req: inspect::Request<'_>) {
        req.respond()
            .hex("vendor_id", self.id.vendor_id)
            .hex("id", self.id.id)
            .field("revision", self.id.revision)
            .display_debug("bytes", &self.bytes);
    }
}

impl PciExtendedCapability for DvsecExtendedCapability {
    fn label(&self) -> &str {
        &self.label
    }

    fn extended_capability_id(&self) -> u16 {
        ExtendedCapabilityId::DVSEC.0
    }

    fn capability_version(&self) -> u8 {
        1
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn read_u32(&self, offset: u16) -> u32 {
        self.bytes
            .get(usize::from(offset)..)
            .and_then(|rest| rest.first_chunk())
            .map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
    }

    fn write_u32(&mut self, _offset: u16, _val: u32) {}

    fn reset(&mut self) {}

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        slot.store((0u16..).step_by(4).map(|offset| self.read_u32(offset)));
        true
    }
}

impl SaveRestore for DvsecExtendedCapability {
    type SavedState = NoSavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(NoSavedState)
    }

    fn restore(&mut self, NoSavedState: Self::SavedState) -> Result<(), RestoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::assert_extended_header_contract;
    use super::*;

    const ID: DvsecId = DvsecId {
        vendor_id: 0x1234,
        id: 0x5678,
        revision: 0xff,
    };

    #[test]
    fn lays_out_headers_and_data() {
        let mut block = DvsecExtendedCapability::new("b", ID, &[1, 2, 3, 4, 5, 6]).unwrap();
        assert_extended_header_contract(&block);
        block.write_u32(8, 0);
        assert_eq!(
            [0, 4, 8, 12, 16].map(|o| block.read_u32(o)),
            [0x0001_0023, 0x010f_1234, 0x0201_5678, 0x0605_0403, u32::MAX]
        );
    }

    #[test]
    fn lengths_from_nothing_to_the_most() {
        for (data, len) in [(0, 12), (2, 12), (3, 16), (DVSEC_DATA_MAX, 4096)] {
            let block = DvsecExtendedCapability::new("b", ID, &vec![0; data]).unwrap();
            assert_extended_header_contract(&block);
            assert_eq!(block.len(), len);
            assert_eq!(block.read_u32(4) >> 20, u32::try_from(data + 10).unwrap());
        }
        let error = DvsecExtendedCapability::new("b", ID, &[0; DVSEC_DATA_MAX + 1]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "DVSEC 'b': 4086 bytes of data; it holds 4085 at most"
        );
    }
}
