//! Derive macros of the mesh_protobuf crate.

#![forbid(unsafe_code)]

mod attributes;
mod expand;
mod fields;

use proc_macro::TokenStream;

/// Derives `mesh_protobuf::Protobuf`.
///
/// A struct becomes a message with its fields, an enum a message with one field, the variant. What is what on the wire
/// is told in the documentation of `mesh_protobuf`.
///
/// # Attributes of the type: `#[mesh(…)]`
///
/// - `package = "a.b"`: the Protobuf package. The type implements `DescribedProtobuf`, and each named field and each
///   variant must carry its number, so that rearranging the code cannot change the encoding.
/// - `transparent`: a struct with one field is encoded as that field.
/// - `rename = "Name"`: the name of the message, if it is not that of the type.
/// - `bound = "T: Trait"`: the bounds of the implementation. The default is `Protobuf` for each type parameter.
///
/// # Attributes of a field
///
/// - a literal: the field number, if it is not the field's position counted from 1.
/// - `encoding = "Path"`: the type whose `mesh_protobuf::Encoding` of the field's type is used.
///
/// # Attributes of a variant
///
/// - a literal: the field number, if it is not the variant's position counted from 1.
/// - `transparent`: a variant with one field is encoded as that field rather than as a message.
#[proc_macro_derive(Protobuf, attributes(mesh))]
pub fn derive_protobuf(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::protobuf(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
