//! The fields of a struct or a variant, and the code that each trait method has for them.

use crate::attributes::FieldAttributes;
use crate::attributes::Number;
use proc_macro2::Ident;
use proc_macro2::Span;
use proc_macro2::TokenStream;
use quote::format_ident;
use quote::quote;
use std::collections::BTreeSet;
use syn::Error;
use syn::Member;
use syn::Result;
use syn::Type;
use syn::ext::IdentExt;

struct Field {
    member: Member,
    /// The variable that holds the field, or what was read of it.
    binding: Ident,
    ty: Type,
    number: u32,
    encoding: Option<Type>,
}

/// The fields of a struct or a variant.
pub(crate) struct Fields(Vec<Field>);

/// Gives out field numbers.
pub(crate) struct Numbers {
    /// Whether each must be written down.
    pub(crate) required: bool,
    used: BTreeSet<u32>,
    position: u32,
}

impl Numbers {
    pub(crate) fn new(required: bool) -> Self {
        Self {
            required,
            used: BTreeSet::new(),
            position: 0,
        }
    }

    /// The number of the next field: `given`, or else its position, if the field at `span` may do without.
    pub(crate) fn next(
        &mut self,
        given: Option<Number>,
        optional: bool,
        span: Span,
    ) -> Result<u32> {
        self.position += 1;
        if given.is_none() && self.required && !optional {
            return Err(Error::new(
                span,
                "this needs a number, `#[mesh(N)]`, because the type has a package",
            ));
        }
        let (number, span) = given.map_or((self.position, span), |given| (given.value, given.span));
        if !self.used.insert(number) {
            return Err(Error::new(
                span,
                format!("the number {number} is taken already"),
            ));
        }
        Ok(number)
    }
}

impl Fields {
    /// Reads the fields; `numbered` says whether each named one must carry its number.
    pub(crate) fn parse(fields: &syn::Fields, numbered: bool) -> Result<Self> {
        let mut numbers = Numbers::new(numbered);
        let parse = |(field, member): (&syn::Field, Member)| {
            let attributes = FieldAttributes::parse(&field.attrs)?;
            let span = match &field.ident {
                Some(name) => name.span(),
                None => syn::spanned::Spanned::span(&field.ty),
            };
            let number = numbers.next(attributes.number, field.ident.is_none(), span)?;
            Ok(Field {
                member,
                binding: format_ident!("field_{number}"),
                ty: field.ty.clone(),
                number,
                encoding: attributes.encoding,
            })
        };
        fields
            .iter()
            .zip(fields.members())
            .map(parse)
            .collect::<Result<_>>()
            .map(Self)
    }

    /// The only field's type on the wire, with the `#[mesh(transparent)]` at `span`.
    pub(crate) fn transparent(&self, span: Span) -> Result<TransparentField<'_>> {
        match self.0.as_slice() {
            [field] => Ok(TransparentField(field)),
            fields => Err(Error::new(
                span,
                format!(
                    "`transparent` needs exactly one field, and here are {}",
                    fields.len()
                ),
            )),
        }
    }

    /// The type of what has been read: the drafts of the fields, as a list of pairs.
    pub(crate) fn draft_type(&self) -> TokenStream {
        list(self.0.iter().map(|field| {
            let wire = field.wire();
            quote!(<#wire as ::mesh_protobuf::Protobuf>::Draft)
        }))
    }

    /// The pattern that takes a draft apart into the bindings.
    pub(crate) fn draft_pattern(&self) -> TokenStream {
        list(self.0.iter().map(|field| {
            let binding = &field.binding;
            quote!(#binding)
        }))
    }

    /// The pattern that takes the value apart into the bindings.
    pub(crate) fn pattern(&self, path: &TokenStream) -> TokenStream {
        let members = self.0.iter().map(
            |Field {
                 member, binding, ..
             }| quote!(#member: #binding),
        );
        quote!(#path { #(#members),* })
    }

    /// Statements that write the bindings.
    pub(crate) fn write(&self) -> TokenStream {
        self.0
            .iter()
            .map(|field| field.write(field.number, &quote!(Implicit)))
            .collect()
    }

    /// An expression that reads the field `key` into the bindings.
    pub(crate) fn read(&self) -> TokenStream {
        let arms = self.0.iter().map(|field| {
            let Field {
                number, binding, ..
            } = field;
            let wire = field.wire();
            quote!(#number => <#wire as ::mesh_protobuf::Protobuf>::read(#binding, key, reader),)
        });
        quote! {
            match ::mesh_protobuf::Key::number(key) {
                #(#arms)*
                _ => ::mesh_protobuf::Reader::skip(reader, key),
            }
        }
    }

    /// An expression that makes the value from the bindings; `message` is the description to name in errors.
    pub(crate) fn finish(&self, path: &TokenStream, message: &TokenStream) -> TokenStream {
        let members = self.0.iter().map(|field| {
            let Field { member, number, .. } = field;
            let value = field.finish();
            quote! {
                #member: match #value {
                    ::core::result::Result::Ok(value) => value,
                    ::core::result::Result::Err(error) => {
                        return ::core::result::Result::Err(
                            ::mesh_protobuf::Error::in_field(error, #message, #number),
                        );
                    }
                }
            }
        });
        quote!(#path { #(#members),* })
    }

    /// The descriptions of the fields.
    pub(crate) fn descriptions(&self) -> TokenStream {
        let fields = self.0.iter().map(|field| {
            let number = field.number;
            let name = match &field.member {
                Member::Named(name) => name.unraw().to_string(),
                // A digit alone is no name in `.proto` text.
                Member::Unnamed(_) => format!("item_{number}"),
            };
            let wire = field.wire();
            quote! {
                ::mesh_protobuf::FieldDescription {
                    number: #number,
                    name: #name,
                    field_type: <#wire as ::mesh_protobuf::Protobuf>::TYPE,
                }
            }
        });
        quote!(&[#(#fields),*])
    }
}

impl Field {
    /// The type on the wire.
    fn wire(&self) -> TokenStream {
        let ty = &self.ty;
        match &self.encoding {
            Some(encoding) => quote!(<#encoding as ::mesh_protobuf::Encoding<#ty>>::Wire),
            None => quote!(#ty),
        }
    }

    /// An expression for the wire value of `value`, a reference.
    fn to_wire(&self, value: &TokenStream) -> TokenStream {
        let ty = &self.ty;
        match &self.encoding {
            Some(encoding) => {
                quote!(&<#encoding as ::mesh_protobuf::Encoding<#ty>>::to_wire(#value))
            }
            None => quote!(#value),
        }
    }

    /// A statement that writes the binding.
    fn write(&self, number: u32, presence: &TokenStream) -> TokenStream {
        let wire = self.wire();
        let binding = &self.binding;
        let value = self.to_wire(&quote!(#binding));
        quote! {
            <#wire as ::mesh_protobuf::Protobuf>::write(
                #value,
                #number,
                ::mesh_protobuf::Presence::#presence,
                writer,
            );
        }
    }

    /// An expression for the `Result` of making the field from the binding.
    fn finish(&self) -> TokenStream {
        let ty = &self.ty;
        let wire = self.wire();
        let binding = &self.binding;
        let finish = quote!(<#wire as ::mesh_protobuf::Protobuf>::finish(#binding));
        match &self.encoding {
            Some(encoding) => quote! {
                ::core::result::Result::and_then(#finish, |wire| ::core::result::Result::map_err(
                    <#encoding as ::mesh_protobuf::Encoding<#ty>>::from_wire(wire),
                    ::mesh_protobuf::Error::invalid_value,
                ))
            },
            None => finish,
        }
    }
}

/// The one field of a transparent struct or variant.
pub(crate) struct TransparentField<'a>(&'a Field);

impl TransparentField<'_> {
    pub(crate) fn wire(&self) -> TokenStream {
        self.0.wire()
    }

    pub(crate) fn to_wire(&self, value: &TokenStream) -> TokenStream {
        self.0.to_wire(value)
    }

    pub(crate) fn has_encoding(&self) -> bool {
        self.0.encoding.is_some()
    }

    pub(crate) fn member(&self) -> &Member {
        &self.0.member
    }

    pub(crate) fn binding(&self) -> &Ident {
        &self.0.binding
    }

    pub(crate) fn write(&self, number: u32) -> TokenStream {
        self.0.write(number, &quote!(Explicit))
    }

    /// An expression for the `Result` of making the field from the binding.
    pub(crate) fn finish(&self) -> TokenStream {
        self.0.finish()
    }
}

/// `a, b, c` as `(a, (b, (c, ())))`: unlike a flat tuple, such a list is `Default` at any length, and it needs no
/// struct of its own, generics and all.
pub(crate) fn list(items: impl DoubleEndedIterator<Item = TokenStream>) -> TokenStream {
    items
        .rev()
        .fold(quote!(()), |rest, item| quote!((#item, #rest)))
}
