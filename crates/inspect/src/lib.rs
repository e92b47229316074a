//! Look into live state: a tree of named values that any object can offer.
