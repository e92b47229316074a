//! The notation in which a block is declared.

/// Declares a register block: a `static` [`Block`](crate::Block) entered in [`BLOCKS`](crate::BLOCKS), and an enum that
/// names its registers and implements [`BlockRegister`](crate::BlockRegister).
///
/// One line a register: `offset name: repr as Type = reset, "section" { access: [field, ..], .. }`. `repr` is `u8`,
/// `u16` or `u32`. A bare field takes its position from `Type`, a `bitfield-struct` type declared in the same
/// module; `field[high:low]` gives it in place, and then `Type` may be `()`. `=> Meaning` behind either names what the bits stand for,
/// one of [`Meaning`](crate::Meaning). The accesses are those of [`Access`](crate::Access) in snake case. Reserved space is a register with no fields. See the crate's example.
#[macro_export]
macro_rules! register_block {
    (
        $(#[$meta:meta])*
        $vis:vis $block:ident : $reg:ident = $name:literal {
            title: $title:literal,
            section: $section:literal,
            bytes: $bytes:expr $(,)?
        }
        $(
            $offset:literal $register:ident : $repr:ident as $ty:ty = $reset:expr, $where:literal {
                $(
                    $access:ident : [
                        $(
                            $field:ident $( [ $high:literal : $low:literal ] )? $( => $meaning:ident $( ( $unit:literal ) )? )?
                        ),* $(,)?
                    ]
                ),* $(,)?
            }
        )+
    ) => {
        $crate::private::paste! {
            #[doc = concat!("The registers of the ", $title, " (", $section, ").")]
            #[derive(Copy, Clone, Debug, PartialEq, Eq)]
            $vis enum $reg {
                $(
                    #[doc = concat!("Offset ", stringify!($offset), ", ", $where, ".")]
                    [<$register:camel>],
                )+
            }

            #[$crate::private::linkme::distributed_slice($crate::BLOCKS)]
            #[linkme(crate = $crate::private::linkme)]
            static [<$block _ENTRY>]: &'static $crate::Block = &$block;

            impl $crate::BlockRegister for $reg {
                const BLOCK: &'static $crate::Block = &$block;
                const ALL: &'static [Self] = &[$(Self::[<$register:camel>]),+];
                const REGISTERS: &'static [$crate::Register] = &[
                    $(
                        $crate::Register::new(
                            stringify!($register),
                            $offset,
                            size_of::<$repr>(),
                            $reset,
                            &[$($(
                                $crate::field!($ty, $access, $field $([$high : $low])?)
                                    $(.with_meaning($crate::meaning!($meaning $($unit)?)))?
                            ),*),*],
                            &$crate::private::fields_by_name([
                                $crate::private::raw(size_of::<$repr>())
                                $($(
                                    , $crate::field!($ty, $access, $field $([$high : $low])?)
                                        $(.with_meaning($crate::meaning!($meaning $($unit)?)))?
                                )*)*
                            ]),
                            $where,
                        ),
                    )+
                ];
                const BY_NAME: &'static [u16] = {
                    const REGISTERS: &[$crate::Register] = <$reg as $crate::BlockRegister>::REGISTERS;
                    const ORDER: [u16; REGISTERS.len()] = $crate::private::registers_by_name(REGISTERS);
                    &ORDER
                };
                fn index(self) -> usize {
                    self as usize
                }
            }

            $(#[$meta])*
            $vis static $block: $crate::Block = {
                const REGISTERS: &[$crate::Register] = <$reg as $crate::BlockRegister>::REGISTERS;
                const _: () = $crate::private::check($bytes, REGISTERS);
                const MASKS: [$crate::WordMask; $bytes as usize / 4] = $crate::private::word_masks(REGISTERS);
                $crate::Block {
                    name: $name,
                    title: $title,
                    section: $section,
                    bytes: $bytes,
                    registers: REGISTERS,
                    masks: &MASKS,
                    module: module_path!(),
                }
            };
        }
    };
}

/// One meaning of [`register_block!`].
#[doc(hidden)]
#[macro_export]
macro_rules! meaning {
    ($meaning:ident) => {
        $crate::Meaning::$meaning
    };
    ($meaning:ident $unit:literal) => {
        $crate::Meaning::$meaning($unit)
    };
}

/// One field of [`register_block!`].
#[doc(hidden)]
#[macro_export]
macro_rules! field {
    ($ty:ty, $access:ident, $field:ident) => {
        $crate::private::paste! {
            $crate::Field::new(
                stringify!($field),
                <$ty>::[<$field:upper _OFFSET>],
                <$ty>::[<$field:upper _BITS>],
                $crate::Access::[<$access:camel>],
            )
        }
    };
    ($ty:ty, $access:ident, $field:ident [$high:literal : $low:literal]) => {
        $crate::private::paste! {
            $crate::Field::new(
                stringify!($field),
                $low,
                $high - $low + 1,
                $crate::Access::[<$access:camel>],
            )
        }
    };
}
