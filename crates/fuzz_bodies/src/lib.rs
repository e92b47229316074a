//! What the project does with any input at all, as functions.
//!
//! A body takes bytes, makes of them what a guest, an operator or a file may do, does it, and compares what comes back with a plain
//! model. It returns, or panics with what it found. The same function is run by `cargo test` on the committed corpus, and by
//! `cargo xtask fuzz` on what the coverage of the code leads to.
//!
//! | body | input | oracle |
//! | --- | --- | --- |
//! | [`registers`](mod@registers) | writes, resets and saves of every register block there is | an array of bytes made from the tables |
//! | [`ecam`](mod@ecam) | accesses of any size to a hierarchy, hot-plug, slots, resets, saves | what is saved is restored; reading changes nothing |
//! | [`memory`](mod@memory) | accesses of any size to a function's BARs | an array of bytes |
//! | [`ports`](mod@ports) | accesses of any size to CF8 and CFC | the address as last written, and the device by itself |
//! | [`slots`](mod@slots) | what operator and guest do to slots and links | who is there, which events are pending, which messages are due |
//! | [`states`](mod@states) | saved states with bytes changed | a refused state changes nothing, an accepted one is kept |
//! | [`messages`](mod@messages) | bytes as messages | what was decoded encodes to what decodes to the same |
//! | [`description`](mod@description) | text as a description | what is written reads the same |

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a fuzz body ends at the first surprise"
)]

mod action;
pub mod description;
pub mod ecam;
mod machine;
pub mod memory;
pub mod messages;
pub mod ports;
pub mod registers;
pub mod slots;
pub mod states;

// Register blocks reach `reg_table::plan::SUBJECTS` by being linked; nothing else of these crates is needed.

use cxl_spec as _;
use pci_spec as _;

use arbitrary::Arbitrary;
use arbitrary::Unstructured;

/// A body.
#[derive(Copy, Clone, Debug)]
pub struct Body {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// Runs it on one input.
    ///
    /// # Panics
    ///
    /// When something is not as it should be.
    pub run: fn(&[u8]),
}

/// Every body.
pub const BODIES: &[Body] = &[
    Body {
        name: "registers",
        run: registers::run,
    },
    Body {
        name: "ecam",
        run: ecam::run,
    },
    Body {
        name: "memory",
        run: memory::run,
    },
    Body {
        name: "ports",
        run: ports::run,
    },
    Body {
        name: "slots",
        run: slots::run,
    },
    Body {
        name: "states",
        run: states::run,
    },
    Body {
        name: "messages",
        run: messages::run,
    },
    Body {
        name: "description",
        run: description::run,
    },
];

/// What the input says to do, up to its end.
fn steps<'a, T: Arbitrary<'a>>(input: &mut Unstructured<'a>) -> impl Iterator<Item = T> {
    std::iter::from_fn(|| {
        (!input.is_empty())
            .then(|| input.arbitrary().ok())
            .flatten()
    })
}

/// The body of a name.
pub fn body(name: &str) -> Option<Body> {
    BODIES.iter().copied().find(|body| body.name == name)
}
