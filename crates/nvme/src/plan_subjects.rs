//! The register block of this crate as a subject of the common plan ([`reg_table::plan`]).

use crate::spec::registers::NVME_CONTROLLER;
use crate::spec::registers::NvmeReg;
use reg_table::Block;
use reg_table::RegisterFile;
use reg_table::Reset;
use reg_table::WordMask;
use reg_table::plan::Subject;
use reg_table::plan_subjects;

/// The registers without the workers, which answer some writes in their own time.
struct Registers(RegisterFile<NvmeReg>);

impl Subject for Registers {
    fn block(&self) -> &'static Block {
        &NVME_CONTROLLER
    }

    fn masks(&self) -> Vec<WordMask> {
        self.0.masks().to_vec()
    }

    fn read(&self, offset: u16) -> u32 {
        self.0.read(offset)
    }

    fn write(&mut self, offset: u16, value: u32, lanes: u32) {
        // What a write means is for the controller, which isn't here.
        let _ = self.0.write(offset, value, lanes);
    }

    fn latch(&mut self, offset: u16, bits: u32) {
        self.0.hardware_side().set_bits(offset, bits);
    }

    fn reset(&mut self, kind: Reset) {
        self.0.reset(kind);
    }

    fn save(&mut self) -> Vec<u8> {
        let dwords = self.0.save();
        dwords
            .iter()
            .flat_map(|dword| dword.to_le_bytes())
            .collect()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let (dwords, rest) = saved.as_chunks();
        let dwords: Vec<_> = dwords.iter().copied().map(u32::from_le_bytes).collect();
        if !rest.is_empty() {
            return Err("not dwords".into());
        }
        self.0.check(&dwords).map_err(|error| error.to_string())?;
        self.0.restore(&dwords);
        Ok(())
    }
}

plan_subjects! {
    "nvme controller" => Registers(RegisterFile::new(NvmeReg::CapLow)),
}

#[cfg(test)]
mod tests {
    use reg_table::plan;

    #[test]
    fn the_block_passes_the_plan() {
        let entry = plan::SUBJECTS
            .iter()
            .find(|entry| entry.name == "nvme controller")
            .unwrap();
        assert_eq!(plan::run(entry), Vec::<String>::new());
    }
}
