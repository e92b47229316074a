//! Types that the `bitfield` attribute of the crate bitfield-struct is about to rewrite.

use crate::Receiver;
use crate::attributes::FieldAttributes;
use crate::fields;
use crate::fields::Shown;
use proc_macro2::TokenTree;
use syn::Attribute;
use syn::DataStruct;
use syn::Meta;
use syn::ext::IdentExt;

/// Whether `#[bitfield(..)]` follows the derive. Before the derive it has already done its work, and is gone.
pub(crate) fn has_attribute(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        let mut path = attr.path().segments.iter().map(|segment| &segment.ident);
        match (path.next(), path.next(), path.next()) {
            (Some(name), None, None) => name == "bitfield",
            (Some(krate), Some(name), None) => krate == "bitfield_struct" && name == "bitfield",
            _ => false,
        }
    })
}

/// The bits that are shown: those that have a name and can be read.
pub(crate) fn fields(data: &DataStruct, receiver: Receiver) -> syn::Result<Vec<Shown>> {
    let mut shown = Vec::new();
    for field in &data.fields {
        let attributes = FieldAttributes::parse(&field.attrs, &[], receiver)?;
        let Some(name) = &field.ident else {
            continue;
        };
        if attributes.skipped()
            || name.unraw().to_string().starts_with('_')
            || !is_readable(&field.attrs)
        {
            continue;
        }
        if let Some((mutable, ())) = &attributes.mutable {
            return Err(syn::Error::new(
                mutable.span(),
                "`mut` needs a place to change; bits are read through their accessor",
            ));
        }
        shown.push(Shown::bits(name, &field.ty, attributes));
    }
    fields::sort_by_name(&mut shown);
    Ok(shown)
}

/// Whether `#[bits(.., access = ..)]`, if given, lets the bits be read.
fn is_readable(attrs: &[Attribute]) -> bool {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("bits"))
        .filter_map(|attr| match &attr.meta {
            Meta::List(list) => Some(list.tokens.clone()),
            _ => None,
        })
        .all(|tokens| {
            let tokens: Vec<TokenTree> = tokens.into_iter().collect();
            !tokens.windows(3).any(|window| match window {
                [
                    TokenTree::Ident(key),
                    TokenTree::Punct(equals),
                    TokenTree::Ident(access),
                ] => {
                    key == "access"
                        && equals.as_char() == '='
                        && (access == "WO" || access == "None")
                }
                _ => false,
            })
        })
}
