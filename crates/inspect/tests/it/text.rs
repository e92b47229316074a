//! Nodes as text and JSON, and rates of counters.

use crate::show;
use inspect::Node;
use inspect::Request;
use inspect::Value;
use inspect::ValueFlags;
use inspect::ValueKind;
use inspect::adhoc;
use std::time::Duration;

fn every_kind(req: Request<'_>) {
    req.respond()
        .field("signed", -5)
        .hex("signed_hex", -0x10i64)
        .hex("hex", 0xabcdu16)
        .binary("binary", 5u8)
        .counter("counter", 7u32)
        .field("max", u64::MAX)
        .field("float", 0.5f32)
        .field("double", 1e-7f64)
        .field("nan", f64::NAN)
        .field("bool", true)
        .field("string", "a \"b\"\\\n\u{1}é")
        .field("bytes", [0u8, 0xff])
        .field("no_bytes", Vec::<u8>::new())
        .fields("empty", [] as [(&str, u32); 0])
        .field("name with space", 1)
        .field("0000:3a:1f.7", 1)
        .child("dir", |req| {
            req.respond().field("x", 1).child("failed", |req| {
                req.defer();
            });
        });
}

#[test]
fn text_in_one_line() {
    let expected = concat!(
        r#"{0000:3a:1f.7: 1, binary: 0b101, bool: true, bytes: <00ff>, counter: 7, "#,
        r#"dir: {failed: error (no answer yet), x: 1}, double: 0.0000001, empty: {}, float: 0.5, hex: 0xabcd, "#,
        r#"max: 18446744073709551615, "name with space": 1, nan: NaN, no_bytes: <>, signed: -5, "#,
        r#"signed_hex: -0x10, string: "a \"b\"\\\n\u{1}é"}"#,
    );
    assert_eq!(show(adhoc(every_kind)), expected);
}

#[test]
fn text_in_lines() {
    let obj = adhoc(|req| {
        req.respond().field("a", 1).child("b", |req| {
            req.respond()
                .hex("c", 16)
                .fields("d", [] as [(&str, u32); 0]);
        });
    });
    let node = inspect::inspect("", &obj).results();
    let expected = "{\n    a: 1,\n    b: {\n        c: 0x10,\n        d: {},\n    },\n}";
    assert_eq!(format!("{node:#}"), expected);
    let expected =
        "{\n    \"a\": 1,\n    \"b\": {\n        \"c\": 16,\n        \"d\": {}\n    }\n}";
    assert_eq!(format!("{:#}", node.json()), expected);
    let leaf = inspect::inspect("b/c", &obj).results();
    assert_eq!(format!("{leaf:#}"), "0x10");
}

#[test]
fn json_is_json() {
    let node = inspect::inspect("", adhoc(every_kind)).results();
    let expected = serde_json::json!({
        "0000:3a:1f.7": 1,
        "binary": 5,
        "bool": true,
        "bytes": "00ff",
        "counter": 7,
        "dir": {"failed": {"$error": "no answer yet"}, "x": 1},
        "double": 1e-7,
        "empty": {},
        "float": 0.5,
        "hex": 0xabcd,
        "max": u64::MAX,
        "name with space": 1,
        "nan": "NaN",
        "no_bytes": "",
        "signed": -5,
        "signed_hex": -16,
        "string": "a \"b\"\\\n\u{1}é",
    });
    for text in [format!("{}", node.json()), format!("{:#}", node.json())] {
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed, expected, "{text}");
    }
}

#[test]
fn json_escapes_every_character() {
    let all: String = (0..0x300)
        .filter_map(char::from_u32)
        .chain(['\u{2028}', '\u{10ffff}'])
        .collect();
    // A slash in a name would make directories.
    let name = all.replace('/', "");
    let obj = adhoc(|req| {
        req.respond().field(&name, all.as_str());
    });
    let json = inspect::inspect("", &obj).results().json().to_string();
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed[name.as_str()], all.as_str());
}

#[test]
fn json_of_what_is_not_a_value() {
    assert_eq!(Node::Unevaluated.json().to_string(), "null");
    assert_eq!(Node::Unevaluated.to_string(), "_");
    let quoted = Node::Failed(inspect::Error::Update("\"no\"".into()));
    assert_eq!(
        quoted.json().to_string(),
        r#"{"$error": "update refused: \"no\""}"#
    );
    for value in [f64::INFINITY, f64::MIN, f64::MIN_POSITIVE, -0.0] {
        let node = Node::Value(ValueKind::from(value).into());
        let parsed: serde_json::Value = serde_json::from_str(&node.json().to_string()).unwrap();
        assert_eq!(parsed.as_f64(), Some(value).filter(|v| v.is_finite()));
    }
}

fn counts(count: u64, reset: u32, other: u32) -> Node {
    let obj = adhoc(move |req| {
        req.respond()
            .counter("dir/count", count)
            .counter("reset", reset)
            .field("plain", other)
            .counter(&format!("new{other}"), 5);
    });
    inspect::inspect("", &obj).results()
}

#[test]
fn counters_become_rates() {
    let (last, now) = (counts(100, 50, 1), counts(350, 10, 2));
    let rates = now.since(&last, Duration::from_millis(500));
    // 250 in half a second; a counter that started again from zero; one that is new.
    assert_eq!(
        rates.to_string(),
        "{dir: {count: 500}, new2: 5, plain: 2, reset: 20}"
    );
    assert_eq!(now.since(&last, Duration::ZERO), now);
    let failed = Node::Failed(inspect::Error::NotFound);
    assert_eq!(now.since(&failed, Duration::from_secs(1)), now);
    assert_eq!(failed.since(&last, Duration::from_secs(1)), failed);
}

#[test]
fn a_format_reaches_down_until_another_is_chosen() {
    let obj = adhoc(|req: Request<'_>| {
        req.with_hex_format()
            .respond()
            .field("hex", 16)
            .fields("dir", [("hex", 17)])
            .binary("binary", 2)
            .child("decimal", |req| req.with_decimal_format().value(18))
            .field("own", ValueKind::from(3).with_flags(ValueFlags::COUNTER))
            .field("none", Value::from(ValueKind::from(19)))
            .field("float", 1.5);
    });
    assert_eq!(
        show(&obj),
        "{binary: 0b10, decimal: 18, dir: {hex: 0x11}, float: 1.5, hex: 0x10, none: 0x13, own: 3}"
    );
}
