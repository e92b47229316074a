//! Protobuf encoding of saved state, with a derive for ordinary Rust types.
