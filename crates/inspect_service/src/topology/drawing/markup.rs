//! The sheet as SVG.

use super::layout::Kind;
use super::layout::Link;
use super::layout::Shape;
use super::layout::Sheet;
use super::layout::TEXT_PADDING;
use std::fmt;

/// The dark colours replace the light ones where the reader prefers them; a renderer that knows no media queries draws the light.
const STYLE: &str = "\
text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1f2430}
.name{font-weight:bold}
.dim{fill:#5a6372}
.page{fill:#ffffff}
.complex{fill:#f2f4f8;stroke:#8a94a6}
.switch{fill:#eef1f6;stroke:#8a94a6}
.slot,.vacancy{fill:none;stroke:#8a94a6;stroke-dasharray:5 4}
.port{fill:#ffffff;stroke:#3f5f9a}
.device{fill:#e3f0e6;stroke:#3c7a4d}
.cxl{stroke:#a2590b;stroke-width:2}
.mark{fill:#a2590b;font-weight:bold}
.link{fill:none;stroke:#8a94a6}
@media (prefers-color-scheme:dark){
text{fill:#e4e8ef}
.dim{fill:#a3adbd}
.page{fill:#14171d}
.complex{fill:#1c2028;stroke:#6d7788}
.switch{fill:#20252e;stroke:#6d7788}
.slot,.vacancy{stroke:#7d889a}
.port{fill:#262c37;stroke:#7f9fdc}
.device{fill:#1f3326;stroke:#6fb583}
.cxl{stroke:#e0a04e}
.mark{fill:#e0a04e}
.link{stroke:#7d889a}
}
";

/// From the top of a box to the base of its first line, and from base to base.
const FIRST_LINE: usize = 20;
const LINE_HEIGHT: usize = 17;
/// In the legend.
const SAMPLE_WIDTH: usize = 30;
const SAMPLE_HEIGHT: usize = 14;

pub(super) fn write(f: &mut fmt::Formatter<'_>, sheet: &Sheet) -> fmt::Result {
    let (width, height) = (sheet.width, sheet.height);
    writeln!(
        f,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">"#
    )?;
    writeln!(
        f,
        "<title>PCI Express hierarchy</title>\n<style>\n{STYLE}</style>"
    )?;
    writeln!(
        f,
        r#"<rect class="page" width="{width}" height="{height}"/>"#
    )?;
    sheet
        .frames
        .iter()
        .filter(|frame| frame.kind == Kind::Complex)
        .try_for_each(|frame| shape(f, frame))?;
    sheet
        .frames
        .iter()
        .filter(|frame| frame.kind != Kind::Complex)
        .try_for_each(|frame| shape(f, frame))?;
    sheet.links.iter().try_for_each(|each| link(f, each))?;
    sheet.boxes.iter().try_for_each(|each| shape(f, each))?;
    legend(f, sheet.legend)?;
    writeln!(f, "</svg>")
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Complex => "complex",
        Kind::Switch => "switch",
        Kind::Slot => "slot",
        Kind::Port => "port",
        Kind::Device => "device",
        Kind::Vacancy => "vacancy",
    }
}

fn shape(f: &mut fmt::Formatter<'_>, shape: &Shape) -> fmt::Result {
    let area = shape.area;
    write!(f, "<g>")?;
    if let Some(tooltip) = &shape.tooltip {
        write!(f, "<title>{}</title>", Escaped(tooltip))?;
    }
    let cxl = if shape.is_cxl { " cxl" } else { "" };
    write!(
        f,
        r#"<rect class="{}{cxl}" x="{}" y="{}" width="{}" height="{}" rx="5"/>"#,
        class(shape.kind),
        area.x,
        area.y,
        area.width,
        area.height
    )?;
    for (index, line) in shape.lines.iter().enumerate() {
        let class = if index == 0 { "name" } else { "dim" };
        let y = area.y + FIRST_LINE + index * LINE_HEIGHT;
        write!(
            f,
            r#"<text class="{class}" x="{}" y="{y}">{}</text>"#,
            area.x + TEXT_PADDING,
            Escaped(line)
        )?;
    }
    if shape.is_cxl {
        // Beside the address, where there is room in the box of the longest name as well.
        let (x, y) = (
            area.x + area.width - TEXT_PADDING,
            area.y + FIRST_LINE + LINE_HEIGHT,
        );
        write!(
            f,
            r#"<text class="mark" text-anchor="end" x="{x}" y="{y}">CXL</text>"#
        )?;
    }
    writeln!(f, "</g>")
}

fn link(f: &mut fmt::Formatter<'_>, link: &Link) -> fmt::Result {
    let ((x1, y1), (x2, y2)) = (link.from, link.to);
    writeln!(
        f,
        r#"<path class="link" d="M{x1} {y1}H{}V{y2}H{x2}"/>"#,
        link.bend
    )
}

fn legend(f: &mut fmt::Formatter<'_>, (x, y): (usize, usize)) -> fmt::Result {
    let mut x = x;
    for (class, text) in [
        ("slot", "hot-plug slot"),
        ("port cxl", "CXL"),
        ("switch", "switch"),
    ] {
        let top = y - SAMPLE_HEIGHT + 2;
        writeln!(
            f,
            r#"<rect class="{class}" x="{x}" y="{top}" width="{SAMPLE_WIDTH}" height="{SAMPLE_HEIGHT}" rx="3"/><text class="dim" x="{}" y="{y}">{text}</text>"#,
            x + SAMPLE_WIDTH + 8
        )?;
        x += SAMPLE_WIDTH + 8 + text.len() * 8 + 24;
    }
    Ok(())
}

/// Text between tags. Characters that XML has no way to write become replacement characters.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '\n' | '\t' => f.write_char(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_char('\u{fffd}'),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_end_its_element() {
        assert_eq!(
            Escaped("a<b>&\u{1}\n").to_string(),
            "a&lt;b&gt;&amp;\u{fffd}\n"
        );
    }
}
