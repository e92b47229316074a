//! Derive macro of `vmcore::save_restore`.

#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use quote::quote;
use syn::DeriveInput;
use syn::Error;

/// Derives `vmcore::save_restore::SavedStateRoot`, and lists the message in `saved_state_roots`.
///
/// The type must also derive `Protobuf`, and have a `#[mesh(package = "…")]`: a root is found by its full name. It has
/// no generics, since each list entry is one message.
#[proc_macro_derive(SavedStateRoot)]
pub fn derive_saved_state_root(input: TokenStream) -> TokenStream {
    let DeriveInput {
        ident, generics, ..
    } = syn::parse_macro_input!(input);
    if !generics.params.is_empty() {
        return Error::new_spanned(generics, "a saved state root has no generics")
            .to_compile_error()
            .into();
    }
    quote!(::vmcore::declare_saved_state_root!(#ident);).into()
}
