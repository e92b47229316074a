//! Changing nodes.

use crate::show;
use inspect::AsHex;
use inspect::AtomicMut;
use inspect::Error;
use inspect::InspectMut;
use inspect::InspectionBuilder;
use inspect::SensitivityLevel;
use inspect::Value;
use inspect::adhoc;
use inspect::adhoc_mut;
use std::num::NonZeroU8;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

fn update(path: &str, value: &str, obj: impl InspectMut) -> Result<Value, Error> {
    pollster::block_on(inspect::update(path, value, obj))
}

fn refused(result: Result<Value, Error>) -> String {
    match result {
        Err(Error::Update(reason)) => reason,
        other => panic!("a refusal was expected: {other:?}"),
    }
}

#[test]
fn scalars_take_what_they_show() {
    let mut v = 1u16;
    assert_eq!(update("", "300", &mut v).unwrap().to_string(), "300");
    assert_eq!(v, 300);
    assert_eq!(
        update("", "0xff", AsHex(&mut v)).unwrap().to_string(),
        "0xff"
    );
    update("", " 0b101 ", &mut v).unwrap();
    assert_eq!(v, 5);
    let mut v = 0i8;
    update("", "-0x80", &mut v).unwrap();
    assert_eq!(v, -128);
    let mut v = false;
    update("", "true", &mut v).unwrap();
    assert!(v);
    let mut v = String::new();
    update("", " as is ", &mut v).unwrap();
    assert_eq!(v, " as is ");
    let mut v = 0.0f64;
    update("", "2.5", &mut v).unwrap();
    assert_eq!(v, 2.5);
    let mut v = NonZeroU8::MIN;
    update("", "9", &mut v).unwrap();
    assert_eq!(v.get(), 9);
    assert_eq!(refused(update("", "0", &mut v)), r#"cannot take "0": zero"#);
}

#[test]
fn wrong_values_change_nothing() {
    let mut v = 7u8;
    for text in [
        "", "x", "256", "-1", "0x", "0x100", "0b2", "0x+1", "--1", "-0x-1", "é", "0é",
    ] {
        let reason = refused(update("", text, &mut v));
        assert!(
            reason.starts_with(&format!("cannot take {text:?}: ")),
            "{reason}"
        );
        assert_eq!(v, 7);
    }
}

#[test]
fn what_cannot_be_changed_says_so() {
    let (mut mutable, immutable) = (1, 2);
    let mut obj = adhoc_mut(|req| {
        req.respond()
            .field_mut("m", &mut mutable)
            .field("i", immutable)
            .fields("d", [("x", 1)]);
    });
    assert_eq!(update("i", "5", &mut obj), Err(Error::Immutable));
    assert_eq!(update("d", "5", &mut obj), Err(Error::Immutable));
    assert_eq!(update("", "5", &mut obj), Err(Error::Immutable));
    assert_eq!(update("n", "5", &mut obj), Err(Error::NotFound));
    assert_eq!(update("m/x", "5", &mut obj), Err(Error::NotADirectory));
    assert_eq!(show(&mut obj), "{d: {x: 1}, i: 2, m: 1}");
    assert_eq!(update("m", "5", &mut obj).unwrap().to_string(), "5");
    assert_eq!(mutable, 5);
}

#[test]
fn updates_reach_only_their_node() {
    let mut values = [1, 2, 3];
    let mut obj = adhoc_mut(|req| {
        req.respond().fields_mut("v", values.iter_mut().enumerate());
    });
    update("v/1", "20", &mut obj).unwrap();
    assert_eq!(show(&mut obj), "{v: {0: 1, 1: 20, 2: 3}}");
}

#[test]
fn updates_see_no_more_than_their_ceiling() {
    let mut secret = 1;
    let mut obj = adhoc_mut(|req| {
        req.respond()
            .sensitivity_field_mut("s", SensitivityLevel::Sensitive, &mut secret);
    });
    let builder = InspectionBuilder::new("s").sensitivity(Some(SensitivityLevel::Safe));
    assert_eq!(builder.update("2", &mut obj).result(), Err(Error::NotFound));
    assert_eq!(secret, 1);
}

#[test]
fn field_mut_with_looks_and_changes() {
    let mut level = 3u32;
    let mut obj = adhoc_mut(|req| {
        req.respond()
            .field_mut_with("level", |new| -> Result<u32, std::num::ParseIntError> {
                if let Some(new) = new {
                    level = new.parse()?;
                }
                Ok(level)
            });
    });
    assert_eq!(show(&mut obj), "{level: 3}");
    assert_eq!(update("level", "4", &mut obj).unwrap().to_string(), "4");
    assert_eq!(
        refused(update("level", "x", &mut obj)),
        "invalid digit found in string"
    );
    assert_eq!(update("level/x", "4", &mut obj), Err(Error::NotADirectory));
    assert_eq!(level, 4);
}

#[test]
fn a_refusal_tells_its_sources() {
    #[derive(Debug)]
    struct Outer(std::fmt::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let obj = adhoc(|req| match req.update() {
        Ok(update) => update.fail(Outer(std::fmt::Error)),
        Err(req) => req.ignore(),
    });
    let inner = std::fmt::Error.to_string();
    assert_eq!(refused(update("", "x", &obj)), format!("outer: {inner}"));
}

#[test]
fn atomics_change_through_a_shared_reference() {
    let (flag, number) = (AtomicBool::new(false), AtomicU32::new(1));
    let obj = adhoc(|req| {
        req.respond()
            .field("flag", AtomicMut(&flag))
            .hex("number", AtomicMut(&number))
            .field("ro", &number);
    });
    update("flag", "true", &obj).unwrap();
    assert_eq!(update("number", "17", &obj).unwrap().to_string(), "0x11");
    assert!(flag.load(Ordering::Relaxed));
    assert_eq!(show(&obj), "{flag: true, number: 0x11, ro: 17}");
    assert_eq!(update("ro", "1", &obj), Err(Error::Immutable));
    refused(update("number", "-1", &obj));
    assert_eq!(number.load(Ordering::Relaxed), 17);
}
