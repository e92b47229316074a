//! The order in which people expect names: `port2` before `port10`.

use core::cmp::Ordering;

/// Compares runs of decimal digits as numbers and everything else as text.
///
/// A total order: names that differ only in leading zeros are ordered as text.
#[inline]
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let same = common_prefix(a.as_bytes(), b.as_bytes());
    let (left, right) = (a.as_bytes().get(same), b.as_bytes().get(same));
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    // Where no digit is involved, the first difference decides, as in any text. Most names are of this kind.
    if is_digit(left) || is_digit(right) {
        return compare_from(a, b, same);
    }
    left.cmp(&right)
}

/// How many bytes the two begin with in common. Neighbours in a directory have words in common, so it goes by eight bytes.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut same = 0;
    while let (Some(left), Some(right)) = (chunk(a, same), chunk(b, same)) {
        if left != right {
            return same + ((left ^ right).trailing_zeros() / 8) as usize;
        }
        same += 8;
    }
    while let (Some(left), Some(right)) = (a.get(same), b.get(same))
        && left == right
    {
        same += 1;
    }
    same
}

#[inline]
fn chunk(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..at.wrapping_add(8))?;
    Some(u64::from_le_bytes(chunk.try_into().ok()?))
}

/// Compares two names that are the same up to the byte `same`, one of which goes on with a digit there.
#[cold]
fn compare_from(a: &str, b: &str, same: usize) -> Ordering {
    let common = a.get(..same).unwrap_or_default();
    // The number that differs may have begun before.
    let start = common.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    match (a.get(start..), b.get(start..)) {
        (Some(a), Some(b)) => compare_numbers(a, b),
        // Not reached: both begin with the same whole characters.
        _ => a.cmp(b),
    }
}

/// Compares run by run.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let ((text_l, rest_l), (text_r, rest_r)) = (split_at(left, true), split_at(right, true));
        let ((num_l, rest_l), (num_r, rest_r)) = (split_at(rest_l, false), split_at(rest_r, false));
        let ordering = text_l.cmp(text_r).then_with(|| numbers(num_l, num_r));
        if ordering != Ordering::Equal {
            return ordering;
        }
        if rest_l.is_empty() || rest_r.is_empty() {
            return rest_l.len().cmp(&rest_r.len()).then_with(|| a.cmp(b));
        }
        (left, right) = (rest_l, rest_r);
    }
}

/// Splits before the first character that is a digit, or before the first that is none.
fn split_at(text: &str, digit: bool) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_digit() == digit);
    text.split_at(end.unwrap_or(text.len()))
}

/// Compares numbers of any length; no number comes before every number.
fn numbers(a: &str, b: &str) -> Ordering {
    let significant = |digits: &'_ str| digits.trim_start_matches('0').len();
    let tail = |digits: &str| digits.len() - significant(digits);
    a.is_empty()
        .cmp(&b.is_empty())
        .reverse()
        .then_with(|| significant(a).cmp(&significant(b)))
        .then_with(|| a.get(tail(a)..).cmp(&b.get(tail(b)..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn numbers_in_names_are_numbers() {
        let expected = [
            "",
            "0",
            "2",
            "10",
            "a",
            "bar",
            "bar0",
            "bar2",
            "bar02",
            "bar10",
            "bar10a",
            "bar10b2",
            "bar10b10",
            "bar99999999999999999999999",
            "bar100000000000000000000000",
            "bar_x",
            "presence_detect_changed",
            "presence_detect_changed_enable",
            "presence_detect_changed_enable_2",
            "presence_detect_changed_enable_10",
            "presence_detect_state",
            "é1",
            "é12",
        ];
        let mut names: Vec<_> = expected.into_iter().rev().collect();
        names.sort_by(|a, b| compare(a, b));
        // "bar02" and "bar2" are the same number, so their order is that of text.
        let mut expected = expected;
        expected.swap(7, 8);
        assert_eq!(names, expected);
    }

    #[test]
    fn the_order_is_total() {
        let names = [
            "",
            "1",
            "01",
            "a",
            "a1",
            "a01",
            "a1b",
            "a01b",
            "a2",
            "b",
            "1a",
            "-",
            "a-1",
            "link_sta",
            "link_status",
            "link_status_2",
            "link_status_10",
            "link_statuz",
        ];
        for a in names {
            for b in names {
                assert_eq!(compare(a, b), compare(b, a).reverse(), "{a} {b}");
                assert_eq!(compare(a, b), compare_numbers(a, b), "{a} {b}");
                assert_eq!(compare(a, b) == Ordering::Equal, a == b, "{a} {b}");
                for c in names {
                    if compare(a, b).is_lt() && compare(b, c).is_lt() {
                        assert!(compare(a, c).is_lt(), "{a} < {b} < {c}");
                    }
                }
            }
        }
    }
}
