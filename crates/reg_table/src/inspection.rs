//! A register file as inspection shows it: registers by name, fields decoded.

use crate::BlockRegister;
use crate::Field;
use crate::Meaning;
use crate::Register;
use crate::RegisterFile;
use crate::image::Words;
use inspect::Inspect;
use inspect::Request;
use inspect::SensitivityLevel;
use inspect::Value;
use inspect::ValueFlags;
use inspect::ValueKind;

impl<R: BlockRegister> Inspect for RegisterFile<R> {
    fn inspect(&self, req: Request<'_>) {
        inspect(R::REGISTERS, R::BY_NAME, &self.words, req);
    }
}

/// The same code for all blocks.
fn inspect(registers: &'static [Register], by_name: &[u16], words: &Words, req: Request<'_>) {
    let mut resp = req.respond();
    let registers = by_name
        .iter()
        .filter_map(|&index| registers.get(usize::from(index)));
    for register in registers {
        let child = |req: Request<'_>| {
            let value = words.get(register);
            match register.shown {
                [field] => shown(field, value).inspect(req),
                fields => {
                    req.leaves(fields.iter().map(|field| (field.name, shown(field, value))));
                }
            }
        };
        if !register.shown.is_empty() {
            resp.fixed_child(register.name, SensitivityLevel::default(), child);
        }
    }
}

/// A field within its register's value: a bit as a bool, sizes and counts as decimal numbers, all else as hexadecimal ones.
#[inline]
fn shown(field: &Field, register: u32) -> Value {
    let value = field.value(register);
    match field.meaning {
        Meaning::Plain if field.bits == 1 => ValueKind::Bool(value != 0).into(),
        Meaning::Plain | Meaning::Address(_) | Meaning::Limit(_) => {
            ValueKind::Unsigned(value).with_flags(ValueFlags::HEX)
        }
        Meaning::Doubling(_) | Meaning::LessOne => ValueKind::Unsigned(value).into(),
    }
}
