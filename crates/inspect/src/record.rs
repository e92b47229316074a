//! What an inquiry has been answered with.

use crate::Entry;
#[cfg(any(feature = "initiate", feature = "defer"))]
use crate::Error;
use crate::Node;
use crate::SensitivityLevel;
#[cfg(feature = "defer")]
use crate::defer::Later;
use crate::node;
use alloc::borrow::Cow;
use alloc::borrow::ToOwned;
use alloc::vec::Vec;

/// What an inquiry has been answered with so far, as one list: what has been answered, and after each directory that is still
/// open, its children.
///
/// Objects answer deep down in calls, one node at a time. Here that takes a place at the end of the list, which grows by
/// doubling; when a directory is left, its children are exactly what follows it, and move to a list of their own size. An empty
/// record is an object that left itself out.
#[derive(Debug, Default)]
pub(crate) struct Record {
    entries: Vec<Entry>,
    /// The answers that are to come, by the number that stands in their place.
    #[cfg(feature = "defer")]
    pub(crate) deferred: Vec<Later>,
}

/// A name as the object gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name<'a> {
    /// Part of the program: it need not be copied.
    Fixed(&'static str),
    Passing(&'a str),
}

impl<'a> Name<'a> {
    #[inline]
    pub(crate) fn as_str(&self) -> &'a str {
        match self {
            Self::Fixed(name) => name,
            Self::Passing(name) => name,
        }
    }

    #[inline]
    fn keep(self) -> Cow<'static, str> {
        match self {
            Self::Fixed(name) => Cow::Borrowed(name),
            Self::Passing(name) => Cow::Owned(name.to_owned()),
        }
    }
}

/// The place in a record that a request is answered in.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) record: &'a mut Record,
    /// `None` if the node's children are to become its parent's.
    pub(crate) name: Option<Name<'a>>,
}

impl<'a> Place<'a> {
    /// Puts a node of this level there.
    pub(crate) fn put(self, level: SensitivityLevel, node: Node) {
        self.put_with(level, || node);
    }

    /// As [`Self::put`].
    #[inline(always)]
    pub(crate) fn put_with(self, level: SensitivityLevel, node: impl FnOnce() -> Node) {
        let name = self.name.map_or(Cow::Borrowed(""), Name::keep);
        let entry = || Entry {
            name,
            node: node(),
            sensitivity: level,
        };
        let entries = &mut self.record.entries;
        // With the growing apart, an entry is made where it is to be, and not moved there in pieces.
        if entries.len() == entries.capacity() {
            push_growing(entries, entry());
        } else {
            entries.push(entry());
        }
    }

    /// Opens a directory there.
    pub(crate) fn open(self, level: SensitivityLevel) -> &'a mut Record {
        let Self { record, name } = self;
        if name.is_some() {
            let place = Place {
                record: &mut *record,
                name,
            };
            place.put_with(level, || Node::Dir(Vec::new()));
        }
        record
    }
}

/// By how many entries a list grows at least: a KiB, which allocators have at hand.
const ROOM: usize = 14;

const _: () = assert!(ROOM * size_of::<Entry>() <= 1024);

#[cold]
#[inline(never)]
fn push_growing(entries: &mut Vec<Entry>, entry: Entry) {
    entries.reserve(ROOM);
    entries.push(entry);
}

impl Record {
    #[cfg(any(feature = "initiate", feature = "defer"))]
    /// What `ask` says, in the name of the node that stands for the whole record.
    pub(crate) fn of(ask: impl FnOnce(Place<'_>)) -> Self {
        let mut record = Self::default();
        ask(Place {
            record: &mut record,
            name: Some(Name::Fixed("")),
        });
        record.close(0);
        record
    }

    /// The record of a node that could not be shown.
    #[cfg(any(feature = "initiate", feature = "defer"))]
    pub(crate) fn failed(error: Error) -> Self {
        Self::of(|place| place.put(SensitivityLevel::default(), Node::Failed(error)))
    }

    /// How much has been answered.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What was answered when the record was `at` long is complete: what follows is below it.
    #[inline]
    pub(crate) fn close(&mut self, at: usize) {
        if self.entries.len() > at + 1 {
            self.gather(at);
        }
    }

    fn gather(&mut self, at: usize) {
        let children = self.entries.split_off(at + 1);
        if let Some(directory) = self.entries.get_mut(at) {
            directory.node = Node::Dir(node::tidy(children));
        }
    }

    /// The node that the record stands for, or `None` if the object left itself out.
    #[cfg(feature = "initiate")]
    pub(crate) fn into_node(mut self) -> Option<Node> {
        let node = self.entries.pop()?.node;
        #[cfg(feature = "defer")]
        if !self.deferred.is_empty() {
            return crate::defer::fill_in(node, &mut self.deferred);
        }
        Some(node)
    }
}
