//! Functions as sysfs shows them.

use crate::channel::Bar;
use crate::channel::Function;
use crate::channel::Window;
use crate::channel::WindowKind;
use anyhow::Context;
use anyhow::Result;
use std::path::Path;

const DEVICES: &str = "/sys/bus/pci/devices";

/// Lines of `resource` before a bridge's windows: six BARs, the expansion ROM, and six BARs of virtual functions, which a kernel has that
/// is built with SR-IOV.
const BAR_LINES: usize = 6;
const WINDOW_LINES: usize = 13;

/// The order of a bridge's windows.
const WINDOWS: [WindowKind; 3] = [WindowKind::Io, WindowKind::Memory, WindowKind::Prefetchable];

/// All of them, by address.
pub(super) fn functions() -> Result<Vec<Function>> {
    let mut functions = Vec::new();
    for entry in std::fs::read_dir(DEVICES)? {
        let bdf = entry?.file_name().to_string_lossy().into_owned();
        functions.push(function(&bdf).with_context(|| bdf.clone())?);
    }
    functions.sort_by(|a, b| a.bdf.cmp(&b.bdf));
    Ok(functions)
}

fn function(bdf: &str) -> Result<Function> {
    let folder = Path::new(DEVICES).join(bdf);
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).context(name.to_string());
    let number = |name: &str| {
        let text = text(name)?;
        hexadecimal(&text).with_context(|| format!("{name}: {text}"))
    };
    let bus = |name: &str| -> Option<u8> { text(name).ok()?.trim().parse().ok() };
    let (bars, windows) = resources(&text("resource")?);
    Ok(Function {
        bdf: bdf.to_string(),
        parent: parent(&std::fs::canonicalize(&folder)?),
        vendor: u16::try_from(number("vendor")?)?,
        device: u16::try_from(number("device")?)?,
        class: u32::try_from(number("class")?)?,
        driver: std::fs::read_link(folder.join("driver"))
            .ok()
            .and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned())),
        bars,
        buses: bus("secondary_bus_number").zip(bus("subordinate_bus_number")),
        windows,
    })
}

/// A function's folder lies in that of the bridge above it.
fn parent(folder: &Path) -> Option<String> {
    let name = folder.parent()?.file_name()?.to_string_lossy();
    // A root bus is called `pci0000:00`.
    (!name.starts_with("pci")).then(|| name.into_owned())
}

/// BARs and windows from the lines of `resource`: start, last address and flags of each.
fn resources(text: &str) -> (Vec<Bar>, Vec<Window>) {
    let ranges: Vec<Option<(u64, u64)>> = text.lines().map(range).collect();
    let bars = (0u8..).zip(ranges.iter().take(BAR_LINES));
    let windows = WINDOWS
        .iter()
        .zip(ranges.iter().skip(WINDOW_LINES))
        .filter_map(|(kind, range)| {
            let (start, last) = (*range)?;
            Some(Window {
                kind: *kind,
                start,
                last,
            })
        });
    (
        bars.filter_map(|(index, range)| {
            let (start, last) = (*range)?;
            Some(Bar { index, start, last })
        })
        .collect(),
        windows.collect(),
    )
}

/// What a line says; nothing is there if it has no flags.
fn range(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace().map(hexadecimal);
    let (start, last, flags) = (words.next()??, words.next()??, words.next()??);
    (flags != 0 && last != 0).then_some((start, last))
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: &str = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";

    #[test]
    fn a_bar_is_a_line_with_flags() {
        let text = format!(
            "0x0000004000000000 0x0000004000003fff 0x000000000014220c\n{NOTHING}\
             0x00000000c0000000 0x00000000c0000fff 0x0000000000040200\n{NOTHING}{NOTHING}{NOTHING}{NOTHING}"
        );
        let (bars, windows) = resources(&text);
        let bar = |index, start, last| Bar { index, start, last };
        assert_eq!(
            bars,
            [
                bar(0, 0x40_0000_0000, 0x40_0000_3fff),
                bar(2, 0xc000_0000, 0xc000_0fff),
            ]
        );
        assert!(windows.is_empty());
    }

    #[test]
    fn windows_follow_all_bars() {
        let text = format!(
            "{}{NOTHING}0x00000000c0000000 0x00000000c00fffff 0x0000000000000200\n\
             0x0000004000000000 0x00000040000fffff 0x0000000000102201\n{NOTHING}",
            NOTHING.repeat(13)
        );
        let (bars, windows) = resources(&text);
        assert!(bars.is_empty());
        let kinds: Vec<_> = windows.iter().map(|window| window.kind).collect();
        assert_eq!(kinds, [WindowKind::Memory, WindowKind::Prefetchable]);
        assert_eq!(windows[0].last, 0xc00f_ffff);
    }

    #[test]
    fn a_function_on_a_root_bus_has_no_parent() {
        let parent = |folder: &str| parent(Path::new(folder));
        assert_eq!(parent("/sys/devices/pci0000:00/0000:00:01.0"), None);
        assert_eq!(
            parent("/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0").as_deref(),
            Some("0000:00:01.0")
        );
    }
}
