//! The derives together with the `bitfield` attribute of bitfield-struct.

use crate::show;
use crate::show_at;
use bitfield_struct::bitfield;
use inspect::Inspect;
use inspect::InspectMut;

#[derive(Debug, Clone, Copy, Inspect)]
enum Speed {
    Reserved,
    Gen1,
}

impl Speed {
    const fn into_bits(self) -> u8 {
        self as u8
    }

    const fn from_bits(bits: u8) -> Self {
        if bits == 1 {
            Self::Gen1
        } else {
            Self::Reserved
        }
    }
}

#[derive(Inspect)]
#[bitfield(u16)]
struct Control {
    enable: bool,
    #[bits(3)]
    mode: u8,
    #[bits(4)]
    speed: Speed,
    #[bits(2, access = WO)]
    trigger: u8,
    #[bits(1, access = RO)]
    ready: bool,
    #[bits(1, access = None)]
    hidden: bool,
    #[bits(4)]
    _reserved: u8,
}

/// Both the attributes of the type and those of the bits are taken.
#[derive(Inspect)]
#[inspect(hex, extra = "Status::raw")]
#[bitfield_struct::bitfield(u32)]
struct Status {
    #[bits(8)]
    a: u8,
    #[inspect(binary, rename = "b_bits")]
    #[bits(8)]
    b: u8,
    #[bits(8)]
    #[inspect(with = "|x| u32::from(*x) * 2")]
    c: u8,
    #[inspect(skip)]
    #[bits(4)]
    d: u8,
    #[bits(4)]
    __: u8,
}

impl Status {
    fn raw(&self, resp: &mut inspect::Response<'_>) {
        resp.field("raw", self.into_bits());
    }
}

#[derive(InspectMut)]
#[bitfield(u8)]
struct Exclusive {
    #[bits(8)]
    all: u8,
}

#[bitfield(u16)]
#[derive(Inspect)]
#[inspect(transparent(hex))]
struct Below {
    #[bits(16)]
    all: u16,
}

#[bitfield(u16)]
#[derive(Inspect)]
struct BelowPlain {
    #[bits(16)]
    all: u16,
}

#[test]
fn above_the_bits_are_shown() {
    let control = Control::new()
        .with_enable(true)
        .with_mode(5)
        .with_speed(Speed::Gen1)
        .with_trigger(3);
    assert_eq!(
        show(&control),
        r#"{enable: true, mode: 5, ready: false, speed: "gen1"}"#
    );
    assert_eq!(show_at("speed", &control), r#""gen1""#);
    let status = Status::new().with_a(0x10).with_b(5).with_c(8).with_d(1);
    assert_eq!(
        show(&status),
        "{a: 0x10, b_bits: 0b101, c: 0x10, raw: 0x1080510}"
    );
    assert_eq!(show(&mut Exclusive::new().with_all(3)), "{all: 3}");
}

#[test]
fn below_the_register_is_shown() {
    assert_eq!(show(&Below::new().with_all(0x12)), "0x12");
    assert_eq!(show(&BelowPlain::new().with_all(18)), "{0: 18}");
}
