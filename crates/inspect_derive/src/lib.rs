//! Derive macros of the inspect crate.
//!
//! `#[derive(Inspect)]` and `#[derive(InspectMut)]` make a directory of a struct's fields, each under its own
//! name (tuple fields under their index), and a value of an enum without fields: the variant's name in snake case.
//! `PhantomData` is left out. What to show otherwise is said with `#[inspect(..)]`.
//! No bounds are added to the type's parameters: see `bound`.
//!
//! # On a field
//!
//! How to show it, one of:
//!
//! | attribute | meaning |
//! | --- | --- |
//! | `field` | through its own `Inspect`: the default, spelled out |
//! | `skip` | not at all |
//! | `with = "expr"` | through what `expr`, a closure or a function's path, makes of a reference to it |
//! | `display`, `debug` | as the text of its `Display` or `Debug` |
//! | `format = "{:04x}"` | as the text of this format |
//! | `bytes` | as bytes; it is `AsRef<[u8]>` |
//! | `iter_by_key` | as a directory: iterating over a reference to it gives names and children |
//! | `iter_by_index` | as a directory: iterating over a reference to it gives children, named by their index |
//! | `send = "expr"` | by someone else: what `expr` makes of the `inspect::Deferred` is given to the field's `send` method |
//!
//! Besides:
//!
//! | attribute | meaning |
//! | --- | --- |
//! | `rename = "name"` | shown under another name |
//! | `flatten` | its children are shown as those of the struct |
//! | `hex`, `binary`, `counter` | how integers in it are written |
//! | `safe`, `sensitive` | its sensitivity level |
//! | `mut` | through `InspectMut`, so that an update can change it; in `derive(InspectMut)` only. `with` and `iter_by_*` then get a mutable reference |
//!
//! # On a struct
//!
//! One of:
//!
//! | attribute | meaning |
//! | --- | --- |
//! | `transparent` | shown as its one field (that is not skipped); `transparent(hex)` takes attributes of a field |
//! | `skip` | not shown |
//! | `with = "expr"` | shown through what `expr` makes of a reference to it |
//! | `display`, `debug` | shown as the text of its `Display` or `Debug` |
//!
//! Besides:
//!
//! | attribute | meaning |
//! | --- | --- |
//! | `hex`, `binary`, `counter` | how integers in it are written |
//! | `extra = "expr"` | `expr(self, &mut response)` adds further children |
//! | `bound = "T: Inspect"` | predicates for the implementation's `where` clause |
//!
//! # On an enum
//!
//! As on a struct, but instead of `transparent` one of these, which an enum with fields needs:
//!
//! | attribute | meaning |
//! | --- | --- |
//! | `tag = "name"` | the variant's fields, and a child `name` with the variant's name |
//! | `external_tag` | one child, with the variant's name, that holds the fields |
//! | `untagged` | the variant's fields only |
//!
//! On a variant: `rename = "name"`, and `transparent` (or `transparent(..)`), which puts the variant's one field in the place of
//! its fields (under `tag` it is merged, so it must be a directory). With `derive(InspectMut)`, an update sets an enum without fields to the variant that it names.
//!
//! # With `bitfield-struct`
//!
//! Above `#[bitfield(u16)]`, the macros see the named bits, and show what the accessors return. Bits whose names
//! start with an underscore and those that cannot be read (`access = WO`, `access = None`) are left out.
//! Below it, they see the tuple struct that it makes: `#[inspect(transparent(hex))]` shows the raw register.

#![forbid(unsafe_code)]

mod attributes;
mod bitfield;
mod enums;
mod fields;
mod items;
mod structs;

use attributes::Shape;
use attributes::TypeAttributes;
use proc_macro2::TokenStream;
use quote::quote;
use syn::Data;
use syn::DeriveInput;
use syn::Expr;

/// Derives `inspect::Inspect`.
#[proc_macro_derive(Inspect, attributes(inspect))]
pub fn derive_inspect(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    derive(input, Receiver::Shared)
}

/// Derives `inspect::InspectMut`.
#[proc_macro_derive(InspectMut, attributes(inspect))]
pub fn derive_inspect_mut(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    derive(input, Receiver::Exclusive)
}

/// Which trait is derived.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiver {
    Shared,
    Exclusive,
}

fn derive(input: proc_macro::TokenStream, receiver: Receiver) -> proc_macro::TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input, receiver)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

fn expand(input: &DeriveInput, receiver: Receiver) -> syn::Result<TokenStream> {
    let attributes = TypeAttributes::parse(&input.attrs)?;
    let body = match &input.data {
        Data::Struct(data) if bitfield::has_attribute(&input.attrs) => {
            if let Some((name, Shape::Transparent(_))) = &attributes.shape {
                return Err(syn::Error::new(
                    name.span(),
                    "to show the raw register, derive below `#[bitfield]`; here the derive sees the bits",
                ));
            }
            let fields = bitfield::fields(data, receiver)?;
            structs::body(&attributes, fields, receiver)?
        }
        Data::Struct(data) => {
            let fields = fields::of_struct(&data.fields, &attributes, receiver)?;
            structs::body(&attributes, fields, receiver)?
        }
        Data::Enum(data) => enums::body(&attributes, data, receiver)?,
        Data::Union(data) => {
            return Err(syn::Error::new(
                data.union_token.span,
                "a union does not say which field holds: it cannot be inspected by derive",
            ));
        }
    };
    let name = &input.ident;
    let mut generics = input.generics.clone();
    if !attributes.bound.is_empty() {
        generics
            .make_where_clause()
            .predicates
            .extend(attributes.bound.iter().cloned());
    }
    let (parameters, arguments, predicates) = generics.split_for_impl();
    let req = attributes.number.map(|(_, number)| number.method());
    let req = req.map(|method| quote!(let __req = __req.#method();));
    let (path, method, this) = match receiver {
        Receiver::Shared => (quote!(::inspect::Inspect), quote!(inspect), quote!(&self)),
        Receiver::Exclusive => (
            quote!(::inspect::InspectMut),
            quote!(inspect_mut),
            quote!(&mut self),
        ),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #parameters #path for #name #arguments #predicates {
            fn #method(#this, __req: ::inspect::Request<'_>) {
                #req
                #body
            }
        }
    })
}

/// `expr` applied to `argument`. The type of a closure's parameter follows from the argument; anything else
/// is called as it stands, so that the argument is coerced.
fn apply(expr: &Expr, argument: &TokenStream) -> TokenStream {
    match expr {
        Expr::Closure(_) => quote!(::inspect::__private::call(#argument, #expr)),
        Expr::Path(_) => quote!(#expr(#argument)),
        _ => quote!((#expr)(#argument)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    /// The messages of the errors that deriving `Inspect` for `input` gives.
    fn errors(input: DeriveInput) -> Vec<String> {
        let error = expand(&input, Receiver::Shared).unwrap_err();
        error.into_iter().map(|error| error.to_string()).collect()
    }

    #[test]
    fn unknown_attributes_are_named() {
        let messages = errors(parse_quote! {
            #[inspect(hexa, skip = "x")]
            struct S;
        });
        assert!(
            messages[0].starts_with("unknown attribute `hexa` on a type; there are `transparent`")
        );
        assert_eq!(messages[1], "`skip` takes no value");
        let messages = errors(parse_quote!(
            struct S {
                #[inspect(tag = "x", with)]
                a: u8,
            }
        ));
        assert!(messages[0].starts_with("unknown attribute `tag` on a field; there are `rename`"));
        assert_eq!(messages[1], r#"`with` needs a text: `with = ".."`"#);
        let messages = errors(parse_quote!(
            #[inspect(untagged)]
            enum E {
                #[inspect(hex)]
                A,
            }
        ));
        assert_eq!(
            messages,
            ["unknown attribute `hex` on a variant; there are `rename` and `transparent`"]
        );
    }

    #[test]
    fn contradictions_on_fields_are_refused() {
        for (attributes, expected) in [
            ("display, debug", "`debug` contradicts `display`"),
            ("hex, hex", "`hex` is given twice"),
            ("hex, binary", "`binary` contradicts `hex`"),
            ("safe, sensitive", "`sensitive` contradicts `safe`"),
            (r#"flatten, rename = "x""#, "`rename` contradicts `flatten`"),
            ("skip, hex", "`hex` contradicts `skip`"),
            ("safe, skip", "`safe` contradicts `skip`"),
            ("hex, display", "`hex` contradicts `display`"),
            ("bytes, binary", "`binary` contradicts `bytes`"),
            (
                "mut",
                "`mut` needs `derive(InspectMut)`: `Inspect` only has a shared reference",
            ),
        ] {
            let attributes: TokenStream = attributes.parse().unwrap();
            let messages = errors(parse_quote!(
                struct S {
                    #[inspect(#attributes)]
                    a: u8,
                }
            ));
            assert_eq!(messages, [expected]);
        }
        let input = parse_quote!(
            struct S {
                #[inspect(mut, display)]
                a: u8,
            }
        );
        let error = expand(&input, Receiver::Exclusive).unwrap_err();
        assert_eq!(error.to_string(), "`mut` contradicts `display`");
    }

    #[test]
    fn contradictions_on_types_are_refused() {
        let transparent = "`transparent` needs exactly one field that is not skipped; here are";
        let above =
            "to show the raw register, derive below `#[bitfield]`; here the derive sees the bits";
        let cases: [(DeriveInput, String); 10] = [
            (
                parse_quote!(
                    #[inspect(skip, debug)]
                    struct S;
                ),
                "`debug` contradicts `skip`".into(),
            ),
            (
                parse_quote!(
                    #[inspect(display, hex)]
                    struct S;
                ),
                "`hex` contradicts `display`".into(),
            ),
            (
                parse_quote!(
                    #[inspect(transparent, extra = "f")]
                    struct S(u8);
                ),
                "`extra` contradicts `transparent`".into(),
            ),
            (
                parse_quote!(
                    #[inspect(transparent)]
                    struct S(u8, u8);
                ),
                format!("{transparent} 2"),
            ),
            (
                parse_quote!(
                    #[inspect(transparent)]
                    struct S;
                ),
                format!("{transparent} 0"),
            ),
            (
                parse_quote!(
                    #[inspect(transparent(safe))]
                    struct S(u8);
                ),
                "`safe` means nothing here: a transparent field has its parent's name and level"
                    .into(),
            ),
            (
                parse_quote!(
                    #[inspect(tag = "x")]
                    struct S;
                ),
                "`tag` is for enums".into(),
            ),
            (
                parse_quote!(
                    #[inspect(transparent)]
                    enum E {
                        A,
                    }
                ),
                "`transparent` is for structs and variants".into(),
            ),
            (
                parse_quote!(
                    #[inspect(untagged)]
                    enum E {
                        #[inspect(transparent)]
                        A(u8, u8),
                    }
                ),
                format!("{transparent} 2"),
            ),
            (
                parse_quote!(
                    #[inspect(transparent)]
                    #[bitfield(u8)]
                    struct S {
                        a: bool,
                    }
                ),
                above.into(),
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(errors(input), [expected]);
        }
    }

    #[test]
    fn an_enum_with_fields_says_how_to_show_it() {
        let messages = errors(parse_quote!(
            enum E {
                A,
                B(u8),
            }
        ));
        assert!(messages[0].starts_with("an enum with fields needs `tag"));
        let messages = errors(parse_quote!(
            #[inspect(extra = "f")]
            enum E {
                A,
            }
        ));
        assert!(messages[0].starts_with("`extra` needs `tag"));
    }
}
