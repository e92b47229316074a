//! The children of a directory, as the object lists them.

use crate::AsBinary;
use crate::AsCounter;
use crate::AsDebug;
use crate::AsDisplay;
use crate::AsHex;
use crate::Error;
use crate::Inspect;
use crate::InspectMut;
use crate::Request;
use crate::SensitivityLevel;
use crate::ValueKind;
use crate::outcome::Child;
use crate::outcome::Outcome;
use crate::request::Scope;
use crate::request::formatted;
use crate::request::split_path;
use crate::request::update_error;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
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
    children: Option<&'a mut Vec<Child>>,
}

impl<'a> Response<'a> {
    pub(crate) fn new(scope: Scope<'a>, children: Option<&'a mut Vec<Child>>) -> Self {
        Self {
            wanted: split_path(scope.path),
            scope,
            children,
        }
    }

    /// The level of the directory itself.
    pub fn parent_sensitivity(&self) -> SensitivityLevel {
        self.scope.own
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
            let Request { scope, out } = req;
            *out = if !scope.path.is_empty() {
                Outcome::Failed(Error::NotADirectory)
            } else {
                match f(scope.update) {
                    Ok(value) => formatted(value.into().into(), scope.flags),
                    Err(reason) => Outcome::Failed(update_error(reason)),
                }
            };
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
    pub fn sensitivity_child(
        &mut self,
        name: &str,
        level: SensitivityLevel,
        f: impl FnOnce(Request<'_>),
    ) -> &mut Self {
        let mut f = Some(f);
        self.place(name, level, &mut |req| {
            if let Some(f) = f.take() {
                f(req);
            }
        });
        self
    }

    /// Puts what `answer` says under `name`, if that is asked for.
    fn place(&mut self, name: &str, level: SensitivityLevel, answer: &mut dyn FnMut(Request<'_>)) {
        let Some(children) = self.children.as_deref_mut() else {
            return;
        };
        if level > self.scope.ceiling {
            return;
        }
        let mut scope = Scope {
            own: level,
            ..self.scope
        };
        // Of a directory's many children most are passed over: a plain name is compared as it is.
        let plain = !name.is_empty() && !name.as_bytes().contains(&b'/');
        let Some((first, rest)) = plain.then_some((name, "")).or_else(|| split_path(name)) else {
            merge_into(children, scope, answer);
            return;
        };
        match self.wanted {
            Some((wanted, below)) if wanted == first => scope.path = below,
            Some(_) => return,
            None => scope.levels = scope.levels.map(|levels| levels.saturating_sub(1)),
        }
        let mut outcome = Outcome::Ignored;
        let req = Request {
            scope,
            out: &mut outcome,
        };
        if rest.is_empty() {
            answer(req);
        } else {
            req.respond().place(rest, level, answer);
        }
        children.push(Child {
            name: first.to_owned(),
            level,
            outcome,
        });
    }
}

fn merged(mut value: impl InspectMut) -> impl FnOnce(Request<'_>) {
    move |req| value.inspect_mut(req)
}

fn merge_into(children: &mut Vec<Child>, scope: Scope<'_>, answer: &mut dyn FnMut(Request<'_>)) {
    let mut outcome = Outcome::Ignored;
    answer(Request {
        scope,
        out: &mut outcome,
    });
    match outcome {
        Outcome::Directory(more) => children.extend(more),
        Outcome::Ignored | Outcome::Unevaluated => {}
        outcome => children.push(Child {
            name: String::new(),
            level: scope.own,
            outcome,
        }),
    }
}
