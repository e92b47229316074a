//! Nodes made of a closure.

use crate::Inspect;
use crate::InspectMut;
use crate::Request;

/// A node made of a closure; see [`adhoc`].
#[derive(Debug, Clone, Copy)]
pub struct Adhoc<F>(F);

/// A node made of a closure that may change state; see [`adhoc_mut`].
#[derive(Debug, Clone, Copy)]
pub struct AdhocMut<F>(F);

/// A node that `f` answers for.
pub fn adhoc<F: Fn(Request<'_>)>(f: F) -> Adhoc<F> {
    Adhoc(f)
}

/// A node that `f` answers for; it implements [`InspectMut`] only.
pub fn adhoc_mut<F: FnMut(Request<'_>)>(f: F) -> AdhocMut<F> {
    AdhocMut(f)
}

impl<F: Fn(Request<'_>)> Inspect for Adhoc<F> {
    fn inspect(&self, req: Request<'_>) {
        (self.0)(req);
    }
}

impl<F: Fn(Request<'_>)> InspectMut for Adhoc<F> {
    fn inspect_mut(&mut self, req: Request<'_>) {
        self.inspect(req);
    }
}

impl<F: FnMut(Request<'_>)> InspectMut for AdhocMut<F> {
    fn inspect_mut(&mut self, req: Request<'_>) {
        (self.0)(req);
    }
}
