//! A register file as inspection shows it: registers by name, fields decoded.

use crate::BlockRegister;
use crate::Field;
use crate::Meaning;
use crate::RegisterFile;
use inspect::Inspect;

impl<R: BlockRegister> Inspect for RegisterFile<R> {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        for &register in R::ALL {
            let value = self.get(register);
            let entry = register.register();
            match entry.fields {
                [] => {}
                // A field that is all there is to the register, or has its name, would only say it twice.
                [field]
                    if field.meaning == Meaning::Plain
                        && (field.mask() == entry.mask() || entry.name.ends_with(field.name)) =>
                {
                    resp.field(entry.name, FieldValue { field, value });
                }
                fields => {
                    resp.child(entry.name, |req| {
                        let mut resp = req.respond();
                        resp.hex("raw", value);
                        for field in fields {
                            resp.field(field.name, FieldValue { field, value });
                        }
                    });
                }
            }
        }
    }
}

/// One field of a register's value as inspection shows it: a bit as a bool, sizes and counts as decimal numbers, all else as hexadecimal
/// ones.
struct FieldValue<'a> {
    field: &'a Field,
    value: u32,
}

impl Inspect for FieldValue<'_> {
    fn inspect(&self, req: inspect::Request<'_>) {
        let value = self.field.value(self.value);
        match self.field.meaning {
            Meaning::Plain if self.field.bits == 1 => req.value(value != 0),
            Meaning::Plain | Meaning::Address(_) | Meaning::Limit(_) => {
                req.with_hex_format().value(value);
            }
            Meaning::Doubling(_) | Meaning::LessOne => req.value(value),
        }
    }
}
