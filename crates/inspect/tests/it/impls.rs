//! How the types of the standard library show themselves.

use crate::show;
use inspect::AsBinary;
use inspect::AsBytes;
use inspect::AsCounter;
use inspect::AsDebug;
use inspect::AsDisplay;
use inspect::AsHex;
use inspect::Inspect;
use inspect::iter_by_index;
use std::borrow::Cow;
use std::mem::ManuallyDrop;
use std::num::NonZeroU16;
use std::num::Wrapping;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

#[test]
fn scalars() {
    assert_eq!(show(1u8), "1");
    assert_eq!(show(i64::MIN), "-9223372036854775808");
    assert_eq!(show(AsHex(i64::MIN)), "-0x8000000000000000");
    assert_eq!(show(usize::MAX), u64::MAX.to_string());
    assert_eq!(show(7u128), "7");
    assert_eq!(
        show(u128::MAX),
        r#""340282366920938463463374607431768211455""#
    );
    assert_eq!(show(NonZeroU16::new(3).unwrap()), "3");
    assert_eq!(show(Wrapping(4u8)), "4");
    assert_eq!(show('x'), r#""x""#);
    assert_eq!(show(true), "true");
    assert_eq!(show(1.5f32), "1.5");
    assert_eq!(show(AtomicBool::new(true)), "true");
    assert_eq!(show(&AtomicI64::new(-1)), "-1");
    assert_eq!(show(&Duration::new(1, 5)), r#""1.000000005s""#);
    assert_eq!(show(&(0x1000 as *const u8)), "0x1000");
}

#[test]
fn texts_and_bytes() {
    assert_eq!(show("a"), r#""a""#);
    assert_eq!(show(String::from("a")), r#""a""#);
    assert_eq!(show(&Cow::Borrowed("a")), r#""a""#);
    assert_eq!(show(&c"a".to_owned()), r#""a""#);
    assert_eq!(show(&format_args!("{}", 1)), r#""1""#);
    assert_eq!(show(&[1u8, 2]), "<0102>");
    assert_eq!(show(&[1u8, 2][..]), "<0102>");
    assert_eq!(show(&vec![1u8, 2]), "<0102>");
    assert_eq!(show(AsBytes("az")), "<617a>");
    assert_eq!(show(AsDisplay(1)), r#""1""#);
    assert_eq!(show(AsDebug(Some(1))), r#""Some(1)""#);
    assert_eq!(show(AsBinary(5)), "0b101");
    assert_eq!(show(AsCounter(5)), "5");
}

#[test]
fn pointers_and_wrappers() {
    let object: Box<dyn Inspect> = Box::new(1);
    assert_eq!(show(&object), "1");
    assert_eq!(show(&Rc::new(1)), "1");
    assert_eq!(show(&Arc::<str>::from("a")), r#""a""#);
    assert_eq!(show(&ManuallyDrop::new(1)), "1");
    assert_eq!(show(&parking_lot::Mutex::new(1)), "1");
    assert_eq!(show(&parking_lot::RwLock::new(1)), "1");
    let locked: Arc<parking_lot::Mutex<dyn Inspect + Send>> = Arc::new(parking_lot::Mutex::new(2));
    assert_eq!(show(&locked), "2");
    let once = OnceLock::new();
    assert_eq!(show(&once), "error (not found)");
    once.set(1).unwrap();
    assert_eq!(show(&once), "1");
    assert_eq!(show(AsHex(iter_by_index([1, 16]))), "{0: 0x1, 1: 0x10}");
}
