//! A register file as inspection shows it: registers by name, fields decoded.

use crate::BlockRegister;
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
                [field] if field.mask() == entry.mask() || entry.name.ends_with(field.name) => {
                    resp.field(
                        entry.name,
                        FieldValue {
                            bits: field.bits,
                            value: field.extract(value),
                        },
                    );
                }
                fields => {
                    resp.child(entry.name, |req| {
                        let mut resp = req.respond();
                        resp.hex("raw", value);
                        for field in fields {
                            resp.field(
                                field.name,
                                FieldValue {
                                    bits: field.bits,
                                    value: field.extract(value),
                                },
                            );
                        }
                    });
                }
            }
        }
    }
}

/// One field as inspection shows it: a bit as a bool, more as a hexadecimal number.
struct FieldValue {
    bits: u8,
    value: u32,
}

impl Inspect for FieldValue {
    fn inspect(&self, req: inspect::Request<'_>) {
        if self.bits == 1 {
            req.value(self.value != 0);
        } else {
            req.with_hex_format().value(self.value);
        }
    }
}
