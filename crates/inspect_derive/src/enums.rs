//! The body of the method for an enum.

use crate::Receiver;
use crate::attributes::Shape;
use crate::attributes::TypeAttributes;
use crate::attributes::VariantAttributes;
use crate::fields;
use crate::fields::Shown;
use crate::structs;
use proc_macro2::TokenStream;
use quote::quote;
use syn::DataEnum;
use syn::Ident;
use syn::ext::IdentExt;

struct Variant<'a> {
    ident: &'a Ident,
    /// The name that is shown.
    name: String,
    fields: Vec<Shown>,
    /// It is shown as its one field.
    transparent: bool,
}

impl<'a> Variant<'a> {
    fn parse(variant: &'a syn::Variant, receiver: Receiver) -> syn::Result<Self> {
        let attributes = VariantAttributes::parse(&variant.attrs)?;
        let inherited = attributes.transparent.as_ref();
        let items = inherited.map_or(&[][..], |(_, items)| items);
        let fields = fields::shown(&variant.fields, items, receiver)?;
        if let Some((name, _)) = &attributes.transparent {
            fields::single(&fields, name.span())?;
        }
        let name = attributes.rename.map(|(_, name)| name);
        Ok(Self {
            ident: &variant.ident,
            name: name.unwrap_or_else(|| snake_case(&variant.ident.unraw().to_string())),
            fields,
            transparent: attributes.transparent.is_some(),
        })
    }

    fn pattern(&self) -> TokenStream {
        let ident = self.ident;
        let fields = fields::pattern(&self.fields);
        quote!(Self::#ident #fields)
    }

    /// Statements that add the fields to `__resp`.
    fn children(&self) -> TokenStream {
        if self.transparent {
            self.fields
                .iter()
                .map(|field| field.child_named(""))
                .collect()
        } else {
            self.fields.iter().map(Shown::child).collect()
        }
    }

    /// A block that answers `__req` with the fields.
    fn answer(&self) -> TokenStream {
        match self.fields.as_slice() {
            [field] if self.transparent => field.answer(),
            _ => {
                let children = self.children();
                quote!({
                    let mut __resp = __req.respond();
                    #children
                    let _ = &mut __resp;
                })
            }
        }
    }
}

pub(crate) fn body(
    attributes: &TypeAttributes,
    data: &DataEnum,
    receiver: Receiver,
) -> syn::Result<TokenStream> {
    let mut variants = Vec::new();
    for variant in &data.variants {
        variants.push(Variant::parse(variant, receiver)?);
    }
    if variants.is_empty() {
        return Ok(quote!(match *self {}));
    }
    let extra = structs::extra(attributes);
    Ok(match &attributes.shape {
        None => {
            if let Some(variant) = data.variants.iter().find(|v| !v.fields.is_empty()) {
                return Err(syn::Error::new(
                    variant.ident.span(),
                    "an enum with fields needs `tag = \"..\"`, `external_tag` or `untagged` (or `display`, \
                     `debug`, `with`, `skip`)",
                ));
            }
            if let Some((name, _)) = &attributes.extra {
                return Err(syn::Error::new(
                    name.span(),
                    "`extra` needs `tag = \"..\"`, `external_tag` or `untagged`: without, the enum is a value",
                ));
            }
            by_name(&variants, receiver)
        }
        Some((_, Shape::Tag(tag))) => {
            let names = names(&variants);
            let arms = variants.iter().map(|variant| {
                let pattern = variant.pattern();
                let children = variant.children();
                quote!(#pattern => { #children })
            });
            quote! {
                let mut __resp = __req.respond();
                let __level = __resp.parent_sensitivity();
                __resp.sensitivity_field(#tag, __level, #names);
                match self { #(#arms)* }
                #extra
            }
        }
        Some((_, Shape::ExternalTag)) => {
            let arms = variants.iter().map(|variant| {
                let pattern = variant.pattern();
                let name = &variant.name;
                let answer = variant.answer();
                let add = fields::adding_method(name);
                quote!(#pattern => {
                    __resp.#add(#name, __level, |__req| #answer);
                })
            });
            quote! {
                let mut __resp = __req.respond();
                let __level = __resp.parent_sensitivity();
                match self { #(#arms)* }
                #extra
            }
        }
        Some((_, Shape::Untagged)) if attributes.extra.is_some() => {
            let arms = variants.iter().map(|variant| {
                let pattern = variant.pattern();
                let children = variant.children();
                quote!(#pattern => { #children })
            });
            quote! {
                let mut __resp = __req.respond();
                match self { #(#arms)* }
                #extra
            }
        }
        Some((_, Shape::Untagged)) => {
            let arms = variants.iter().map(|variant| {
                let pattern = variant.pattern();
                let answer = variant.answer();
                quote!(#pattern => #answer)
            });
            quote!(match self { #(#arms)* })
        }
        Some((name, Shape::Transparent(_))) => {
            return Err(syn::Error::new(
                name.span(),
                "`transparent` is for structs and variants",
            ));
        }
        Some((_, shape)) => structs::whole(shape, receiver),
    })
}

/// An expression of the variant's name.
fn names(variants: &[Variant<'_>]) -> TokenStream {
    let arms = variants
        .iter()
        .map(|Variant { ident, name, .. }| quote!(Self::#ident { .. } => #name,));
    quote!(match self { #(#arms)* })
}

/// An enum that is a value: its variant's name, which an update may change.
fn by_name(variants: &[Variant<'_>], receiver: Receiver) -> TokenStream {
    let value = names(variants);
    if receiver == Receiver::Shared {
        return quote!(__req.value(#value););
    }
    let known = variants.iter().map(|variant| &variant.name);
    let arms = variants.iter().map(|Variant { ident, name, .. }| {
        quote!(#name => {
            *self = Self::#ident {};
            __update.succeed(#name);
        })
    });
    quote! {
        match __req.update() {
            ::core::result::Result::Ok(__update) => match __update.new_value() {
                #(#arms)*
                _ => ::inspect::__private::refuse_variant(__update, &[#(#known),*]),
            },
            ::core::result::Result::Err(__req) => __req.value(#value),
        }
    }
}

/// `CacheMemRegister` as `cache_mem_register`; a run of capitals is one word, `HDMDecoder` is `hdm_decoder`.
fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| chars.get(i)).copied();
        let after = chars.get(i + 1).copied();
        let starts_word = match before {
            Some('_') | None => false,
            Some(before) if before.is_uppercase() => after.is_some_and(char::is_lowercase),
            Some(_) => true,
        };
        if c.is_uppercase() && starts_word {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn names_become_snake_case() {
        for (name, expected) in [
            ("A", "a"),
            ("IntA", "int_a"),
            ("SharedMem", "shared_mem"),
            ("CacheMemRegister", "cache_mem_register"),
            ("HDMDecoder", "hdm_decoder"),
            ("VF", "vf"),
            ("D3Hot", "d3_hot"),
            ("Gen4x16", "gen4x16"),
            ("Already_Split", "already_split"),
            ("lower", "lower"),
        ] {
            assert_eq!(snake_case(name), expected);
        }
    }
}
