//! The children of a directory, as the object lists them.

use crate::AsBinary;
use crate::AsCounter;
use crate::AsDebug;
use crate::AsDisplay;
use crate::AsHex;
use crate::Error;
use crate::Inspect;
use crate::InspectMut;
use crate::Node;
use crate::Request;
use crate::SensitivityLevel;
use crate::ValueKind;
use crate::record::Name;
use crate::record::Place;
use crate::record::Record;
use crate::request::Scope;
use crate::request::split_path;
use crate::request::update_error;
use alloc::boxed::Box;
use alloc::string::ToString;
use core::fmt::Debug;
use core::fmt::Display;

/// A directory that is being answered: the object lists its children here.
///
/// A child that the inquiry does not ask for is not evaluated. Each method has a twin that takes the child's
/// [`SensitivityLevel`]; without it, the level is `Unspecified`. A name with slashes makes nested directories; a
/// child without a name is merged into this directory.
#[derive(Debug)]
pub struct Response<'a> {
    /// The scope of the directory itself.
    scope: Scope<'a>,
    /// The child that the path names, and what is left of the path below it.
    wanted: Option<(&'a str, &'a str)>,
    /// Where the children go; `None` if none is asked for.
    children: Option<&'a mut Record>,
}

impl<'a> Response<'a> {
    pub(crate) fn new(scope: Scope<'a>, children: Option<&'a mut Record>) -> Self {
        Self {
            // Most directories are opened as a whole.
            wanted: if scope.path.is_empty() {
                None
            } else {
                split_path(scope.path)
            },
            scope,
            children,
        }
    }

    /// The level of the directory itself.
    pub fn parent_sensitivity(&self) -> SensitivityLevel {
        self.scope.own
    }

    /// What the path has next: only children whose names begin with it, slashes before it aside, and those without a name are
    /// evaluated; all are, if it is `None`. Nobody has to ask; it spares an object of many children the walk over them.
    pub fn asked_for(&self) -> Option<&'a str> {
        self.wanted.map(|(first, _)| first)
    }

    #[inline]
    fn may_want(&self, name: &str) -> bool {
        self.wanted.is_none_or(|(wanted, _)| {
            // A name with slashes may be spelt in more ways than one.
            name.starts_with(wanted) || name.is_empty() || name.starts_with('/')
        })
    }

    /// Adds a child.
    pub fn field(&mut self, name: &str, value: impl Inspect) -> &mut Self {
        self.child(name, |req| value.inspect(req))
    }

    /// Adds a child at `level`.
    pub fn sensitivity_field(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        value: impl Inspect,
    ) -> &mut Self {
        self.sensitivity_child(name, level, |req| value.inspect(req))
    }

    /// Adds a child whose integers are written as hexadecimal.
    pub fn hex(&mut self, name: &str, value: impl Inspect) -> &mut Self {
        self.field(name, AsHex(value))
    }

    /// Adds a child at `level` whose integers are written as hexadecimal.
    pub fn sensitivity_hex(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        value: impl Inspect,
    ) -> &mut Self {
        self.sensitivity_field(name, level, AsHex(value))
    }

    /// Adds a child whose integers are written as binary.
    pub fn binary(&mut self, name: &str, value: impl Inspect) -> &mut Self {
        self.field(name, AsBinary(value))
    }

    /// Adds a child at `level` whose integers are written as binary.
    pub fn sensitivity_binary(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        value: impl Inspect,
    ) -> &mut Self {
        self.sensitivity_field(name, level, AsBinary(value))
    }

    /// Adds a child that counts: the difference of two snapshots is a rate.
    pub fn counter(&mut self, name: &str, value: impl Inspect) -> &mut Self {
        self.field(name, AsCounter(value))
    }

    /// Adds a child at `level` that counts.
    pub fn sensitivity_counter(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        value: impl Inspect,
    ) -> &mut Self {
        self.sensitivity_field(name, level, AsCounter(value))
    }

    /// Adds a child shown as the text of its `Display`.
    pub fn display(&mut self, name: &str, value: &(impl Display + ?Sized)) -> &mut Self {
        self.field(name, AsDisplay(value))
    }

    /// Adds a child at `level`, shown as the text of its `Display`.
    pub fn sensitivity_display(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        value: &(impl Display + ?Sized),
    ) -> &mut Self {
        self.sensitivity_field(name, level, AsDisplay(value))
    }

    /// Adds a child shown as the text of its `Debug`.
    pub fn display_debug(&mut self, name: &str, value: &(impl Debug + ?Sized)) -> &mut Self {
        self.field(name, AsDebug(value))
    }

    /// Adds a child at `level`, shown as the text of its `Debug`.
    pub fn sensitivity_display_debug(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        value: &(impl Debug + ?Sized),
    ) -> &mut Self {
        self.sensitivity_field(name, level, AsDebug(value))
    }

    /// Adds a child that is computed only if it is asked for.
    pub fn field_with<V: Inspect>(&mut self, name: &str, f: impl FnOnce() -> V) -> &mut Self {
        self.child(name, |req| f().inspect(req))
    }

    /// Adds a child at `level` that is computed only if it is asked for.
    pub fn sensitivity_field_with<V: Inspect>(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        f: impl FnOnce() -> V,
    ) -> &mut Self {
        self.sensitivity_child(name, level, |req| f().inspect(req))
    }

    /// Adds a child that may be changed.
    pub fn field_mut(&mut self, name: &str, value: &mut (impl InspectMut + ?Sized)) -> &mut Self {
        self.child(name, |req| value.inspect_mut(req))
    }

    /// Adds a child at `level` that may be changed.
    pub fn sensitivity_field_mut(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        value: &mut (impl InspectMut + ?Sized),
    ) -> &mut Self {
        self.sensitivity_child(name, level, |req| value.inspect_mut(req))
    }

    /// Adds a leaf that may be changed: `f` takes the new value, or `None` to look, and returns the value that holds
    /// then, or why it cannot.
    pub fn field_mut_with<V, E>(
        &mut self,
        name: &str,
        f: impl FnOnce(Option<&str>) -> Result<V, E>,
    ) -> &mut Self
    where
        V: Into<ValueKind>,
        E: Into<Box<dyn core::error::Error + Send + Sync>>,
    {
        self.sensitivity_field_mut_with(name, SensitivityLevel::default(), f)
    }

    /// As [`Self::field_mut_with`], at `level`.
    pub fn sensitivity_field_mut_with<V, E>(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        f: impl FnOnce(Option<&str>) -> Result<V, E>,
    ) -> &mut Self
    where
        V: Into<ValueKind>,
        E: Into<Box<dyn core::error::Error + Send + Sync>>,
    {
        self.sensitivity_child(name, level, |req| {
            let Request { scope, place } = req;
            let node = if !scope.path.is_empty() {
                Node::Failed(Error::NotADirectory)
            } else {
                match f(scope.inquiry.update) {
                    Ok(value) => Node::Value(value.into().with_flags(scope.flags)),
                    Err(reason) => Node::Failed(update_error(reason)),
                }
            };
            place.put(scope.own, node);
        })
    }

    /// Adds a directory `name` of the pairs that `children` gives, all at this directory's own level.
    pub fn fields<K: ToString, V: Inspect>(
        &mut self,
        name: &str,
        children: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        self.sensitivity_fields(name, SensitivityLevel::default(), children)
    }

    /// As [`Self::fields`]; the directory and its children are at `level`.
    pub fn sensitivity_fields<K: ToString, V: Inspect>(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        children: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        self.sensitivity_child(name, level, |req| {
            let mut resp = req.respond();
            for (key, value) in children {
                resp.sensitivity_field(&key.to_string(), level, value);
            }
        })
    }

    /// As [`Self::fields`], with children that may be changed.
    pub fn fields_mut<K: ToString, V: InspectMut>(
        &mut self,
        name: &str,
        children: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        self.sensitivity_fields_mut(name, SensitivityLevel::default(), children)
    }

    /// As [`Self::sensitivity_fields`], with children that may be changed.
    pub fn sensitivity_fields_mut<K: ToString, V: InspectMut>(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        children: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        self.sensitivity_child(name, level, |req| {
            let mut resp = req.respond();
            for (key, mut value) in children {
                resp.sensitivity_field_mut(&key.to_string(), level, &mut value);
            }
        })
    }

    /// Merges the children of `value` into this directory.
    pub fn merge(&mut self, value: impl InspectMut) -> &mut Self {
        self.child("", merged(value))
    }

    /// Merges the children of `value` into this directory, if the inquiry may see `level`.
    pub fn sensitivity_merge(
        &mut self,
        level: SensitivityLevel,
        value: impl InspectMut,
    ) -> &mut Self {
        self.sensitivity_child("", level, merged(value))
    }

    /// Adds a child that `f` answers for; `f` is called only if the child is asked for.
    pub fn child(&mut self, name: &str, f: impl FnOnce(Request<'_>)) -> &mut Self {
        self.sensitivity_child(name, SensitivityLevel::default(), f)
    }

    /// Adds a child at `level` that `f` answers for; `f` is called only if the child is asked for.
    #[inline]
    pub fn sensitivity_child(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        f: impl FnOnce(Request<'_>),
    ) -> &mut Self {
        if self.may_want(name) {
            if is_plain(name) {
                self.plain_child(Name::Passing(name), level, f);
            } else {
                let mut f = Some(f);
                self.nested_child(name, level, &mut |req| {
                    if let Some(f) = f.take() {
                        f(req);
                    }
                });
            }
        }
        self
    }

    /// As [`Self::sensitivity_child`], for a name that is part of the program, so that it need not be copied, and that has no
    /// slash and is not empty, so that nobody need look. The derive macros use it; by hand, it is for directories of hundreds.
    #[inline]
    pub fn fixed_child(
        &mut self,
        name: &'static str,
        level: SensitivityLevel,
        f: impl FnOnce(Request<'_>),
    ) -> &mut Self {
        debug_assert!(is_plain(name), "'{name}' is not the name of one child");
        self.plain_child(Name::Fixed(name), level, f);
        self
    }

    /// Where a child stands, if it is asked for.
    #[inline(always)]
    fn child_scope(&self, name: &str, level: SensitivityLevel) -> Option<Scope<'a>> {
        let mut scope = Scope {
            own: level,
            ..self.scope
        };
        match self.wanted {
            None => scope.levels = scope.levels.saturating_sub(1),
            Some((wanted, below)) if wanted == name => scope.path = below,
            Some(_) => return None,
        }
        (level <= scope.inquiry.ceiling).then_some(scope)
    }

    // Inlined, since an inquiry for a whole directory does nothing else for each of its children.
    #[inline(always)]
    fn plain_child(
        &mut self,
        name: Name<'_>,
        level: SensitivityLevel,
        f: impl FnOnce(Request<'_>),
    ) {
        let Some(scope) = self.child_scope(name.as_str(), level) else {
            return;
        };
        let Some(record) = &mut self.children else {
            return;
        };
        let at = record.len();
        let place = Place {
            record,
            name: Some(name),
        };
        f(Request { scope, place });
        record.close(at);
    }

    /// As [`Self::plain_child`], where the name has slashes or is empty.
    #[cold]
    fn nested_child(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        f: &mut dyn FnMut(Request<'_>),
    ) {
        match split_path(name) {
            Some((first, "")) => self.plain_child(Name::Passing(first), level, f),
            Some((first, rest)) => self.plain_child(Name::Passing(first), level, |req| {
                req.respond().nested_child(rest, level, f);
            }),
            None => self.merge_child(level, f),
        }
    }

    /// The children of what `f` answers stand here.
    fn merge_child(&mut self, level: SensitivityLevel, f: &mut dyn FnMut(Request<'_>)) {
        let Some(record) = &mut self.children else {
            return;
        };
        let scope = Scope {
            own: level,
            ..self.scope
        };
        if level <= scope.inquiry.ceiling {
            let place = Place { record, name: None };
            f(Request { scope, place });
        }
    }
}

fn merged(mut value: impl InspectMut) -> impl FnOnce(Request<'_>) {
    move |req| value.inspect_mut(req)
}

/// Whether a name is that of one child: it is not empty and has no slash.
#[inline]
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.as_bytes().contains(&b'/')
}
