//! A register file as inspection shows it: registers by name, fields decoded.

use crate::BlockRegister;
use crate::Field;
use crate::Meaning;
use crate::RegisterFile;
use inspect::Inspect;
use inspect::SensitivityLevel;
use inspect::Value;
use inspect::ValueFlags;
use inspect::ValueKind;

impl<R: BlockRegister> Inspect for RegisterFile<R> {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        for &register in R::BY_NAME
            .iter()
            .filter_map(|&index| R::ALL.get(usize::from(index)))
        {
            let entry = register.register();
            match entry.fields {
                [] => {}
                // A field that is all there is to the register, or has its name, would only say it twice.
                [field]
                    if field.meaning == Meaning::Plain
                        && (field.mask() == entry.mask() || entry.name.ends_with(field.name)) =>
                {
                    resp.fixed_child(entry.name, SensitivityLevel::default(), |req| {
                        shown(field, self.get(register)).inspect(req);
                    });
                }
                _ => {
                    resp.fixed_child(entry.name, SensitivityLevel::default(), |req| {
                        let value = self.get(register);
                        let fields = entry.fields_by_name.iter();
                        req.leaves(fields.map(|field| (field.name, shown(field, value))));
                    });
                }
            }
        }
    }
}

/// A field within its register's value: a bit as a bool, sizes and counts as decimal numbers, all else as hexadecimal ones.
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
