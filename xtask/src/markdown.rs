//! Just enough Markdown to check links: `[text](target)` outside of code, and headings.

/// Where a link stands and what it points to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Counted from one.
    pub(crate) line: usize,
    pub(crate) target: String,
}

/// The links of a page.
pub(crate) fn links(page: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, text) in prose(page) {
        let text = without_code(text);
        let mut rest = text.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else {
                break;
            };
            // A title may follow the target.
            let target = target.split_whitespace().next().unwrap_or_default();
            links.push(Link {
                line,
                target: target.to_string(),
            });
            rest = after;
        }
    }
    links
}

/// The anchors of a page: its headings as mdBook and GitHub write them in links.
pub(crate) fn anchors(page: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, text) in prose(page) {
        let Some(heading) = text.strip_prefix('#') else {
            continue;
        };
        let slug = slug(heading.trim_start_matches('#').trim());
        let earlier = anchors
            .iter()
            .filter(|anchor| {
                anchor.strip_prefix(&slug).is_some_and(|rest| {
                    rest.is_empty()
                        || rest
                            .strip_prefix('-')
                            .is_some_and(|n| n.parse::<u32>().is_ok())
                })
            })
            .count();
        anchors.push(match earlier {
            0 => slug,
            n => format!("{slug}-{n}"),
        });
    }
    anchors
}

fn slug(heading: &str) -> String {
    heading
        .chars()
        .filter_map(|character| match character {
            ' ' => Some('-'),
            '-' | '_' => Some(character),
            other => other.is_alphanumeric().then(|| other.to_ascii_lowercase()),
        })
        .collect()
}

/// The lines outside of fenced code, numbered from one.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    page.lines().zip(1..).filter_map(move |(text, line)| {
        if text.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((line, text))
    })
}

/// The line with the text of `code` spans taken out.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_outside_of_code_are_found() {
        let page = "See [a](a.md) and [`b`](b.md#top \"title\").\n```\n[no](no.md)\n```\n`[no](no.md)` [c](#c)\n";
        let found: Vec<_> = links(page)
            .into_iter()
            .map(|link| (link.line, link.target))
            .collect();
        assert_eq!(
            found,
            [
                (1, "a.md".to_string()),
                (1, "b.md#top".to_string()),
                (5, "#c".to_string())
            ]
        );
    }

    #[test]
    fn anchors_are_written_as_mdbook_writes_them() {
        let page = "# MSI capability, 32-bit address\n## The `pcie` crate\n```\n# not a heading\n```\n## Errors\n## Errors\n";
        assert_eq!(
            anchors(page),
            [
                "msi-capability-32-bit-address",
                "the-pcie-crate",
                "errors",
                "errors-1"
            ]
        );
    }
}
