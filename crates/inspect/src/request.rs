//! What an object is asked.

use crate::Entry;
use crate::Error;
use crate::Node;
use crate::Response;
use crate::Value;
use crate::ValueFlags;
use crate::ValueKind;
use crate::node::is_tidy;
use crate::record::Place;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

/// The longest path that is followed, in components. It bounds the recursion that a path can cause in an object that contains
/// itself.
pub const PATH_COMPONENTS_MAX: usize = 128;

/// How sensitive a node is: an inquiry sees the nodes up to its own ceiling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SensitivityLevel {
    /// May go into logs and crash reports: holds nothing of the guest's.
    Safe,
    /// Nobody has said.
    #[default]
    Unspecified,
    /// May hold secrets or the guest's data.
    Sensitive,
}

/// What is the same for every node that an inquiry reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inquiry<'a> {
    /// The most sensitive level to show.
    pub(crate) ceiling: SensitivityLevel,
    /// The new value, if the inquiry is an update.
    pub(crate) update: Option<&'a str>,
}

/// Where in the tree a request stands and what it wants there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) inquiry: &'a Inquiry<'a>,
    /// What is left of the path below this node.
    pub(crate) path: &'a str,
    /// How many levels of directories may be opened once the path is used up; `usize::MAX` is more than a stack can hold.
    pub(crate) levels: usize,
    /// The level of this node.
    pub(crate) own: SensitivityLevel,
    pub(crate) flags: ValueFlags,
}

/// The first component of `path` and the rest, or `None` if no component is left.
pub(crate) fn split_path(path: &str) -> Option<(&str, &str)> {
    let path = after_slashes(path);
    let end = path.bytes().position(|byte| byte == b'/');
    let (first, rest) = path.split_at_checked(end.unwrap_or(path.len()))?;
    (!first.is_empty()).then_some((first, after_slashes(rest)))
}

fn after_slashes(mut path: &str) -> &str {
    while let Some(rest) = path.strip_prefix('/') {
        path = rest;
    }
    path
}

/// What an object is asked: to show itself, or to take a new value.
///
/// A request is answered by one of the methods that consume it. One that is dropped counts as
/// [ignored](Self::ignore).
#[derive(Debug)]
pub struct Request<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) place: Place<'a>,
}

impl<'a> Request<'a> {
    /// Answers as a directory; its children go into the response.
    ///
    /// An update that is meant for this very node fails with [`Error::Immutable`].
    pub fn respond(self) -> Response<'a> {
        let Self { scope, place } = self;
        let is_shut =
            scope.path.is_empty() && (scope.inquiry.update.is_some() || scope.levels == 0);
        let children = if is_shut {
            place.put(scope.own, shut(&scope));
            None
        } else {
            Some(place.open(scope.own))
        };
        Response::new(scope, children)
    }

    /// Answers as a leaf.
    ///
    /// The inquirer gets [`Error::NotADirectory`] if the path goes on below this node, and [`Error::Immutable`] if
    /// this is an update.
    #[inline(always)]
    pub fn value(self, value: impl Into<ValueKind>) {
        // What need not be dropped is made where it is to be; see `Record`.
        match value.into() {
            ValueKind::Unsigned(v) => self.scalar(|| ValueKind::Unsigned(v)),
            ValueKind::Signed(v) => self.scalar(|| ValueKind::Signed(v)),
            ValueKind::Bool(v) => self.scalar(|| ValueKind::Bool(v)),
            kind => {
                let flags = self.scope.flags;
                self.answer(kind.with_flags(flags));
            }
        }
    }

    /// Answers as a directory of leaves, for an object that has a table of them: their names are part of the program, in natural
    /// order and each there once, so nobody need copy, sort or look. Integers keep a format other than decimal.
    #[inline]
    pub fn leaves(self, leaves: impl Iterator<Item = (&'static str, Value)>) {
        let Self { scope, place } = self;
        let as_a_whole = scope.path.is_empty()
            && scope.inquiry.update.is_none()
            && scope.levels > 0
            && SensitivityLevel::default() <= scope.inquiry.ceiling
            && place.name.is_some();
        if as_a_whole {
            let leaf = |(name, value)| Entry {
                name: Cow::Borrowed(name),
                node: Node::Value(formatted(value, scope.flags)),
                sensitivity: SensitivityLevel::default(),
            };
            let entries: Vec<Entry> = leaves.map(leaf).collect();
            debug_assert!(is_tidy(&entries), "out of order: {entries:?}");
            place.put_with(scope.own, || Node::Dir(entries));
        } else {
            Self { scope, place }.some_leaves(&mut { leaves });
        }
    }

    /// As [`Self::leaves`], where not all are asked for, or not as a directory.
    #[cold]
    fn some_leaves(self, leaves: &mut dyn Iterator<Item = (&'static str, Value)>) {
        let mut resp = self.respond();
        for (name, value) in leaves {
            resp.fixed_child(name, SensitivityLevel::default(), |req| req.leaf(value));
        }
    }

    #[inline(always)]
    fn scalar(self, kind: impl FnOnce() -> ValueKind) {
        if self.scope.path.is_empty() && self.scope.inquiry.update.is_none() {
            let Self { scope, place } = self;
            place.put_with(scope.own, || Node::Value(kind().with_flags(scope.flags)));
        } else {
            self.refuse();
        }
    }

    /// As [`Self::value`], keeping the value's own format if it has one.
    #[inline]
    pub(crate) fn leaf(self, value: Value) {
        let Value { kind, flags } = formatted(value, self.scope.flags);
        self.with_flags(flags).value(kind);
    }

    fn answer(self, value: Value) {
        if self.scope.path.is_empty() && self.scope.inquiry.update.is_none() {
            self.place.put(self.scope.own, Node::Value(value));
        } else {
            self.refuse();
        }
    }

    /// Answers as a leaf that is asked for more than a leaf has.
    #[cold]
    fn refuse(self) {
        let error = if self.scope.path.is_empty() {
            Error::Immutable
        } else {
            Error::NotADirectory
        };
        self.place.put(self.scope.own, Node::Failed(error));
    }

    /// Takes the new value, if this is an update of this very node.
    ///
    /// # Errors
    ///
    /// Gives the request back if the inquirer only looks, or if the path goes on below this node.
    pub fn update(self) -> Result<UpdateRequest<'a>, Self> {
        match self.scope.inquiry.update {
            Some(new_value) if self.scope.path.is_empty() => Ok(UpdateRequest {
                new_value,
                scope: self.scope,
                place: self.place,
            }),
            _ => Err(self),
        }
    }

    /// Leaves the node out, as if it were not there.
    pub fn ignore(self) {}

    /// Whether the inquiry is an update, of this node or of one below it.
    pub fn is_update(&self) -> bool {
        self.scope.inquiry.update.is_some()
    }

    /// The ceiling of the inquiry: the most sensitive level that it shows.
    pub fn sensitivity(&self) -> SensitivityLevel {
        self.scope.inquiry.ceiling
    }

    /// Writes the integers of this node, and of those below it that do not choose for themselves, as decimal.
    #[must_use]
    pub fn with_decimal_format(self) -> Self {
        self.with_flags(ValueFlags::DECIMAL)
    }

    /// As [`Self::with_decimal_format`], but hexadecimal.
    #[must_use]
    pub fn with_hex_format(self) -> Self {
        self.with_flags(ValueFlags::HEX)
    }

    /// As [`Self::with_decimal_format`], but binary.
    #[must_use]
    pub fn with_binary_format(self) -> Self {
        self.with_flags(ValueFlags::BINARY)
    }

    /// As [`Self::with_decimal_format`], and marks the numbers as counters.
    #[must_use]
    pub fn with_counter_format(self) -> Self {
        self.with_flags(ValueFlags::COUNTER)
    }

    fn with_flags(mut self, flags: ValueFlags) -> Self {
        self.scope.flags = flags;
        self
    }
}

/// What the inquirer gets of a directory that does not open.
#[cold]
fn shut(scope: &Scope<'_>) -> Node {
    if scope.inquiry.update.is_some() {
        Node::Failed(Error::Immutable)
    } else {
        Node::Unevaluated
    }
}

/// The request to take a new value.
///
/// One that is dropped counts as [ignored](Request::ignore).
#[derive(Debug)]
pub struct UpdateRequest<'a> {
    new_value: &'a str,
    scope: Scope<'a>,
    place: Place<'a>,
}

impl UpdateRequest<'_> {
    /// The new value, as the inquirer typed it.
    pub fn new_value(&self) -> &str {
        self.new_value
    }

    /// The update is done; `value` is the node's value now.
    pub fn succeed(self, value: impl Into<ValueKind>) {
        let value = value.into().with_flags(self.scope.flags);
        self.place.put(self.scope.own, Node::Value(value));
    }

    /// The update is refused, for the reason given.
    pub fn fail<E: Into<Box<dyn core::error::Error + Send + Sync>>>(self, reason: E) {
        self.place
            .put(self.scope.own, Node::Failed(update_error(reason)));
    }
}

/// The value as it is written where `flags` hold, unless it has chosen for itself.
#[inline]
fn formatted(value: Value, flags: ValueFlags) -> Value {
    if value.flags == ValueFlags::default() {
        value.kind.with_flags(flags)
    } else {
        value
    }
}

/// The error with all its sources in one line.
pub(crate) fn update_error(reason: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> Error {
    let reason = reason.into();
    let mut text = reason.to_string();
    let mut source = reason.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    Error::Update(text)
}
