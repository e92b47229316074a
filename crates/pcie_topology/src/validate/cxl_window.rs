//! Windows for CXL memory.

use super::ADDRESS_END;
use super::Checker;
use super::root_complex::GIB4;
use super::root_complex::memory_ranges;
use crate::CxlWindowSpec;
use crate::Topology;
use crate::model::WINDOW_ALIGN;

/// Numbers of targets that interleaving can have (CXL 3.1 section 8.2.4.20.7).
const WAYS: [usize; 8] = [1, 2, 3, 4, 6, 8, 12, 16];
const GRANULARITY_MIN: u64 = 256;
const GRANULARITY_MAX: u64 = 16 << 10;

impl Checker {
    pub(super) fn cxl_windows(&mut self, topology: &Topology) {
        for (i, window) in topology.cxl_window.iter().enumerate() {
            let place = format!("cxl_window[{i}]");
            self.name(&place, &window.name);
            self.window_size(&place, window);
            self.window_targets(&place, window, topology);
            let granularity = window.granularity.0;
            if !granularity.is_power_of_two()
                || !(GRANULARITY_MIN..=GRANULARITY_MAX).contains(&granularity)
            {
                let message = format!(
                    "{granularity} bytes; a granularity is a power of two from {GRANULARITY_MIN} to {GRANULARITY_MAX}"
                );
                self.problem(&place, "granularity", message);
            }
            let coherent =
                window.device_coherent || window.host_only_coherent || window.back_invalidate;
            if !coherent || !(window.volatile || window.persistent) {
                self.problem(
                    &place,
                    "",
                    "it allows no memory: it needs `host_only_coherent`, `device_coherent` or `back_invalidate`, and `volatile` or `persistent`",
                );
            }
            self.window_range(&place, i, window, topology);
        }
    }

    fn window_size(&mut self, place: &str, window: &CxlWindowSpec) {
        let size = window.size.0;
        let ways = u64::try_from(window.targets.len()).unwrap_or(u64::MAX);
        let align = WINDOW_ALIGN.saturating_mul(ways.max(1));
        if size == 0 || size > ADDRESS_END || !size.is_multiple_of(align) {
            let message = format!(
                "{size:#x} bytes; a window to {ways} has a multiple of {align:#x}, and {ADDRESS_END:#x} at most"
            );
            self.problem(place, "size", message);
        }
    }

    fn window_targets(&mut self, place: &str, window: &CxlWindowSpec, topology: &Topology) {
        let count = window.targets.len();
        if !WAYS.contains(&count) {
            let message = format!("there are {count}; there can be 1, 2, 3, 4, 6, 8, 12 or 16");
            self.problem(place, "targets", message);
        }
        for (i, target) in window.targets.iter().enumerate() {
            let field = format!("targets[{i}]");
            let complexes = &topology.root_complex;
            match complexes.iter().find(|complex| complex.name == *target) {
                None => self.problem(
                    place,
                    &field,
                    format_args!("no root complex is named \"{target}\""),
                ),
                Some(complex) if complex.chbcr.is_none() => self.problem(
                    place,
                    &field,
                    format_args!("\"{target}\" is no CXL host bridge: it has no `chbcr`"),
                ),
                Some(_) => {}
            }
            if window.targets.iter().take(i).any(|other| other == target) {
                self.problem(
                    place,
                    &field,
                    format_args!("\"{target}\" is a target already"),
                );
            }
        }
    }

    fn window_range(
        &mut self,
        place: &str,
        index: usize,
        window: &CxlWindowSpec,
        topology: &Topology,
    ) {
        let Some(range) = window.range() else {
            return;
        };
        self.range(place, "base", range, WINDOW_ALIGN, GIB4..ADDRESS_END);
        for (i, complex) in topology.root_complex.iter().enumerate() {
            for (field, other) in memory_ranges(complex) {
                let other_place = format!("root_complex[{i}].{field}");
                self.apart(place, ("base", range), &other_place, other);
            }
        }
        for (i, other) in topology.cxl_window.iter().enumerate().take(index) {
            if let Some(other) = other.range() {
                self.apart(place, ("base", range), &format!("cxl_window[{i}]"), other);
            }
        }
    }
}
