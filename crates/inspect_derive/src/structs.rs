//! The body of the method for a struct.

use crate::Receiver;
use crate::apply;
use crate::attributes::Shape;
use crate::attributes::TypeAttributes;
use crate::fields;
use crate::fields::Shown;
use proc_macro2::TokenStream;
use quote::quote;
use syn::Expr;

pub(crate) fn body(
    attributes: &TypeAttributes,
    fields: Vec<Shown>,
    receiver: Receiver,
) -> syn::Result<TokenStream> {
    let pattern = fields::pattern(&fields);
    Ok(match &attributes.shape {
        Some((name, Shape::Transparent(_))) => {
            let answer = fields::single(&fields, name.span())?.answer();
            quote! {
                let Self #pattern = self;
                #answer
            }
        }
        Some((name, Shape::Tag(_) | Shape::ExternalTag | Shape::Untagged)) => {
            return Err(syn::Error::new(
                name.span(),
                format_args!("`{name}` is for enums"),
            ));
        }
        Some((_, shape)) => whole(shape, receiver),
        None => {
            let children = fields.iter().map(Shown::child);
            let extra = extra(attributes);
            quote! {
                let mut __resp = __req.respond();
                let Self #pattern = self;
                #(#children)*
                #extra
                let _ = &mut __resp;
            }
        }
    })
}

/// The body for a type that is shown without looking at its fields.
pub(crate) fn whole(shape: &Shape, receiver: Receiver) -> TokenStream {
    let shared = quote!(&*self);
    let value = match shape {
        Shape::With(expr) => {
            let argument = match receiver {
                Receiver::Shared => shared,
                Receiver::Exclusive => quote!(&mut *self),
            };
            let value = apply(expr, &argument);
            return match receiver {
                Receiver::Shared => quote!(::inspect::Inspect::inspect(&#value, __req);),
                Receiver::Exclusive => {
                    quote!(::inspect::InspectMut::inspect_mut(&mut #value, __req);)
                }
            };
        }
        Shape::Display => quote!(::inspect::AsDisplay(#shared)),
        Shape::Debug => quote!(::inspect::AsDebug(#shared)),
        _ => return quote!(__req.ignore();),
    };
    quote!(::inspect::Inspect::inspect(&#value, __req);)
}

/// A statement that adds the type's further children to `__resp`.
pub(crate) fn extra(attributes: &TypeAttributes) -> TokenStream {
    match &attributes.extra {
        None => TokenStream::new(),
        Some((_, expr @ Expr::Closure(_))) => {
            quote!(::inspect::__private::call_extra(self, &mut __resp, #expr);)
        }
        Some((_, expr)) => quote!((#expr)(self, &mut __resp);),
    }
}
