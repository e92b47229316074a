//! The pages, and which block stands on which.

use reg_table::BLOCKS;
use reg_table::Block;
use reg_table::reference;
use std::cmp::Ordering;
use std::fmt::Write;

/// One page.
pub(crate) struct Page {
    pub(crate) file: &'static str,
    pub(crate) text: String,
}

/// One area of the specifications.
struct Area {
    file: &'static str,
    title: &'static str,
    about: &'static str,
    /// Whether a block belongs here; the first area that takes it has it.
    takes: fn(&Block) -> bool,
}

const AREAS: &[Area] = &[
    Area {
        file: "cxl.md",
        title: "CXL",
        about: "DVSECs in configuration space, and component registers in memory space.",
        takes: |block| block.section.starts_with("CXL"),
    },
    Area {
        file: "nvme.md",
        title: "NVMe",
        about: "Registers in memory space, in BAR 0.",
        takes: |block| block.section.starts_with("NVMe"),
    },
    Area {
        file: "headers.md",
        title: "Configuration headers",
        about: "The first 64 bytes of a function's configuration space.",
        takes: |block| begins_with(block, "vendor_id", 2),
    },
    Area {
        file: "extended-capabilities.md",
        title: "Extended capabilities",
        about: "Linked from offset 0x100 of configuration space. A dword header gives identifier, version and next offset.",
        takes: |block| begins_with(block, "header", 4),
    },
    Area {
        file: "capabilities.md",
        title: "Capabilities",
        about: "Linked from offset 0x34 of configuration space, and the structures in memory space that they point to.",
        takes: |_| true,
    },
];

/// The order in which the index names the areas.
const INDEX_ORDER: &[&str] = &[
    "headers.md",
    "capabilities.md",
    "extended-capabilities.md",
    "cxl.md",
    "nvme.md",
];

fn begins_with(block: &Block, name: &str, bytes: u8) -> bool {
    block
        .registers
        .first()
        .is_some_and(|register| register.name == name && register.bytes == bytes)
}

/// Every page, the index first.
pub(crate) fn all() -> Vec<Page> {
    let blocks: Vec<_> = BLOCKS.iter().copied().collect();
    let mut pages = vec![Page {
        file: "index.md",
        text: index(&blocks),
    }];
    for area in AREAS {
        pages.push(Page {
            file: area.file,
            text: page(area, &blocks),
        });
    }
    pages
}

/// The blocks of an area, in the order of the specification's sections.
fn blocks_of(area: &Area, blocks: &[&'static Block]) -> Vec<&'static Block> {
    let mut taken: Vec<_> = blocks
        .iter()
        .copied()
        .filter(|block| {
            let first = AREAS.iter().find(|area| (area.takes)(block));
            first.is_some_and(|first| first.file == area.file)
        })
        .collect();
    taken.sort_by(|a, b| by_number(a.section, b.section).then(a.name.cmp(b.name)));
    taken
}

/// Compares texts with runs of digits as numbers: 7.9.3 comes before 7.10.1.
fn by_number(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<Result<u64, String>> {
        text.split(['.', ' '])
            .map(|part| part.parse().map_err(|_| part.to_string()))
            .collect()
    };
    parts(a).cmp(&parts(b))
}

fn index(blocks: &[&'static Block]) -> String {
    let mut out = "# Register reference\n\n\
        Made from the tables that the emulators run on, by `cargo xtask registers`.\n\n\
        The access column uses the terms of PCIe 6.2 section 7.4:\n\n\
        | access | meaning |\n| --- | --- |\n\
        | RO | read-only |\n\
        | HwInit | read-only, given by whoever composes the function; no reset changes it |\n\
        | ROS | read-only; a hot and a function-level reset leave it |\n\
        | RO, live | read-only, follows the state of the hardware; no reset changes it |\n\
        | RW | read-write |\n\
        | RWS | read-write; a hot and a function-level reset leave it |\n\
        | RW, not FLR | read-write; a function-level reset leaves it |\n\
        | RW1C | a written one clears it |\n\
        | RW1CS | a written one clears it; a hot and a function-level reset leave it |\n\
        | RW1S | a written one sets it |\n\
        | RW, reads 0 | a written one starts an action; nothing is stored |\n\n\
        A bit that no field covers is reserved: it reads zero and ignores writes. \
        Behind a field whose number n stands for another, as that of an address or a size in bytes, is which; inspection shows that one. \
        The reset column is the value after a cold reset, before whoever composes the function gives HwInit fields theirs.\n"
        .to_string();
    for file in INDEX_ORDER {
        if let Some(area) = AREAS.iter().find(|area| area.file == *file) {
            let _ = write!(out, "\n## {}\n\n{}\n\n", area.title, area.about);
            out.push_str(&contents(area.file, &blocks_of(area, blocks)));
        }
    }
    out
}

fn page(area: &Area, blocks: &[&'static Block]) -> String {
    let blocks = blocks_of(area, blocks);
    let mut out = format!(
        "# {}\n\n{} See the [index](index.md) for the terms.\n\n",
        area.title, area.about
    );
    out.push_str(&contents("", &blocks));
    for block in blocks {
        let _ = write!(out, "\n{}", reference::markdown(block));
    }
    out
}

/// A list of links to the blocks of a page.
fn contents(file: &str, blocks: &[&'static Block]) -> String {
    let mut out = String::new();
    for block in blocks {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "- [{}]({file}#{}): {}",
            block.title,
            anchor(block.title),
            block.section
        );
    }
    out
}

/// A heading's anchor, as mdBook makes it.
fn anchor(heading: &str) -> String {
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| {
            if c == ' ' {
                '-'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(file: &str) -> Vec<&'static str> {
        let blocks: Vec<_> = BLOCKS.iter().copied().collect();
        let area = AREAS.iter().find(|area| area.file == file).unwrap();
        blocks_of(area, &blocks)
            .iter()
            .map(|block| block.name)
            .collect()
    }

    #[test]
    fn blocks_stand_where_a_reader_looks() {
        assert_eq!(names("headers.md"), ["type0_header", "type1_header"]);
        for (file, block) in [
            ("capabilities.md", "pci_express"),
            ("capabilities.md", "msi_64"),
            ("capabilities.md", "msix_table_entry"),
            ("extended-capabilities.md", "acs"),
            ("extended-capabilities.md", "device_serial_number"),
        ] {
            assert!(names(file).contains(&block), "{file} lacks {block}");
        }
    }

    #[test]
    fn every_block_stands_on_one_page() {
        let mut placed: Vec<_> = INDEX_ORDER.iter().flat_map(|file| names(file)).collect();
        let mut all: Vec<_> = BLOCKS.iter().map(|block| block.name).collect();
        placed.sort_unstable();
        all.sort_unstable();
        assert_eq!(placed, all);
    }

    #[test]
    fn sections_are_in_the_order_of_their_numbers() {
        assert_eq!(
            by_number("PCIe 6.2 section 7.9.3", "PCIe 6.2 section 7.10"),
            Ordering::Less
        );
        assert_eq!(
            by_number("PCIe 6.2 section 7.5", "PCIe 6.2 section 7.5.1"),
            Ordering::Less
        );
    }
}
