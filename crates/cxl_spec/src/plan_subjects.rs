//! The blocks of this crate as subjects of the common plan ([`reg_table::plan`]).
