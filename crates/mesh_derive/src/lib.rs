//! Derive macros of the mesh_protobuf crate.
