//! A capability whose contents never change.

use super::ConfigSlot;
use super::PciCapability;
use crate::spec::caps::CapabilityId;
use inspect::Inspect;
use std::fmt::Debug;
use vmcore::save_restore::NoSavedState;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// A read-only capability made of the bytes of a `T`. There is no register table: the bytes are the caller's, and must begin
/// with the capability ID and a zero next pointer.
///
/// ```
/// use pci_core::capabilities::{PciCapability, ReadOnlyCapability};
///
/// // Vendor specific: ID 0x09, next pointer, length 8, then the vendor's own.
/// let capability = ReadOnlyCapability::new("vendor", [0x09u8, 0, 8, 0, 0xaa, 0xbb, 0xcc, 0xdd]);
/// assert_eq!(capability.read_u32(4), 0xddcc_bbaa);
/// ```
#[derive(Debug)]
pub struct ReadOnlyCapability<T> {
    label: String,
    capability_id: CapabilityId,
    data: T,
}

impl<T: IntoBytes + Immutable + KnownLayout> ReadOnlyCapability<T> {
    /// A vendor-specific capability (PCIe 6.2 section 7.9.4).
    pub fn new(label: impl Into<String>, data: T) -> Self {
        Self::new_with_capability_id(label, CapabilityId::VENDOR_SPECIFIC, data)
    }

    /// A capability with another ID.
    pub fn new_with_capability_id(
        label: impl Into<String>,
        capability_id: CapabilityId,
        data: T,
    ) -> Self {
        Self {
            label: label.into(),
            capability_id,
            data,
        }
    }
}

impl<T: Debug> Inspect for ReadOnlyCapability<T> {
    fn inspect(&self, req: inspect::Request<'_>) {
        req.respond()
            .field("label", &self.label)
            .field("capability_id", format!("{:#04x}", self.capability_id.0))
            .display_debug("data", &self.data);
    }
}

impl<T> PciCapability for ReadOnlyCapability<T>
where
    T: IntoBytes + Send + Sync + Debug + Immutable + KnownLayout + 'static,
{
    fn label(&self) -> &str {
        &self.label
    }

    fn capability_id(&self) -> CapabilityId {
        self.capability_id
    }

    fn len(&self) -> usize {
        size_of::<T>()
    }

    fn read_u32(&self, offset: u16) -> u32 {
        self.data
            .as_bytes()
            .get(usize::from(offset)..)
            .and_then(|rest| rest.first_chunk())
            .map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
    }

    fn write_u32(&mut self, offset: u16, val: u32) {
        tracelimit::warn_ratelimited!(label = %self.label, offset, val, "write to a read-only capability");
    }

    fn reset(&mut self) {}

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        slot.store((0u16..).step_by(4).map(|offset| self.read_u32(offset)));
        true
    }
}

impl<T> SaveRestore for ReadOnlyCapability<T> {
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
    use super::*;

    #[test]
    fn reads_its_bytes_and_ignores_writes() {
        let mut capability = ReadOnlyCapability::new("foo", [0x1122_3309u32, 0xdead_beef]);
        assert_eq!((capability.len(), capability.label()), (8, "foo"));
        assert_eq!(capability.capability_id(), CapabilityId::VENDOR_SPECIFIC);
        capability.write_u32(4, 0);
        assert_eq!(capability.read_u32(4), 0xdead_beef);
        assert_eq!(capability.read_u32(8), u32::MAX, "past the end");
    }
}
