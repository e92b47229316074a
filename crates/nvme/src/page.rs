//! A data structure that the guest asked for, written field by field.

/// Bytes in the order of the specification's figures: little endian, zero unless written.
pub(crate) struct Page(Vec<u8>);

impl Page {
    pub(crate) fn new(len: usize) -> Self {
        Self(vec![0; len])
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What does not fit is left out.
    pub(crate) fn bytes_at(&mut self, offset: usize, bytes: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(offset).zip(bytes) {
            *to = *from;
        }
    }

    /// ASCII, filled up with spaces to `len` (NVMe 2.0 section 1.4.2).
    pub(crate) fn text(&mut self, offset: usize, len: usize, text: &str) {
        let padded = text.bytes().chain(std::iter::repeat(b' ')).take(len);
        self.bytes_at(offset, &padded.collect::<Vec<_>>());
    }

    pub(crate) fn u8(&mut self, offset: usize, value: u8) {
        self.bytes_at(offset, &[value]);
    }

    pub(crate) fn u16(&mut self, offset: usize, value: u16) {
        self.bytes_at(offset, &value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, offset: usize, value: u32) {
        self.bytes_at(offset, &value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, offset: usize, value: u64) {
        self.bytes_at(offset, &value.to_le_bytes());
    }
}
