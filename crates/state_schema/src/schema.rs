//! Messages as the `.proto` files show them.
//!
//! What is read is what `mesh_protobuf::to_proto_files` writes, a declaration a line; it is not a parser of Protobuf's language.

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::collections::BTreeMap;

/// Every message, by its full name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Schema(pub(crate) BTreeMap<String, Fields>);

/// The fields of a message, by their numbers.
pub(crate) type Fields = BTreeMap<u32, Field>;

/// What a field number means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Label, type and name, as in `repeated uint32 vectors`.
    pub(crate) declaration: String,
    /// The Rust type, which is narrower than Protobuf's.
    pub(crate) rust_type: String,
    /// Whether it is one variant of a choice.
    pub(crate) variant: bool,
}

impl Schema {
    /// Reads every file, given by name and text.
    ///
    /// # Errors
    ///
    /// - a line is none that this program writes, named with its file and number.
    pub(crate) fn parse_all(files: &BTreeMap<String, String>) -> Result<Self> {
        let mut schema = Self::default();
        for (name, text) in files {
            schema.parse(text).with_context(|| name.clone())?;
        }
        Ok(schema)
    }

    fn parse(&mut self, text: &str) -> Result<()> {
        let mut package = String::new();
        // Names of the messages that are open, and nothing for a oneof.
        let mut open: Vec<Option<String>> = Vec::new();
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            let words: Vec<_> = line.trim_end_matches(';').split(' ').collect();
            match words[..] {
                [""] | ["syntax", ..] | ["import", ..] => {}
                ["package", name] => package = format!("{name}."),
                ["message", name, "{"] => {
                    open.push(Some(name.to_string()));
                    self.0.entry(full_name(&package, &open)).or_default();
                }
                ["oneof", _, "{"] => open.push(None),
                ["}"] if open.pop().is_some() => {}
                _ => {
                    let variant = matches!(open.last(), Some(None));
                    let (number, field) =
                        field(line, variant).with_context(|| format!("line {number}: '{line}'"))?;
                    let fields = self.0.entry(full_name(&package, &open)).or_default();
                    if fields.insert(number, field).is_some() {
                        bail!("line '{line}': the number is taken");
                    }
                }
            }
        }
        Ok(())
    }
}

fn full_name(package: &str, open: &[Option<String>]) -> String {
    let names: Vec<_> = open.iter().flatten().map(String::as_str).collect();
    format!("{package}{}", names.join("."))
}

/// `repeated uint32 vectors = 12; // Vec<u16>`
fn field(line: &str, variant: bool) -> Result<(u32, Field)> {
    let (declaration, rest) = line.split_once(" = ").context("is no declaration")?;
    let (number, rust_type) = rest.split_once("; // ").context("lacks the Rust type")?;
    let field = Field {
        declaration: declaration.to_string(),
        rust_type: rust_type.to_string(),
        variant,
    };
    Ok((number.parse().context("has no number")?, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Schema> {
        Schema::parse_all(&BTreeMap::from([(
            "demo.proto".to_string(),
            text.to_string(),
        )]))
    }

    #[test]
    fn messages_nest_and_choices_do_not() {
        let schema = parse(
            "syntax = \"proto3\";\n\npackage demo;\n\nimport \"other.proto\";\n\nmessage Event {\n  message MovedItem {\n    \
             uint32 from = 1; // u16\n  }\n  oneof variant {\n    MovedItem Moved = 2; // Moved\n  }\n}\n",
        )
        .unwrap();
        let names: Vec<_> = schema.0.keys().map(String::as_str).collect();
        assert_eq!(names, ["demo.Event", "demo.Event.MovedItem"]);
        let moved = &schema.0["demo.Event"][&2];
        assert_eq!(
            (moved.declaration.as_str(), moved.variant),
            ("MovedItem Moved", true)
        );
        let from = &schema.0["demo.Event.MovedItem"][&1];
        assert_eq!((from.rust_type.as_str(), from.variant), ("u16", false));
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let error = parse("message A {\n  uint32 x = one; // u8\n}\n").unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "demo.proto: line 2: 'uint32 x = one; // u8': has no number: invalid digit found in string"
        );
        let error =
            parse("message A {\n  uint32 x = 1; // u8\n  uint32 y = 1; // u8\n}\n").unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "demo.proto: line 'uint32 y = 1; // u8': the number is taken"
        );
    }
}
