//! Every body on the committed corpus, and on input that nobody chose.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use fuzz_bodies::BODIES;
use fuzz_bodies::Body;
use std::path::Path;
use std::path::PathBuf;

fn corpus(body: Body) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(body.name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let data = std::fs::read(&file).unwrap();
            (file, data)
        })
        .collect()
}

fn replay(name: &str) {
    let body = fuzz_bodies::body(name).unwrap();
    let corpus = corpus(body);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    for (file, data) in corpus {
        // The name of the input that panics is the last thing said.
        eprintln!("{}", file.display());
        (body.run)(&data);
    }
}

macro_rules! replays {
    ($($body:ident),+ $(,)?) => {
        $(#[test] fn $body() { replay(stringify!($body)); })+

        /// A body that is added is replayed, too.
        #[test]
        fn every_body_is_replayed() {
            let names: Vec<_> = BODIES.iter().map(|body| body.name).collect();
            assert_eq!(names, [$(stringify!($body)),+]);
        }
    };
}

replays!(
    registers,
    ecam,
    memory,
    ports,
    slots,
    states,
    messages,
    description
);

/// Bytes that no fuzzer chose: nothing, and a generator's.
#[test]
fn any_input_is_taken() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    for body in BODIES {
        (body.run)(&[]);
        for len in [1, 7, 40, 300] {
            let data: Vec<u8> = (0..len).map(|_| byte()).collect();
            (body.run)(&data);
        }
    }
}
