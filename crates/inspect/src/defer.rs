//! Answers given later.

#[cfg(feature = "initiate")]
use crate::Entry;
use crate::Error;
use crate::InspectMut;
use crate::Node;
use crate::Request;
use crate::Response;
use crate::SensitivityLevel;
use crate::ValueFlags;
use crate::ValueKind;
#[cfg(feature = "initiate")]
use crate::node::tidy;
use crate::record::Record;
use crate::request::Inquiry;
use crate::request::Scope;
use crate::request::UpdateRequest;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
#[cfg(feature = "initiate")]
use alloc::vec::Vec;
#[cfg(feature = "initiate")]
use core::task::Context;
#[cfg(feature = "initiate")]
use core::task::Poll;
use core::task::Waker;
use std::sync::Mutex;
use std::sync::PoisonError;

/// A request to be answered later, perhaps by another thread.
///
/// If it is dropped without an answer, the node shows [`Error::Unresolved`].
#[derive(Debug)]
pub struct Deferred {
    path: String,
    levels: usize,
    ceiling: SensitivityLevel,
    own: SensitivityLevel,
    flags: ValueFlags,
    update: Option<String>,
    promise: Promise,
}

impl Request<'_> {
    /// Takes the request away to answer it later.
    pub fn defer(self) -> Deferred {
        let slot = Arc::new(Slot::default());
        let deferred = &mut self.place.record.deferred;
        let number = ValueKind::from(deferred.len());
        deferred.push(Later::Pending(Pending(slot.clone())));
        let awaited = number.with_flags(ValueFlags::AWAITED);
        self.place.put(self.scope.own, Node::Value(awaited));
        Deferred {
            path: self.scope.path.to_owned(),
            levels: self.scope.levels,
            ceiling: self.scope.inquiry.ceiling,
            own: self.scope.own,
            flags: self.scope.flags,
            update: self.scope.inquiry.update.map(str::to_owned),
            promise: Promise(Some(slot)),
        }
    }
}

impl Deferred {
    /// Answers as a directory; see [`Request::respond`].
    pub fn respond(self, f: impl FnOnce(&mut Response<'_>)) {
        self.answer(|req| f(&mut req.respond()));
    }

    /// Lets `obj` answer.
    pub fn inspect(self, mut obj: impl InspectMut) {
        self.answer(|req| obj.inspect_mut(req));
    }

    /// Answers as a leaf; see [`Request::value`].
    pub fn value(self, value: impl Into<ValueKind>) {
        self.answer(|req| req.value(value));
    }

    /// Takes the new value, if this is an update of this very node; see [`Request::update`].
    ///
    /// # Errors
    ///
    /// Gives the request back if the inquirer only looks, or if the path goes on below this node.
    pub fn update(mut self) -> Result<DeferredUpdate, Self> {
        match self.update.take() {
            Some(new_value) if self.path.is_empty() => Ok(DeferredUpdate {
                new_value,
                deferred: self,
            }),
            update => Err(Self { update, ..self }),
        }
    }

    /// Leaves the node out, as if it were not there.
    pub fn ignore(self) {
        self.answer(|req| req.ignore());
    }

    /// Answers by way of a request like the one that was deferred.
    pub fn answer(self, f: impl FnOnce(Request<'_>)) {
        let inquiry = Inquiry {
            ceiling: self.ceiling,
            update: self.update.as_deref(),
        };
        let scope = Scope {
            inquiry: &inquiry,
            path: &self.path,
            levels: self.levels,
            own: self.own,
            flags: self.flags,
        };
        // The name is known where the answer is waited for.
        let record = Record::of(|place| f(Request { scope, place }));
        self.promise.keep(record);
    }

    /// Whether the inquiry is an update, of this node or of one below it.
    pub fn is_update(&self) -> bool {
        self.update.is_some()
    }

    /// The ceiling of the inquiry: the most sensitive level that it shows.
    pub fn sensitivity(&self) -> SensitivityLevel {
        self.ceiling
    }
}

/// An update to be answered later.
///
/// If it is dropped without an answer, the update fails with [`Error::Unresolved`].
#[derive(Debug)]
pub struct DeferredUpdate {
    new_value: String,
    deferred: Deferred,
}

impl DeferredUpdate {
    /// The new value, as the inquirer typed it.
    pub fn new_value(&self) -> &str {
        &self.new_value
    }

    /// The update is done; `value` is the node's value now.
    pub fn succeed(self, value: impl Into<ValueKind>) {
        self.answer(|update| update.succeed(value));
    }

    /// The update is refused, for the reason given.
    pub fn fail<E: Into<Box<dyn core::error::Error + Send + Sync>>>(self, reason: E) {
        self.answer(|update| update.fail(reason));
    }

    fn answer(self, f: impl FnOnce(UpdateRequest<'_>)) {
        let deferred = Deferred {
            update: Some(self.new_value),
            ..self.deferred
        };
        deferred.answer(|req| {
            // It is an update of this very node, or there would be no `DeferredUpdate`.
            if let Ok(update) = req.update() {
                f(update);
            }
        });
    }
}

/// Where the answer is put, and who is to be woken then.
#[derive(Debug, Default)]
struct Slot(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    answer: Option<Record>,
    waker: Option<Waker>,
}

impl Slot {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        // Nothing can panic halfway through a change of the state, so a poisoned one is sound.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The answering end. Dropped, it says that no answer will come.
#[derive(Debug)]
struct Promise(Option<Arc<Slot>>);

impl Promise {
    fn keep(mut self, answer: Record) {
        self.put(answer);
    }

    fn put(&mut self, answer: Record) {
        let Some(slot) = self.0.take() else {
            return;
        };
        let waker = slot.with(|state| {
            state.answer = Some(answer);
            state.waker.take()
        });
        // Outside the lock: the waker may poll at once.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.put(Record::failed(Error::Unresolved));
    }
}

/// An answer that was not there when the others were.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "initiate"),
    expect(dead_code, reason = "read by the asking side")
)]
pub(crate) enum Later {
    /// It may still come.
    Pending(Pending),
    /// It has come.
    Given(Record),
}

#[cfg(feature = "initiate")]
impl Later {
    /// Takes the answer if it has come; whether it has, and all that it waits for in turn.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if let Self::Pending(pending) = self {
            match pending.poll(cx) {
                Poll::Ready(record) => *self = Self::Given(record),
                Poll::Pending => return false,
            }
        }
        match self {
            Self::Given(record) => record.poll(cx),
            Self::Pending(_) => false,
        }
    }

    /// What has come so far; `None` if the object left itself out.
    fn take(&mut self) -> Option<Node> {
        let unresolved = || Record::failed(Error::Unresolved);
        let record = match self {
            Self::Given(record) => core::mem::take(record),
            Self::Pending(pending) => pending.take().unwrap_or_else(unresolved),
        };
        record.into_node()
    }
}

#[cfg(feature = "initiate")]
impl Record {
    /// Takes the answers that have come; whether all have.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        // One that is pending is enough to wait for: the others are looked at when it has come.
        self.deferred.iter_mut().all(|later| later.poll(cx))
    }
}

/// The node with answers in the places that were kept for them; `None` if that for the node itself is to leave it out.
#[cfg(feature = "initiate")]
pub(crate) fn fill_in(node: Node, deferred: &mut [Later]) -> Option<Node> {
    match node {
        Node::Value(value) if value.flags == ValueFlags::AWAITED => {
            let later = match value.kind {
                ValueKind::Unsigned(number) => usize::try_from(number).ok(),
                _ => None,
            }
            .and_then(|number| deferred.get_mut(number));
            later.map_or(Some(Node::Failed(Error::Internal)), Later::take)
        }
        Node::Dir(entries) => {
            let mut filled = Vec::with_capacity(entries.len());
            for entry in entries {
                match fill_in(entry.node, deferred) {
                    // One without a name makes room for its children.
                    Some(Node::Dir(merged)) if entry.name.is_empty() => filled.extend(merged),
                    Some(node) => filled.push(Entry { node, ..entry }),
                    None => {}
                }
            }
            Some(Node::Dir(tidy(filled)))
        }
        node => Some(node),
    }
}

/// The asking end.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "initiate"),
    expect(dead_code, reason = "read by the asking side")
)]
pub(crate) struct Pending(Arc<Slot>);

#[cfg(feature = "initiate")]
impl Pending {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Record> {
        self.0.with(|state| match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                match &mut state.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        })
    }

    fn take(&self) -> Option<Record> {
        self.0.with(|state| state.answer.take())
    }
}
