//! INTx below a root complex: four wires, and how each bridge connects them (PCIe 6.2 section 2.2.8.1).

use inspect::Inspect;
use parking_lot::Mutex;
use pci_spec::cfg_space::PciInterruptPin;
use std::sync::Arc;
use vmcore::line_interrupt::LineInterrupt;
use vmcore::line_interrupt::LineSetTarget;

/// The wires that INTA to INTD of what is in one place of the hierarchy end at.
///
/// A bridge connects pin p of device d on its secondary bus to wire (p + d) mod 4 of its own; see [`Self::of_device`]. Any number of
/// functions may drive a wire, which is high while one of them does.
///
/// ```
/// use pci_bus::IntxLines;
/// use pci_spec::cfg_space::PciInterruptPin;
/// use vmcore::line_interrupt::{LineInterrupt, test_helpers::TestLineInterruptTarget};
///
/// let controller = TestLineInterruptTarget::new_arc();
/// let lines = IntxLines::new([0, 1, 2, 3].map(|n| {
///     LineInterrupt::new_with_target("intx", controller.clone(), 16 + n)
/// }));
/// let line = lines.of_device(2).line("nic", PciInterruptPin::IntD);
/// line.set_level(true);
/// assert!(controller.is_high(16 + 1));
/// drop(line);
/// assert!(!controller.is_high(16 + 1));
/// ```
#[derive(Clone)]
pub struct IntxLines {
    wires: [Arc<Wire>; 4],
}

/// A line of the interrupt controller, and how many functions drive it high.
struct Wire {
    line: LineInterrupt,
    high: Mutex<usize>,
}

impl Wire {
    fn change(&self, was: bool, is: bool) {
        let mut high = self.high.lock();
        *high = (*high + usize::from(is)).saturating_sub(usize::from(was));
        // Told again even when it did not change: a controller that was reset learns the level so.
        self.line.set_level(*high > 0);
    }
}

/// One function's contribution to a wire.
struct Contribution {
    wire: Arc<Wire>,
    high: Mutex<bool>,
}

impl LineSetTarget for Contribution {
    fn set_irq(&self, _vector: u32, high: bool) {
        let mut level = self.high.lock();
        self.wire.change(std::mem::replace(&mut level, high), high);
    }
}

impl IntxLines {
    /// Wires that end at these lines of an interrupt controller: INTA to INTD as they arrive at its root complex.
    pub fn new(lines: [LineInterrupt; 4]) -> Self {
        Self {
            wires: lines.map(|line| {
                Arc::new(Wire {
                    line,
                    high: Mutex::new(0),
                })
            }),
        }
    }

    /// The wires as device `device` of the bus below a bridge sees them, whose own wires these are.
    pub fn of_device(&self, device: u8) -> Self {
        let mut wires = self.wires.clone();
        wires.rotate_left(usize::from(device) % self.wires.len());
        Self { wires }
    }

    /// A function's connection for pin `pin`. It stops driving the wire when it is dropped. `label` shows up in inspection.
    pub fn line(&self, label: &str, pin: PciInterruptPin) -> LineInterrupt {
        let [a, b, c, d] = &self.wires;
        let wire = match pin {
            PciInterruptPin::IntA => a,
            PciInterruptPin::IntB => b,
            PciInterruptPin::IntC => c,
            PciInterruptPin::IntD => d,
        };
        let contribution = Contribution {
            wire: wire.clone(),
            high: Mutex::new(false),
        };
        LineInterrupt::new_with_target(label.to_owned(), Arc::new(contribution), pin as u32)
    }
}

/// Shows how many functions drive each wire.
impl Inspect for IntxLines {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        for (name, wire) in ["a", "b", "c", "d"].into_iter().zip(&self.wires) {
            resp.field(name, *wire.high.lock());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmcore::line_interrupt::test_helpers::TestLineInterruptTarget;

    fn lines() -> (IntxLines, Arc<TestLineInterruptTarget>) {
        let controller = TestLineInterruptTarget::new_arc();
        let lines =
            [0, 1, 2, 3].map(|n| LineInterrupt::new_with_target("intx", controller.clone(), n));
        (IntxLines::new(lines), controller)
    }

    #[test]
    fn a_wire_is_high_while_one_function_drives_it() {
        let (lines, controller) = lines();
        let sources: Vec<_> = (0..40)
            .map(|i| lines.line(&format!("f{i}"), PciInterruptPin::IntB))
            .collect();
        for source in &sources {
            source.set_level(true);
            source.set_level(true);
        }
        for source in sources {
            assert!(controller.is_high(1));
            source.set_level(false);
        }
        assert!(!controller.is_high(1));
    }

    /// PCIe 6.2 table 2-21: device number modulo 4 against the pin.
    #[test]
    fn bridges_connect_as_the_specification_says() {
        let (lines, controller) = lines();
        use PciInterruptPin::*;
        for (device, pins) in [
            (0, [0, 1, 2, 3]),
            (1, [1, 2, 3, 0]),
            (2, [2, 3, 0, 1]),
            (3, [3, 0, 1, 2]),
            (4, [0, 1, 2, 3]),
            (31, [3, 0, 1, 2]),
        ] {
            for (pin, wire) in [IntA, IntB, IntC, IntD].into_iter().zip(pins) {
                let line = lines.of_device(device).line("f", pin);
                line.set_level(true);
                assert!(controller.is_high(wire), "device {device}, {pin:?}");
                drop(line);
                assert!(!controller.is_high(wire), "device {device}, {pin:?}");
            }
        }
    }
}
