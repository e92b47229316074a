//! Encodings of register fields as enums.

/// Declares an enum whose variants are the values of a field, with `bits()`.
macro_rules! encoding {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Copy, Clone, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_meta])* $variant = $value,)+
        }

        impl $name {
            /// The value of the field.
            pub const fn bits(self) -> u8 {
                self as u8
            }
        }
    };
}

pub(crate) use encoding;
