//! Nodes as text and as JSON.

use crate::Node;
use crate::Value;
use crate::ValueKind;
use crate::node::Entry;
use crate::value::write_hex_bytes;
use alloc::string::ToString;
use core::fmt;
use core::fmt::Formatter;
use core::fmt::Write as _;

impl fmt::Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_node(f, self, &TEXT, 0)
    }
}

impl Node {
    /// The node as JSON, for `Display`: `{}` in one line, `{:#}` in indented lines.
    ///
    /// Numbers are numbers whatever their format, except that infinities and NaN, which JSON lacks, are
    /// strings; bytes are strings of hexadecimal digits; a directory that was not evaluated is `null`; a failed
    /// node is an object with the one member `$error`. Of several leaves with the same name, the first is shown.
    pub fn json(&self) -> Json<'_> {
        Json(self)
    }
}

/// A node that displays as JSON; see [`Node::json`].
#[derive(Debug, Clone, Copy)]
pub struct Json<'a>(&'a Node);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_node(f, self.0, &JSON, 0)
    }
}

/// What differs between the notations.
struct Notation {
    name: fn(&mut Formatter<'_>, &str) -> fmt::Result,
    leaf: fn(&mut Formatter<'_>, &Node) -> fmt::Result,
    /// Whether the last of several lines ends with a comma.
    trailing_comma: bool,
    /// Whether names are unique in a directory.
    unique: bool,
}

const TEXT: Notation = Notation {
    name: text_name,
    leaf: text_leaf,
    trailing_comma: true,
    unique: false,
};

const JSON: Notation = Notation {
    name: json_string,
    leaf: json_leaf,
    trailing_comma: false,
    unique: true,
};

fn write_node(
    f: &mut Formatter<'_>,
    node: &Node,
    notation: &Notation,
    depth: usize,
) -> fmt::Result {
    let Node::Dir(entries) = node else {
        return (notation.leaf)(f, node);
    };
    f.write_char('{')?;
    let mut last: Option<&Entry> = None;
    for entry in entries {
        if notation.unique && last.is_some_and(|last| last.name == entry.name) {
            continue;
        }
        if last.is_some() {
            f.write_char(',')?;
        }
        if f.alternate() {
            new_line(f, depth + 1)?;
        } else if last.is_some() {
            f.write_char(' ')?;
        }
        (notation.name)(f, &entry.name)?;
        f.write_str(": ")?;
        write_node(f, &entry.node, notation, depth + 1)?;
        last = Some(entry);
    }
    if f.alternate() && last.is_some() {
        if notation.trailing_comma {
            f.write_char(',')?;
        }
        new_line(f, depth)?;
    }
    f.write_char('}')
}

fn new_line(f: &mut Formatter<'_>, depth: usize) -> fmt::Result {
    f.write_char('\n')?;
    (0..depth).try_for_each(|_| f.write_str("    "))
}

/// Names that would confuse a reader are quoted.
fn text_name(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    let confusing = |c: char| c.is_control() || c.is_whitespace() || "{},\"\\".contains(c);
    if name.is_empty() || name.contains(confusing) {
        write!(f, "{name:?}")
    } else {
        f.write_str(name)
    }
}

fn text_leaf(f: &mut Formatter<'_>, node: &Node) -> fmt::Result {
    match node {
        Node::Unevaluated => f.write_char('_'),
        Node::Failed(error) => write!(f, "error ({error})"),
        // Not `value.fmt(f)`: `{:#}` of the node is not for the value.
        Node::Value(value) => write!(f, "{value}"),
        Node::Dir(_) => Ok(()),
    }
}

fn json_leaf(f: &mut Formatter<'_>, node: &Node) -> fmt::Result {
    match node {
        Node::Unevaluated => f.write_str("null"),
        Node::Failed(error) => {
            f.write_str("{\"$error\": ")?;
            json_string(f, &error.to_string())?;
            f.write_char('}')
        }
        Node::Value(value) => json_value(f, value),
        Node::Dir(_) => Ok(()),
    }
}

fn json_value(f: &mut Formatter<'_>, value: &Value) -> fmt::Result {
    match &value.kind {
        ValueKind::Signed(v) => write!(f, "{v}"),
        ValueKind::Unsigned(v) => write!(f, "{v}"),
        // `Debug` of a finite number is JSON, `1.0` and `1e300`, and the shortest that reads back as the same.
        ValueKind::Float(v) if v.is_finite() => write!(f, "{v:?}"),
        ValueKind::Float(v) => write!(f, "\"{v}\""),
        ValueKind::Double(v) if v.is_finite() => write!(f, "{v:?}"),
        ValueKind::Double(v) => write!(f, "\"{v}\""),
        ValueKind::Bool(v) => write!(f, "{v}"),
        ValueKind::String(v) => json_string(f, v),
        ValueKind::Bytes(v) => {
            f.write_char('"')?;
            write_hex_bytes(f, v)?;
            f.write_char('"')
        }
    }
}

fn json_string(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
