//! INTx: level, Interrupt Status, Interrupt Disable.

use crate::function::Config;
use crate::function::endpoint_ids;
use pci_core::PciInterruptPin;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::power_management::PowerManagementCapability;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::cfg_space_emu::IntxInterrupt;
use pci_core::spec::caps::power_management::PowerManagementCapabilities;
use std::sync::Arc;
use vmcore::line_interrupt::LineInterrupt;
use vmcore::line_interrupt::LineSetTarget;
use vmcore::save_restore::SaveRestore;

/// Every level the line was driven to.
#[derive(Default)]
struct Line(parking_lot::Mutex<Vec<bool>>);

impl LineSetTarget for Line {
    fn set_irq(&self, _vector: u32, high: bool) {
        self.0.lock().push(high);
    }
}

struct Fixture {
    function: ConfigSpaceType0Emulator,
    intx: Arc<IntxInterrupt>,
    line: Arc<Line>,
}

fn fixture() -> Fixture {
    with_capabilities(vec![])
}

fn with_capabilities(capabilities: Vec<Box<dyn PciCapability>>) -> Fixture {
    let mut function =
        ConfigSpaceType0Emulator::new(endpoint_ids(), capabilities, vec![], DeviceBars::new());
    let line = Arc::new(Line::default());
    let intx = function.set_interrupt_pin(
        PciInterruptPin::IntC,
        LineInterrupt::new_with_target("intc", line.clone(), 0),
    );
    Fixture {
        function,
        intx,
        line,
    }
}

impl Fixture {
    /// Levels since the last call, repetitions left out.
    fn edges(&self) -> Vec<bool> {
        let mut levels = std::mem::take(&mut *self.line.0.lock());
        levels.dedup();
        levels
    }
}

const STATUS: u32 = 1 << 19;
const DISABLE: u32 = 1 << 10;

#[test]
fn the_pin_is_shown_and_survives_a_reset() {
    let mut f = fixture();
    f.function.shows_after_all_ones(&[(0x3c, 0x00ff_03ff)]);
    f.function.reset();
    f.function.shows(&[(0x3c, 0x0000_0300)]);
}

#[test]
fn level_and_status_follow_the_device() {
    let f = fixture();
    f.intx.set_level(true);
    assert_eq!((f.edges(), f.function.read(4)), (vec![true], STATUS));
    f.intx.set_level(false);
    assert_eq!((f.edges(), f.function.read(4)), (vec![false], 0));
}

#[test]
fn disable_holds_the_line_back_and_keeps_the_status() {
    let mut f = fixture();
    f.intx.set_level(true);
    f.edges();
    f.function.write(4, DISABLE);
    assert_eq!(
        (f.edges(), f.function.read(4)),
        (vec![false], STATUS | DISABLE)
    );
    f.intx.set_level(true);
    assert!(!f.edges().contains(&true));
    f.function.write(4, 0);
    assert_eq!(f.edges(), [true]);
    f.function.write(4, !DISABLE);
    assert_eq!(f.edges(), Vec::<bool>::new(), "no change, no call");
    f.function.shows(&[(4, 0x0008_037f)]);
}

#[test]
fn a_reset_lowers_the_line() {
    let mut f = fixture();
    f.function.write(4, DISABLE);
    f.intx.set_level(true);
    f.edges();
    f.function.reset();
    assert!(!f.edges().contains(&true), "not even for a moment");
    f.function.shows(&[(4, 0)]);
    f.intx.set_level(true);
    assert_eq!(f.edges(), [true], "Interrupt Disable was reset as well");
}

#[test]
fn restoring_moves_the_line_once() {
    let mut disabled_and_high = fixture();
    disabled_and_high.function.write(4, DISABLE);
    disabled_and_high.intx.set_level(true);
    let saved = SaveRestore::save(&mut disabled_and_high.function).unwrap();
    let mut f = fixture();
    SaveRestore::restore(&mut f.function, saved).unwrap();
    assert!(!f.edges().contains(&true));
    f.function.shows(&[(4, STATUS | DISABLE)]);
    f.function.write(4, 0);
    assert_eq!(f.edges(), [true]);

    let saved = SaveRestore::save(&mut fixture().function).unwrap();
    let mut f = fixture();
    f.function.write(4, DISABLE);
    f.intx.set_level(true);
    f.edges();
    SaveRestore::restore(&mut f.function, saved).unwrap();
    assert!(!f.edges().contains(&true));
    f.function.shows(&[(4, 0)]);
}

/// PCIe 6.2 section 5.3.1.
#[test]
fn it_is_silent_below_d0() {
    let none = PowerManagementCapabilities::new();
    let pm = PowerManagementCapability::new(none, true);
    let mut f = with_capabilities(vec![Box::new(pm)]);
    f.intx.set_level(true);
    assert_eq!(f.edges(), [true]);
    f.function.write(0x44, 3);
    assert_eq!(f.edges(), [false]);
    let saved = f.function.save().unwrap();
    f.function.write(0x44, 0);
    assert_eq!(f.edges(), [true]);
    f.function.restore(saved).unwrap();
    assert_eq!(f.edges(), [false]);
}
