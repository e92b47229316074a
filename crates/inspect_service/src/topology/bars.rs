//! Base Address registers, as inspection shows what they ask for.

use super::Bar;
use inspect::Node;
use inspect::Value;
use inspect::ValueKind;

/// The registers of a directory that has one by the name of each: `bar0`. `address` says what a register holds, by its number and whether
/// the next one has the upper half.
pub(super) fn read(node: Node, address: impl Fn(u8, bool) -> u64) -> Vec<Bar> {
    let Node::Dir(entries) = node else {
        return Vec::new();
    };
    let mut bars = Vec::new();
    for entry in entries {
        let index = entry.name.strip_prefix("bar").and_then(|n| n.parse().ok());
        let (Some(index), Node::Dir(fields)) = (index, entry.node) else {
            continue;
        };
        let mut bar = Bar {
            index,
            kind: String::new(),
            size: 0,
            address: 0,
        };
        for field in fields {
            match (&*field.name, field.node) {
                (
                    "kind",
                    Node::Value(Value {
                        kind: ValueKind::String(kind),
                        ..
                    }),
                ) => bar.kind = kind,
                (
                    "len",
                    Node::Value(Value {
                        kind: ValueKind::Unsigned(size),
                        ..
                    }),
                ) => bar.size = size,
                _ => {}
            }
        }
        bar.address = address(index, bar.is_64_bit());
        bars.push(bar);
    }
    bars
}
