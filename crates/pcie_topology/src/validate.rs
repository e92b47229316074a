//! Finding every mistake of a description.

mod bar;
mod cxl_window;
mod endpoint;
mod port;
mod root_complex;

use crate::EndpointSpec;
use crate::Problem;
use crate::Problems;
use crate::Topology;
use crate::layout::Region;
use std::collections::BTreeMap;
use std::fmt::Display;

/// First address that does not exist.
const ADDRESS_END: u64 = 1 << 52;

impl Topology {
    /// Finds every mistake.
    ///
    /// # Errors
    ///
    /// The problems:
    ///
    /// - no root complex;
    /// - names that are not letters, digits, `_`, `.` and `-`, or that two things have;
    /// - bus numbers whose first is above the last, that two root complexes of a segment share, or that are too few;
    /// - ECAM not at a multiple of 1 MiB, host bridge registers not at one of 64 KiB, apertures not at one of 4 KiB, empty, or
    ///   beyond the addresses of their kind (32 bits, 4 GiB to 2^52, 16 bits); address ranges that overlap;
    /// - places that do not exist, that are taken, or whose device has no function 0; slot numbers above 8191 or used twice;
    /// - ACS services that are not emulated; CXL ports without protocol, or in a root complex without host bridge registers;
    /// - I/O BARs, and I/O windows, below a port without I/O window;
    /// - BARs of ports beside one with component registers or MSI-X, which takes both slots;
    /// - a conventional endpoint behind a port, or with what is in extended configuration space;
    /// - a switch and an endpoint behind one port; devices with too many functions, or more than 8 where ARI is not forwarded;
    /// - BARs whose size is no power of two, too small or too large, whose number is taken, or for which there is no room; what
    ///   does not fit in its BAR, or overlaps; MSI and MSI-X with vectors that cannot be; CXL memory that is no multiple of
    ///   256 MiB;
    /// - CXL windows that are no multiple of 256 MiB for each target, that go to what is no CXL host bridge or to as many as cannot be
    ///   interleaved, with a wrong granularity, that allow nothing, or are where something else is.
    pub fn validate(&self) -> Result<(), Problems> {
        let mut checker = Checker::default();
        if self.root_complex.is_empty() {
            checker.problem(
                "root_complex",
                "",
                "there is none, and so nothing to compose",
            );
        }
        for (i, root_complex) in self.root_complex.iter().enumerate() {
            let place = format!("root_complex[{i}]");
            checker.root_complex(&place, root_complex);
            for (j, other) in self.root_complex.iter().enumerate().take(i) {
                checker.root_complexes(&place, root_complex, &format!("root_complex[{j}]"), other);
            }
        }
        checker.cxl_windows(self);
        Problems::check(checker.problems)
    }
}

/// What is above an endpoint.
#[derive(Copy, Clone)]
pub(crate) enum Above {
    /// The root bus, for one integrated in the root complex.
    RootBus,
    /// A port.
    Port(PortTraits),
}

/// What an endpoint needs to know of the port it is behind.
#[derive(Copy, Clone)]
pub(crate) struct PortTraits {
    pub(crate) ari_forwarding: bool,
    pub(crate) cxl_mem: bool,
    pub(crate) io_window: bool,
}

/// Finds every mistake of an endpoint by itself; places are relative to it.
pub(crate) fn endpoint(endpoint: &EndpointSpec, above: Above) -> Result<(), Problems> {
    let mut checker = Checker::default();
    checker.endpoint("", endpoint, above);
    Problems::check(checker.problems)
}

/// The problems so far, and what must be unique.
#[derive(Default)]
struct Checker {
    problems: Vec<Problem>,
    /// Names, and what has them.
    names: BTreeMap<String, String>,
    /// Slot numbers, and the ports that have them.
    slots: BTreeMap<u32, String>,
}

impl Checker {
    /// Notes a problem of `field` of what is at `place`.
    fn problem(&mut self, place: &str, field: &str, message: impl Display) {
        let separator = if place.is_empty() || field.is_empty() {
            ""
        } else {
            "."
        };
        self.problems.push(Problem {
            place: format!("{place}{separator}{field}"),
            message: message.to_string(),
        });
    }

    fn name(&mut self, place: &str, name: &str) {
        let well_formed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(well_formed) {
            self.problem(
                place,
                "name",
                format_args!("{name:?} is no name: a name is letters, digits, '_', '.' and '-'"),
            );
        } else if let Some(other) = self.names.get(name) {
            let message = format!("\"{name}\" is used by {other} as well");
            self.problem(place, "name", message);
        } else {
            self.names.insert(name.to_owned(), place.to_owned());
        }
    }

    /// Checks that parts of a BAR of `size` bytes lie in it, apart from one another. Each is a field's name, and the part.
    fn regions(&mut self, place: &str, bar: &str, size: u64, regions: &[(&str, Region)]) {
        for (i, (field, region)) in regions.iter().enumerate() {
            if region.end() > size {
                let (offset, len) = (region.offset, region.len);
                let message = format!(
                    "{len:#x} bytes at {offset:#x} do not fit in {bar}, which has {size:#x}"
                );
                self.problem(place, field, message);
            }
            for (other_field, other) in regions.iter().take(i) {
                if region.overlaps(other) {
                    let (offset, other_offset) = (region.offset, other.offset);
                    let message = format!(
                        "at {offset:#x} of {bar} it overlaps {other_field} at {other_offset:#x}"
                    );
                    self.problem(place, field, message);
                }
            }
        }
    }
}
