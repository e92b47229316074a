//! The fields of a struct or variant, and the code that shows them.

use crate::Receiver;
use crate::apply;
use crate::attributes::FieldAttributes;
use crate::attributes::Level;
use crate::attributes::Naming;
use crate::attributes::Shape;
use crate::attributes::TypeAttributes;
use crate::attributes::View;
use crate::items::Item;
use proc_macro2::Span;
use proc_macro2::TokenStream;
use quote::format_ident;
use quote::quote;
use quote::quote_spanned;
use syn::Ident;
use syn::Member;
use syn::Type;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

/// A field that is shown.
pub(crate) struct Shown {
    /// Where it is in the struct, and the variable it is bound to; `None` for bits, which have no place.
    binding: Option<(Member, Ident)>,
    /// A shared reference to it.
    shared: TokenStream,
    /// Its name in Rust.
    name: String,
    /// Where a complaint about its type belongs.
    span: Span,
    attributes: FieldAttributes,
}

/// The fields of a struct that are shown.
pub(crate) fn of_struct(
    fields: &syn::Fields,
    attributes: &TypeAttributes,
    receiver: Receiver,
) -> syn::Result<Vec<Shown>> {
    let inherited = match &attributes.shape {
        Some((_, Shape::Transparent(items))) => items.as_slice(),
        _ => &[],
    };
    shown(fields, inherited, receiver)
}

/// The fields that are shown. Each that is not skipped also takes the `inherited` items.
pub(crate) fn shown(
    fields: &syn::Fields,
    inherited: &[Item],
    receiver: Receiver,
) -> syn::Result<Vec<Shown>> {
    let mut shown = Vec::new();
    for (index, (field, member)) in fields.iter().zip(fields.members()).enumerate() {
        let own = FieldAttributes::parse(&field.attrs, &[], receiver)?;
        if own.skipped() || (own.is_empty() && is_phantom(&field.ty)) {
            continue;
        }
        let attributes = FieldAttributes::parse(&field.attrs, inherited, receiver)?;
        let variable = format_ident!("__field{index}", span = Span::mixed_site());
        let name = match &member {
            Member::Named(name) => name.unraw().to_string(),
            Member::Unnamed(index) => index.index.to_string(),
        };
        let shared = match receiver {
            Receiver::Shared => quote!(#variable),
            Receiver::Exclusive => quote!(&*#variable),
        };
        shown.push(Shown {
            binding: Some((member, variable)),
            shared,
            name,
            span: complaint_span(&field.ty),
            attributes,
        });
    }
    sort_by_name(&mut shown);
    Ok(shown)
}

/// Puts fields in the order in which they are shown, so that the running program finds nothing to sort.
pub(crate) fn sort_by_name(fields: &mut [Shown]) {
    fields.sort_by(|a, b| a.shown_name().cmp(b.shown_name()));
}

/// The place of `ty`. Names still resolve as in the rest of the code that the macro writes.
fn complaint_span(ty: &Type) -> Span {
    Span::call_site().located_at(ty.span())
}

fn is_phantom(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|segment| segment.ident == "PhantomData"),
        _ => false,
    }
}

/// The pattern that binds the fields, for `let Self` or `Self::Variant`.
pub(crate) fn pattern(fields: &[Shown]) -> TokenStream {
    let bindings = fields.iter().filter_map(|field| field.binding.as_ref());
    let bindings = bindings.map(|(member, variable)| quote!(#member: #variable,));
    quote!({ #(#bindings)* .. })
}

/// The method of `Response` that adds a child of this name.
pub(crate) fn adding_method(name: &str) -> Ident {
    let is_plain = !name.is_empty() && !name.contains('/');
    let method = if is_plain {
        "fixed_child"
    } else {
        "sensitivity_child"
    };
    Ident::new(method, Span::call_site())
}

/// The one field of something transparent.
pub(crate) fn single(fields: &[Shown], span: Span) -> syn::Result<&Shown> {
    match fields {
        [field] => {
            field.attributes.check_transparent()?;
            Ok(field)
        }
        _ => Err(syn::Error::new(
            span,
            format_args!(
                "`transparent` needs exactly one field that is not skipped; here are {}",
                fields.len()
            ),
        )),
    }
}

impl Shown {
    /// A bit field, which `accessor` reads.
    pub(crate) fn bits(accessor: &Ident, ty: &Type, attributes: FieldAttributes) -> Self {
        Self {
            binding: None,
            shared: quote!(&self.#accessor()),
            name: accessor.unraw().to_string(),
            span: complaint_span(ty),
            attributes,
        }
    }

    /// The name it is shown by; empty if its children stand in its place.
    fn shown_name(&self) -> &str {
        match &self.attributes.naming {
            Some((_, Naming::Rename(name))) => name,
            Some((_, Naming::Flatten)) => "",
            None => &self.name,
        }
    }

    /// A statement that adds the field to `__resp`.
    pub(crate) fn child(&self) -> TokenStream {
        self.child_named(self.shown_name())
    }

    /// A statement that adds the field to `__resp` under `name`; the empty name merges it.
    pub(crate) fn child_named(&self, name: &str) -> TokenStream {
        let answer = self.answer();
        let level = match self.attributes.level {
            None => quote!(Unspecified),
            Some((_, Level::Safe)) => quote!(Safe),
            Some((_, Level::Sensitive)) => quote!(Sensitive),
        };
        let add = adding_method(name);
        quote! {
            __resp.#add(#name, ::inspect::SensitivityLevel::#level, |__req| #answer);
        }
    }

    /// A block that answers `__req` with the field.
    pub(crate) fn answer(&self) -> TokenStream {
        let shared = &self.shared;
        let number = self.attributes.number.as_ref();
        let req = match number.map(|(_, number)| number.method()) {
            Some(method) => quote!(__req.#method()),
            None => quote!(__req),
        };
        let view = self.attributes.view.as_ref().map(|(_, view)| view);
        let view = view.unwrap_or(&View::Own);
        if let (Some(_), Some((_, variable))) = (&self.attributes.mutable, &self.binding) {
            return answer_mut(view, &quote!(&mut *#variable), &req);
        }
        let value = match view {
            View::Own | View::Skip => shared.clone(),
            View::With(expr) => {
                let value = apply(expr, shared);
                quote!(&#value)
            }
            View::Send(expr) => {
                let message = apply(expr, &quote!(#req.defer()));
                // A message that cannot be sent is dropped, and the node shows as unresolved.
                return quote!({ let _ = (#shared).send(#message); });
            }
            View::Display => quote!(&::inspect::AsDisplay(#shared)),
            View::Debug => quote!(&::inspect::AsDebug(#shared)),
            View::Format(format) => quote!(&::core::format_args!(#format, #shared)),
            View::Bytes => quote!(&::inspect::AsBytes(#shared)),
            View::IterByKey => quote!(&::inspect::iter_by_key((#shared).into_iter())),
            View::IterByIndex => quote!(&::inspect::iter_by_index((#shared).into_iter())),
        };
        quote_spanned!(self.span=> { ::inspect::Inspect::inspect(#value, #req); })
    }
}

/// As [`Shown::answer`], for a field that may be changed through `place`.
fn answer_mut(view: &View, place: &TokenStream, req: &TokenStream) -> TokenStream {
    let pairs = match view {
        View::IterByKey => quote!((#place).into_iter()),
        View::IterByIndex => quote!((#place).into_iter().enumerate()),
        View::With(expr) => {
            let value = apply(expr, place);
            return quote!({ ::inspect::InspectMut::inspect_mut(&mut #value, #req); });
        }
        _ => return quote!({ ::inspect::InspectMut::inspect_mut(#place, #req); }),
    };
    quote!({ ::inspect::__private::inspect_pairs_mut(#req, #pairs); })
}
