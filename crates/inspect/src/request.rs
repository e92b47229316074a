//! What an object is asked.

use crate::Error;
use crate::Response;
use crate::Value;
use crate::ValueFlags;
use crate::ValueKind;
use crate::outcome::Outcome;
use alloc::boxed::Box;
use alloc::string::ToString;

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

/// Where in the tree a request stands and what it wants there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// What is left of the path below this node.
    pub(crate) path: &'a str,
    /// How many levels of directories may be opened once the path is used up.
    pub(crate) levels: Option<usize>,
    /// The most sensitive level to show.
    pub(crate) ceiling: SensitivityLevel,
    /// The level of this node.
    pub(crate) own: SensitivityLevel,
    pub(crate) flags: ValueFlags,
    /// The new value, if the inquiry is an update.
    pub(crate) update: Option<&'a str>,
}

/// The first component of `path` and the rest, or `None` if no component is left.
pub(crate) fn split_path(path: &str) -> Option<(&str, &str)> {
    let path = path.trim_matches('/');
    if path.is_empty() {
        return None;
    }
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    Some((first, rest.trim_start_matches('/')))
}

/// What an object is asked: to show itself, or to take a new value.
///
/// A request is answered by one of the methods that consume it. One that is dropped counts as
/// [ignored](Self::ignore).
#[derive(Debug)]
pub struct Request<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) out: &'a mut Outcome,
}

impl<'a> Request<'a> {
    /// Answers as a directory; its children go into the response.
    ///
    /// An update that is meant for this very node fails with [`Error::Immutable`].
    pub fn respond(self) -> Response<'a> {
        let Self { scope, out } = self;
        let children = if !scope.path.is_empty() {
            out.open_directory()
        } else if scope.update.is_some() {
            *out = Outcome::Failed(Error::Immutable);
            None
        } else if scope.levels == Some(0) {
            *out = Outcome::Unevaluated;
            None
        } else {
            out.open_directory()
        };
        Response::new(scope, children)
    }

    /// Answers as a leaf.
    ///
    /// The inquirer gets [`Error::NotADirectory`] if the path goes on below this node, and [`Error::Immutable`] if
    /// this is an update.
    pub fn value(self, value: impl Into<ValueKind>) {
        self.leaf(value.into().into());
    }

    /// As [`Self::value`], keeping the value's own format if it has one.
    pub(crate) fn leaf(self, value: Value) {
        *self.out = if !self.scope.path.is_empty() {
            Outcome::Failed(Error::NotADirectory)
        } else if self.scope.update.is_some() {
            Outcome::Failed(Error::Immutable)
        } else {
            formatted(value, self.scope.flags)
        };
    }

    /// Takes the new value, if this is an update of this very node.
    ///
    /// # Errors
    ///
    /// Gives the request back if the inquirer only looks, or if the path goes on below this node.
    pub fn update(self) -> Result<UpdateRequest<'a>, Self> {
        match self.scope.update {
            Some(new_value) if self.scope.path.is_empty() => Ok(UpdateRequest {
                new_value,
                flags: self.scope.flags,
                out: self.out,
            }),
            _ => Err(self),
        }
    }

    /// Leaves the node out, as if it were not there.
    pub fn ignore(self) {}

    /// Whether the inquiry is an update, of this node or of one below it.
    pub fn is_update(&self) -> bool {
        self.scope.update.is_some()
    }

    /// The ceiling of the inquiry: the most sensitive level that it shows.
    pub fn sensitivity(&self) -> SensitivityLevel {
        self.scope.ceiling
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

/// The request to take a new value.
///
/// One that is dropped counts as [ignored](Request::ignore).
#[derive(Debug)]
pub struct UpdateRequest<'a> {
    new_value: &'a str,
    flags: ValueFlags,
    out: &'a mut Outcome,
}

impl UpdateRequest<'_> {
    /// The new value, as the inquirer typed it.
    pub fn new_value(&self) -> &str {
        self.new_value
    }

    /// The update is done; `value` is the node's value now.
    pub fn succeed(self, value: impl Into<ValueKind>) {
        *self.out = formatted(value.into().into(), self.flags);
    }

    /// The update is refused, for the reason given.
    pub fn fail<E: Into<Box<dyn core::error::Error + Send + Sync>>>(self, reason: E) {
        *self.out = Outcome::Failed(update_error(reason));
    }
}

pub(crate) fn formatted(value: Value, flags: ValueFlags) -> Outcome {
    let flags = if value.flags == ValueFlags::default() {
        flags
    } else {
        value.flags
    };
    Outcome::Value(value.kind.with_flags(flags))
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
