//! The asking side.

use crate::Error;
use crate::InspectMut;
use crate::Node;
use crate::PATH_COMPONENTS_MAX;
use crate::Request;
use crate::SensitivityLevel;
use crate::Value;
use crate::ValueFlags;
use crate::record::Record;
use crate::request::Inquiry;
use crate::request::Scope;
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::future::Future;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::Context;
use core::task::Poll;

/// How many levels of directories below the requested node are opened if the inquirer does not say.
///
/// It bounds the recursion in an object that contains itself.
pub const DEPTH_DEFAULT: usize = 64;

/// Looks at the node at `path` below `obj`, to [`DEPTH_DEFAULT`] and whatever its sensitivity.
pub fn inspect(path: &str, obj: impl InspectMut) -> Inspection {
    InspectionBuilder::new(path).inspect(obj)
}

/// Changes the node at `path` below `obj` to what `value` says.
pub fn update(path: &str, value: &str, obj: impl InspectMut) -> Update {
    InspectionBuilder::new(path).update(value, obj)
}

/// An inquiry: what to look at and how far.
#[derive(Debug, Clone, Copy)]
pub struct InspectionBuilder<'a> {
    path: &'a str,
    depth: Option<usize>,
    ceiling: SensitivityLevel,
}

impl<'a> InspectionBuilder<'a> {
    /// An inquiry for the node at `path`; the crate's front page says how paths are read.
    pub fn new(path: &'a str) -> Self {
        Self {
            path,
            depth: Some(DEPTH_DEFAULT),
            ceiling: SensitivityLevel::Sensitive,
        }
    }

    /// Opens `depth` levels of directories below the requested node; deeper ones are [`Node::Unevaluated`]. With 0,
    /// a directory is shown with its values only. [`DEPTH_DEFAULT`] if this is not called.
    ///
    /// `None` is no limit: an object that contains itself then exhausts the stack.
    #[must_use]
    pub fn depth(mut self, depth: Option<usize>) -> Self {
        self.depth = depth;
        self
    }

    /// Shows nodes up to the level `ceiling`; `None`, the default, shows all.
    #[must_use]
    pub fn sensitivity(mut self, ceiling: Option<SensitivityLevel>) -> Self {
        self.ceiling = ceiling.unwrap_or(SensitivityLevel::Sensitive);
        self
    }

    /// Looks at `obj`.
    pub fn inspect(self, obj: impl InspectMut) -> Inspection {
        self.ask(None, obj)
    }

    /// Changes `obj` to what `value` says.
    ///
    /// The change is made now, unless the node defers it; the future gives the outcome.
    pub fn update(self, value: &str, obj: impl InspectMut) -> Update {
        Update(self.ask(Some(value), obj))
    }

    fn ask(self, update: Option<&str>, mut obj: impl InspectMut) -> Inspection {
        let path = self.path.trim_matches('/');
        let components = || path.split('/').filter(|c| !c.is_empty()).count();
        // A short one need not be counted.
        let is_followed = path.len() <= PATH_COMPONENTS_MAX || components() <= PATH_COMPONENTS_MAX;
        let record = if is_followed {
            let inquiry = Inquiry {
                ceiling: self.ceiling,
                update,
            };
            let scope = Scope {
                inquiry: &inquiry,
                path,
                // The requested node itself is one more level.
                levels: self
                    .depth
                    .map_or(usize::MAX, |depth| depth.saturating_add(1)),
                own: SensitivityLevel::default(),
                flags: ValueFlags::default(),
            };
            Record::of(|place| obj.inspect_mut(Request { scope, place }))
        } else {
            Record::default()
        };
        Inspection {
            path: path.to_owned(),
            record,
        }
    }
}

/// An inquiry that has been made; some of its answers may be deferred.
#[must_use = "the snapshot is in `results()`"]
#[derive(Debug)]
pub struct Inspection {
    path: String,
    record: Record,
}

impl Inspection {
    /// Waits until every deferred answer has come or cannot come any more.
    ///
    /// It may be cancelled, for instance by a time limit: [`Self::results`] then gives what has come so far.
    pub async fn resolve(&mut self) {
        poll_fn(|cx| self.poll_resolve(cx)).await;
    }

    fn poll_resolve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(feature = "defer")]
        if !self.record.poll(cx) {
            return Poll::Pending;
        }
        // Without deferral every answer is there at once.
        let _ = cx;
        Poll::Ready(())
    }

    /// The snapshot. Answers that have not come are [`Error::Unresolved`].
    pub fn results(self) -> Node {
        // The tree starts at the root, with nothing beside the path.
        self.record
            .into_node()
            .unwrap_or(Node::Failed(Error::NotFound))
            .descend(&self.path)
    }
}

/// An update that has been asked for: a future of the node's value after it.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::NotADirectory`] and [`Error::Immutable`] (which a directory always is) if there is
/// nothing to change; [`Error::Update`] if the node refuses the value; [`Error::Unresolved`] if the answer was
/// deferred and never came.
#[must_use = "whether the update worked is in the result"]
#[derive(Debug)]
pub struct Update(Inspection);

impl Update {
    /// The outcome as known now, without waiting: [`Error::Unresolved`] if it is deferred. It can be taken once.
    ///
    /// # Errors
    ///
    /// As for the future.
    pub fn result(&mut self) -> Result<Value, Error> {
        let inspection = Inspection {
            path: core::mem::take(&mut self.0.path),
            record: core::mem::replace(&mut self.0.record, Record::failed(Error::Internal)),
        };
        match inspection.results() {
            Node::Value(value) => Ok(value),
            Node::Failed(error) => Err(error),
            Node::Dir(_) | Node::Unevaluated => Err(Error::Immutable),
        }
    }
}

impl Future for Update {
    type Output = Result<Value, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_resolve(cx).map(|()| self.result())
    }
}
