//! Directories made of an iterator.

use crate::Inspect;
use crate::InspectMut;
use crate::Request;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use core::cell::Cell;
use core::fmt;
use core::iter::Enumerate;

/// A directory made of an iterator over names and children; see [`iter_by_key`] and [`iter_by_index`].
#[derive(Debug, Clone)]
pub struct Iterated<I> {
    iter: I,
    prefix: String,
}

/// A directory of the children that `iter` gives, each with its name.
///
/// The children take the sensitivity level of the directory.
pub fn iter_by_key<I, K, V>(iter: impl IntoIterator<IntoIter = I>) -> Iterated<I>
where
    I: Clone + Iterator<Item = (K, V)>,
{
    Iterated {
        iter: iter.into_iter(),
        prefix: String::new(),
    }
}

/// A directory of the children that `iter` gives, named by their index, from 0.
///
/// The children take the sensitivity level of the directory.
pub fn iter_by_index<I, V>(iter: impl IntoIterator<IntoIter = I>) -> Iterated<Enumerate<I>>
where
    I: Clone + Iterator<Item = V>,
{
    iter_by_key(iter.into_iter().enumerate())
}

impl<I> Iterated<I> {
    /// Puts `prefix` before each name: index 3 with the prefix `port` is `port3`.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    /// Names each child by what `f` makes of its key.
    pub fn map_key<K, V, T, F>(self, f: F) -> Iterated<MapKey<I, F>>
    where
        I: Iterator<Item = (K, V)>,
        F: Clone + FnMut(K) -> T,
    {
        Iterated {
            iter: MapKey { iter: self.iter, f },
            prefix: self.prefix,
        }
    }

    /// Shows of each child what `f` makes of it; `f` is called only for the children that are asked for.
    pub fn map_value<K, V, T, F>(self, f: F) -> Iterated<MapValue<I, F>>
    where
        I: Iterator<Item = (K, V)>,
        F: Clone + FnOnce(V) -> T,
    {
        Iterated {
            iter: MapValue { iter: self.iter, f },
            prefix: self.prefix,
        }
    }
}

impl<I, K, V> Inspect for Iterated<I>
where
    I: Clone + Iterator<Item = (K, V)>,
    K: ToString,
    V: Inspect,
{
    fn inspect(&self, req: Request<'_>) {
        let mut resp = req.respond();
        let level = resp.parent_sensitivity();
        for (key, value) in self.iter.clone() {
            let key = key.to_string();
            if self.prefix.is_empty() {
                resp.sensitivity_field(&key, level, value);
            } else {
                resp.sensitivity_field(&format!("{}{key}", self.prefix), level, value);
            }
        }
    }
}

impl<I> InspectMut for Iterated<I>
where
    Self: Inspect,
{
    fn inspect_mut(&mut self, req: Request<'_>) {
        self.inspect(req);
    }
}

/// The iterator behind [`Iterated::map_key`].
#[derive(Debug, Clone)]
pub struct MapKey<I, F> {
    iter: I,
    f: F,
}

impl<I, K, V, T, F> Iterator for MapKey<I, F>
where
    I: Iterator<Item = (K, V)>,
    F: FnMut(K) -> T,
{
    type Item = (T, V);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.iter.next()?;
        Some(((self.f)(key), value))
    }
}

/// The iterator behind [`Iterated::map_value`].
#[derive(Debug, Clone)]
pub struct MapValue<I, F> {
    iter: I,
    f: F,
}

impl<I, K, V, T, F> Iterator for MapValue<I, F>
where
    I: Iterator<Item = (K, V)>,
    F: Clone + FnOnce(V) -> T,
{
    type Item = (K, MappedValue<V, F>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.iter.next()?;
        let mapped = MappedValue(Cell::new(Some((value, self.f.clone()))));
        Some((key, mapped))
    }
}

/// A child of [`Iterated::map_value`], mapped when it is looked at, which it can be once.
pub struct MappedValue<V, F>(Cell<Option<(V, F)>>);

impl<V, F> fmt::Debug for MappedValue<V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedValue").finish_non_exhaustive()
    }
}

impl<V, T, F> Inspect for MappedValue<V, F>
where
    F: FnOnce(V) -> T,
    T: Inspect,
{
    fn inspect(&self, req: Request<'_>) {
        if let Some((value, f)) = self.0.take() {
            f(value).inspect(req);
        }
    }
}
