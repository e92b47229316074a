//! The register reference: the tables as Markdown.

use crate::Block;
use crate::Meaning;
use alloc::string::String;
use core::fmt::Write;

/// One block as a Markdown section: its registers, and each one's fields with bits and access rights.
pub fn markdown(block: &Block) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_block(&mut out, block);
    out
}

fn write_block(out: &mut String, block: &Block) -> core::fmt::Result {
    writeln!(out, "## {}\n", block.title)?;
    writeln!(
        out,
        "`{}`, {}, {} bytes.\n",
        block.name, block.section, block.bytes
    )?;
    writeln!(
        out,
        "| offset | register | bits | field | access | reset | section |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- | --- |")?;
    for register in block.registers {
        if register.fields.is_empty() {
            writeln!(
                out,
                "| {:#05x} | *reserved* | {}:0 | | | | |",
                register.offset,
                register.bytes * 8 - 1
            )?;
        }
        let mut fields = register.fields.to_vec();
        fields.sort_unstable_by_key(|field| field.lsb);
        for (i, field) in fields.iter().enumerate() {
            match i {
                0 => write!(out, "| {:#05x} | **{}** ", register.offset, register.name)?,
                _ => write!(out, "| | ")?,
            }
            let high = field.lsb + field.bits - 1;
            match field.bits {
                1 => write!(out, "| {high} ")?,
                _ => write!(out, "| {high}:{} ", field.lsb)?,
            }
            let meaning = match field.meaning {
                Meaning::Plain => String::new(),
                other => alloc::format!(" = {other}"),
            };
            write!(
                out,
                "| {}{meaning} | {} | {:#x} | ",
                field.name,
                field.access,
                field.extract(register.reset)
            )?;
            match i {
                0 => writeln!(out, "{} |", register.section)?,
                _ => writeln!(out, "|")?,
            }
        }
    }
    Ok(())
}
