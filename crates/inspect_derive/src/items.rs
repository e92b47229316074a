//! The items of `#[inspect(..)]`, before they mean anything.

use syn::Attribute;
use syn::Expr;
use syn::Ident;
use syn::LitStr;
use syn::Token;
use syn::ext::IdentExt;
use syn::parse::Parse;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;

/// One item: `name`, `name = "text"` or `name(items)`.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) name: Ident,
    argument: Argument,
}

#[derive(Clone)]
enum Argument {
    None,
    Text(LitStr),
    List(Vec<Item>),
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.call(Ident::parse_any)?;
        let argument = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Argument::Text(input.parse()?)
        } else if input.peek(syn::token::Paren) {
            let content;
            syn::parenthesized!(content in input);
            Argument::List(parse_list(&content)?)
        } else {
            Argument::None
        };
        Ok(Self { name, argument })
    }
}

fn parse_list(input: ParseStream<'_>) -> syn::Result<Vec<Item>> {
    let items = Punctuated::<Item, Token![,]>::parse_terminated(input)?;
    Ok(items.into_iter().collect())
}

/// The items of all `#[inspect(..)]` in `attrs`.
pub(crate) fn of(attrs: &[Attribute]) -> syn::Result<Vec<Item>> {
    let mut items = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("inspect")) {
        items.extend(attr.parse_args_with(parse_list)?);
    }
    Ok(items)
}

impl Item {
    pub(crate) fn error(&self, message: impl std::fmt::Display) -> syn::Error {
        syn::Error::new(self.name.span(), message)
    }

    /// The item is a name alone.
    pub(crate) fn flag(&self) -> syn::Result<()> {
        match self.argument {
            Argument::None => Ok(()),
            _ => Err(self.error(format_args!("`{}` takes no value", self.name))),
        }
    }

    /// The text of `name = "text"`.
    pub(crate) fn text(&self) -> syn::Result<&LitStr> {
        match &self.argument {
            Argument::Text(text) => Ok(text),
            _ => Err(self.error(format_args!(
                "`{0}` needs a text: `{0} = \"..\"`",
                self.name
            ))),
        }
    }

    /// The expression in the text of `name = "text"`.
    pub(crate) fn expr(&self) -> syn::Result<Expr> {
        self.text()?.parse()
    }

    /// The items of `name(items)`; none for `name` alone.
    pub(crate) fn list(&self) -> syn::Result<&[Item]> {
        match &self.argument {
            Argument::None => Ok(&[]),
            Argument::List(items) => Ok(items),
            Argument::Text(_) => {
                Err(self.error(format_args!("`{0}` takes a list: `{0}(..)`", self.name)))
            }
        }
    }

    pub(crate) fn unknown(&self, place: &str, known: &str) -> syn::Error {
        self.error(format_args!(
            "unknown attribute `{}` on {place}; there are {known}",
            self.name
        ))
    }
}

/// What one of several items that exclude each other said, and the name under which it said so.
pub(crate) type Choice<T> = Option<(Ident, T)>;

/// Makes the choice, once.
pub(crate) fn choose<T>(choice: &mut Choice<T>, item: &Item, value: T) -> syn::Result<()> {
    match choice {
        Some((earlier, _)) => Err(contradiction(&item.name, earlier)),
        None => {
            *choice = Some((item.name.clone(), value));
            Ok(())
        }
    }
}

pub(crate) fn contradiction(name: &Ident, earlier: &Ident) -> syn::Error {
    let message = if name == earlier {
        format!("`{name}` is given twice")
    } else {
        format!("`{name}` contradicts `{earlier}`")
    };
    syn::Error::new(name.span(), message)
}

/// Hands each item to `take`, and reports all errors together.
pub(crate) fn for_each(
    items: &[Item],
    mut take: impl FnMut(&Item) -> syn::Result<()>,
) -> syn::Result<()> {
    let errors = items.iter().filter_map(|item| take(item).err());
    let all = errors.reduce(|mut all, error| {
        all.combine(error);
        all
    });
    all.map_or(Ok(()), Err)
}
