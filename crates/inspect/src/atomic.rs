//! Atomics: shown by a relaxed load, changed by a relaxed store.

use crate::Inspect;
use crate::InspectMut;
use crate::Request;
use crate::ValueKind;
use crate::impls::Scalar;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicI8;
use core::sync::atomic::AtomicI16;
use core::sync::atomic::AtomicI32;
use core::sync::atomic::AtomicI64;
use core::sync::atomic::AtomicIsize;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::AtomicU16;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// Shows an atomic, or a reference to one, and lets an update change it, though it is only shared.
#[derive(Debug, Clone, Copy)]
pub struct AtomicMut<T>(pub T);

/// An atomic scalar, or a pointer to one.
pub trait Atomic {
    /// The value.
    fn load_value(&self) -> ValueKind;
    /// Stores what `text` says.
    ///
    /// # Errors
    ///
    /// If `text` is no such value; the reason.
    fn store_text(&self, text: &str) -> Result<(), String>;
}

impl<T: Atomic> Inspect for AtomicMut<T> {
    fn inspect(&self, req: Request<'_>) {
        match req.update() {
            Ok(update) => match self.0.store_text(update.new_value()) {
                Ok(()) => update.succeed(self.0.load_value()),
                Err(reason) => update.fail(reason),
            },
            Err(req) => req.value(self.0.load_value()),
        }
    }
}

impl<T: Atomic> InspectMut for AtomicMut<T> {
    fn inspect_mut(&mut self, req: Request<'_>) {
        self.inspect(req);
    }
}

macro_rules! atomic_pointer {
    ($($ty:ty),*) => {
        $(impl<T: Atomic + ?Sized> Atomic for $ty {
            fn load_value(&self) -> ValueKind {
                (**self).load_value()
            }

            fn store_text(&self, text: &str) -> Result<(), String> {
                (**self).store_text(text)
            }
        })*
    };
}

atomic_pointer!(&T, &mut T, Arc<T>);

macro_rules! atomic {
    ($($atomic:ty = $scalar:ty),* $(,)?) => {
        $(
            impl Atomic for $atomic {
                fn load_value(&self) -> ValueKind {
                    self.load(Relaxed).into()
                }

                fn store_text(&self, text: &str) -> Result<(), String> {
                    self.store(<$scalar>::parse_text(text)?, Relaxed);
                    Ok(())
                }
            }

            impl Inspect for $atomic {
                fn inspect(&self, req: Request<'_>) {
                    req.value(self.load_value());
                }
            }

            impl InspectMut for $atomic {
                fn inspect_mut(&mut self, req: Request<'_>) {
                    self.get_mut().inspect_mut(req);
                }
            }
        )*
    };
}

atomic! {
    AtomicBool = bool,
    AtomicU8 = u8,
    AtomicU16 = u16,
    AtomicU32 = u32,
    AtomicU64 = u64,
    AtomicUsize = usize,
    AtomicI8 = i8,
    AtomicI16 = i16,
    AtomicI32 = i32,
    AtomicI64 = i64,
    AtomicIsize = isize,
}
