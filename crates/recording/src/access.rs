//! Config accesses that are taken down.

use crate::Recorder;
use pci_enumerate::Bdf;
use pci_enumerate::ConfigAccess;
use pci_enumerate::EcamAccess;
use pci_enumerate::Width;

/// Config accesses through ECAM, each taken down by a recorder, if there is one.
pub struct RecordedAccess<'a> {
    access: EcamAccess<'a>,
    recorder: Option<&'a mut Recorder>,
}

impl<'a> RecordedAccess<'a> {
    /// Takes down what `access` does. What it refuses, because the bus is not its host bridge's, is no access.
    pub fn new(access: EcamAccess<'a>, recorder: Option<&'a mut Recorder>) -> Self {
        Self { access, recorder }
    }
}

impl ConfigAccess for RecordedAccess<'_> {
    fn read(&mut self, bdf: Bdf, offset: u16, width: Width) -> u32 {
        let value = self.access.read(bdf, offset, width);
        if let (Some(recorder), Some(address)) =
            (&mut self.recorder, self.access.address(bdf, offset))
        {
            recorder.read(address, bytes(&value.to_le_bytes(), width));
        }
        value
    }

    fn write(&mut self, bdf: Bdf, offset: u16, width: Width, value: u32) {
        self.access.write(bdf, offset, width, value);
        if let (Some(recorder), Some(address)) =
            (&mut self.recorder, self.access.address(bdf, offset))
        {
            recorder.write(address, bytes(&value.to_le_bytes(), width));
        }
    }
}

/// The low bytes of a dword.
fn bytes(dword: &[u8; 4], width: Width) -> &[u8] {
    dword.get(..width.bytes().into()).unwrap_or(dword)
}
