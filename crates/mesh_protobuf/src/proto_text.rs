//! Descriptions as `.proto` text, for reading states with other tools.

use crate::FieldDescription;
use crate::MessageDescription;
use crate::Repeat;
use crate::ValueType;
use crate::reachable_messages;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Writes `roots`, and every message that they are made of, as one `proto3` file.
///
/// One file can declare only one package, so packages are written as messages around their messages: the full names,
/// and with them the type URLs of [`ProtobufAny`](crate::ProtobufAny), come out the same. Messages without a package
/// are told apart by their names alone.
pub fn to_proto(roots: &[&'static MessageDescription<'static>]) -> String {
    let mut packages = Scope::default();
    for message in reachable_messages(roots.iter().copied()) {
        let mut scope = &mut packages;
        for part in message.package.split('.').filter(|part| !part.is_empty()) {
            scope = scope.children.entry(part).or_default();
        }
        scope.children.entry(message.name).or_default().message = Some(message);
    }
    let mut text = Text::default();
    text.line("syntax = \"proto3\";");
    packages.write(&mut text);
    text.0
}

/// Writes `roots`, and every message that they are made of, as `proto3` files, one a package: each file's name, which is
/// the package's with `.proto` behind it, and its text.
///
/// Messages without a package come in a file `unnamed.proto`, which declares no package.
pub fn to_proto_files(roots: &[&'static MessageDescription<'static>]) -> BTreeMap<String, String> {
    let mut packages: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for message in reachable_messages(roots.iter().copied()) {
        packages.entry(message.package).or_default().push(message);
    }
    packages
        .into_iter()
        .map(|(package, messages)| (file_name(package), package_text(package, &messages)))
        .collect()
}

fn file_name(package: &str) -> String {
    match package {
        "" => "unnamed.proto".to_owned(),
        package => format!("{package}.proto"),
    }
}

fn package_text(package: &str, messages: &[&'static MessageDescription<'static>]) -> String {
    let mut text = Text::default();
    text.line("syntax = \"proto3\";");
    if !package.is_empty() {
        text.line("");
        text.line(&format!("package {package};"));
    }
    let mut imports = BTreeSet::new();
    for message in messages {
        collect_packages(message, &mut imports);
    }
    imports.remove(package);
    if !imports.is_empty() {
        text.line("");
    }
    for import in imports {
        text.line(&format!("import \"{}\";", file_name(import)));
    }
    for message in messages {
        text.line("");
        text.open(&format!("message {}", message.name));
        text.fields(message);
        text.close();
    }
    text.0
}

/// Adds the packages of the named messages that the fields of `message` are made of.
fn collect_packages<'a>(message: &MessageDescription<'a>, packages: &mut BTreeSet<&'a str>) {
    for field in message.fields {
        let nested = match field.field_type.value {
            ValueType::Message(description) => description(),
            ValueType::Variant(description) => description,
            _ => continue,
        };
        match unnamed_message(field) {
            Some(unnamed) => collect_packages(unnamed, packages),
            None => {
                packages.insert(nested.package);
            }
        }
    }
}

/// A name's meaning: a package, a message, or both.
#[derive(Default)]
struct Scope {
    message: Option<&'static MessageDescription<'static>>,
    children: BTreeMap<&'static str, Scope>,
}

impl Scope {
    fn write(&self, text: &mut Text) {
        for (name, scope) in &self.children {
            text.open(&format!("message {name}"));
            if let Some(message) = scope.message {
                text.fields(message);
            }
            scope.write(text);
            text.close();
        }
    }
}

#[derive(Default)]
struct Text(String, usize);

impl Text {
    fn line(&mut self, line: &str) {
        if !line.is_empty() {
            self.0 += &"  ".repeat(self.1);
        }
        self.0 += line;
        self.0 += "\n";
    }

    fn open(&mut self, what: &str) {
        self.line(&format!("{what} {{"));
        self.1 += 1;
    }

    fn close(&mut self) {
        self.1 -= 1;
        self.line("}");
    }

    fn fields(&mut self, message: &MessageDescription<'_>) {
        for field in message.fields {
            if let Some(nested) = unnamed_message(field) {
                self.open(&format!("message {}", unnamed_message_name(field)));
                self.fields(nested);
                self.close();
            }
        }
        if message.one_of && !message.fields.is_empty() {
            self.open("oneof variant");
        }
        for field in message.fields {
            self.field(field);
        }
        if message.one_of && !message.fields.is_empty() {
            self.close();
        }
    }

    fn field(&mut self, field: &FieldDescription<'_>) {
        let field_type = field.field_type;
        let label = match field_type.repeat {
            Repeat::Any | Repeat::Exactly(_) => "repeated ",
            Repeat::Once if field_type.optional => "optional ",
            Repeat::Once => "",
        };
        let value = value_name(field);
        // The Rust type says what Protobuf has no words for: the width of small integers, the length of arrays.
        self.line(&format!(
            "{label}{value} {} = {}; // {field_type}",
            field.name, field.number
        ));
    }
}

fn value_name(field: &FieldDescription<'_>) -> String {
    if unnamed_message(field).is_some() {
        return unnamed_message_name(field);
    }
    match field.field_type.value {
        ValueType::Bool => "bool".to_owned(),
        ValueType::Unsigned(..=32) => "uint32".to_owned(),
        ValueType::Unsigned(_) => "uint64".to_owned(),
        ValueType::Signed(..=32) => "sint32".to_owned(),
        ValueType::Signed(_) => "sint64".to_owned(),
        ValueType::String => "string".to_owned(),
        ValueType::Bytes | ValueType::FixedBytes(_) => "bytes".to_owned(),
        // The leading dot starts the search for the name at the outermost scope.
        ValueType::Message(description) => format!(".{}", description().full_name()),
        ValueType::Variant(description) => format!(".{}", description.full_name()),
    }
}

/// The message that a field's type is, if it is one that has to be declared beside the field.
fn unnamed_message<'a>(field: &FieldDescription<'a>) -> Option<&'a MessageDescription<'a>> {
    match field.field_type.value {
        ValueType::Message(description) if description().name.is_empty() => Some(description()),
        ValueType::Variant(description) => Some(description),
        _ => None,
    }
}

/// A name for a message declared beside the field that has it: `capabilities` has a `CapabilitiesItem`.
fn unnamed_message_name(field: &FieldDescription<'_>) -> String {
    let words = field.name.split('_').map(|word| {
        let mut characters = word.chars();
        let first = characters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(characters).collect::<String>()
    });
    words.chain(["Item".to_owned()]).collect()
}
