//! Names that are like one that nothing has.

/// How many names are suggested at most.
const SUGGESTIONS_MAX: usize = 3;

/// Those of `names` that are so near to `name` that one may be meant, the nearest first.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let far = name.chars().count().div_ceil(2).max(1);
    let mut near: Vec<_> = names
        .into_iter()
        .map(|known| (edits(name, known), known))
        .filter(|(edits, _)| *edits <= far)
        .collect();
    // The sort is stable: of names as near as each other, the first comes first.
    near.sort_by_key(|(edits, _)| *edits);
    near.dedup();
    near.into_iter()
        .take(SUGGESTIONS_MAX)
        .map(|(_, known)| known.to_owned())
        .collect()
}

/// The question whether one of these names was meant, to put behind a message; empty for none.
pub fn suggestion(nearest: &[String]) -> String {
    let quoted: Vec<_> = nearest.iter().map(|name| format!("'{name}'")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => format!("; did you mean {only}?"),
        Some((last, others)) => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}

/// How many characters must be added, removed or replaced to make one name of the other (Levenshtein's distance).
fn edits(a: &str, b: &str) -> usize {
    // Row by row: the distances of a prefix of `a` to every prefix of `b`.
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, of_a) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (of_b, above) in b.chars().zip(row.windows(2)) {
            let [diagonal, above] = above else { continue };
            left = (diagonal + usize::from(of_a != of_b))
                .min(above + 1)
                .min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_between_names() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "rp0", 3),
            ("rp0", "rp0", 0),
            ("rp0", "rp1", 1),
            ("rp", "rp0", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
            assert_eq!(edits(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn suggestions_are_a_sentence() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(suggestion(&[]), "");
        assert_eq!(suggestion(&names(&["a"])), "; did you mean 'a'?");
        assert_eq!(
            suggestion(&names(&["a", "b", "c"])),
            "; did you mean 'a', 'b' or 'c'?"
        );
    }
}
