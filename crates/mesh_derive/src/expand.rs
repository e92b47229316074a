//! From the parsed type to the implementations.

use crate::attributes::TypeAttributes;
use crate::attributes::VariantAttributes;
use crate::fields::Fields;
use crate::fields::Numbers;
use crate::fields::TransparentField;
use crate::fields::list;
use proc_macro2::Ident;
use proc_macro2::TokenStream;
use quote::ToTokens;
use quote::format_ident;
use quote::quote;
use syn::Data;
use syn::DataEnum;
use syn::DeriveInput;
use syn::Error;
use syn::Generics;
use syn::Result;
use syn::ext::IdentExt;
use syn::parse_quote;

pub(crate) fn protobuf(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = TypeAttributes::parse(&input.attrs)?;
    let generics = bounded(&input.generics, &attributes);
    let described = attributes.package.is_some();
    match (&input.data, attributes.transparent) {
        (Data::Struct(data), Some(span)) => {
            let fields = Fields::parse(&data.fields, false)?;
            Ok(transparent(
                &input.ident,
                &generics,
                &fields.transparent(span)?,
            ))
        }
        (Data::Struct(data), None) => {
            let body = struct_body(&Fields::parse(&data.fields, described)?);
            Ok(message(&input.ident, &generics, &attributes, &body))
        }
        (Data::Enum(_), Some(span)) => Err(Error::new(
            span,
            "an enum is not transparent; a variant may be",
        )),
        (Data::Enum(data), None) => {
            let body = enum_body(&parse_variants(data, described)?);
            Ok(message(&input.ident, &generics, &attributes, &body))
        }
        (Data::Union(data), _) => Err(Error::new(
            data.union_token.span,
            "Protobuf can be derived for a struct or an enum",
        )),
    }
}

/// The type's generics with the bounds of the implementation.
fn bounded(generics: &Generics, attributes: &TypeAttributes) -> Generics {
    let mut generics = generics.clone();
    if let Some(bound) = &attributes.bound {
        generics
            .make_where_clause()
            .predicates
            .extend(bound.iter().cloned());
    } else {
        for parameter in generics.type_params_mut() {
            parameter
                .bounds
                .push(parse_quote!(::mesh_protobuf::Protobuf));
        }
    }
    generics
}

/// What the implementation of `Message` has that depends on the kind of type.
struct Body {
    one_of: bool,
    descriptions: TokenStream,
    draft_type: TokenStream,
    write: TokenStream,
    read: TokenStream,
    finish: TokenStream,
}

/// Implements `Message`, and `DescribedProtobuf` if there is a package.
fn message(
    name: &Ident,
    generics: &Generics,
    attributes: &TypeAttributes,
    body: &Body,
) -> TokenStream {
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let message_name = match &attributes.rename {
        Some(rename) => rename.to_token_stream(),
        None => name.unraw().to_string().to_token_stream(),
    };
    let package = attributes
        .package
        .as_ref()
        .map_or_else(|| quote!(""), ToTokens::to_token_stream);
    let Body {
        one_of,
        descriptions,
        draft_type,
        write,
        read,
        finish,
    } = body;
    let described = attributes.package.is_some().then(|| {
        quote! {
            #[automatically_derived]
            impl #impl_generics ::mesh_protobuf::DescribedProtobuf for #name #type_generics #where_clause {
                const DESCRIPTION: &'static ::mesh_protobuf::MessageDescription<'static> =
                    <Self as ::mesh_protobuf::Message>::MESSAGE;
                const TYPE_URL: &'static str =
                    ::core::concat!("type.googleapis.com/", #package, ".", #message_name);
            }
        }
    });
    quote! {
        #[automatically_derived]
        #[allow(unused_variables, unreachable_code, clippy::all)]
        impl #impl_generics ::mesh_protobuf::Message for #name #type_generics #where_clause {
            type Draft = #draft_type;

            const MESSAGE: &'static ::mesh_protobuf::MessageDescription<'static> =
                &::mesh_protobuf::MessageDescription {
                    package: #package,
                    name: #message_name,
                    fields: #descriptions,
                    one_of: #one_of,
                };

            fn write_fields(&self, writer: &mut ::mesh_protobuf::Writer) {
                #write
            }

            fn read_field(
                draft: &mut Self::Draft,
                key: ::mesh_protobuf::Key,
                reader: &mut ::mesh_protobuf::Reader<'_>,
            ) -> ::core::result::Result<(), ::mesh_protobuf::Error> {
                #read
            }

            fn finish_fields(
                draft: Self::Draft,
            ) -> ::core::result::Result<Self, ::mesh_protobuf::Error> {
                #finish
            }
        }

        #described
    }
}

fn struct_body(fields: &Fields) -> Body {
    let this = quote!(Self);
    let pattern = fields.pattern(&this);
    let draft_pattern = fields.draft_pattern();
    let write = fields.write();
    let read = fields.read();
    let finish = fields.finish(&this, &quote!(<Self as ::mesh_protobuf::Message>::MESSAGE));
    Body {
        one_of: false,
        descriptions: fields.descriptions(),
        draft_type: fields.draft_type(),
        write: quote! {
            let #pattern = self;
            #write
        },
        read: quote! {
            let #draft_pattern = draft;
            #read
        },
        finish: quote! {
            let #draft_pattern = draft;
            ::core::result::Result::Ok(#finish)
        },
    }
}

struct Variant {
    /// `Self::Name`.
    path: TokenStream,
    name: String,
    number: u32,
    /// The variable that holds what was read of this variant.
    draft: Ident,
    fields: Fields,
    transparent: Option<proc_macro2::Span>,
}

fn parse_variants(data: &DataEnum, described: bool) -> Result<Vec<Variant>> {
    let mut numbers = Numbers::new(described);
    let parse = |variant: &syn::Variant| {
        let attributes = VariantAttributes::parse(&variant.attrs)?;
        let number = numbers.next(attributes.number, false, variant.ident.span())?;
        let name = &variant.ident;
        let fields = Fields::parse(
            &variant.fields,
            described && attributes.transparent.is_none(),
        )?;
        if let Some(span) = attributes.transparent {
            fields.transparent(span)?;
        }
        Ok(Variant {
            path: quote!(Self::#name),
            name: name.unraw().to_string(),
            number,
            draft: format_ident!("variant_{number}"),
            fields,
            transparent: attributes.transparent,
        })
    };
    data.variants.iter().map(parse).collect()
}

impl Variant {
    fn transparent(&self) -> Option<TransparentField<'_>> {
        self.transparent
            .and_then(|span| self.fields.transparent(span).ok())
    }

    fn draft_type(&self) -> TokenStream {
        self.fields.draft_type()
    }

    /// The description of the variant as a field.
    fn description(&self) -> TokenStream {
        let Self { name, number, .. } = self;
        let field_type = if let Some(field) = self.transparent() {
            let wire = field.wire();
            quote!(<#wire as ::mesh_protobuf::Protobuf>::TYPE.transparent_variant())
        } else {
            let descriptions = self.fields.descriptions();
            quote! {
                ::mesh_protobuf::FieldType::once(::mesh_protobuf::ValueType::Variant(
                    &::mesh_protobuf::MessageDescription {
                        package: "",
                        name: #name,
                        fields: #descriptions,
                        one_of: false,
                    },
                ))
            }
        };
        quote! {
            ::mesh_protobuf::FieldDescription {
                number: #number,
                name: #name,
                field_type: #field_type,
            }
        }
    }

    /// The arm that writes this variant.
    fn write(&self) -> TokenStream {
        let number = self.number;
        let pattern = self.fields.pattern(&self.path);
        let write = if let Some(field) = self.transparent() {
            field.write(number)
        } else {
            let write = self.fields.write();
            quote! {
                ::mesh_protobuf::Writer::length_delimited(
                    writer,
                    #number,
                    ::mesh_protobuf::Presence::Explicit,
                    |writer| { #write },
                );
            }
        };
        quote!(#pattern => { #write })
    }

    /// The arm that reads this variant.
    fn read(&self) -> TokenStream {
        let Self { number, draft, .. } = self;
        let pattern = self.fields.draft_pattern();
        let read = if let Some(field) = self.transparent() {
            let wire = field.wire();
            let binding = field.binding();
            quote!(<#wire as ::mesh_protobuf::Protobuf>::read(#binding, key, reader))
        } else {
            let read = self.fields.read();
            quote! {
                ::mesh_protobuf::Reader::message(
                    reader,
                    key,
                    ::mesh_protobuf::MessageDescription::variant(
                        <Self as ::mesh_protobuf::Message>::MESSAGE,
                        #number,
                    ),
                    |key, reader| #read,
                )
            }
        };
        quote! {
            #number => {
                let #pattern = #draft;
                #read
            }
        }
    }

    /// The arm that makes this variant from what was read.
    fn finish(&self) -> TokenStream {
        let Self {
            number,
            draft,
            path,
            ..
        } = self;
        let message = quote!(<Self as ::mesh_protobuf::Message>::MESSAGE);
        let pattern = self.fields.draft_pattern();
        let finish = if let Some(field) = self.transparent() {
            let member = field.member();
            let value = field.finish();
            quote! {
                match #value {
                    ::core::result::Result::Ok(value) => ::core::result::Result::Ok(#path { #member: value }),
                    ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
                }
            }
        } else {
            let variant = quote!(::mesh_protobuf::MessageDescription::variant(#message, #number));
            let value = self.fields.finish(path, &variant);
            // A closure, because an incomplete field returns early.
            quote!((move || ::core::result::Result::Ok(#value))())
        };
        quote! {
            #number => {
                let #pattern = #draft;
                ::core::result::Result::map_err(
                    #finish,
                    |error: ::mesh_protobuf::Error| error.in_field(#message, #number),
                )
            }
        }
    }
}

fn enum_body(variants: &[Variant]) -> Body {
    let numbers: Vec<u32> = variants.iter().map(|variant| variant.number).collect();
    let descriptions = variants.iter().map(Variant::description);
    let draft_types = list(variants.iter().map(Variant::draft_type));
    let draft_pattern = list(
        variants
            .iter()
            .map(|variant| variant.draft.to_token_stream()),
    );
    let write = variants.iter().map(Variant::write);
    let read = variants.iter().map(Variant::read);
    let finish = variants.iter().map(Variant::finish);
    Body {
        one_of: true,
        descriptions: quote!(&[#(#descriptions),*]),
        // The number of the last variant seen (0 is no field number) and what has been read of each.
        draft_type: quote!((u32, #draft_types)),
        // `*self`, because a reference to an enum without variants has no match without arms.
        write: if variants.is_empty() {
            quote!(match *self {})
        } else {
            quote!(match self { #(#write)* })
        },
        read: quote! {
            let number = ::mesh_protobuf::Key::number(key);
            // Another variant replaces the one before; the same one again is merged with it.
            if draft.0 != number && [#(#numbers),*].contains(&number) {
                *draft = ::core::default::Default::default();
                draft.0 = number;
            }
            let (_, #draft_pattern) = draft;
            match number {
                #(#read)*
                _ => ::mesh_protobuf::Reader::skip(reader, key),
            }
        },
        finish: quote! {
            let (number, #draft_pattern) = draft;
            match number {
                #(#finish)*
                _ => ::core::result::Result::Err(::mesh_protobuf::Error::no_known_variant(
                    <Self as ::mesh_protobuf::Message>::MESSAGE,
                )),
            }
        },
    }
}

/// Implements `Protobuf` by way of the only field.
fn transparent(name: &Ident, generics: &Generics, field: &TransparentField<'_>) -> TokenStream {
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let wire = field.wire();
    let member = field.member();
    let binding = field.binding();
    let to_wire = field.to_wire(&quote!(&self.#member));
    let finish = field.finish();
    let protobuf = quote!(<#wire as ::mesh_protobuf::Protobuf>);
    // A sequence of these is what a sequence of the fields is, but only where the fields are there to be referred to.
    let sequence = (!field.has_encoding()).then(|| transparent_sequence(&protobuf, field));
    quote! {
        #[automatically_derived]
        #[allow(clippy::all)]
        impl #impl_generics ::mesh_protobuf::Protobuf for #name #type_generics #where_clause {
            type Draft = #protobuf::Draft;

            const TYPE: ::mesh_protobuf::FieldType<'static> = #protobuf::TYPE;

            fn write(
                &self,
                number: u32,
                presence: ::mesh_protobuf::Presence,
                writer: &mut ::mesh_protobuf::Writer,
            ) {
                #protobuf::write(#to_wire, number, presence, writer);
            }

            fn read(
                draft: &mut Self::Draft,
                key: ::mesh_protobuf::Key,
                reader: &mut ::mesh_protobuf::Reader<'_>,
            ) -> ::core::result::Result<(), ::mesh_protobuf::Error> {
                #protobuf::read(draft, key, reader)
            }

            fn finish(
                #binding: Self::Draft,
            ) -> ::core::result::Result<Self, ::mesh_protobuf::Error> {
                ::core::result::Result::map(#finish, |value| Self { #member: value })
            }

            fn write_root(&self, writer: &mut ::mesh_protobuf::Writer) {
                #protobuf::write_root(#to_wire, writer);
            }

            fn read_root(
                draft: &mut Self::Draft,
                reader: &mut ::mesh_protobuf::Reader<'_>,
            ) -> ::core::result::Result<(), ::mesh_protobuf::Error> {
                #protobuf::read_root(draft, reader)
            }

            #sequence
        }
    }
}

fn transparent_sequence(protobuf: &TokenStream, field: &TransparentField<'_>) -> TokenStream {
    let member = field.member();
    quote! {
        const SEQUENCE: ::core::option::Option<::mesh_protobuf::FieldType<'static>> =
            #protobuf::SEQUENCE;

        fn write_sequence<'write_sequence>(
            values: impl ::core::iter::Iterator<Item = &'write_sequence Self>,
            number: u32,
            presence: ::mesh_protobuf::Presence,
            writer: &mut ::mesh_protobuf::Writer,
        ) where
            Self: 'write_sequence,
        {
            #protobuf::write_sequence(
                ::core::iter::Iterator::map(values, |value| &value.#member),
                number,
                presence,
                writer,
            );
        }

        fn read_sequence(
            values: &mut ::std::vec::Vec<Self>,
            key: ::mesh_protobuf::Key,
            reader: &mut ::mesh_protobuf::Reader<'_>,
        ) -> ::core::result::Result<(), ::mesh_protobuf::Error> {
            let mut fields = ::std::vec::Vec::new();
            ::core::result::Result::map_err(
                #protobuf::read_sequence(&mut fields, key, reader),
                |error| error.after_elements(values.len()),
            )?;
            values.extend(fields.into_iter().map(|value| Self { #member: value }));
            ::core::result::Result::Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that deriving for `item` fails with `message`, pointing at `place`.
    #[track_caller]
    fn check_error(item: &str, place: &str, message: &str) {
        let error = syn::parse_str(item)
            .and_then(|input| protobuf(&input))
            .expect_err("the item is refused");
        assert_eq!(error.to_string(), message);
        assert_eq!(error.span().source_text().as_deref(), Some(place));
    }

    #[test]
    fn a_number_is_used_once() {
        check_error(
            "struct S { #[mesh(3)] a: u8, #[mesh(0x3)] b: u8 }",
            "0x3",
            "the number 3 is taken already",
        );
        // The position of `b` is 2.
        check_error(
            "struct S { #[mesh(2)] a: u8, b: u8 }",
            "b",
            "the number 2 is taken already",
        );
        check_error(
            "struct S(#[mesh(2)] u8, u16);",
            "u16",
            "the number 2 is taken already",
        );
        check_error(
            "enum E { #[mesh(2)] A, B }",
            "B",
            "the number 2 is taken already",
        );
        check_error(
            "enum E { A { #[mesh(1)] a: u8, #[mesh(1)] b: u8 } }",
            "1",
            "the number 1 is taken already",
        );
        check_error(
            "struct S { #[mesh(3, 4)] a: u8 }",
            "4",
            "this is given twice",
        );
    }

    #[test]
    fn a_package_demands_numbers() {
        let message = "this needs a number, `#[mesh(N)]`, because the type has a package";
        check_error(
            r#"#[mesh(package = "p")] struct S { #[mesh(1)] a: u8, b: u8 }"#,
            "b",
            message,
        );
        check_error(
            r#"#[mesh(package = "p")] enum E { #[mesh(1)] A, B }"#,
            "B",
            message,
        );
        check_error(
            r#"#[mesh(package = "p")] enum E { #[mesh(1)] A { a: u8 } }"#,
            "a",
            message,
        );
        for accepted in [
            r#"#[mesh(package = "p")] struct S;"#,
            r#"#[mesh(package = "p")] struct S(u8);"#,
            r#"#[mesh(package = "p.q_1")] enum E { #[mesh(1)] A(u8), #[mesh(2, transparent)] B { b: u8 } }"#,
            "struct S { a: u8, b: u8 }",
        ] {
            protobuf(&syn::parse_str(accepted).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_number_is_one_that_protobuf_allows() {
        let range = "a field number is between 1 and 536870911";
        check_error("struct S { #[mesh(0)] a: u8 }", "0", range);
        check_error(
            "struct S { #[mesh(536_870_912)] a: u8 }",
            "536_870_912",
            range,
        );
        let reserved = "Protobuf reserves the field numbers 19000 to 19999";
        check_error("struct S { #[mesh(19000)] a: u8 }", "19000", reserved);
        check_error("enum E { #[mesh(19999)] A }", "19999", reserved);
        for accepted in ["1", "18999", "20000", "536870911"] {
            protobuf(
                &syn::parse_str(&format!("struct S {{ #[mesh({accepted})] a: u8 }}")).unwrap(),
            )
            .unwrap();
        }
    }

    #[test]
    fn transparent_needs_one_field() {
        let none = "`transparent` needs exactly one field, and here are 0";
        let two = "`transparent` needs exactly one field, and here are 2";
        check_error("#[mesh(transparent)] struct S;", "transparent", none);
        check_error("#[mesh(transparent)] struct S(u8, u8);", "transparent", two);
        check_error("enum E { #[mesh(transparent)] A }", "transparent", none);
        check_error(
            "#[mesh(transparent)] enum E { A }",
            "transparent",
            "an enum is not transparent; a variant may be",
        );
        check_error(
            r#"#[mesh(transparent, package = "p")] struct S(u8);"#,
            "transparent",
            "a transparent type is no message of its own and has no package",
        );
    }

    #[test]
    fn attributes_are_known_and_in_their_place() {
        check_error(
            "#[mesh(resource)] struct S;",
            "resource",
            "`resource` means nothing on a type",
        );
        check_error(
            "#[mesh(1)] struct S;",
            "1",
            "a number means nothing on a type",
        );
        check_error(
            "struct S { #[mesh(transparent)] a: u8 }",
            "transparent",
            "`transparent` means nothing on a field",
        );
        check_error(
            r#"struct S { #[mesh(rename = "b")] a: u8 }"#,
            "rename",
            "`rename = …` means nothing on a field",
        );
        check_error(
            r#"enum E { #[mesh(encoding = "X")] A(u8) }"#,
            "encoding",
            "`encoding = …` means nothing on a variant",
        );
        let message = "a package is identifiers with dots between";
        check_error(
            r#"#[mesh(package = "a..b")] struct S;"#,
            r#""a..b""#,
            message,
        );
        check_error(r#"#[mesh(package = "a.1")] struct S;"#, r#""a.1""#, message);
        check_error(
            "union U { a: u8 }",
            "union",
            "Protobuf can be derived for a struct or an enum",
        );
    }
}
