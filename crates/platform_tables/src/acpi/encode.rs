//! AML that was written already.

use acpi_tables::Aml;
use acpi_tables::AmlSink;

/// AML bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Encoded(pub(super) Vec<u8>);

impl Aml for Encoded {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(&self.0);
    }
}

/// Writes a term, so that it need not borrow what it was made of.
pub(super) fn encode(term: &dyn Aml) -> Encoded {
    let mut bytes = Vec::new();
    term.to_aml_bytes(&mut bytes);
    Encoded(bytes)
}

/// Writes terms one behind the other.
pub(super) fn sequence(terms: &[&dyn Aml]) -> Encoded {
    let mut bytes = Vec::new();
    for term in terms {
        term.to_aml_bytes(&mut bytes);
    }
    Encoded(bytes)
}
