//! The drawing, read as the XML it is.

use crate::command::print;
use roxmltree::Document;
use roxmltree::Node;

#[derive(Clone, Copy, Debug)]
struct Area {
    x: f64,
    y: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    fn of(rect: Node<'_, '_>) -> Self {
        let (x, y) = (number(rect, "x"), number(rect, "y"));
        Self {
            x,
            y,
            right: x + number(rect, "width"),
            bottom: y + number(rect, "height"),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.x < other.right
            && other.x < self.right
            && self.y < other.bottom
            && other.y < self.bottom
    }
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).unwrap_or("0").parse().unwrap()
}

fn has_class(node: Node<'_, '_>, class: &str) -> bool {
    node.attribute("class")
        .is_some_and(|classes| classes.split(' ').any(|each| each == class))
}

/// The groups of a frame or box with its text, by the class of their rectangle.
fn groups<'a>(document: &'a Document<'a>, class: &str) -> Vec<Node<'a, 'a>> {
    let rect_of = |group: Node<'a, 'a>| group.children().find(|child| child.has_tag_name("rect"));
    let groups = document.descendants().filter(|node| node.has_tag_name("g"));
    groups
        .filter(|group| rect_of(*group).is_some_and(|rect| has_class(rect, class)))
        .collect()
}

fn rect<'a>(group: Node<'a, 'a>) -> Node<'a, 'a> {
    group
        .children()
        .find(|child| child.has_tag_name("rect"))
        .unwrap()
}

fn title<'a>(group: Node<'a, 'a>) -> &'a str {
    group
        .children()
        .find(|child| child.has_tag_name("text"))
        .and_then(|text| text.text())
        .unwrap_or("")
}

#[test]
fn everything_of_the_demo_is_drawn_where_nothing_else_is() {
    let svg = print(&["demo", "--svg", "-"]);
    let document = Document::parse(&svg).unwrap();
    let names: Vec<_> = ["complex", "port", "device", "vacancy"]
        .map(|class| {
            groups(&document, class)
                .into_iter()
                .map(title)
                .collect::<Vec<_>>()
        })
        .to_vec();
    assert_eq!(names[0], ["pcie0", "cxl0"]);
    assert!(names[1].contains(&"switch1-port0"), "{names:?}");
    assert_eq!(
        names[2],
        [
            "iommu0",
            "nvme0",
            "nic0",
            "gpu0",
            "collector0",
            "mem0",
            "mem1",
            "accelerator0"
        ]
    );
    assert_eq!(
        names[3],
        ["slot 1", "slot 3", "slot 16", "slot 17", "slot 32"]
    );

    let sheet = Area::of(document.root_element());
    let boxes: Vec<_> = ["port", "device", "vacancy"]
        .iter()
        .flat_map(|class| groups(&document, class))
        .collect();
    for (index, group) in boxes.iter().enumerate() {
        let area = Area::of(rect(*group));
        assert!(
            area.right < sheet.right && area.bottom < sheet.bottom,
            "{area:?} is off the sheet"
        );
        for other in &boxes[..index] {
            assert!(
                !area.overlaps(&Area::of(rect(*other))),
                "{} covers {}",
                title(*group),
                title(*other)
            );
        }
    }
}

#[test]
fn text_fits_its_box() {
    // The widest character of the fonts named is 0.6 of the 12-pixel size.
    const CHARACTER: f64 = 7.3;
    let svg = print(&["demo", "--svg", "-"]);
    let document = Document::parse(&svg).unwrap();
    for class in ["complex", "port", "device", "vacancy"] {
        for group in groups(&document, class) {
            let area = Area::of(rect(group));
            for text in group
                .children()
                .filter(|child| child.has_tag_name("text") && !has_class(*child, "mark"))
            {
                let characters = text.text().unwrap().chars().count() as f64;
                assert!(
                    number(text, "x") + characters * CHARACTER <= area.right,
                    "{:?}",
                    text.text()
                );
                assert!(number(text, "y") < area.bottom, "{:?}", text.text());
            }
        }
    }
}

#[test]
fn cxl_is_marked_and_slots_are_dashed() {
    let svg = print(&["demo", "--svg", "-"]);
    let document = Document::parse(&svg).unwrap();
    let cxl: Vec<_> = groups(&document, "cxl").into_iter().map(title).collect();
    assert_eq!(
        cxl,
        [
            "mem0",
            "cxl-port0",
            "mem1",
            "cxl-switch0-port0",
            "cxl-switch0-port1",
            "cxl-port1"
        ]
    );
    let style = document
        .descendants()
        .find(|node| node.has_tag_name("style"))
        .unwrap()
        .text()
        .unwrap();
    let rule = style
        .lines()
        .find(|line| line.contains(".vacancy{"))
        .unwrap();
    assert!(rule.contains("stroke-dasharray"), "{rule}");
    assert!(style.contains("prefers-color-scheme:dark"));
    assert_eq!(groups(&document, "slot").len(), 1, "the frame around nvme0");
    assert!(
        !document
            .descendants()
            .any(|node| node.has_tag_name("script"))
    );
}

#[test]
fn a_name_too_long_for_its_box_is_cut_and_whole_in_the_tooltip() {
    let name = "a-port-whose-name-is-longer-than-any-box-it-could-be-drawn-in";
    let path = crate::command::file(
        "long-name.toml",
        format!(
            "[[root_complex]]\nname = \"rc0\"\necam = 0xe000_0000\n[[root_complex.port]]\nname = \"{name}\"\n"
        ),
    );
    let svg = print(&["run", path.to_str().unwrap(), "--svg", "-"]);
    let document = Document::parse(&svg).unwrap();
    let port = groups(&document, "port")[0];
    let drawn = title(port).strip_suffix('…').unwrap();
    assert!(name.starts_with(drawn));
    let tooltip = port
        .children()
        .find(|child| child.has_tag_name("title"))
        .unwrap();
    assert_eq!(tooltip.text().unwrap().lines().next(), Some(name));
}
