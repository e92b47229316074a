//! What goes where on the sheet, in pixels from its top left corner.

use crate::topology::Complex;
use crate::topology::Function;
use crate::topology::Kind as FunctionKind;

/// Around everything.
const MARGIN: usize = 24;
/// Inside a root complex's frame.
const FRAME_PADDING: usize = 16;
/// A root complex's frame, above its first port: three lines of text.
const FRAME_HEADER: usize = 74;
/// Between two root complexes.
const FRAME_GAP: usize = 24;
const BOX_HEIGHT: usize = 62;
const ROW_GAP: usize = 26;
const ROW: usize = BOX_HEIGHT + ROW_GAP;
const COLUMN_GAP: usize = 60;
/// From a switch's ports to the frame around them; from what is in a slot to the slot's frame.
const SWITCH_PADDING: usize = 6;
const SLOT_PADDING: usize = 11;
/// Above and below the legend.
const LEGEND: usize = 40;

/// The advance of a character of the monospaced text, in tenths of a pixel, with room for fonts wider than usual.
const CHARACTER_TENTHS: usize = 74;
/// Left and right of a line of text in its box.
pub(super) const TEXT_PADDING: usize = 10;
/// Characters in a box: enough for a root complex's lines, and no more than fits a page.
const LINE_CHARACTERS: std::ops::RangeInclusive<usize> = 28..=38;

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Area {
    fn grown(self, by: usize) -> Self {
        Self {
            x: self.x - by,
            y: self.y - by,
            width: self.width + 2 * by,
            height: self.height + 2 * by,
        }
    }

    fn right(&self) -> usize {
        self.x + self.width
    }

    fn middle(&self) -> usize {
        self.y + self.height / 2
    }
}

/// What a rectangle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Complex,
    Switch,
    Slot,
    Port,
    Device,
    /// The place in an empty slot.
    Vacancy,
}

/// A rectangle with text.
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) area: Area,
    /// From top to bottom, the first in bold; already cut to fit.
    pub(super) lines: Vec<String>,
    /// All of the text, where some of it was cut.
    pub(super) tooltip: Option<String>,
    pub(super) is_cxl: bool,
}

/// From the right of one box to the left of another.
pub(super) struct Link {
    pub(super) from: (usize, usize),
    /// Where it bends.
    pub(super) bend: usize,
    pub(super) to: (usize, usize),
}

/// All shapes, from the back to the front, and the links, which lie between frames and boxes.
pub(super) struct Sheet {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) frames: Vec<Shape>,
    pub(super) links: Vec<Link>,
    pub(super) boxes: Vec<Shape>,
    pub(super) legend: (usize, usize),
    line_characters: usize,
    columns: usize,
}

impl Sheet {
    pub(super) fn new(complexes: &[Complex]) -> Self {
        let longest = complexes
            .iter()
            .flat_map(|complex| devices(&complex.functions))
            .map(longest_line)
            .max();
        let line_characters = longest
            .unwrap_or(0)
            .clamp(*LINE_CHARACTERS.start(), *LINE_CHARACTERS.end());
        let mut sheet = Self {
            width: 0,
            height: 0,
            frames: Vec::new(),
            links: Vec::new(),
            boxes: Vec::new(),
            legend: (0, 0),
            line_characters,
            columns: 1,
        };
        let mut y = MARGIN;
        for complex in complexes {
            y = sheet.complex(complex, y) + FRAME_GAP;
        }
        sheet.legend = (MARGIN, y + LEGEND / 2);
        sheet.width = sheet.column(sheet.columns) - COLUMN_GAP + FRAME_PADDING + MARGIN;
        sheet.height = y + LEGEND;
        sheet
    }

    fn box_width(&self) -> usize {
        (self.line_characters * CHARACTER_TENTHS).div_ceil(10) + 2 * TEXT_PADDING
    }

    /// The left edge of a column's boxes.
    fn column(&self, column: usize) -> usize {
        MARGIN + FRAME_PADDING + column * (self.box_width() + COLUMN_GAP)
    }

    fn area(&self, column: usize, y: usize) -> Area {
        Area {
            x: self.column(column),
            y,
            width: self.box_width(),
            height: BOX_HEIGHT,
        }
    }

    fn shape(&self, kind: Kind, area: Area, lines: Vec<String>, is_cxl: bool) -> Shape {
        let cut: Vec<_> = lines
            .iter()
            .map(|line| cut(line, self.line_characters))
            .collect();
        let tooltip = (cut != lines).then(|| lines.join("\n"));
        Shape {
            kind,
            area,
            lines: cut,
            tooltip,
            is_cxl,
        }
    }

    /// Draws a root complex with its top at `y`, and says where its bottom is.
    fn complex(&mut self, complex: &Complex, y: usize) -> usize {
        let (first, last) = complex.buses;
        let lines = vec![
            complex.name.clone(),
            format!(
                "segment {:04x}, buses {first:02x}-{last:02x}",
                complex.segment
            ),
            format!("ECAM {:x}-{:x}", complex.ecam.0, complex.ecam.1),
        ];
        let mut bottom = y + FRAME_HEADER;
        for device in devices(&complex.functions) {
            bottom = self.device(device, 0, bottom);
        }
        let end = bottom.saturating_sub(ROW_GAP).max(y + FRAME_HEADER) + FRAME_PADDING;
        let area = Area {
            x: MARGIN,
            y,
            width: self.box_width() + 2 * FRAME_PADDING,
            height: end - y,
        };
        let shape = self.shape(Kind::Complex, area, lines, false);
        self.frames.push(shape);
        end
    }

    /// Draws a device, and all below its first function, with its top at `y`, and says where the next row is.
    fn device(&mut self, device: &[Function], column: usize, y: usize) -> usize {
        let Some(node) = device.first() else {
            return y;
        };
        self.columns = self.columns.max(column + 1);
        let area = self.area(column, y);
        let kind = if node.is_downstream_port() || node.kind == FunctionKind::UpstreamPort {
            Kind::Port
        } else {
            Kind::Device
        };
        // Frames before what they hold, which they lie behind.
        let behind = self.frames.len();
        let mut next = y;
        for below in devices(&node.below) {
            self.link(area, self.area(column + 1, next));
            next = self.device(below, column + 1, next);
        }
        let next = next.max(y + ROW);
        let subtree_height = next - ROW_GAP - y;
        if node.kind == FunctionKind::UpstreamPort {
            let width = if node.below.is_empty() {
                area.width
            } else {
                2 * area.width + COLUMN_GAP
            };
            let frame = Area {
                width,
                height: subtree_height,
                ..area
            }
            .grown(SWITCH_PADDING);
            self.frames
                .insert(behind, self.shape(Kind::Switch, frame, vec![], false));
        }
        if let Some(slot) = node.hot_plug_slot() {
            let inside = self.area(column + 1, y);
            let holds_switch = node
                .below
                .iter()
                .any(|below| below.kind == FunctionKind::UpstreamPort && !below.below.is_empty());
            let width = if holds_switch {
                2 * inside.width + COLUMN_GAP
            } else {
                inside.width
            };
            let frame = Area {
                width,
                height: subtree_height,
                ..inside
            };
            if node.below.is_empty() {
                self.columns = self.columns.max(column + 2);
                self.link(area, inside);
                let lines = vec![format!("slot {}", slot.number), "empty".to_string()];
                let shape = self.shape(Kind::Vacancy, inside, lines, false);
                self.boxes.push(shape);
            } else {
                self.frames.insert(
                    behind,
                    self.shape(Kind::Slot, frame.grown(SLOT_PADDING), vec![], false),
                );
            }
        }
        let shape = self.shape(kind, area, lines(device), node.cxl);
        self.boxes.push(shape);
        next
    }

    fn link(&mut self, from: Area, to: Area) {
        let from = (from.right(), from.middle());
        self.links.push(Link {
            from,
            bend: from.0 + COLUMN_GAP / 2,
            to: (to.x, to.middle()),
        });
    }
}

/// The functions of a bus, those of one endpoint together: they are alike and have one name.
fn devices(functions: &[Function]) -> impl Iterator<Item = &[Function]> {
    functions.chunk_by(|a, b| a.name == b.name)
}

/// The three lines in a device's box.
fn lines(device: &[Function]) -> Vec<String> {
    let [node, others @ ..] = device else {
        return Vec::new();
    };
    let mut address = node.short_address().to_string();
    let mut role = node.role();
    if let Some((secondary, subordinate)) = node.buses() {
        address.push_str(&format!("  buses {secondary:02x}-{subordinate:02x}"));
    }
    if let Some(slot) = &node.slot {
        role.push_str(&format!(", slot {}", slot.number));
    }
    if let Some(last) = others.last() {
        address.push_str(&format!(" to {}", last.short_address()));
        role.push_str(&format!(", {} functions", device.len()));
    }
    vec![node.name.clone(), address, role]
}

fn longest_line(device: &[Function]) -> usize {
    let own = lines(device).iter().map(|line| line.chars().count()).max();
    let below = device
        .iter()
        .flat_map(|node| devices(&node.below))
        .map(longest_line)
        .max();
    own.max(below).unwrap_or(0)
}

/// The text, or as much of it as fits in `characters` with an ellipsis.
fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_string();
    }
    let kept = text.chars().take(characters.saturating_sub(1));
    kept.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_to_the_character() {
        assert_eq!(cut("rootport", 8), "rootport");
        assert_eq!(cut("rootport1", 8), "rootpor…");
        assert_eq!(cut("größer12", 6), "größe…");
    }
}
