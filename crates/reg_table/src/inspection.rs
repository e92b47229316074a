//! A register file as inspection shows it: registers by name, fields decoded.

use crate::BlockRegister;
use crate::Field;
use crate::Meaning;
use crate::Register;
use crate::RegisterFile;
use crate::table::RAW;
use inspect::Inspect;
use inspect::Response;
use inspect::SensitivityLevel;

impl<R: BlockRegister> Inspect for RegisterFile<R> {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        for &register in R::BY_NAME
            .iter()
            .filter_map(|&index| R::ALL.get(usize::from(index)))
        {
            let entry = register.register();
            let value = || self.get(register);
            match entry.fields {
                [] => {}
                // A field that is all there is to the register, or has its name, would only say it twice.
                [field]
                    if field.meaning == Meaning::Plain
                        && (field.mask() == entry.mask() || entry.name.ends_with(field.name)) =>
                {
                    inspect_field(&mut resp, entry.name, field, value);
                }
                _ => {
                    resp.fixed_child(entry.name, SensitivityLevel::default(), |req| {
                        inspect_fields(&mut req.respond(), entry, value());
                    });
                }
            }
        }
    }
}

/// A register's value and its fields, in order of name: there is nothing left to sort.
fn inspect_fields(resp: &mut Response<'_>, register: &'static Register, value: u32) {
    let (before, after) = register
        .fields_by_name
        .split_at_checked(register.fields_before_raw)
        .unwrap_or_default();
    for field in before {
        inspect_field(resp, field.name, field, || value);
    }
    resp.fixed_child(RAW, SensitivityLevel::default(), |req| {
        req.with_hex_format().value(value);
    });
    for field in after {
        inspect_field(resp, field.name, field, || value);
    }
}

/// One field of a register: a bit as a bool, sizes and counts as decimal numbers, all else as hexadecimal ones.
fn inspect_field(
    resp: &mut Response<'_>,
    name: &'static str,
    field: &Field,
    register: impl FnOnce() -> u32,
) {
    resp.fixed_child(name, SensitivityLevel::default(), |req| {
        let value = field.value(register());
        match field.meaning {
            Meaning::Plain if field.bits == 1 => req.value(value != 0),
            Meaning::Plain | Meaning::Address(_) | Meaning::Limit(_) => {
                req.with_hex_format().value(value);
            }
            Meaning::Doubling(_) | Meaning::LessOne => req.value(value),
        }
    });
}
