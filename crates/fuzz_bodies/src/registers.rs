//! Every register block, against an array of bytes.
//!
//! The model is made from the table: for each byte, which bits take what is written, which are cleared by ones and which set, and
//! what each reset leaves. It shares no code with the mechanism that it judges. What a table cannot say, the block's subject declares
//! as a consequence; those bits are taken from the block once the consequence may have come.

use crate::steps;
use arbitrary::Arbitrary;
use arbitrary::Unstructured;
use reg_table::Access;
use reg_table::Block;
use reg_table::Reset;
use reg_table::plan::SUBJECTS;
use reg_table::plan::Subject;
use reg_table::plan::SubjectEntry;
use std::sync::LazyLock;

/// Of one block, and blocks of one input.
const STEPS_MAX: usize = 12;
const BLOCKS_MAX: usize = 16;

#[derive(Arbitrary, Copy, Clone, Debug)]
enum Step {
    Write {
        offset: u16,
        value: u32,
        lanes: u8,
    },
    /// An event of the hardware: sets bits that are cleared by ones.
    Latch {
        offset: u16,
        bits: u32,
    },
    Reset(u8),
    Restore,
}

/// Writes, resets, saves and restores blocks, and compares all of a block after each step.
///
/// # Panics
///
/// - a byte reads otherwise than in the model;
/// - its own state is refused.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // In order of name: link order is the linker's.
    static ENTRIES: LazyLock<Vec<&SubjectEntry>> = LazyLock::new(|| {
        let mut entries: Vec<_> = SUBJECTS.iter().collect();
        entries.sort_by_key(|entry| entry.name);
        entries
    });
    for _ in 0..BLOCKS_MAX {
        let Ok(entry) = input.choose(&ENTRIES) else {
            return;
        };
        one(entry, &mut input);
    }
}

fn one(entry: &SubjectEntry, input: &mut Unstructured<'_>) {
    let mut subject = (entry.make)();
    let mut model = Model::new(subject.as_ref());
    for step in steps::<Step>(input).take(STEPS_MAX) {
        match step {
            Step::Write {
                offset,
                value,
                lanes,
            } => {
                let offset = (offset % subject.block().bytes) & !3;
                let lanes = (0..4).filter(|lane| lanes & (1 << lane) != 0);
                let mask = lanes.fold(0, |mask, lane| mask | 0xff << (8 * lane));
                subject.write(offset, value, mask);
                model.write(subject.as_ref(), offset, value, mask);
            }
            Step::Latch { offset, bits } => {
                let offset = (offset % subject.block().bytes) & !3;
                let bits = model.latch(offset, bits);
                if bits != 0 {
                    subject.latch(offset, bits);
                }
            }
            Step::Reset(kind) => {
                let kind = [Reset::Cold, Reset::Hot, Reset::FunctionLevel][usize::from(kind % 3)];
                subject.reset(kind);
                model.reset(kind);
            }
            Step::Restore => {
                let saved = subject.save();
                subject.restore(&saved).unwrap();
                assert_eq!(subject.save(), saved, "{}: saved again", entry.name);
            }
        }
        model.compare(subject.as_ref(), entry.name, step);
    }
}

/// What may happen to the bits of one byte.
#[derive(Copy, Clone, Default)]
struct Rights {
    takes: u8,
    cleared_by_one: u8,
    set_by_one: u8,
    /// What a cold, a hot and a function-level reset leave.
    kept: [u8; 3],
    reset: u8,
}

/// A block as bytes.
struct Model {
    block: &'static Block,
    bytes: Vec<u8>,
    rights: Vec<Rights>,
    /// Bits whose value the table does not say any more.
    unknown: Vec<u8>,
    /// Bits that become unknown by a write to the register of a name, or by `reset`.
    consequences: Vec<(&'static str, Vec<u8>)>,
}

impl Model {
    fn new(subject: &dyn Subject) -> Self {
        let block = subject.block();
        let mut rights = rights(block);
        for ((rights, mask), lane) in rights
            .iter_mut()
            .zip(subject.masks().iter().flat_map(|mask| [mask; 4]))
            .zip([0, 1, 2, 3].into_iter().cycle())
        {
            // This instance may lack a feature, and has values of its own.
            let here = |mask: u32| mask.to_le_bytes()[lane];
            rights.takes &= here(mask.rw);
            rights.cleared_by_one &= here(mask.rw1c);
            rights.set_by_one &= here(mask.rw1s);
            rights.reset = here(mask.reset);
        }
        let consequences = subject
            .consequences()
            .iter()
            .map(|consequence| {
                let mut bits = vec![0; usize::from(block.bytes)];
                for register in block.registers.iter().filter(|r| r.name == consequence.on) {
                    for (byte, at) in consequence
                        .bits
                        .to_le_bytes()
                        .into_iter()
                        .zip(usize::from(register.offset)..)
                        .take(register.bytes.into())
                    {
                        bits[at] |= byte;
                    }
                }
                (consequence.of, bits)
            })
            .collect();
        Self {
            block,
            bytes: bytes_of(subject),
            unknown: vec![0; rights.len()],
            rights,
            consequences,
        }
    }

    fn write(&mut self, subject: &dyn Subject, offset: u16, value: u32, lanes: u32) {
        for (lane, at) in (0..4).zip(usize::from(offset)..) {
            let (value, lanes) = (value.to_le_bytes()[lane], lanes.to_le_bytes()[lane]);
            if lanes == 0 {
                continue;
            }
            let rights = self.rights[at];
            let byte = &mut self.bytes[at];
            *byte = (*byte & !rights.takes) | (value & rights.takes);
            *byte &= !(value & rights.cleared_by_one);
            *byte |= value & rights.set_by_one;
            let written = u16::try_from(at)
                .ok()
                .and_then(|at| subject.block().register_at(at));
            self.forget(written.map_or("", |register| register.name));
        }
    }

    /// Sets those of the bits that ones clear, and returns them.
    fn latch(&mut self, offset: u16, bits: u32) -> u32 {
        let mut latched = [0; 4];
        for ((byte, bits), at) in latched
            .iter_mut()
            .zip(bits.to_le_bytes())
            .zip(usize::from(offset)..)
        {
            *byte = bits & self.rights[at].cleared_by_one;
            self.bytes[at] |= *byte;
        }
        u32::from_le_bytes(latched)
    }

    fn reset(&mut self, kind: Reset) {
        for (byte, rights) in self.bytes.iter_mut().zip(&self.rights) {
            let kept = rights.kept[kind as usize];
            *byte = (*byte & kept) | (rights.reset & !kept);
        }
        self.forget("reset");
    }

    /// What a write to `of` does beside the table may last, so it is forgotten for good.
    fn forget(&mut self, of: &str) {
        for (_, bits) in self.consequences.iter().filter(|(name, _)| *name == of) {
            for (unknown, bits) in self.unknown.iter_mut().zip(bits) {
                *unknown |= bits;
            }
        }
    }

    fn compare(&mut self, subject: &dyn Subject, name: &str, step: Step) {
        for (((found, byte), unknown), at) in bytes_of(subject)
            .into_iter()
            .zip(&mut self.bytes)
            .zip(&self.unknown)
            .zip(0u16..)
        {
            let (seen, expected) = (found & !unknown, *byte & !unknown);
            if seen != expected {
                let register = self.block.register_at(at);
                let register = register.map_or("", |register| register.name);
                panic!(
                    "byte {at:#x} ({register}) of {name} after {step:?}: {seen:#x}, not {expected:#x}"
                );
            }
            *byte = found;
        }
    }
}

/// The rights of each byte, from the fields of the table.
fn rights(block: &Block) -> Vec<Rights> {
    let mut rights = vec![Rights::default(); usize::from(block.bytes)];
    for register in block.registers {
        for field in register.fields {
            for (bits, at) in field
                .mask()
                .to_le_bytes()
                .into_iter()
                .zip(usize::from(register.offset)..)
                .take(register.bytes.into())
            {
                let byte = &mut rights[at];
                match field.access {
                    Access::Rw | Access::Rws | Access::RwNotFlr => byte.takes |= bits,
                    Access::Rw1c | Access::Rw1cs => byte.cleared_by_one |= bits,
                    Access::Rw1s => byte.set_by_one |= bits,
                    Access::Ro | Access::Hwinit | Access::Ros | Access::Live | Access::Strobe => {}
                }
                // PCIe 6.2 section 7.4: which reset leaves what.
                let [cold, hot, function] = &mut byte.kept;
                match field.access {
                    Access::Hwinit | Access::Live => {
                        *cold |= bits;
                        *hot |= bits;
                        *function |= bits;
                    }
                    Access::Ros | Access::Rws | Access::Rw1cs => {
                        *hot |= bits;
                        *function |= bits;
                    }
                    Access::RwNotFlr => *function |= bits,
                    Access::Ro | Access::Rw | Access::Rw1c | Access::Rw1s | Access::Strobe => {}
                }
            }
        }
    }
    rights
}

fn bytes_of(subject: &dyn Subject) -> Vec<u8> {
    (0..subject.block().bytes)
        .step_by(4)
        .flat_map(|offset| subject.read(offset).to_le_bytes())
        .collect()
}
