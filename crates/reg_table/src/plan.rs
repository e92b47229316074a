//! The common plan: what must hold for every register block, checked without a line of test code a block.
//!
//! A crate that emulates a block offers instances of it through [`SUBJECTS`]. [`run`] then checks reset values, access
//! rights bit by bit, byte lanes, aliasing, resets after random writes and events, and that saving, restoring and saving again
//! gives the same bytes; [`blocks_without_subject`] names blocks that nobody offers.

use crate::BLOCKS;
use crate::Block;
use crate::Reset;
use crate::WordMask;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;

/// Every instance offered by the linked program.
#[linkme::distributed_slice]
pub static SUBJECTS: [SubjectEntry];

/// How to make one instance.
#[derive(Copy, Clone, Debug)]
pub struct SubjectEntry {
    /// Says which variant of the block it is.
    pub name: &'static str,
    /// Makes it, as after a cold reset.
    pub make: fn() -> Box<dyn Subject>,
}

/// An effect that the table cannot say: a write to one register that changes others, or takes write access away.
#[derive(Copy, Clone, Debug)]
pub struct Consequence {
    /// The register written, by name; `reset` stands for any reset.
    pub of: &'static str,
    /// The register whose bits then differ from what the table says.
    pub on: &'static str,
    /// Those bits, from the register's own bit 0.
    pub bits: u32,
}

/// An instance of a block, as the plan drives it. Offsets are relative to the block.
pub trait Subject {
    /// The table.
    fn block(&self) -> &'static Block;
    /// The access masks of this instance.
    fn masks(&self) -> Vec<WordMask>;
    /// Software reads a dword.
    fn read(&self, offset: u16) -> u32;
    /// Software writes the lanes of a dword.
    fn write(&mut self, offset: u16, value: u32, lanes: u32);
    /// An event of the hardware sets bits of a dword, all of them RW1C.
    fn latch(&mut self, offset: u16, bits: u32);
    /// Resets it.
    fn reset(&mut self, kind: Reset);
    /// Its saved state, encoded.
    fn save(&mut self) -> Vec<u8>;
    /// Restores an encoded state; a refusal leaves it as it was.
    fn restore(&mut self, saved: &[u8]) -> Result<(), String>;
    /// What the table cannot say.
    fn consequences(&self) -> &'static [Consequence] {
        &[]
    }
}

/// Names of blocks that no subject offers.
pub fn blocks_without_subject() -> Vec<&'static str> {
    let offered: Vec<_> = SUBJECTS
        .iter()
        .map(|entry| (entry.make)().block().name)
        .collect();
    let mut missing: Vec<_> = BLOCKS
        .iter()
        .map(|block| block.name)
        .filter(|name| !offered.contains(name))
        .collect();
    missing.sort_unstable();
    missing
}

/// Runs the plan on one subject; each finding is one sentence.
pub fn run(entry: &SubjectEntry) -> Vec<String> {
    let mut plan = Plan {
        entry,
        findings: Vec::new(),
    };
    plan.reset_values();
    plan.every_byte();
    plan.resets();
    plan.saving();
    plan.findings
}

const RESETS: [Reset; 3] = [Reset::Cold, Reset::Hot, Reset::FunctionLevel];

struct Plan<'a> {
    entry: &'a SubjectEntry,
    findings: Vec<String>,
}

impl Plan<'_> {
    fn finding(&mut self, text: String) {
        if self.findings.len() < 20 {
            self.findings.push(format!("{}: {text}", self.entry.name));
        }
    }

    fn compare(&mut self, what: &str, offset: u16, expected: u32, found: u32) {
        if expected != found {
            self.finding(format!(
                "{what}: {offset:#05x} reads {found:#010x}, expected {expected:#010x}"
            ));
        }
    }

    /// As made, and again after a cold reset, each register has its reset value.
    fn reset_values(&mut self) {
        let mut subject = (self.entry.make)();
        let masks = subject.masks();
        if masks.len() * 4 != usize::from(subject.block().bytes) {
            self.finding(format!(
                "{} masks for a block of {} bytes",
                masks.len(),
                subject.block().bytes
            ));
        }
        for round in ["as made", "after a cold reset"] {
            for (mask, offset) in masks.iter().zip((0..).step_by(4)) {
                let found = subject.read(offset);
                let free = mask.live | consequent(subject.as_ref(), offset, |of| of == "reset");
                self.compare(round, offset, mask.reset & !free, found & !free);
            }
            subject.reset(Reset::Cold);
        }
    }

    /// Each bit of each byte, written alone, does what its access right says, and nothing else moves: least of all an event that
    /// is pending beside it.
    fn every_byte(&mut self) {
        self.latching();
        for prepared in [false, true] {
            for offset in 0..(self.entry.make)().block().bytes {
                for pattern in [0x00, 0xff, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
                    let mut subject = (self.entry.make)();
                    if prepared {
                        scramble(subject.as_mut(), u32::from(offset) + 1, 3);
                    }
                    latch(subject.as_mut(), || u32::MAX);
                    self.one_byte(subject.as_mut(), offset, pattern, prepared);
                }
            }
        }
    }

    /// Events set the bits that they are to set, or all that follows would pass for want of any.
    fn latching(&mut self) {
        let mut subject = (self.entry.make)();
        latch(subject.as_mut(), || u32::MAX);
        for (mask, offset) in subject.masks().iter().zip((0..).step_by(4)) {
            let found = subject.read(offset) & mask.rw1c;
            self.compare("RW1C bits after events", offset, mask.rw1c, found);
        }
    }

    fn one_byte(&mut self, subject: &mut dyn Subject, byte: u16, pattern: u32, prepared: bool) {
        let before = read_all(subject);
        let shift = u32::from(byte % 4) * 8;
        let aligned = byte & !3;
        // The other lanes carry ones: they must not matter.
        subject.write(
            aligned,
            (pattern << shift) | !(0xff << shift),
            0xff << shift,
        );
        let masks = subject.masks();
        let after = read_all(subject);
        let written = subject
            .block()
            .register_at(byte)
            .map(|r| r.name)
            .unwrap_or_default();
        for (((mask, old), new), offset) in
            masks.iter().zip(before).zip(after).zip((0..).step_by(4))
        {
            let expected = if offset == aligned {
                written_value(mask, old, pattern << shift, 0xff << shift)
            } else {
                old
            };
            // After earlier writes, locks and the like may already be in force.
            let free = consequent(subject, offset, |of| {
                of == written || (prepared && of != "reset")
            });
            let what = format!("writing {pattern:#04x} to byte {byte:#05x} ({written})");
            self.compare(&what, offset, expected & !free, new & !free);
        }
    }

    /// After random writes, each kind of reset leaves and clears what the table says.
    fn resets(&mut self) {
        for kind in RESETS {
            for seed in 1..20 {
                let mut subject = (self.entry.make)();
                scramble(subject.as_mut(), seed, 50);
                let before = read_all(subject.as_ref());
                subject.reset(kind);
                let masks = subject.masks();
                for ((mask, old), offset) in masks.iter().zip(before).zip((0..).step_by(4)) {
                    let free = consequent(subject.as_ref(), offset, |of| of == "reset");
                    let found = subject.read(offset);
                    self.compare(
                        &format!("{kind:?} reset"),
                        offset,
                        reset_value(mask, old, kind) & !free,
                        found & !free,
                    );
                }
            }
        }
    }

    /// Save, change everything, restore, save: the same bytes and the same values; damaged bytes do no harm.
    fn saving(&mut self) {
        for seed in 1..20 {
            let mut subject = (self.entry.make)();
            scramble(subject.as_mut(), seed, 50);
            let (saved, values) = (subject.save(), read_all(subject.as_ref()));
            let mut other = (self.entry.make)();
            scramble(other.as_mut(), seed + 100, 50);
            if let Err(error) = other.restore(&saved) {
                self.finding(format!("its own state is refused: {error}"));
                continue;
            }
            if other.save() != saved {
                self.finding("saving what was restored gives other bytes".to_string());
            }
            for ((found, expected), offset) in read_all(other.as_ref())
                .into_iter()
                .zip(values)
                .zip((0..).step_by(4))
            {
                self.compare("restored", offset, expected, found);
            }
            self.damaged(&saved, seed);
        }
    }

    fn damaged(&mut self, saved: &[u8], seed: u32) {
        let mut subject = (self.entry.make)();
        scramble(subject.as_mut(), seed + 200, 50);
        let mut random = Random(seed);
        for length in 0..saved.len() {
            let mut bytes = saved.get(..length).unwrap_or_default().to_vec();
            if seed.is_multiple_of(2)
                && let Some(byte) = bytes.get_mut(random.next() as usize % length.max(1))
            {
                *byte ^= 1 << (random.next() % 8);
            }
            let before = subject.save();
            if subject.restore(&bytes).is_ok() {
                let accepted = subject.save();
                self.accepted(&accepted);
            } else if subject.save() != before {
                self.finding(format!(
                    "a refused state of {length} bytes changed something"
                ));
            }
        }
    }

    /// What a damaged but accepted state leaves behind can be saved and restored, and a cold reset ends it.
    fn accepted(&mut self, saved: &[u8]) {
        let mut subject = (self.entry.make)();
        if let Err(error) = subject.restore(saved) {
            self.finding(format!("the state after a damaged one is refused: {error}"));
        }
        if subject.save() != saved {
            self.finding("the state after a damaged one is not saved as it was".to_string());
        }
        subject.reset(Reset::Cold);
        for (mask, offset) in subject.masks().iter().zip((0..).step_by(4)) {
            let free = mask.live | consequent(subject.as_ref(), offset, |of| of == "reset");
            let found = subject.read(offset);
            let what = "a cold reset after a damaged state";
            self.compare(what, offset, mask.reset & !free, found & !free);
        }
    }
}

/// Offers instances to the plan: `"name" => subject`, each a [`SubjectEntry`](crate::plan::SubjectEntry) in
/// [`SUBJECTS`](crate::plan::SUBJECTS). The expression makes a [`Subject`](crate::plan::Subject) as after a cold reset.
#[macro_export]
macro_rules! plan_subjects {
    ($($name:literal => $make:expr),+ $(,)?) => {
        $(
            const _: () = {
                #[$crate::private::linkme::distributed_slice($crate::plan::SUBJECTS)]
                #[linkme(crate = $crate::private::linkme)]
                static ENTRY: $crate::plan::SubjectEntry = $crate::plan::SubjectEntry {
                    name: $name,
                    make: || $crate::private::Box::new($make),
                };
            };
        )+
    };
}

/// Bits of a dword that may differ from the table after a write to a register that `of` accepts.
fn consequent(subject: &dyn Subject, offset: u16, of: impl Fn(&str) -> bool) -> u32 {
    let mut bits = 0;
    for consequence in subject.consequences().iter().filter(|c| of(c.of)) {
        for register in subject
            .block()
            .registers
            .iter()
            .filter(|r| r.name == consequence.on)
        {
            if register.word() == usize::from(offset) / 4 {
                bits |= (consequence.bits & register.mask()) << register.shift();
            }
        }
    }
    bits
}

/// What PCIe 6.2 section 7.4 says of a write, bit by bit: slower than [`WordMask::write`], and independent of it.
fn written_value(mask: &WordMask, old: u32, value: u32, lanes: u32) -> u32 {
    each_bit(|bit| {
        let (was, wrote) = (old & bit != 0, value & bit != 0);
        if lanes & bit == 0 {
            was
        } else if mask.rw & bit != 0 {
            wrote
        } else if mask.rw1c & bit != 0 {
            was && !wrote
        } else if mask.rw1s & bit != 0 {
            was || wrote
        } else {
            was
        }
    })
}

/// What a reset leaves, bit by bit; beside [`WordMask::reset`] as [`written_value`] is beside writing.
fn reset_value(mask: &WordMask, old: u32, kind: Reset) -> u32 {
    each_bit(|bit| {
        let survives = mask.live & bit != 0
            || mask.sticky & bit != 0 && kind != Reset::Cold
            || mask.not_flr & bit != 0 && kind == Reset::FunctionLevel;
        (if survives { old } else { mask.reset }) & bit != 0
    })
}

fn each_bit(is_set: impl Fn(u32) -> bool) -> u32 {
    (0..u32::BITS)
        .map(|n| 1 << n)
        .filter(|bit| is_set(*bit))
        .fold(0, |word, bit| word | bit)
}

/// Has an event happen at every RW1C bit that `choose` has set.
fn latch(subject: &mut dyn Subject, mut choose: impl FnMut() -> u32) {
    for (mask, offset) in subject.masks().iter().zip((0..).step_by(4)) {
        let bits = mask.rw1c & choose();
        if bits != 0 {
            subject.latch(offset, bits);
        }
    }
}

fn read_all(subject: &dyn Subject) -> Vec<u32> {
    (0..subject.block().bytes)
        .step_by(4)
        .map(|offset| subject.read(offset))
        .collect()
}

/// Random writes, then random events.
fn scramble(subject: &mut dyn Subject, seed: u32, writes: usize) {
    let mut random = Random(seed);
    for _ in 0..writes {
        let offset =
            u16::try_from(random.next() % u32::from(subject.block().bytes)).unwrap_or(0) & !3;
        let lanes = (0..4)
            .filter(|_| random.next().is_multiple_of(2))
            .fold(0, |lanes, n| lanes | (0xff << (8 * n)));
        subject.write(offset, random.next(), lanes);
    }
    latch(subject, || random.next());
}

/// Xorshift: repeatable, and good enough to hit every bit.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        let mut x = self.0.wrapping_mul(0x9e37_79b9) | 1;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.0 = x;
        x
    }
}
