//! `#[mesh(…)]`.

use proc_macro2::Span;
use syn::Attribute;
use syn::Error;
use syn::Ident;
use syn::LitInt;
use syn::LitStr;
use syn::Result;
use syn::Token;
use syn::Type;
use syn::WherePredicate;
use syn::parse::Parse;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;

/// One entry of `#[mesh(…)]`.
enum Entry {
    Number(Number),
    Flag(Ident),
    Text(Ident, LitStr),
}

/// A field number and where it is written.
#[derive(Clone, Copy)]
pub(crate) struct Number {
    pub(crate) value: u32,
    pub(crate) span: Span,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitInt) {
            let literal: LitInt = input.parse()?;
            let value = literal.base10_parse()?;
            let span = literal.span();
            return match value {
                // Protobuf's own limits.
                1..19_000 | 20_000..0x2000_0000 => Ok(Self::Number(Number { value, span })),
                19_000..20_000 => Err(Error::new(
                    span,
                    "Protobuf reserves the field numbers 19000 to 19999",
                )),
                _ => Err(Error::new(
                    span,
                    "a field number is between 1 and 536870911",
                )),
            };
        }
        let name: Ident = input.parse()?;
        if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            return Ok(Self::Text(name, input.parse()?));
        }
        Ok(Self::Flag(name))
    }
}

fn entries(attributes: &[Attribute]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("mesh"))
    {
        entries
            .extend(attribute.parse_args_with(Punctuated::<Entry, Token![,]>::parse_terminated)?);
    }
    Ok(entries)
}

fn unknown(entry: &Entry, place: &str) -> Error {
    let (span, what) = match entry {
        Entry::Number(number) => (number.span, "a number".to_owned()),
        Entry::Flag(name) => (name.span(), format!("`{name}`")),
        Entry::Text(name, _) => (name.span(), format!("`{name} = …`")),
    };
    Error::new(span, format!("{what} means nothing on {place}"))
}

/// Sets `slot`, which only one entry may do.
fn set<T>(slot: &mut Option<T>, value: T, span: Span) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(span, "this is given twice")),
    }
}

#[derive(Default)]
pub(crate) struct TypeAttributes {
    pub(crate) package: Option<LitStr>,
    pub(crate) transparent: Option<Span>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) bound: Option<Punctuated<WherePredicate, Token![,]>>,
}

impl TypeAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        for entry in entries(attributes)? {
            match &entry {
                Entry::Flag(name) if name == "transparent" => {
                    set(&mut parsed.transparent, name.span(), name.span())?;
                }
                Entry::Text(name, text) if name == "package" => {
                    check_package(text)?;
                    set(&mut parsed.package, text.clone(), name.span())?;
                }
                Entry::Text(name, text) if name == "rename" => {
                    text.parse::<Ident>()?;
                    set(&mut parsed.rename, text.clone(), name.span())?;
                }
                Entry::Text(name, text) if name == "bound" => {
                    let bound = text.parse_with(Punctuated::parse_terminated)?;
                    set(&mut parsed.bound, bound, name.span())?;
                }
                _ => return Err(unknown(&entry, "a type")),
            }
        }
        if let (Some(span), Some(_)) = (parsed.transparent, &parsed.package) {
            return Err(Error::new(
                span,
                "a transparent type is no message of its own and has no package",
            ));
        }
        Ok(parsed)
    }
}

/// A package is identifiers with dots between: it becomes part of type URLs and of `.proto` text.
fn check_package(package: &LitStr) -> Result<()> {
    let is_identifier = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if package.value().split('.').all(is_identifier) {
        Ok(())
    } else {
        Err(Error::new(
            package.span(),
            "a package is identifiers with dots between",
        ))
    }
}

#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) number: Option<Number>,
    pub(crate) encoding: Option<Type>,
}

impl FieldAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        for entry in entries(attributes)? {
            match &entry {
                Entry::Number(number) => set(&mut parsed.number, *number, number.span)?,
                Entry::Text(name, text) if name == "encoding" => {
                    set(&mut parsed.encoding, text.parse()?, name.span())?;
                }
                _ => return Err(unknown(&entry, "a field")),
            }
        }
        Ok(parsed)
    }
}

#[derive(Default)]
pub(crate) struct VariantAttributes {
    pub(crate) number: Option<Number>,
    pub(crate) transparent: Option<Span>,
}

impl VariantAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        for entry in entries(attributes)? {
            match &entry {
                Entry::Number(number) => set(&mut parsed.number, *number, number.span)?,
                Entry::Flag(name) if name == "transparent" => {
                    set(&mut parsed.transparent, name.span(), name.span())?;
                }
                _ => return Err(unknown(&entry, "a variant")),
            }
        }
        Ok(parsed)
    }
}
