//! The register tables of the linked program, for clients that decode.

use reg_table::BLOCKS;
use reg_table::Block;
use reg_table::Field;
use reg_table::Register;
use serde_json::Value;
use serde_json::json;

/// Every block, by name.
pub(crate) fn all() -> Value {
    let mut blocks: Vec<&Block> = BLOCKS.iter().copied().collect();
    blocks.sort_by_key(|block| block.name);
    blocks.into_iter().map(block).collect()
}

fn block(block: &Block) -> Value {
    let registers = block.registers.iter();
    json!({
        "name": block.name,
        "title": block.title,
        "section": block.section,
        // What has no fields is reserved.
        "registers": registers.filter(|register| !register.fields.is_empty()).map(register).collect::<Value>(),
    })
}

fn register(register: &Register) -> Value {
    json!({
        "name": register.name,
        "offset": register.offset,
        "bytes": register.bytes,
        "section": register.section,
        "fields": register.fields.iter().map(field).collect::<Value>(),
    })
}

fn field(field: &Field) -> Value {
    json!({
        "name": field.name,
        "lsb": field.lsb,
        "bits": field.bits,
        "access": field.access.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_status_is_as_the_specification_has_it() {
        let all = all();
        let named = |list: &Value, name: &str| -> Value {
            let mut entries = list.as_array().unwrap().iter();
            entries.find(|entry| entry["name"] == name).unwrap().clone()
        };
        let block = named(&all, "pci_express");
        let register = named(&block["registers"], "slot_status");
        // PCIe 6.2 section 7.5.3.11.
        assert_eq!(
            (register["offset"].clone(), register["bytes"].clone()),
            (0x1a.into(), 2.into())
        );
        assert_eq!(
            named(&register["fields"], "power_fault_detected"),
            json!({ "name": "power_fault_detected", "lsb": 1, "bits": 1, "access": "RW1C" })
        );
    }
}
