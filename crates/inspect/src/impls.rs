//! Implementations for the types of `core`, `alloc`, `std` and `parking_lot`.

use crate::Inspect;
use crate::InspectMut;
use crate::Request;
use crate::Value;
use crate::ValueKind;
use alloc::borrow::Cow;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt;
use core::mem::ManuallyDrop;
use core::num::NonZero;
use core::num::ParseIntError;
use core::num::Wrapping;
use core::str::FromStr;
use core::time::Duration;

// Pointers and wrappers.

macro_rules! pointers {
    ($($ty:ty),*) => {
        $(impl<T: Inspect + ?Sized> Inspect for $ty {
            fn inspect(&self, req: Request<'_>) {
                (**self).inspect(req);
            }
        })*
    };
}

pointers!(&T, &mut T, Box<T>, Rc<T>, Arc<T>, ManuallyDrop<T>);

impl<T: Inspect + ?Sized> InspectMut for &T {
    fn inspect_mut(&mut self, req: Request<'_>) {
        (**self).inspect(req);
    }
}

macro_rules! pointers_mut {
    ($($ty:ty),*) => {
        $(impl<T: InspectMut + ?Sized> InspectMut for $ty {
            fn inspect_mut(&mut self, req: Request<'_>) {
                (**self).inspect_mut(req);
            }
        })*
    };
}

pointers_mut!(&mut T, Box<T>, ManuallyDrop<T>);

impl<T: Inspect + ToOwned + ?Sized> Inspect for Cow<'_, T> {
    fn inspect(&self, req: Request<'_>) {
        (**self).inspect(req);
    }
}

impl<T: Inspect> Inspect for Wrapping<T> {
    fn inspect(&self, req: Request<'_>) {
        self.0.inspect(req);
    }
}

impl<T: InspectMut> InspectMut for Wrapping<T> {
    fn inspect_mut(&mut self, req: Request<'_>) {
        self.0.inspect_mut(req);
    }
}

/// `None` is left out.
impl<T: Inspect> Inspect for Option<T> {
    fn inspect(&self, req: Request<'_>) {
        match self {
            Some(value) => value.inspect(req),
            None => req.ignore(),
        }
    }
}

/// `None` is left out.
impl<T: InspectMut> InspectMut for Option<T> {
    fn inspect_mut(&mut self, req: Request<'_>) {
        match self {
            Some(value) => value.inspect_mut(req),
            None => req.ignore(),
        }
    }
}

/// Left out until it is set.
#[cfg(feature = "std")]
impl<T: Inspect> Inspect for std::sync::OnceLock<T> {
    fn inspect(&self, req: Request<'_>) {
        Inspect::inspect(&self.get(), req);
    }
}

#[cfg(feature = "parking_lot")]
mod locks {
    use super::*;

    impl<T: Inspect + ?Sized> Inspect for parking_lot::Mutex<T> {
        fn inspect(&self, req: Request<'_>) {
            self.lock().inspect(req);
        }
    }

    impl<T: InspectMut + ?Sized> InspectMut for parking_lot::Mutex<T> {
        fn inspect_mut(&mut self, req: Request<'_>) {
            self.get_mut().inspect_mut(req);
        }
    }

    impl<T: Inspect + ?Sized> Inspect for parking_lot::RwLock<T> {
        fn inspect(&self, req: Request<'_>) {
            self.read().inspect(req);
        }
    }

    impl<T: InspectMut + ?Sized> InspectMut for parking_lot::RwLock<T> {
        fn inspect_mut(&mut self, req: Request<'_>) {
            self.get_mut().inspect_mut(req);
        }
    }
}

/// Nothing to see.
impl Inspect for () {
    fn inspect(&self, req: Request<'_>) {
        req.ignore();
    }
}

/// Nothing to see.
impl InspectMut for () {
    fn inspect_mut(&mut self, req: Request<'_>) {
        req.ignore();
    }
}

// Leaves that cannot be changed.

macro_rules! leaves {
    ($($ty:ty: $value:expr;)*) => {
        $(impl Inspect for $ty {
            fn inspect(&self, req: Request<'_>) {
                let value: fn(&Self) -> ValueKind = $value;
                req.value(value(self));
            }
        })*
    };
}

leaves! {
    str: |v| v.into();
    CStr: |v| v.to_string_lossy().into();
    CString: |v| v.to_string_lossy().into();
    [u8]: |v| v.into();
    Vec<u8>: |v| v.as_slice().into();
    fmt::Arguments<'_>: |v| format_args!("{v}").into();
    Duration: |v| format_args!("{}.{:09}s", v.as_secs(), v.subsec_nanos()).into();
    ValueKind: |v| v.clone();
}

impl<const N: usize> Inspect for [u8; N] {
    fn inspect(&self, req: Request<'_>) {
        req.value(self);
    }
}

/// Keeps its own number format, if it has one.
impl Inspect for Value {
    #[inline]
    fn inspect(&self, req: Request<'_>) {
        req.leaf(self.clone());
    }
}

/// Shows the address.
impl<T: ?Sized> Inspect for *const T {
    fn inspect(&self, req: Request<'_>) {
        req.with_hex_format().value(self.cast::<()>().addr());
    }
}

/// Shows the address.
impl<T: ?Sized> Inspect for *mut T {
    fn inspect(&self, req: Request<'_>) {
        req.with_hex_format().value(self.cast::<()>().addr());
    }
}

// Scalars, which an update can change.

/// A value that can be read from the text of an update.
pub(crate) trait Scalar: Sized {
    /// The value that `text` says, or why it says none.
    fn parse_text(text: &str) -> Result<Self, String>;
}

fn parse<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|err| refusal(text, err))
}

fn refusal(text: &str, reason: impl fmt::Display) -> String {
    format!("cannot take {text:?}: {reason}")
}

/// Numbers in hexadecimal and binary are taken as they are shown, with `0x` and `0b`.
fn parse_int<T: FromStr<Err = ParseIntError>>(
    text: &str,
    from_radix: fn(&str, u32) -> Result<T, ParseIntError>,
) -> Result<T, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let radix = match digits.get(..2) {
        Some("0x" | "0X") => 16,
        Some("0b" | "0B") => 2,
        _ => return parse(text),
    };
    let digits = digits.get(2..).unwrap_or_default();
    if digits.starts_with(['+', '-']) {
        return Err(refusal(text, "a sign follows the prefix"));
    }
    from_radix(&format!("{sign}{digits}"), radix).map_err(|err| refusal(text, err))
}

macro_rules! scalars {
    ($($ty:ty: $parse:expr;)*) => {
        $(
            impl Scalar for $ty {
                fn parse_text(text: &str) -> Result<Self, String> {
                    let parse: fn(&str) -> Result<Self, String> = $parse;
                    parse(text)
                }
            }

            impl Inspect for $ty {
                fn inspect(&self, req: Request<'_>) {
                    req.value(self.clone());
                }
            }

            impl InspectMut for $ty {
                fn inspect_mut(&mut self, req: Request<'_>) {
                    match req.update() {
                        Ok(update) => match Self::parse_text(update.new_value()) {
                            Ok(value) => {
                                *self = value;
                                update.succeed(self.clone());
                            }
                            Err(reason) => update.fail(reason),
                        },
                        Err(req) => self.inspect(req),
                    }
                }
            }
        )*
    };
}

scalars! {
    bool: |text| parse(text.trim());
    f32: |text| parse(text.trim());
    f64: |text| parse(text.trim());
    char: parse;
    String: |text| Ok(text.to_string());
}

macro_rules! integers {
    ($($ty:ty),*) => {
        scalars! { $($ty: |text| parse_int(text.trim(), <$ty>::from_str_radix);)* }

        $(
            impl Inspect for NonZero<$ty> {
                fn inspect(&self, req: Request<'_>) {
                    self.get().inspect(req);
                }
            }

            impl InspectMut for NonZero<$ty> {
                fn inspect_mut(&mut self, req: Request<'_>) {
                    match req.update() {
                        Ok(update) => match nonzero(update.new_value()) {
                            Ok(value) => {
                                *self = value;
                                update.succeed(self.get());
                            }
                            Err(reason) => update.fail(reason),
                        },
                        Err(req) => self.inspect(req),
                    }

                    fn nonzero(text: &str) -> Result<NonZero<$ty>, String> {
                        NonZero::new(<$ty>::parse_text(text)?).ok_or_else(|| refusal(text, "zero"))
                    }
                }
            }
        )*
    };
}

integers!(
    u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize
);
