//! What a message looks like, as data: for checking a schema against earlier versions and for writing `.proto` text.

use std::collections::BTreeSet;
use std::fmt;

/// A message: its name and its fields.
#[derive(Clone, Copy, Debug)]
pub struct MessageDescription<'a> {
    /// The Protobuf package, such as `pci.caps.msi`. Empty for a type without `#[mesh(package = "…")]`.
    pub package: &'a str,
    /// The name of the Rust type. Empty for a tuple.
    pub name: &'a str,
    /// The fields in the order in which they are written. The fields of an enum are its variants.
    pub fields: &'a [FieldDescription<'a>],
    /// Whether exactly one of the fields is present, as in an enum.
    pub one_of: bool,
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub struct FieldDescription<'a> {
    /// The field number, unique in its message.
    pub number: u32,
    /// The name of the Rust field or variant.
    pub name: &'a str,
    /// The type of the field. Its `Display` writes it as Rust does.
    pub field_type: FieldType<'a>,
}

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub struct FieldType<'a> {
    /// Whether absence of the field has a meaning of its own (`Option`).
    pub optional: bool,
    /// How many values there are.
    pub repeat: Repeat,
    /// The type of each value.
    pub value: ValueType<'a>,
}

/// How many values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// One value.
    Once,
    /// Any number of values (`Vec`).
    Any,
    /// So many values (an array).
    Exactly(usize),
}

/// The type of one value.
#[derive(Clone, Copy, Debug)]
pub enum ValueType<'a> {
    /// A boolean, as varint.
    Bool,
    /// An unsigned integer of so many bits, as varint.
    Unsigned(u32),
    /// A signed integer of so many bits, as zig-zag varint.
    Signed(u32),
    /// UTF-8 text.
    String,
    /// Bytes.
    Bytes,
    /// Exactly so many bytes.
    FixedBytes(usize),
    /// A message. This is a function because a message may contain itself.
    Message(fn() -> &'static MessageDescription<'static>),
    /// The fields of an enum variant, a message that has no type of its own.
    Variant(&'a MessageDescription<'a>),
}

impl<'a> MessageDescription<'a> {
    /// The package and the name, as in `pci.caps.msi.SavedState`.
    pub fn full_name(&self) -> String {
        let name = if self.name.is_empty() {
            "(tuple)"
        } else {
            self.name
        };
        if self.package.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.package)
        }
    }

    /// The field with this number.
    pub fn field(&self, number: u32) -> Option<&'a FieldDescription<'a>> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// Whether a message without any field decodes.
    fn may_be_empty(&self) -> bool {
        !self.one_of
            && self
                .fields
                .iter()
                .all(|field| field.field_type.may_be_absent())
    }

    /// The description of the fields of the variant `number`, for the derive's enums.
    #[doc(hidden)]
    pub fn variant(&'a self, number: u32) -> &'a MessageDescription<'a> {
        match self.field(number).map(|field| field.field_type.value) {
            Some(ValueType::Variant(description)) => description,
            _ => self,
        }
    }
}

impl<'a> FieldType<'a> {
    /// One value that is omitted when it is the default.
    pub const fn once(value: ValueType<'a>) -> Self {
        Self {
            optional: false,
            repeat: Repeat::Once,
            value,
        }
    }

    /// Any number of such values, unless it is a field that cannot be repeated.
    pub(crate) const fn repeated(self) -> Option<Self> {
        match (self.optional, self.repeat) {
            (false, Repeat::Once) => Some(Self {
                repeat: Repeat::Any,
                ..self
            }),
            _ => None,
        }
    }

    /// Exactly `count` of a sequence type's values.
    pub(crate) const fn exactly(self, count: usize) -> Self {
        match (self.repeat, self.value) {
            (Repeat::Once, ValueType::Bytes) => Self::once(ValueType::FixedBytes(count)),
            _ => Self {
                repeat: Repeat::Exactly(count),
                ..self
            },
        }
    }

    /// A value whose presence matters.
    #[expect(
        clippy::panic,
        reason = "evaluated at compile time, where a panic is a compile error"
    )]
    pub(crate) const fn optional(self) -> Self {
        if self.optional || matches!(self.repeat, Repeat::Any | Repeat::Exactly(0)) {
            panic!("Protobuf cannot tell an empty sequence from none: put it into a struct");
        }
        Self {
            optional: true,
            ..self
        }
    }

    /// Whether a message that lacks the field decodes: with the default value, with none, or with an empty sequence.
    ///
    /// A field that is added to a message must be such a one, or the states of before would no longer load.
    pub fn may_be_absent(&self) -> bool {
        if self.optional {
            return true;
        }
        match (self.repeat, self.value) {
            (Repeat::Any, _) => true,
            (Repeat::Exactly(count), _) | (Repeat::Once, ValueType::FixedBytes(count)) => {
                count == 0
            }
            (Repeat::Once, ValueType::Message(description)) => description().may_be_empty(),
            (Repeat::Once, ValueType::Variant(description)) => description.may_be_empty(),
            (Repeat::Once, _) => true,
        }
    }

    /// The value of an enum's transparent variant.
    #[doc(hidden)]
    #[expect(
        clippy::panic,
        reason = "evaluated at compile time, where a panic is a compile error"
    )]
    pub const fn transparent_variant(self) -> Self {
        if self.optional || !matches!(self.repeat, Repeat::Once) {
            panic!(
                "a transparent variant cannot be optional or repeated: put its field into a struct"
            );
        }
        self
    }
}

impl fmt::Display for FieldType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.optional {
            f.write_str("Option<")?;
        }
        match self.repeat {
            Repeat::Once => write!(f, "{}", self.value)?,
            Repeat::Any => write!(f, "Vec<{}>", self.value)?,
            Repeat::Exactly(count) => write!(f, "[{}; {count}]", self.value)?,
        }
        if self.optional {
            f.write_str(">")?;
        }
        Ok(())
    }
}

impl fmt::Display for ValueType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Unsigned(bits) => write!(f, "u{bits}"),
            Self::Signed(bits) => write!(f, "i{bits}"),
            Self::String => f.write_str("String"),
            Self::Bytes => f.write_str("Vec<u8>"),
            Self::FixedBytes(count) => write!(f, "[u8; {count}]"),
            Self::Message(description) => fmt_message(description(), f),
            Self::Variant(description) => fmt_message(description, f),
        }
    }
}

/// Writes a message as `package.Name`, and one without a name by its fields.
fn fmt_message(message: &MessageDescription<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !message.name.is_empty() {
        return f.write_str(&message.full_name());
    }
    for (index, field) in message.fields.iter().enumerate() {
        let separator = if index == 0 { "(" } else { ", " };
        write!(f, "{separator}{}", field.field_type)?;
    }
    f.write_str(")")
}

/// Every named message that is one of `roots` or a field of one at any depth, each once, sorted by full name.
///
/// What a [`ProtobufAny`](crate::ProtobufAny) holds is not known from its type, so those messages are roots of their own.
pub fn reachable_messages(
    roots: impl IntoIterator<Item = &'static MessageDescription<'static>>,
) -> Vec<&'static MessageDescription<'static>> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    // Tuples and variants have no name to be told apart by, but each is part of one named message.
    let mut pending: Vec<&'static MessageDescription<'static>> = roots.into_iter().collect();
    while let Some(message) = pending.pop() {
        if !message.name.is_empty() {
            if !seen.insert(message.full_name()) {
                continue;
            }
            found.push(message);
        }
        collect_nested(message, &mut pending);
    }
    found.sort_by_key(|message| message.full_name());
    found
}

/// Adds the messages that the fields of `message` are made of.
fn collect_nested(
    message: &'static MessageDescription<'static>,
    nested: &mut Vec<&'static MessageDescription<'static>>,
) {
    for field in message.fields {
        match field.field_type.value {
            ValueType::Message(description) => nested.push(description()),
            ValueType::Variant(description) => collect_nested(description, nested),
            ValueType::Bool
            | ValueType::Unsigned(_)
            | ValueType::Signed(_)
            | ValueType::String
            | ValueType::Bytes
            | ValueType::FixedBytes(_) => {}
        }
    }
}
