//! Ways to show a value other than its own.

use crate::Inspect;
use crate::InspectMut;
use crate::Request;
use crate::ValueKind;
use core::fmt::Debug;
use core::fmt::Display;

/// Shows `T` with its integers, and those of the nodes below it, written as hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsHex<T>(pub T);

/// Shows `T` with its integers, and those of the nodes below it, written as binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsBinary<T>(pub T);

/// Shows `T` with its integers, and those of the nodes below it, marked as counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsCounter<T>(pub T);

/// Shows `T` as the bytes that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsBytes<T>(pub T);

/// Shows `T` as the text of its `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsDisplay<T>(pub T);

/// Shows `T` as the text of its `Debug`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsDebug<T>(pub T);

macro_rules! number_view {
    ($view:ident, $format:ident) => {
        impl<T: Inspect> Inspect for $view<T> {
            fn inspect(&self, req: Request<'_>) {
                self.0.inspect(req.$format());
            }
        }

        impl<T: InspectMut> InspectMut for $view<T> {
            fn inspect_mut(&mut self, req: Request<'_>) {
                self.0.inspect_mut(req.$format());
            }
        }
    };
}

number_view!(AsHex, with_hex_format);
number_view!(AsBinary, with_binary_format);
number_view!(AsCounter, with_counter_format);

macro_rules! leaf_view {
    ($view:ident, $bound:path, $value:expr) => {
        impl<T: $bound> Inspect for $view<T> {
            fn inspect(&self, req: Request<'_>) {
                let value: fn(&T) -> ValueKind = $value;
                req.value(value(&self.0));
            }
        }

        impl<T: $bound> InspectMut for $view<T> {
            fn inspect_mut(&mut self, req: Request<'_>) {
                self.inspect(req);
            }
        }
    };
}

leaf_view!(AsBytes, AsRef<[u8]>, |v| v.as_ref().into());
leaf_view!(AsDisplay, Display, |v| format_args!("{v}").into());
leaf_view!(AsDebug, Debug, |v| format_args!("{v:?}").into());
