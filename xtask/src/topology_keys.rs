//! The keys of a hierarchy's description, for the guide: read from the types that a description is read into.
//!
//! What is understood is what those types use: structs and enums with a comment at each field and variant, and serde's `default` and
//! `rename` on lines of their own.

use crate::workspace::Workspace;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Where the types are.
const FOLDER: &str = "crates/pcie_topology/src/model";
/// The type of a whole description.
const ROOT: &str = "Topology";
/// The `options` of kinds of endpoints, each with its type and where that is.
const KINDS: &[(&str, &str, &str)] = &[("nvme", "NvmeOptions", "crates/nvme/src/factory.rs")];

/// A struct or enum.
#[derive(Debug, PartialEq, Eq)]
struct Type {
    is_enum: bool,
    doc: String,
    members: Vec<Member>,
}

/// A field or variant.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    /// As it is written in a file.
    name: String,
    doc: String,
    /// Of a field; empty for a variant.
    typ: String,
    optional: bool,
}

/// All keys as Markdown: a section for each table, from the outermost in.
pub(crate) fn markdown(workspace: &Workspace) -> String {
    let sources = workspace
        .files
        .iter()
        .filter(|file| file.path.starts_with(FOLDER))
        .map(|file| file.text.as_str());
    let types: BTreeMap<String, Type> = sources.flat_map(parse).collect();
    let mut order = vec![ROOT.to_string()];
    let mut next = 0;
    while let Some(typ) = order.get(next).and_then(|name| types.get(name)) {
        next += 1;
        for member in &typ.members {
            let named = innermost(&member.typ);
            let is_table = types.get(named).is_some_and(|typ| !typ.is_enum);
            if is_table && !order.iter().any(|known| known == named) {
                order.push(named.to_string());
            }
        }
    }
    let mut out = String::new();
    for name in &order {
        if let Some(typ) = types.get(name) {
            section(&mut out, &title(name), typ, &types);
        }
    }
    for (kind, name, file) in KINDS {
        let source = workspace.file(file).map_or("", |file| &file.text);
        let options = parse(source).into_iter().find(|(found, _)| found == name);
        if let Some((_, typ)) = options {
            section(&mut out, &format!("options of kind {kind}"), &typ, &types);
        }
    }
    out
}

fn section(out: &mut String, title: &str, typ: &Type, types: &BTreeMap<String, Type>) {
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n### {title}\n\n{}\n\n| key | value | meaning |\n| --- | --- | --- |\n",
        typ.doc
    );
    for member in &typ.members {
        let needed = if member.optional { "" } else { ", required" };
        let _ = writeln!(
            out,
            "| `{}` | {}{needed} | {} |",
            member.name,
            value(&member.typ, types),
            member.doc
        );
    }
}

/// What a value is, for someone who writes it.
fn value(typ: &str, types: &BTreeMap<String, Type>) -> String {
    if let Some(element) = generic(typ, "Vec") {
        return format!("list of {}", value(element, types));
    }
    let inner = innermost(typ);
    match types.get(inner) {
        Some(typ) if typ.is_enum => {
            let variants = typ.members.iter().map(|m| format!("`\"{}\"`", m.name));
            variants.collect::<Vec<_>>().join(", ")
        }
        Some(_) => format!("[{}](#{})", title(inner), title(inner).replace(' ', "-")),
        None => match inner {
            "String" | "PathBuf" => "text".to_string(),
            "bool" => "`true`, `false`".to_string(),
            "Size" => "size".to_string(),
            "SerialNumber" => "serial number".to_string(),
            "DeviceOptions" => "table".to_string(),
            _ => "number".to_string(),
        },
    }
}

/// The type within options, lists and boxes.
fn innermost(typ: &str) -> &str {
    ["Option", "Vec", "Box"]
        .iter()
        .find_map(|outer| generic(typ, outer))
        .map_or(typ, innermost)
}

fn generic<'a>(typ: &'a str, outer: &str) -> Option<&'a str> {
    typ.strip_prefix(outer)?
        .strip_prefix('<')?
        .strip_suffix('>')
}

/// `PortBarSpec` as people say it: `port bar`.
fn title(name: &str) -> String {
    if name == ROOT {
        return "the file".to_string();
    }
    let mut out = String::new();
    for letter in name.trim_end_matches("Spec").chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// The structs and enums of a source file.
fn parse(source: &str) -> Vec<(String, Type)> {
    let mut types = Vec::new();
    let mut open: Option<(String, Type)> = None;
    let (mut doc, mut attributes) = (Vec::new(), Vec::new());
    for line in source.lines() {
        let text = line.trim();
        if let Some(comment) = text.strip_prefix("///") {
            doc.push(comment.trim());
        } else if text.starts_with("#[") {
            attributes.push(text);
        } else {
            if let Some((name, is_enum)) = opening(line) {
                let doc = paragraph(&doc);
                let members = Vec::new();
                open = Some((
                    name.to_string(),
                    Type {
                        is_enum,
                        doc,
                        members,
                    },
                ));
            } else if line == "}" {
                types.extend(open.take());
            } else if let Some((_, typ)) = &mut open {
                typ.members
                    .extend(member(text, typ.is_enum, &doc, &attributes));
            }
            doc.clear();
            attributes.clear();
        }
    }
    types
}

/// The name of a type whose members follow, and whether it is an enum.
fn opening(line: &str) -> Option<(&str, bool)> {
    let rest = without_visibility(line).strip_suffix(" {")?;
    let named = |keyword| rest.strip_prefix(keyword);
    named("struct ")
        .map(|name| (name, false))
        .or_else(|| named("enum ").map(|name| (name, true)))
}

fn without_visibility(text: &str) -> &str {
    text.strip_prefix("pub ").unwrap_or(text)
}

fn member(text: &str, is_enum: bool, doc: &[&str], attributes: &[&str]) -> Option<Member> {
    let serde = |word: &str| {
        attributes
            .iter()
            .find(|a| a.starts_with("#[serde") && a.contains(word))
    };
    let text = text.strip_suffix(',')?;
    let (name, typ) = if is_enum {
        (text, "")
    } else {
        without_visibility(text).split_once(": ")?
    };
    let renamed = serde("rename = ").and_then(|a| a.split('"').nth(1));
    Some(Member {
        name: renamed.unwrap_or(name).to_string(),
        doc: paragraph(doc),
        typ: typ.to_string(),
        // Nobody has to say a flag, nor what may be absent.
        optional: serde("default").is_some() || typ == "bool" || typ.starts_with("Option<"),
    })
}

/// A comment up to its first empty line, without the links that only rustdoc resolves.
fn paragraph(doc: &[&str]) -> String {
    let lines = doc.iter().take_while(|line| !line.is_empty()).copied();
    let text = lines.collect::<Vec<_>>().join(" ");
    let mut parts = text.split("[`");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (name, rest) = part.split_once("`]").unwrap_or((part, ""));
        let target = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        out.push_str(&format!(
            "`{name}`{}",
            target.map_or(rest, |(_, rest)| rest)
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
/// A card.
///
/// More that the page leaves out.
#[serde(deny_unknown_fields)]
pub struct CardSpec {
    /// Its name,
    /// in [`full`](x), as [`Other`] has.
    pub name: String,
    /// Its pins.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pin: Vec<PinSpec>,
}

/// A pin.
pub enum PinSpec {
    /// The first.
    #[serde(rename = "first")]
    A,
    /// Another.
    B,
}
"#;

    #[test]
    fn types_are_read_as_they_are_written_in_a_file() {
        let types: BTreeMap<_, _> = parse(SOURCE).into_iter().collect();
        let card = &types["CardSpec"];
        assert_eq!(card.doc, "A card.");
        let shown: Vec<_> = card
            .members
            .iter()
            .map(|m| (m.name.as_str(), value(&m.typ, &types), m.optional))
            .collect();
        assert_eq!(
            shown,
            [
                ("name", "text".to_string(), false),
                ("pin", "list of `\"first\"`, `\"B\"`".to_string(), true)
            ]
        );
        assert_eq!(card.members[0].doc, "Its name, in `full`, as `Other` has.");
        assert_eq!(title("PortBarSpec"), "port bar");
        assert_eq!(innermost("Option<Box<SwitchSpec>>"), "SwitchSpec");
    }

    #[test]
    fn every_key_of_the_product_is_there() {
        let workspace = Workspace::load().unwrap();
        let page = markdown(&workspace);
        for key in [
            "root_complex",
            "ecam",
            "slot",
            "hdm_decoders",
            "width",
            "resizable",
            "read_only",
        ] {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
    }
}
