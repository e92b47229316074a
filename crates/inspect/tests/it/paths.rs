//! Which children an inquiry reaches, by path, depth and sensitivity.

use crate::show;
use crate::show_at;
use inspect::Error;
use inspect::Inspect;
use inspect::InspectionBuilder;
use inspect::PATH_COMPONENTS_MAX;
use inspect::Request;
use inspect::SensitivityLevel;
use inspect::SensitivityLevel::Safe;
use inspect::SensitivityLevel::Sensitive;
use inspect::SensitivityLevel::Unspecified;
use inspect::ValueFlags;
use inspect::ValueKind;
use inspect::adhoc;
use inspect::iter_by_index;
use inspect::iter_by_key;
use std::cell::Cell;
use std::cell::RefCell;

fn tree(req: Request<'_>) {
    req.respond().field("a", 1).child("b", |req| {
        req.respond().hex("c", 16).child("d", |req| {
            req.respond().field("e", "deep");
        });
    });
}

#[test]
fn absurd_paths_are_read_as_documented() {
    let obj = adhoc(tree);
    let all = r#"{a: 1, b: {c: 0x10, d: {e: "deep"}}}"#;
    for path in ["", "/", "////"] {
        assert_eq!(show_at(path, &obj), all, "{path:?}");
    }
    for path in ["b/d/e", "/b/d/e", "b/d/e/", "//b///d//e///"] {
        assert_eq!(show_at(path, &obj), r#""deep""#, "{path:?}");
    }
    for path in [
        ".", "..", "b/../a", "./a", " a", "a ", "A", "b/x", "b/d/e2", "\0", "é", "bb", "b/dd/e",
    ] {
        assert_eq!(show_at(path, &obj), "error (not found)", "{path:?}");
    }
    for path in ["a/x", "a/x/y", "b/c/c", "b/d/e/f"] {
        assert_eq!(show_at(path, &obj), "error (not a directory)", "{path:?}");
    }
}

#[test]
fn only_the_requested_children_are_evaluated() {
    let seen = RefCell::new(Vec::new());
    let obj = adhoc(|req: Request<'_>| {
        let note = |name: &'static str| {
            seen.borrow_mut().push(name);
            1
        };
        let mut resp = req.respond();
        resp.field_with("x", || note("x"))
            .field_with("y", || note("y"))
            .child("z", |req| {
                req.respond()
                    .field_with("x", || note("z/x"))
                    .field_with("y", || note("z/y"));
            })
            .field_with("z/w", || note("z/w"))
            .merge(adhoc(|req| {
                req.respond()
                    .field_with("m", || note("m"))
                    .field_with("y", || note("merged y"));
            }));
    });
    for (path, expected) in [
        ("x", &["x"][..]),
        ("z", &["z/x", "z/y", "z/w"]),
        ("z/y", &["z/y"]),
        ("z/w", &["z/w"]),
        ("m", &["m"]),
        ("q", &[]),
        ("z/q", &[]),
    ] {
        seen.take();
        show_at(path, &obj);
        assert_eq!(*seen.borrow(), expected, "{path}");
    }
}

#[test]
fn mapped_values_are_evaluated_only_if_requested() {
    let calls = Cell::new(0);
    let double = |v: &u32| {
        calls.set(calls.get() + 1);
        *v * 2
    };
    let values = [1u32, 2, 3];
    let obj = iter_by_index(&values).prefix("port").map_value(double);
    assert_eq!(show_at("port1", &obj), "4");
    assert_eq!(calls.get(), 1);
    assert_eq!(show(&obj), "{port0: 2, port1: 4, port2: 6}");
    assert_eq!(calls.get(), 4);

    let pairs = [(1u8, "one"), (2, "two")];
    let obj = iter_by_key(pairs)
        .map_key(|k| format!("{k:#04x}"))
        .map_value(str::len);
    assert_eq!(show(&obj), "{0x01: 3, 0x02: 3}");
}

#[test]
fn a_table_of_leaves_is_a_directory_like_any_other() {
    let number = |n: u32, flags| ValueKind::from(n).with_flags(flags);
    let table = adhoc(|req: Request<'_>| {
        let leaves = [
            ("bit", ValueKind::from(true).into()),
            ("field2", number(17, ValueFlags::DECIMAL)),
            ("field10", number(18, ValueFlags::HEX)),
        ];
        req.leaves(leaves.into_iter());
    });
    let obj = adhoc(|req: Request<'_>| {
        let mut resp = req.respond();
        resp.field("table", table)
            .binary("bits", table)
            .merge(table);
    });
    let whole = "{bit: true, field2: 17, field10: 0x12}";
    for (path, expected) in [
        ("table", whole),
        ("bits", "{bit: true, field2: 0b10001, field10: 0x12}"),
        ("table/field2", "17"),
        ("bits/field10", "0x12"),
        ("field10", "0x12"),
        ("table/field", "error (not found)"),
        ("table/bit/x", "error (not a directory)"),
    ] {
        assert_eq!(show_at(path, &obj), expected, "{path}");
    }
    assert_eq!(
        show(&obj),
        "{bit: true, bits: {bit: true, field2: 0b10001, field10: 0x12}, field2: 17, field10: 0x12, \
         table: {bit: true, field2: 17, field10: 0x12}}"
    );

    let with = |builder: InspectionBuilder<'_>| builder.inspect(&table).results().to_string();
    let new = InspectionBuilder::new;
    assert_eq!(with(new("").depth(Some(0))), whole);
    let nested = new("").depth(Some(0)).inspect(&obj).results();
    assert_eq!(
        nested.to_string(),
        "{bit: true, bits: _, field2: 17, field10: 0x12, table: _}"
    );
    assert_eq!(with(new("").sensitivity(Some(Safe))), "{}");
    for path in ["table", "table/bit"] {
        let result = inspect::update(path, "1", &obj).result();
        assert_eq!(result, Err(Error::Immutable), "{path}");
    }
}

#[test]
fn an_object_can_ask_what_the_path_has_next() {
    let obj = adhoc(|req: Request<'_>| {
        let mut resp = req.respond();
        let next = resp.asked_for().map(str::to_owned);
        resp.field("a", next.as_deref());
    });
    assert_eq!(show(&obj), "{}");
    assert_eq!(show_at("/a", &obj), r#""a""#);
    assert_eq!(show_at("a/b", &obj), "error (not a directory)");
    assert_eq!(show_at("b/a", &obj), "error (not found)");
}

#[test]
fn depth_counts_levels_below_the_requested_node() {
    let at = |path, depth| {
        let builder = InspectionBuilder::new(path).depth(depth);
        builder.inspect(adhoc(tree)).results().to_string()
    };
    assert_eq!(at("", Some(0)), "{a: 1, b: _}");
    assert_eq!(at("", Some(1)), "{a: 1, b: {c: 0x10, d: _}}");
    assert_eq!(at("", Some(2)), r#"{a: 1, b: {c: 0x10, d: {e: "deep"}}}"#);
    assert_eq!(at("", Some(usize::MAX)), at("", None));
    // The way to the node costs nothing.
    assert_eq!(at("b", Some(0)), "{c: 0x10, d: _}");
    assert_eq!(at("b/d", Some(0)), r#"{e: "deep"}"#);
    assert_eq!(at("a", Some(0)), "1");

    // Nor do merged children; names with slashes cost what they would as directories.
    let obj = adhoc(|req| {
        req.respond()
            .merge(adhoc(tree))
            .field("p/q", 1)
            .field("p/r", 2);
    });
    let merged = InspectionBuilder::new("").depth(Some(0)).inspect(&obj);
    assert_eq!(merged.results().to_string(), "{a: 1, b: _, p: _}");
    assert_eq!(show_at("p", &obj), "{q: 1, r: 2}");
}

/// An object that contains itself.
struct Recursive;

impl Inspect for Recursive {
    fn inspect(&self, req: Request<'_>) {
        req.respond().field("r", Recursive);
    }
}

#[test]
fn recursion_is_bounded() {
    let text = show(&Recursive);
    assert_eq!(text.matches("r: ").count(), inspect::DEPTH_DEFAULT + 1);
    assert!(text.contains("r: _}"));

    let longest = vec!["r"; PATH_COMPONENTS_MAX].join("/");
    let node = InspectionBuilder::new(&longest)
        .depth(Some(0))
        .inspect(&Recursive);
    assert_eq!(node.results().to_string(), "{r: _}");
    for components in [PATH_COMPONENTS_MAX + 1, 1_000_000] {
        let path = vec!["r"; components].join("/");
        assert_eq!(show_at(&path, &Recursive), "error (not found)");
    }
    // Slashes are not components.
    let path = "/".repeat(1_000_000) + "r";
    let node = InspectionBuilder::new(&path)
        .depth(Some(0))
        .inspect(&Recursive);
    assert_eq!(node.results().to_string(), "{r: _}");
}

#[test]
fn sensitivity_is_a_ceiling() {
    fn levels(req: Request<'_>) {
        let mut resp = req.respond();
        resp.sensitivity_field("safe", Safe, 1)
            .field("unspecified", 2)
            .sensitivity_field("sensitive", Sensitive, 3)
            .sensitivity_child("dir", Safe, |req| {
                let mut resp = req.respond();
                assert_eq!(resp.parent_sensitivity(), Safe);
                resp.sensitivity_hex("safe", Safe, 4)
                    .field("unspecified", 5);
            })
            .sensitivity_field("list", Safe, iter_by_index([7, 8]))
            .sensitivity_fields("fields", Sensitive, [("k", 9)])
            .sensitivity_merge(
                Safe,
                adhoc(|req| {
                    req.respond().sensitivity_field("merged", Safe, 6);
                }),
            );
    }
    let at = |path, ceiling| {
        let builder = InspectionBuilder::new(path).sensitivity(ceiling);
        builder.inspect(adhoc(levels)).results().to_string()
    };
    assert_eq!(
        at("", Some(Safe)),
        "{dir: {safe: 0x4}, list: {0: 7, 1: 8}, merged: 6, safe: 1}"
    );
    assert_eq!(
        at("", Some(Unspecified)),
        "{dir: {safe: 0x4, unspecified: 5}, list: {0: 7, 1: 8}, merged: 6, safe: 1, unspecified: 2}"
    );
    assert!(at("", Some(Sensitive)).contains("fields: {k: 9}"));
    assert_eq!(at("", Some(Sensitive)), at("", None));
    // What may not be seen looks as if it were not there.
    assert_eq!(at("sensitive", Some(Safe)), "error (not found)");
    assert_eq!(at("dir/unspecified", Some(Safe)), "error (not found)");
    assert_eq!(at("sensitive", None), "3");

    let obj = adhoc(|req: Request<'_>| {
        let ceiling = format!("{:?}", req.sensitivity());
        req.value(ceiling);
    });
    let builder = InspectionBuilder::new("").sensitivity(Some(Safe));
    assert_eq!(builder.inspect(&obj).results().to_string(), r#""Safe""#);
    assert_eq!(show(&obj), r#""Sensitive""#);
}

#[test]
fn entries_know_their_level() {
    let obj = adhoc(|req| {
        req.respond()
            .sensitivity_field("s", Sensitive, 1)
            .field("u", 1);
    });
    let inspect::Node::Dir(entries) = inspect::inspect("", &obj).results() else {
        panic!("a directory was expected");
    };
    let levels: Vec<SensitivityLevel> = entries.iter().map(|e| e.sensitivity).collect();
    assert_eq!(levels, [Sensitive, Unspecified]);
}

#[test]
fn directories_of_the_same_name_are_one() {
    let obj = adhoc(|req| {
        req.respond()
            .fields("d", [("x10", 1), ("x9", 2)])
            .field("d/sub/deep", 3)
            .fields("d", [("x1", 4)])
            .fields("d/sub", [("deeper", 5)])
            .field("e", 6)
            .child("", |req| {
                req.respond().field("d/y", 7);
            });
    });
    assert_eq!(
        show(&obj),
        "{d: {sub: {deep: 3, deeper: 5}, x1: 4, x9: 2, x10: 1, y: 7}, e: 6}"
    );
    assert_eq!(show_at("d/sub", &obj), "{deep: 3, deeper: 5}");
    assert_eq!(show_at("d/y", &obj), "7");
    assert_eq!(show_at("d/x9", &obj), "2");
}

#[test]
fn leaves_of_the_same_name_all_remain() {
    let obj = adhoc(|req| {
        req.respond()
            .field("a", 1)
            .field("a", 2)
            .fields("a", [("b", 3)]);
    });
    assert_eq!(show(&obj), "{a: 1, a: 2, a: {b: 3}}");
    assert_eq!(show_at("a", &obj), "1");
    // The directory is not hidden by the leaf.
    assert_eq!(show_at("a/b", &obj), "3");
    assert_eq!(
        inspect::inspect("", &obj).results().json().to_string(),
        r#"{"a": 1}"#
    );
}

#[test]
fn who_does_not_answer_is_not_there() {
    let obj = adhoc(|req| {
        req.respond()
            .field("none", None::<u32>)
            .field("unit", ())
            .field("some", Some(1));
    });
    assert_eq!(show(&obj), "{some: 1}");
    assert_eq!(show_at("none", &obj), "error (not found)");
    assert_eq!(show(&()), "error (not found)");
}
