//! The derives on enums.

use crate::show;
use crate::show_at;
use inspect::Error;
use inspect::Inspect;
use inspect::InspectMut;
use inspect::Response;

#[derive(Inspect)]
enum Plain {
    CacheMemRegister,
    #[inspect(rename = "D3hot")]
    D3Hot,
    Braces {},
    Parentheses(),
}

#[derive(InspectMut, Debug, PartialEq)]
enum PlainMut {
    LinkUp,
    #[inspect(rename = "off")]
    LinkDown = 5,
}

#[derive(Inspect)]
enum Empty {}

#[test]
fn a_plain_enum_is_its_name() {
    assert_eq!(show(&Plain::CacheMemRegister), r#""cache_mem_register""#);
    assert_eq!(show(&Plain::D3Hot), r#""D3hot""#);
    assert_eq!(show(&Plain::Braces {}), r#""braces""#);
    assert_eq!(show(&Plain::Parentheses()), r#""parentheses""#);
    assert_eq!(show(&None::<Empty>), "error (not found)");
}

#[test]
fn an_update_names_the_variant() {
    let mut state = PlainMut::LinkUp;
    assert_eq!(show(&mut state), r#""link_up""#);
    let value = inspect::update("", "off", &mut state).result().unwrap();
    assert_eq!((value.kind, &state), ("off".into(), &PlainMut::LinkDown));
    let refused = inspect::update("", "LinkUp", &mut state).result();
    let reason = r#"cannot take "LinkUp": expected one of link_up, off"#;
    assert_eq!(refused, Err(Error::Update(reason.into())));
    assert_eq!(state, PlainMut::LinkDown);
}

/// Each way to show the same enum.
macro_rules! variants {
    ($name:ident, $($attribute:tt)*) => {
        #[derive(Inspect)]
        #[inspect($($attribute)*)]
        #[allow(dead_code, reason = "not every way looks at the fields")]
        enum $name {
            UnitKind,
            Tuple(u8, #[inspect(hex)] u8),
            Struct {
                x: u8,
                #[inspect(skip)]
                _y: u8,
            },
            #[inspect(rename = "other", transparent)]
            Leaf(u8),
            #[inspect(transparent(iter_by_index))]
            List(Vec<u16>),
        }

        impl $name {
            fn show_all() -> [String; 5] {
                [
                    show(&Self::UnitKind),
                    show(&Self::Tuple(1, 16)),
                    show(&Self::Struct { x: 2, _y: 3 }),
                    show(&Self::Leaf(4)),
                    show(&Self::List(vec![5])),
                ]
            }
        }
    };
}

variants!(Tagged, tag = "kind");
variants!(ExternallyTagged, external_tag);
variants!(Untagged, untagged);
variants!(Hidden, skip);
variants!(Converted, with = "|x| matches!(x, Converted::Leaf(_))");

#[test]
fn enums_with_fields() {
    assert_eq!(
        Tagged::show_all(),
        [
            r#"{kind: "unit_kind"}"#,
            r#"{0: 1, 1: 0x10, kind: "tuple"}"#,
            r#"{kind: "struct", x: 2}"#,
            // There is no directory to merge, so the leaf has no name.
            r#"{"": 4, kind: "other"}"#,
            r#"{0: 5, kind: "list"}"#,
        ]
    );
    assert_eq!(
        ExternallyTagged::show_all(),
        [
            "{unit_kind: {}}",
            "{tuple: {0: 1, 1: 0x10}}",
            "{struct: {x: 2}}",
            "{other: 4}",
            "{list: {0: 5}}",
        ]
    );
    assert_eq!(
        Untagged::show_all(),
        ["{}", "{0: 1, 1: 0x10}", "{x: 2}", "4", "{0: 5}"]
    );
    assert_eq!(Hidden::show_all(), ["error (not found)"; 5]);
    assert_eq!(
        Converted::show_all(),
        ["false", "false", "false", "true", "false"]
    );
    assert_eq!(show_at("kind", &Tagged::Leaf(1)), r#""other""#);
    assert_eq!(
        show_at("struct/x", &ExternallyTagged::Struct { x: 2, _y: 3 }),
        "2"
    );
}

#[derive(Inspect)]
#[inspect(tag = "kind", hex, extra = "More::more", bound = "T: Inspect")]
enum More<T> {
    Dynamic(Box<dyn Inspect>),
    Generic { value: T },
}

impl<T> More<T> {
    fn more(&self, resp: &mut Response<'_>) {
        resp.field("extra", 17);
    }
}

#[derive(Inspect)]
#[inspect(untagged, extra = "|_, resp| { resp.field(\"extra\", 1); }")]
enum UntaggedMore {
    #[inspect(transparent)]
    Inner(More<u8>),
    Outer(u8),
}

#[derive(Inspect, Debug)]
#[inspect(debug)]
#[expect(dead_code, reason = "read by `Debug`")]
enum Debugged {
    Field(u8),
}

#[test]
fn further_attributes() {
    let dynamic = More::<u8>::Dynamic(Box::new(16));
    assert_eq!(show(&dynamic), r#"{0: 0x10, extra: 0x11, kind: "dynamic"}"#);
    let generic = More::Generic { value: 18 };
    assert_eq!(
        show(&generic),
        r#"{extra: 0x11, kind: "generic", value: 0x12}"#
    );
    assert_eq!(show(&UntaggedMore::Outer(2)), "{0: 2, extra: 1}");
    let inner = UntaggedMore::Inner(More::Generic { value: 3 });
    assert_eq!(show_at("value", &inner), "0x3");
    assert_eq!(show_at("kind", &inner), r#""generic""#);
    assert_eq!(show(&Debugged::Field(1)), r#""Field(1)""#);
}

#[derive(InspectMut)]
#[inspect(external_tag)]
enum FieldsMut {
    Fixed(u8),
    Open {
        #[inspect(mut)]
        x: u8,
    },
    #[inspect(transparent(mut))]
    Leaf(u8),
}

#[test]
fn fields_of_variants_can_be_changed() {
    let mut open = FieldsMut::Open { x: 1 };
    inspect::update("open/x", "2", &mut open).result().unwrap();
    assert_eq!(show(&mut open), "{open: {x: 2}}");
    let mut leaf = FieldsMut::Leaf(1);
    inspect::update("leaf", "2", &mut leaf).result().unwrap();
    assert_eq!(show(&mut leaf), "{leaf: 2}");
    let refused = inspect::update("fixed/0", "2", FieldsMut::Fixed(1)).result();
    assert_eq!(refused, Err(Error::Immutable));
}
