//! Every public item that others program against, with its signature: this file compiles, or the interface has changed.

use crate::show;
use inspect::AsBinary;
use inspect::AsBytes;
use inspect::AsCounter;
use inspect::AsDebug;
use inspect::AsDisplay;
use inspect::AsHex;
use inspect::AtomicMut;
use inspect::Deferred;
use inspect::Entry;
use inspect::Error;
use inspect::Inspect;
use inspect::InspectMut;
use inspect::Inspection;
use inspect::InspectionBuilder;
use inspect::Iterated;
use inspect::Node;
use inspect::Request;
use inspect::Response;
use inspect::SensitivityLevel;
use inspect::Update;
use inspect::UpdateRequest;
use inspect::Value;
use inspect::ValueFlags;
use inspect::ValueKind;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::ffi::CString;
use std::fmt;
use std::iter::Enumerate;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::num::NonZeroU8;
use std::num::Wrapping;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic;
use std::time::Duration;

fn is<T: Inspect + ?Sized>() {}
fn is_mut<T: InspectMut + ?Sized>() {}

/// A hand-written implementation without more than the trait requires.
struct Port {
    status: u16,
    limit: u32,
}

impl Inspect for Port {
    fn inspect(&self, req: Request<'_>) {
        let mut resp: Response<'_> = req.respond();
        resp.field("status", self.status)
            .hex("status_hex", self.status)
            .binary("status_binary", self.status)
            .counter("count", self.status)
            .display("shown", &self.status)
            .display_debug("debug", &self.status)
            .field_with("computed", || self.status + 1)
            .fields("list", [("a", 1), ("b", 2)])
            .child("child", |req| req.value(self.status))
            .child("", |req| {
                req.respond().field("merged", true);
            })
            .merge(inspect::adhoc(|req| {
                req.respond().field("merged_too", ());
            }));
    }
}

impl InspectMut for Port {
    fn inspect_mut(&mut self, req: Request<'_>) {
        let mut resp = req.respond();
        resp.field_mut("status", &mut self.status)
            .field_mut_with("limit", |new| {
                if let Some(new) = new {
                    self.limit = new.parse()?;
                }
                Ok::<_, std::num::ParseIntError>(self.limit)
            })
            .fields_mut("both", [(0, &mut self.status)]);
    }
}

#[test]
fn by_hand() {
    let mut port = Port {
        status: 17,
        limit: 3,
    };
    let expected = concat!(
        r#"{child: 17, computed: 18, count: 17, debug: "17", list: {a: 1, b: 2}, merged: true, "#,
        r#"shown: "17", status: 17, status_binary: 0b10001, status_hex: 0x11}"#
    );
    assert_eq!(show(&port), expected);
    assert_eq!(show(&mut port), "{both: {0: 17}, limit: 3, status: 17}");
    let updated: Result<Value, Error> = inspect::update("limit", "9", &mut port).result();
    assert_eq!(updated, Ok(ValueKind::Unsigned(9).into()));
    let refused = inspect::update("limit", "x", &mut port).result();
    assert!(matches!(refused, Err(Error::Update(_))));
}

#[test]
fn sensitivity_twins() {
    let level = SensitivityLevel::Sensitive;
    let object = inspect::adhoc_mut(|req| {
        let mut resp = req.respond();
        let _: SensitivityLevel = resp.parent_sensitivity();
        resp.sensitivity_field("a", level, 1)
            .sensitivity_hex("b", level, 2)
            .sensitivity_binary("c", level, 3)
            .sensitivity_counter("d", level, 4)
            .sensitivity_display("e", level, &5)
            .sensitivity_display_debug("f", level, &6)
            .sensitivity_field_with("g", level, || 7)
            .sensitivity_field_mut("h", level, &mut 8)
            .sensitivity_field_mut_with("i", level, |_| Ok::<_, Error>(9))
            .sensitivity_fields("j", level, [("x", 1)])
            .sensitivity_fields_mut("k", level, [("x", 1)])
            .sensitivity_child("l", level, |req| req.value(1));
    });
    let builder = InspectionBuilder::new("").sensitivity(Some(SensitivityLevel::Unspecified));
    assert_eq!(builder.inspect(object).results().to_string(), "{}");
    assert!(SensitivityLevel::Safe < SensitivityLevel::default());
    assert!(SensitivityLevel::default() == SensitivityLevel::Unspecified);
    assert!(SensitivityLevel::Unspecified < SensitivityLevel::Sensitive);
}

/// The lifetime of a request is a parameter of its type, so the methods coerce for one at a time.
fn of_lifetime<'a>(_: PhantomData<&'a ()>) {
    let _: fn(Request<'a>) -> Response<'a> = Request::respond;
    let _: fn(Request<'a>, ValueKind) = |req, value| req.value(value);
    let _: fn(Request<'a>) -> Result<UpdateRequest<'a>, Request<'a>> = Request::update;
    let _: fn(Request<'a>) = Request::ignore;
    let _: fn(&Request<'a>) -> bool = Request::is_update;
    let _: fn(&Request<'a>) -> SensitivityLevel = Request::sensitivity;
    let _: [fn(Request<'a>) -> Request<'a>; 4] = [
        Request::with_decimal_format,
        Request::with_hex_format,
        Request::with_binary_format,
        Request::with_counter_format,
    ];
    let _: fn(Request<'a>) -> Deferred = Request::defer;
    let _: fn(&UpdateRequest<'a>) -> usize = |req| req.new_value().len();
    let _: fn(UpdateRequest<'a>, u8) = |req, value| req.succeed(value);
    let _: fn(UpdateRequest<'a>, &'static str) = |req, reason| req.fail(reason);
}

#[test]
fn requests() {
    of_lifetime(PhantomData);

    let _: fn(&str, &'static Port) -> Inspection = |path, obj| inspect::inspect(path, obj);
    let _: fn(&str, &str, &'static Port) -> Update =
        |path, value, obj| inspect::update(path, value, obj);
    let _: fn(Inspection) -> Node = Inspection::results;
    let mut inspection = inspect::inspect(
        "a",
        &Port {
            status: 0,
            limit: 0,
        },
    );
    pollster::block_on(inspection.resolve());
    assert_eq!(inspection.results(), Node::Failed(Error::NotFound));
    let update = InspectionBuilder::new("")
        .depth(Some(1))
        .sensitivity(None)
        .update("2", &mut 1u8);
    let updated: Result<Value, Error> = pollster::block_on(update);
    assert_eq!(updated.unwrap().kind, ValueKind::Unsigned(2));
}

#[test]
fn implementors() {
    is::<&str>();
    is::<&mut Port>();
    is::<Box<dyn Inspect>>();
    is::<Rc<str>>();
    is::<Arc<dyn Inspect + Send + Sync>>();
    is::<parking_lot::Mutex<Port>>();
    is::<parking_lot::RwLock<[u8]>>();
    is::<Option<Port>>();
    is::<OnceLock<Port>>();
    is::<Cow<'static, str>>();
    is::<ManuallyDrop<Port>>();
    is::<Wrapping<u32>>();
    is::<()>();
    is::<String>();
    is::<CStr>();
    is::<CString>();
    is::<[u8]>();
    is::<[u8; 3]>();
    is::<Vec<u8>>();
    is::<fmt::Arguments<'_>>();
    is::<AsHex<u8>>();
    is::<NonZeroU8>();
    is::<f32>();
    is::<f64>();
    is::<bool>();
    is::<atomic::AtomicBool>();
    is::<atomic::AtomicU8>();
    is::<atomic::AtomicIsize>();
    is::<Duration>();
    is::<*const u8>();
    is::<*mut u8>();
    is::<Value>();
    is::<ValueKind>();
    is_mut::<&Port>();
    is_mut::<&mut Port>();
    is_mut::<Box<dyn InspectMut>>();
    is_mut::<Option<u8>>();
    is_mut::<()>();
    is_mut::<String>();
    is_mut::<bool>();
    is_mut::<u8>();
    is_mut::<i64>();
    is_mut::<f64>();
    is_mut::<usize>();
    assert_eq!(show(&Duration::new(1, 5)), r#""1.000000005s""#);

    fn copy<T: Clone + Copy>() {}
    copy::<AsHex<u8>>();
    let _ = (
        AsHex(1),
        AsBinary(2),
        AsCounter(3),
        AsBytes("b"),
        AsDisplay(4),
        AsDebug(5),
        AtomicMut(atomic::AtomicU8::new(6)),
    );
    assert_eq!(show(AsBytes("b")), "<62>");
}

#[test]
fn iterated() {
    let ports = [
        Port {
            status: 1,
            limit: 0,
        },
        Port {
            status: 2,
            limit: 0,
        },
    ];
    let by_index: Iterated<Enumerate<std::slice::Iter<'_, Port>>> = inspect::iter_by_index(&ports);
    let shown = by_index.prefix("port").map_value(|port| AsHex(port.status));
    assert_eq!(show(shown), "{port0: 0x1, port1: 0x2}");
    let map = BTreeMap::from([(1, "a"), (2, "b")]);
    let by_key = inspect::iter_by_key(&map).map_key(|key| key * 10);
    assert_eq!(show(by_key), r#"{10: "a", 20: "b"}"#);
}

#[test]
fn values_and_nodes() {
    let kinds: [ValueKind; 9] = [
        (-1i8).into(),
        1u64.into(),
        1f32.into(),
        1f64.into(),
        true.into(),
        "s".into(),
        String::from("s").into(),
        (&[1u8, 2][..]).into(),
        format_args!("{}", 1).into(),
    ];
    let expected = [
        ValueKind::Signed(-1),
        ValueKind::Unsigned(1),
        ValueKind::Float(1.0),
        ValueKind::Double(1.0),
        ValueKind::Bool(true),
        ValueKind::String("s".into()),
        ValueKind::String("s".into()),
        ValueKind::Bytes(vec![1, 2]),
        ValueKind::String("1".into()),
    ];
    assert_eq!(kinds, expected);
    let value = Value {
        kind: ValueKind::Unsigned(10),
        flags: ValueFlags::COUNTER,
    };
    let dir = |count: u64| {
        let kind = ValueKind::Unsigned(count);
        Node::Dir(vec![
            Entry {
                name: "a".into(),
                node: Node::Value(kind.with_flags(value.flags)),
                sensitivity: SensitivityLevel::Safe,
            },
            Entry {
                name: "b".into(),
                node: Node::Unevaluated,
                sensitivity: SensitivityLevel::Safe,
            },
        ])
    };
    assert_eq!(dir(10).to_string(), "{a: 10, b: _}");
    let rate = dir(30).since(&dir(10), Duration::from_secs(2));
    assert_eq!(rate.to_string(), "{a: 10, b: _}");
    assert_eq!(rate.json().to_string(), r#"{"a": 10.0, "b": null}"#);
    let _ = [
        Error::Unresolved,
        Error::Mesh(String::new()),
        Error::Immutable,
        Error::Update(String::new()),
        Error::NotADirectory,
        Error::NotFound,
        Error::Internal,
    ];
}

#[derive(Inspect)]
struct Unit;

#[derive(Inspect)]
#[inspect(tag = "kind")]
enum Kind {
    Intercept(#[inspect(rename = "region")] Box<dyn Inspect>),
    #[inspect(rename = "none")]
    Dummy,
}

#[derive(Inspect)]
#[inspect(external_tag)]
enum External {
    First {
        a: u8,
    },
    #[inspect(transparent)]
    Second(u8),
}

#[derive(Inspect)]
#[inspect(untagged)]
enum Untagged {
    Only { a: u8 },
}

#[derive(Inspect, InspectMut)]
enum Mode {
    FirstMode,
    SecondMode,
}

#[derive(Inspect)]
struct ConstGeneric<const N: usize> {
    #[inspect(hex, with = "|words| inspect::iter_by_index(words).prefix(\"w\")")]
    words: [u32; N],
}

#[test]
fn derives() {
    assert_eq!(show(&Unit), "{}");
    let intercept = Kind::Intercept(Box::new(AsHex(3)));
    assert_eq!(show(&intercept), r#"{kind: "intercept", region: 0x3}"#);
    assert_eq!(show(&Kind::Dummy), r#"{kind: "none"}"#);
    assert_eq!(show(&External::First { a: 1 }), "{first: {a: 1}}");
    assert_eq!(show(&External::Second(2)), "{second: 2}");
    assert_eq!(show(&Untagged::Only { a: 1 }), "{a: 1}");
    let mut mode = Mode::FirstMode;
    assert_eq!(show(&mode), r#""first_mode""#);
    inspect::update("", "second_mode", &mut mode)
        .result()
        .unwrap();
    assert!(matches!(mode, Mode::SecondMode));
    assert_eq!(
        show(&ConstGeneric { words: [16, 1] }),
        "{words: {w0: 0x10, w1: 0x1}}"
    );
}
