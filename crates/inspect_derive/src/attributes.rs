//! What `#[inspect(..)]` says of a type, a variant and a field.

use crate::Receiver;
use crate::items;
use crate::items::Choice;
use crate::items::Item;
use crate::items::choose;
use crate::items::contradiction;
use proc_macro2::Span;
use syn::Attribute;
use syn::Expr;
use syn::Ident;
use syn::LitStr;
use syn::Token;
use syn::WherePredicate;
use syn::punctuated::Punctuated;

/// How integers are written.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    Hex,
    Binary,
    Counter,
}

impl Number {
    fn of(item: &Item) -> syn::Result<Self> {
        item.flag()?;
        Ok(match item.name.to_string().as_str() {
            "hex" => Self::Hex,
            "binary" => Self::Binary,
            _ => Self::Counter,
        })
    }

    /// The method of `Request` that sets the format.
    pub(crate) fn method(self) -> Ident {
        let name = match self {
            Self::Hex => "with_hex_format",
            Self::Binary => "with_binary_format",
            Self::Counter => "with_counter_format",
        };
        Ident::new(name, Span::call_site())
    }
}

/// How a type is shown as a whole.
pub(crate) enum Shape {
    Transparent(Vec<Item>),
    Skip,
    With(Box<Expr>),
    Display,
    Debug,
    Tag(String),
    ExternalTag,
    Untagged,
}

#[derive(Default)]
pub(crate) struct TypeAttributes {
    pub(crate) shape: Choice<Shape>,
    pub(crate) number: Choice<Number>,
    pub(crate) extra: Choice<Expr>,
    pub(crate) bound: Vec<WherePredicate>,
}

const ON_TYPES: &str = "`transparent`, `skip`, `with`, `display`, `debug`, `tag`, `external_tag`, `untagged`, \
                        `hex`, `binary`, `counter`, `extra` and `bound`";

impl TypeAttributes {
    pub(crate) fn parse(attrs: &[Attribute]) -> syn::Result<Self> {
        let mut all = Self::default();
        items::for_each(&items::of(attrs)?, |item| all.take(item))?;
        all.check()?;
        Ok(all)
    }

    fn take(&mut self, item: &Item) -> syn::Result<()> {
        let flag = |shape| item.flag().map(|()| shape);
        let shape = match item.name.to_string().as_str() {
            "transparent" => Shape::Transparent(item.list()?.to_vec()),
            "skip" => flag(Shape::Skip)?,
            "with" => Shape::With(Box::new(item.expr()?)),
            "display" => flag(Shape::Display)?,
            "debug" => flag(Shape::Debug)?,
            "tag" => Shape::Tag(item.text()?.value()),
            "external_tag" => flag(Shape::ExternalTag)?,
            "untagged" => flag(Shape::Untagged)?,
            "hex" | "binary" | "counter" => {
                return choose(&mut self.number, item, Number::of(item)?);
            }
            "extra" => return choose(&mut self.extra, item, item.expr()?),
            "bound" => {
                let parser = Punctuated::<WherePredicate, Token![,]>::parse_terminated;
                self.bound.extend(item.text()?.parse_with(parser)?);
                return Ok(());
            }
            _ => return Err(item.unknown("a type", ON_TYPES)),
        };
        choose(&mut self.shape, item, shape)
    }

    fn check(&self) -> syn::Result<()> {
        let Some((shape_name, shape)) = &self.shape else {
            return Ok(());
        };
        let directory = matches!(shape, Shape::Tag(_) | Shape::ExternalTag | Shape::Untagged);
        let integers = directory || matches!(shape, Shape::Transparent(_) | Shape::With(_));
        match (&self.extra, &self.number) {
            (Some((extra, _)), _) if !directory => Err(contradiction(extra, shape_name)),
            (_, Some((number, _))) if !integers => Err(contradiction(number, shape_name)),
            _ => Ok(()),
        }
    }
}

#[derive(Default)]
pub(crate) struct VariantAttributes {
    pub(crate) rename: Choice<String>,
    pub(crate) transparent: Choice<Vec<Item>>,
}

impl VariantAttributes {
    pub(crate) fn parse(attrs: &[Attribute]) -> syn::Result<Self> {
        let mut all = Self::default();
        items::for_each(&items::of(attrs)?, |item| {
            match item.name.to_string().as_str() {
                "rename" => choose(&mut all.rename, item, item.text()?.value()),
                "transparent" => choose(&mut all.transparent, item, item.list()?.to_vec()),
                _ => Err(item.unknown("a variant", "`rename` and `transparent`")),
            }
        })?;
        Ok(all)
    }
}

/// How a field is shown.
pub(crate) enum View {
    Own,
    Skip,
    With(Box<Expr>),
    Send(Box<Expr>),
    Display,
    Debug,
    Format(LitStr),
    Bytes,
    IterByKey,
    IterByIndex,
}

impl View {
    /// Whether there are integers whose format can be chosen.
    fn has_integers(&self) -> bool {
        !matches!(
            self,
            Self::Display | Self::Debug | Self::Format(_) | Self::Bytes
        )
    }

    /// Whether an update can reach through it.
    fn can_be_mut(&self) -> bool {
        matches!(
            self,
            Self::Own | Self::With(_) | Self::IterByKey | Self::IterByIndex
        )
    }
}

/// Where a field's node stands.
pub(crate) enum Naming {
    Rename(String),
    Flatten,
}

#[derive(Clone, Copy)]
pub(crate) enum Level {
    Safe,
    Sensitive,
}

#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) view: Choice<View>,
    pub(crate) naming: Choice<Naming>,
    pub(crate) number: Choice<Number>,
    pub(crate) level: Choice<Level>,
    pub(crate) mutable: Choice<()>,
}

const ON_FIELDS: &str = "`rename`, `field`, `with`, `send`, `display`, `debug`, `format`, `hex`, `binary`, `counter`, \
                         `bytes`, `flatten`, `iter_by_key`, `iter_by_index`, `skip`, `mut`, `safe` and `sensitive`";

impl FieldAttributes {
    /// What the attributes of a field say together with `inherited`, the items of an enclosing `transparent(..)`.
    pub(crate) fn parse(
        attrs: &[Attribute],
        inherited: &[Item],
        receiver: Receiver,
    ) -> syn::Result<Self> {
        let mut items = inherited.to_vec();
        items.extend(items::of(attrs)?);
        let mut all = Self::default();
        items::for_each(&items, |item| all.take(item))?;
        all.check(receiver)?;
        Ok(all)
    }

    fn take(&mut self, item: &Item) -> syn::Result<()> {
        let flag = |view| item.flag().map(|()| view);
        let view = match item.name.to_string().as_str() {
            "field" => flag(View::Own)?,
            "skip" => flag(View::Skip)?,
            "with" => View::With(Box::new(item.expr()?)),
            "send" => View::Send(Box::new(item.expr()?)),
            "display" => flag(View::Display)?,
            "debug" => flag(View::Debug)?,
            "format" => View::Format(item.text()?.clone()),
            "bytes" => flag(View::Bytes)?,
            "iter_by_key" => flag(View::IterByKey)?,
            "iter_by_index" => flag(View::IterByIndex)?,
            "rename" => {
                let name = Naming::Rename(item.text()?.value());
                return choose(&mut self.naming, item, name);
            }
            "flatten" => {
                item.flag()?;
                return choose(&mut self.naming, item, Naming::Flatten);
            }
            "hex" | "binary" | "counter" => {
                return choose(&mut self.number, item, Number::of(item)?);
            }
            "safe" => {
                item.flag()?;
                return choose(&mut self.level, item, Level::Safe);
            }
            "sensitive" => {
                item.flag()?;
                return choose(&mut self.level, item, Level::Sensitive);
            }
            "mut" => {
                item.flag()?;
                return choose(&mut self.mutable, item, ());
            }
            _ => return Err(item.unknown("a field", ON_FIELDS)),
        };
        choose(&mut self.view, item, view)
    }

    fn check(&self, receiver: Receiver) -> syn::Result<()> {
        if let (Some((name, ())), Receiver::Shared) = (&self.mutable, receiver) {
            return Err(syn::Error::new(
                name.span(),
                "`mut` needs `derive(InspectMut)`: `Inspect` only has a shared reference",
            ));
        }
        let Some((view_name, view)) = &self.view else {
            return Ok(());
        };
        let naming = self.naming.as_ref().map(|(name, _)| name);
        let number = self.number.as_ref().map(|(name, _)| name);
        let level = self.level.as_ref().map(|(name, _)| name);
        let mutable = self.mutable.as_ref().map(|(name, ())| name);
        let refused = match view {
            View::Skip => naming.or(number).or(level).or(mutable),
            view => {
                (number.filter(|_| !view.has_integers())).or(mutable.filter(|_| !view.can_be_mut()))
            }
        };
        refused.map_or(Ok(()), |name| Err(contradiction(name, view_name)))
    }

    /// In the place of its parent, a node has no name and no level of its own.
    pub(crate) fn check_transparent(&self) -> syn::Result<()> {
        let naming = self.naming.as_ref().map(|(name, _)| name);
        let level = self.level.as_ref().map(|(name, _)| name);
        naming.or(level).map_or(Ok(()), |name| {
            Err(syn::Error::new(
                name.span(),
                format_args!("`{name}` means nothing here: a transparent field has its parent's name and level"),
            ))
        })
    }

    pub(crate) fn skipped(&self) -> bool {
        matches!(self.view, Some((_, View::Skip)))
    }

    /// Nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.view.is_none()
            && self.naming.is_none()
            && self.number.is_none()
            && self.level.is_none()
            && self.mutable.is_none()
    }
}
