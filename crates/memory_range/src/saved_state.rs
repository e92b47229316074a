//! A range in saved state.

use crate::MemoryRange;
use mesh_protobuf::DescribedProtobuf;
use mesh_protobuf::Error;
use mesh_protobuf::FieldDescription;
use mesh_protobuf::Key;
use mesh_protobuf::Message;
use mesh_protobuf::MessageDescription;
use mesh_protobuf::Protobuf;
use mesh_protobuf::Reader;
use mesh_protobuf::Writer;

/// What is encoded. Derived code would accept each bound by itself, but only both together are valid or not.
type Bounds = (u64, u64);

impl Message for MemoryRange {
    type Draft = <Bounds as Message>::Draft;

    const MESSAGE: &'static MessageDescription<'static> = &MessageDescription {
        package: "topology",
        name: "MemoryRange",
        fields: &[
            FieldDescription {
                number: 1,
                name: "start",
                field_type: u64::TYPE,
            },
            FieldDescription {
                number: 2,
                name: "end",
                field_type: u64::TYPE,
            },
        ],
        one_of: false,
    };

    fn write_fields(&self, writer: &mut Writer) {
        (self.start(), self.end()).write_fields(writer);
    }

    fn read_field(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
        Bounds::read_field(draft, key, reader)
    }

    fn finish_fields(draft: Self::Draft) -> Result<Self, Error> {
        let (start, end) = Bounds::finish_fields(draft)?;
        Self::try_new(start..end).map_err(|error| Error::invalid_value(error.into()))
    }
}

impl DescribedProtobuf for MemoryRange {
    const DESCRIPTION: &'static MessageDescription<'static> = Self::MESSAGE;
    const TYPE_URL: &'static str = "type.googleapis.com/topology.MemoryRange";
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_protobuf::decode;
    use mesh_protobuf::encode;

    #[test]
    fn a_range_is_its_bounds() {
        let range = MemoryRange::new(0x1000..0x4000);
        // 0x1000 is 1 << 12: 7 zero bits, then 0b10_0000. 0x4000 is 1 << 14: 14 zero bits, then 1.
        let bytes = [0x08, 0x80, 0x20, 0x10, 0x80, 0x80, 0x01];
        assert_eq!(encode(range), bytes);
        assert_eq!(decode::<MemoryRange>(&bytes).unwrap(), range);
        assert_eq!(encode(MemoryRange::EMPTY), []);
        assert_eq!(decode::<MemoryRange>(&[]).unwrap(), MemoryRange::EMPTY);
        assert_eq!(MemoryRange::DESCRIPTION.full_name(), "topology.MemoryRange");
    }

    #[test]
    fn invalid_bounds_are_refused() {
        let error = decode::<(u8, MemoryRange)>(&[0x12, 2, 0x10, 1]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "(tuple).item_2: invalid value: 0x0-0x1 is not aligned to 4 KiB pages"
        );
        let error = decode::<MemoryRange>(&[0x08, 0x80, 0x20]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid value: 0x1000-0x0 ends before it starts"
        );
    }
}
