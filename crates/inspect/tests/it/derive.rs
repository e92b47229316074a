//! The derives on structs, attribute by attribute.

use crate::show;
use crate::show_at;
use inspect::Deferred;
use inspect::Inspect;
use inspect::InspectMut;
use inspect::InspectionBuilder;
use inspect::Request;
use inspect::Response;
use inspect::SensitivityLevel;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::mpsc;

#[derive(Inspect)]
struct Unit;

#[derive(Inspect)]
struct Tuple(u8, PhantomData<u8>, &'static str);

#[derive(Inspect)]
struct Generic<'a, T: Inspect, const N: usize> {
    r#type: &'a T,
    bytes: [u8; N],
    phantom: PhantomData<&'a T>,
}

#[test]
fn plain_structs() {
    assert_eq!(show(&Unit), "{}");
    assert_eq!(show(&Tuple(1, PhantomData, "x")), r#"{0: 1, 2: "x"}"#);
    let generic = Generic {
        r#type: &5,
        bytes: [1, 2],
        phantom: PhantomData,
    };
    assert_eq!(show(&generic), "{bytes: <0102>, type: 5}");
}

#[derive(Inspect)]
struct Views {
    #[inspect(field)]
    a_field: u8,
    #[inspect(skip)]
    _skip: NotInspect,
    #[inspect(display)]
    b_display: NotInspect,
    #[inspect(debug)]
    c_debug: NotInspect,
    #[inspect(format = "{:06.2}")]
    d_format: f64,
    #[inspect(bytes)]
    e_bytes: String,
    #[inspect(hex)]
    f_hex: u8,
    #[inspect(binary)]
    g_binary: u8,
    #[inspect(counter)]
    h_counter: u8,
    #[inspect(rename = "i_renamed")]
    other: u8,
    #[inspect(flatten)]
    flat: Tuple,
    #[inspect(iter_by_key)]
    j_map: BTreeMap<u8, u8>,
    #[inspect(iter_by_index, hex)]
    k_list: Vec<u16>,
    #[inspect(iter_by_index)]
    l_array: [u16; 2],
    #[inspect(iter_by_index)]
    m_slice: Arc<[u16]>,
}

#[derive(Debug)]
struct NotInspect;

impl Display for NotInspect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("shown")
    }
}

#[test]
fn views() {
    let views = Views {
        a_field: 1,
        _skip: NotInspect,
        b_display: NotInspect,
        c_debug: NotInspect,
        d_format: 1.5,
        e_bytes: "az".into(),
        f_hex: 17,
        g_binary: 5,
        h_counter: 6,
        other: 7,
        flat: Tuple(8, PhantomData, "flat"),
        j_map: [(10, 1), (9, 2)].into(),
        k_list: vec![16],
        l_array: [3, 4],
        m_slice: [5].into(),
    };
    let expected = concat!(
        r#"{0: 8, 2: "flat", a_field: 1, b_display: "shown", c_debug: "NotInspect", d_format: "001.50", "#,
        r#"e_bytes: <617a>, f_hex: 0x11, g_binary: 0b101, h_counter: 6, i_renamed: 7, "#,
        r#"j_map: {9: 2, 10: 1}, k_list: {0: 0x10}, l_array: {0: 3, 1: 4}, m_slice: {0: 5}}"#,
    );
    assert_eq!(show(&views), expected);
    assert_eq!(show_at("2", &views), r#""flat""#);
}

fn sum<const N: usize>(values: &[u32; N]) -> u32 {
    values.iter().sum()
}

fn count(values: &[u8]) -> usize {
    values.len()
}

fn length(text: &str) -> usize {
    text.len()
}

mod nested {
    pub(super) fn not(v: &bool) -> bool {
        !v
    }
}

#[derive(Inspect)]
struct With {
    #[inspect(with = "|x| x.len()")]
    closure: Vec<u8>,
    #[inspect(with = r#"|x| x.as_ref().map(|x| format!("{x}!"))"#)]
    raw: Option<String>,
    #[inspect(with = "sum")]
    const_generic: [u32; 3],
    #[inspect(with = "count")]
    coerced: Vec<u8>,
    #[inspect(with = "length")]
    deref: Arc<String>,
    #[inspect(with = "nested::not")]
    path: bool,
    #[inspect(with = "Vec::<u8>::len", hex)]
    method: Vec<u8>,
    #[inspect(with = "|x| inspect::iter_by_index(x).map_value(inspect::AsHex).prefix(\"p\")")]
    iterated: Vec<u32>,
    #[inspect(
        with = "|&(a, b)| inspect::adhoc(move |req| { req.respond().field(\"a\", a).field(\"b\", b); })"
    )]
    adhoc: (u8, u8),
}

#[test]
fn with() {
    let with = With {
        closure: vec![1, 2],
        raw: Some("x".into()),
        const_generic: [1, 2, 3],
        coerced: vec![1],
        deref: Arc::new("four".into()),
        path: true,
        method: vec![0; 16],
        iterated: vec![10, 20],
        adhoc: (1, 2),
    };
    let expected = concat!(
        r#"{adhoc: {a: 1, b: 2}, closure: 2, coerced: 1, const_generic: 6, deref: 4, "#,
        r#"iterated: {p0: 0xa, p1: 0x14}, method: 0x10, path: false, raw: "x!"}"#,
    );
    assert_eq!(show(&with), expected);
}

#[derive(Inspect)]
#[inspect(transparent)]
struct Transparent(u8, PhantomData<u8>, #[inspect(skip)] NotInspect);

#[derive(Inspect)]
#[inspect(transparent(hex))]
struct TransparentHex(u16);

#[derive(Inspect)]
#[inspect(transparent(hex))]
struct TransparentList {
    #[inspect(iter_by_index)]
    list: Vec<u8>,
}

#[derive(Inspect)]
#[inspect(skip)]
struct Skipped {
    _x: NotInspect,
}

#[derive(Inspect)]
#[inspect(with = "|x| x.0 + 1")]
struct WholeWith(u8);

#[derive(Inspect)]
#[inspect(display)]
struct WholeDisplay(NotInspect);

impl Display for WholeDisplay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug, Inspect)]
#[inspect(debug)]
struct WholeDebug(NotInspect);

#[derive(Inspect)]
#[inspect(hex, extra = "WholeHex::more")]
struct WholeHex {
    a: u8,
    nested: Tuple,
}

impl WholeHex {
    fn more(&self, resp: &mut Response<'_>) {
        resp.field("extra", self.a + 1);
    }
}

#[derive(Inspect)]
#[inspect(extra = "|this, resp| { resp.field(\"twice\", this.0 * 2); }")]
struct ExtraClosure(u8);

#[derive(Inspect)]
#[inspect(bound = "T: Inspect, U: std::fmt::Debug")]
struct Bound<T, U> {
    t: T,
    #[inspect(debug)]
    u: U,
}

#[test]
fn whole_structs() {
    assert_eq!(show(&Transparent(5, PhantomData, NotInspect)), "5");
    assert_eq!(show(&TransparentHex(0x12)), "0x12");
    assert_eq!(show(&TransparentList { list: vec![16] }), "{0: 0x10}");
    assert_eq!(show(&Skipped { _x: NotInspect }), "error (not found)");
    assert_eq!(show(&WholeWith(5)), "6");
    assert_eq!(show(&WholeDisplay(NotInspect)), r#""shown""#);
    assert_eq!(show(&WholeDebug(NotInspect)), r#""WholeDebug(NotInspect)""#);
    let hex = WholeHex {
        a: 15,
        nested: Tuple(17, PhantomData, ""),
    };
    assert_eq!(
        show(&hex),
        r#"{a: 0xf, extra: 0x10, nested: {0: 0x11, 2: ""}}"#
    );
    assert_eq!(show(&ExtraClosure(4)), "{0: 4, twice: 8}");
    assert_eq!(
        show(&Bound {
            t: 1,
            u: NotInspect
        }),
        r#"{t: 1, u: "NotInspect"}"#
    );
}

#[derive(Inspect)]
struct Levels {
    #[inspect(safe)]
    safe: u8,
    unspecified: u8,
    #[inspect(sensitive)]
    sensitive: u8,
    #[inspect(safe, iter_by_index)]
    list: [u16; 1],
}

#[test]
fn levels() {
    let levels = Levels {
        safe: 1,
        unspecified: 2,
        sensitive: 3,
        list: [4],
    };
    let at = |level| {
        let builder = InspectionBuilder::new("").sensitivity(Some(level));
        builder.inspect(&levels).results().to_string()
    };
    assert_eq!(at(SensitivityLevel::Safe), "{list: {0: 4}, safe: 1}");
    assert_eq!(
        at(SensitivityLevel::Unspecified),
        "{list: {0: 4}, safe: 1, unspecified: 2}"
    );
    let all = "{list: {0: 4}, safe: 1, sensitive: 3, unspecified: 2}";
    assert_eq!(at(SensitivityLevel::Sensitive), all);
}

enum Message {
    Look(Deferred),
}

#[derive(Inspect)]
struct Send {
    #[inspect(send = "Message::Look")]
    path: mpsc::Sender<Message>,
    #[inspect(send = "|deferred| { Message::Look(deferred) }", hex)]
    closure: mpsc::Sender<Message>,
}

#[test]
fn send() {
    let (path, requests) = mpsc::channel();
    let object = Send {
        closure: path.clone(),
        path,
    };
    let inspection = inspect::inspect("", &object);
    for Message::Look(deferred) in requests.try_iter() {
        deferred.value(16);
    }
    assert_eq!(
        inspection.results().to_string(),
        "{closure: 0x10, path: 16}"
    );
    drop(requests);
    assert_eq!(show_at("path", &object), "error (no answer yet)");
}

#[derive(InspectMut)]
#[inspect(extra = "Mutable::more")]
struct Mutable {
    plain: u32,
    #[inspect(mut)]
    own: u32,
    #[inspect(mut, hex, rename = "renamed")]
    other: Option<u32>,
    #[inspect(
        mut,
        with = "|x| inspect::adhoc_mut(move |req| { req.respond().field_mut(\"first\", &mut x[0]); })"
    )]
    closure: Vec<u32>,
    #[inspect(mut, with = "first")]
    path: Vec<u32>,
    #[inspect(mut, with = "|x| x.iter().sum::<u32>()")]
    read_only: Vec<u32>,
    #[inspect(mut, iter_by_index)]
    list: Vec<u32>,
    #[inspect(mut, iter_by_key, hex)]
    map: BTreeMap<&'static str, u32>,
    #[inspect(mut, flatten)]
    flat: Box<dyn InspectMut>,
    calls: u32,
}

impl Mutable {
    fn more(&mut self, resp: &mut Response<'_>) {
        resp.field_mut("extra", &mut self.calls);
    }
}

fn first(values: &mut [u32]) -> &mut u32 {
    &mut values[0]
}

#[derive(InspectMut)]
#[inspect(transparent)]
struct TransparentMut(#[inspect(mut)] u32);

#[derive(InspectMut)]
#[inspect(with = "|x| &mut x.0")]
struct WholeWithMut(u32);

#[test]
fn mutable() {
    let mut object = Mutable {
        plain: 1,
        own: 2,
        other: Some(3),
        closure: vec![4],
        path: vec![5],
        read_only: vec![6, 7],
        list: vec![8, 9],
        map: [("k", 10)].into(),
        flat: Box::new(inspect::adhoc_mut({
            let mut flat = 11u32;
            move |req: Request<'_>| {
                req.respond().field_mut("flat", &mut flat);
            }
        })),
        calls: 12,
    };
    let expected = concat!(
        "{calls: 12, closure: {first: 4}, extra: 12, flat: 11, list: {0: 8, 1: 9}, map: {k: 0xa}, ",
        "own: 2, path: 5, plain: 1, read_only: 13, renamed: 0x3}"
    );
    assert_eq!(show(&mut object), expected);
    for path in [
        "own",
        "renamed",
        "closure/first",
        "path",
        "list/1",
        "map/k",
        "flat",
        "extra",
    ] {
        let updated = inspect::update(path, "99", &mut object).result();
        assert_eq!(updated.unwrap().kind, 99u32.into(), "{path}");
    }
    for path in ["plain", "calls", "list", ""] {
        let updated = inspect::update(path, "99", &mut object).result();
        assert_eq!(updated, Err(inspect::Error::Immutable), "{path}");
    }
    let expected = concat!(
        "{calls: 99, closure: {first: 99}, extra: 99, flat: 99, list: {0: 8, 1: 99}, map: {k: 0x63}, ",
        "own: 99, path: 99, plain: 1, read_only: 13, renamed: 0x63}"
    );
    assert_eq!(show(&mut object), expected);

    let mut transparent = TransparentMut(1);
    inspect::update("", "2", &mut transparent).result().unwrap();
    assert_eq!(transparent.0, 2);
    let mut with = WholeWithMut(1);
    inspect::update("", "2", &mut with).result().unwrap();
    assert_eq!(with.0, 2);
}
