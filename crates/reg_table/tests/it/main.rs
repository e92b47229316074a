//! The mechanism, on a block that has one field of every access right.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use reg_table::Access;
use reg_table::BLOCKS;
use reg_table::Field;
use reg_table::Meaning;
use reg_table::Page;
use reg_table::RegisterFile;
use reg_table::Reset;
use reg_table::RestoreMismatch;
use reg_table::WordMask;
use reg_table::plan;
use reg_table::plan::Subject;
use reg_table::register_block;
use std::sync::atomic::Ordering;

register_block! {
    /// One field of each kind.
    pub ZOO: ZooReg = "zoo" {
        title: "Zoo",
        section: "test 1",
        bytes: 12,
    }
    0x00 id: u8 as () = 0x10, "test 1.1" { ro: [value[7:0]] }
    0x01 next: u8 as () = 0, "test 1.1" { ro: [value[7:0]] }
    0x02 caps: u16 as () = 0x8001, "test 1.2" { hwinit: [size[3:0]], ro: [kind[15:12]] }
    0x04 control: u16 as () = 0x00f0, "test 1.3" {
        rw: [plain[3:0]], rws: [sticky[7:4]], rw_not_flr: [kept[11:8]], strobe: [go[15:15]],
    }
    0x06 status: u16 as () = 0, "test 1.4" {
        rw1c: [event[0:0]], rw1cs: [latched[1:1]], ro: [state[2:2]], ros: [log[3:3]], live: [present[4:4]],
        rw1s: [lock[5:5]],
    }
    0x08 address: u32 as () = 0, "test 1.5" { rw: [value[31:2]] }
}

#[test]
fn every_access_right_does_what_it_says() {
    let zoo = RegisterFile::new(ZooReg::Id);
    assert_eq!(zoo.read(0), 0x8001_0010);
    zoo.set(ZooReg::Status, 0x1fu16);
    zoo.write(4, u32::MAX, u32::MAX);
    assert_eq!(zoo.get(ZooReg::Control), 0x0fff, "the strobe reads zero");
    assert_eq!(
        zoo.get(ZooReg::Status),
        0x003c,
        "RW1C cleared, RO kept, RW1S set"
    );
    zoo.write(4, 0, u32::MAX);
    assert_eq!(
        zoo.get(ZooReg::Status),
        0x003c,
        "writing zero neither clears RW1C nor RW1S"
    );
    zoo.write(8, u32::MAX, u32::MAX);
    assert_eq!(zoo.read(8), 0xffff_fffc, "reserved bits stay zero");
    zoo.write(0, u32::MAX, u32::MAX);
    assert_eq!(zoo.read(0), 0x8001_0010);
    assert_eq!(zoo.read(12), u32::MAX, "beyond the block");
}

#[test]
fn byte_lanes_reach_the_registers() {
    let zoo = RegisterFile::new(ZooReg::Id);
    zoo.set(ZooReg::Status, 0x3u16);
    zoo.write(4, u32::MAX, 0x0000_ffff);
    assert_eq!(
        zoo.get(ZooReg::Status),
        0x3,
        "a two-byte write of control leaves the events"
    );
    zoo.write(4, u32::MAX, 0x00ff_0000);
    assert_eq!(zoo.get(ZooReg::Status), 0x20);
    zoo.write(8, u32::MAX, 0xff00_0000);
    assert_eq!(zoo.read(8), 0xff00_0000);
}

#[test]
fn a_write_reports_each_register_it_touched() {
    let zoo = RegisterFile::new(ZooReg::Id);
    let changes: Vec<_> = zoo.write(4, 0x0001_8001, u32::MAX).collect();
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].register, ZooReg::Control);
    assert_eq!(
        (changes[0].old, changes[0].new, changes[0].strobes),
        (0xf0, 0x01, 0x8000)
    );
    assert_eq!((changes[0].rose(), changes[0].fell()), (0x01, 0xf0));
    assert_eq!((changes[1].register, changes[1].value), (ZooReg::Status, 1));
    let changes: Vec<_> = zoo.write(4, 0xffff, 0x0000_ff00).collect();
    assert_eq!(changes.len(), 1, "status had no lane");
    assert_eq!(changes[0].lanes, 0xff00);
}

#[test]
fn resets_spare_what_they_must() {
    let filled = || {
        let zoo = RegisterFile::new(ZooReg::Id);
        zoo.set(ZooReg::Control, 0x0505u16);
        zoo.set(ZooReg::Status, 0x3fu16);
        zoo
    };
    for (kind, control, status) in [
        (Reset::Cold, 0x00f0, 0x10),
        (Reset::Hot, 0x0000, 0x1a),
        (Reset::FunctionLevel, 0x0500, 0x1a),
    ] {
        let zoo = filled();
        zoo.reset(kind);
        assert_eq!(zoo.get(ZooReg::Control), control, "{kind:?}");
        assert_eq!(zoo.get(ZooReg::Status), status, "{kind:?}");
    }
}

#[test]
fn instances_differ_in_init_and_narrow() {
    let mut zoo = RegisterFile::new(ZooReg::Id);
    zoo.init(ZooReg::Caps, 0x8007u16);
    zoo.narrow(ZooReg::Control, 0x3);
    zoo.write(4, 0xffff, 0xffff);
    assert_eq!(zoo.get(ZooReg::Control), 0xf3);
    assert_eq!(zoo.writable(ZooReg::Control), 0x3);
    zoo.set_writable(ZooReg::Control, 0x0fu32);
    assert_eq!(zoo.get(ZooReg::Control), 0xf3, "only what is writable");
    zoo.narrow(ZooReg::Control, 0xc);
    assert_eq!(
        zoo.writable(ZooReg::Control),
        0xc,
        "of the table, not of what was left"
    );
    zoo.set(ZooReg::Control, 0xf3u32);
    zoo.reset(Reset::Cold);
    assert_eq!(zoo.get(ZooReg::Caps), 0x8007);
    let other = RegisterFile::new(ZooReg::Id);
    assert_eq!(
        other.get(ZooReg::Caps),
        0x8001,
        "the table itself is untouched"
    );
}

#[test]
fn an_attached_file_lives_in_the_page_and_leaves_the_chain_alone() {
    let page = Page::new(0);
    page.words()[0x10].store(0x0000_7c00, Ordering::Relaxed);
    let mut zoo = RegisterFile::new(ZooReg::Id);
    zoo.set(ZooReg::Address, 0x1000u32);
    assert!(zoo.attach(&page, 0x10, 0xff00));
    assert_eq!(page.load(0x40), 0x8001_7c10, "the pointer is the page's");
    assert_eq!(page.load(0x48), 0x1000, "values move along");
    assert_eq!(
        zoo.read(0),
        0x8001_0010,
        "the file does not show the pointer"
    );
    zoo.write(0, 0, u32::MAX);
    zoo.reset(Reset::Cold);
    assert_eq!((page.load(0x40), page.load(0x48)), (0x8001_7c10, 0));
    assert!(
        !zoo.attach(&page, 1022, 0),
        "12 bytes do not fit in the last 8"
    );
}

#[test]
fn restore_takes_what_can_change_and_check_names_what_cannot_be() {
    let mut zoo = RegisterFile::new(ZooReg::Id);
    zoo.write(4, u32::MAX, u32::MAX);
    let saved = zoo.save();
    let other = RegisterFile::new(ZooReg::Id);
    assert_eq!(other.check(&saved), Ok(()));
    other.restore(&saved);
    assert_eq!(other.save(), saved);
    zoo.init(ZooReg::Caps, 0x8002u16);
    assert_eq!(
        zoo.check(&saved),
        Err(RestoreMismatch::Fixed {
            block: "zoo",
            offset: 0,
            expected: 0x0002_0000,
            found: 0x0001_0000
        })
    );
    assert_eq!(
        zoo.check(&saved[..2]),
        Err(RestoreMismatch::Length {
            block: "zoo",
            expected: 3,
            found: 2
        })
    );
    zoo.restore(&saved);
    assert_eq!(
        zoo.get(ZooReg::Caps),
        0x8002,
        "hardware-initialised fields stay as composed"
    );
}

#[test]
fn inspection_names_the_only_field_of_a_register_too() {
    let zoo = RegisterFile::new(ZooReg::Id);
    zoo.set(ZooReg::Address, 0xffff_fffcu32);
    let seen = inspect::inspect("", &zoo).results().json().to_string();
    // All of `id` is its field; `address` has reserved bits, and a field of another name.
    assert!(seen.contains(r#""id": 16,"#), "{seen}");
    assert!(
        seen.contains(r#""address": {"raw": 4294967292, "value": 1073741823}"#),
        "{seen}"
    );
}

/// A subject that can be given one mistake, to see the plan find it.
struct ZooSubject {
    file: RegisterFile<ZooReg>,
    mistake: Mistake,
}

#[derive(Copy, Clone, PartialEq)]
enum Mistake {
    None,
    IgnoresLanes,
    Aliases,
    ForgetsOnRestore,
    ResetKeepsAll,
    ClearsEventsBeside,
    HasNoEvents,
}

impl ZooSubject {
    /// What the plan is there to find: a narrow write made a wide one.
    fn read_merge_and_write(&mut self, offset: u16, value: u32, lanes: u32) {
        let merged = (self.file.read(offset) & !lanes) | (value & lanes);
        self.file.write(offset, merged, u32::MAX);
    }
}

impl Subject for ZooSubject {
    fn block(&self) -> &'static reg_table::Block {
        self.file.block()
    }
    fn masks(&self) -> Vec<WordMask> {
        self.file.masks()
    }
    fn read(&self, offset: u16) -> u32 {
        self.file.read(offset)
    }
    fn write(&mut self, offset: u16, value: u32, lanes: u32) {
        let lanes = if self.mistake == Mistake::IgnoresLanes {
            u32::MAX
        } else {
            lanes
        };
        self.file.write(offset, value, lanes);
        if self.mistake == Mistake::ClearsEventsBeside {
            self.read_merge_and_write(offset, value, lanes);
        }
        if self.mistake == Mistake::Aliases && offset == 8 {
            self.file.write(4, value, lanes);
        }
    }
    fn latch(&mut self, offset: u16, bits: u32) {
        if self.mistake != Mistake::HasNoEvents {
            self.file.hardware_side().set_bits(offset, bits);
        }
    }
    fn reset(&mut self, kind: Reset) {
        if self.mistake != Mistake::ResetKeepsAll {
            self.file.reset(kind);
        }
    }
    fn save(&mut self) -> Vec<u8> {
        self.file
            .save()
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect()
    }
    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let words: Vec<_> = saved
            .chunks(4)
            .map(|c| c.try_into().map(u32::from_le_bytes).unwrap_or(0))
            .collect();
        self.file.check(&words).map_err(|e| e.to_string())?;
        let keep = if self.mistake == Mistake::ForgetsOnRestore {
            1
        } else {
            words.len()
        };
        self.file.restore(words.get(..keep).unwrap_or_default());
        Ok(())
    }
}

fn findings(make: fn() -> Box<dyn Subject>) -> Vec<String> {
    plan::run(&plan::SubjectEntry { name: "zoo", make })
}

fn zoo(mistake: Mistake) -> Box<dyn Subject> {
    Box::new(ZooSubject {
        file: RegisterFile::new(ZooReg::Id),
        mistake,
    })
}

#[test]
fn the_plan_passes_a_sound_block_and_finds_each_mistake() {
    assert_eq!(findings(|| zoo(Mistake::None)), Vec::<String>::new());
    assert!(!findings(|| zoo(Mistake::IgnoresLanes)).is_empty());
    assert!(!findings(|| zoo(Mistake::Aliases)).is_empty());
    assert!(!findings(|| zoo(Mistake::ForgetsOnRestore)).is_empty());
    assert!(!findings(|| zoo(Mistake::ResetKeepsAll)).is_empty());
    assert!(!findings(|| zoo(Mistake::ClearsEventsBeside)).is_empty());
    assert!(!findings(|| zoo(Mistake::HasNoEvents)).is_empty());
}

#[test]
fn a_declared_block_is_registered_and_missed_without_a_subject() {
    assert!(BLOCKS.iter().any(|block| block.name == "zoo"));
    assert_eq!(plan::blocks_without_subject(), ["ruler", "zoo"]);
}

#[test]
fn the_reference_names_every_field() {
    let text = reg_table::reference::markdown(&ZOO);
    assert!(
        text.contains("| 0x004 | **control** | 3:0 | plain | RW | 0x0 | test 1.3 |"),
        "{text}"
    );
    assert!(
        text.contains("| | | 15 | go | RW, reads 0 | 0x0 | |"),
        "{text}"
    );
}

register_block! {
    /// Registers whose numbers stand for others.
    pub(crate) RULER: RulerReg = "ruler" {
        title: "Ruler",
        section: "ruler 1",
        bytes: 8,
    }
    0x00 base: u8 as () = 0x10, "ruler 1.1" { rw: [address[7:4] => Address(12)] }
    0x01 limit: u8 as () = 0xf0, "ruler 1.1" { rw: [address[7:4] => Limit(12)] }
    0x02 sizes: u16 as () = 0x0305, "ruler 1.2" { rw: [payload[2:0] => Doubling(128), vectors[10:8] => LessOne] }
    0x04 upper: u32 as () = 0x12, "ruler 1.3" { rw: [value[31:0] => Address(32)] }
}

#[test]
fn a_field_shows_what_it_stands_for_beside_its_register() {
    let ruler = RegisterFile::new(RulerReg::Base);
    let seen = inspect::inspect("", &ruler).results().json().to_string();
    for part in [
        r#""base": {"address": 4096, "raw": 16}"#,
        r#""limit": {"address": 65535, "raw": 240}"#,
        r#""sizes": {"payload": 4096, "raw": 773, "vectors": 4}"#,
        r#""upper": {"raw": 18, "value": 77309411328}"#,
    ] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
    let reference = reg_table::reference::markdown(&RULER);
    for part in [
        "| address = n << 12 |",
        "| address = (n << 12) + 0xfff |",
        "| payload = 128 << n |",
        "| vectors = n + 1 |",
    ] {
        assert!(reference.contains(part), "{part} in {reference}");
    }
}

#[test]
fn a_number_that_is_too_large_is_the_largest() {
    let field = Field::new("size", 0, 8, Access::Rw).with_meaning(Meaning::Doubling(1 << 20));
    assert_eq!([0, 43].map(|n| field.value(n)), [1 << 20, 1 << 63]);
    assert_eq!([44, 63, 64, 255].map(|n| field.value(n)), [u64::MAX; 4]);
}
