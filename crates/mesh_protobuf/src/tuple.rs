//! Tuples: messages without a name, whose fields are numbered from 1.

use crate::Error;
use crate::FieldDescription;
use crate::Key;
use crate::Message;
use crate::MessageDescription;
use crate::Presence;
use crate::Protobuf;
use crate::Reader;
use crate::Writer;

macro_rules! tuple {
    ($($item:ident $binding:ident $number:literal $name:literal),*) => {
        impl<$($item: Protobuf),*> Message for ($($item,)*) {
            type Draft = ($($item::Draft,)*);

            const MESSAGE: &'static MessageDescription<'static> = &MessageDescription {
                package: "",
                name: "",
                fields: &[$(FieldDescription {
                    number: $number,
                    name: $name,
                    field_type: $item::TYPE,
                }),*],
                one_of: false,
            };

            fn write_fields(&self, writer: &mut Writer) {
                let ($($binding,)*) = self;
                $($binding.write($number, Presence::Implicit, writer);)*
            }

            fn read_field(draft: &mut Self::Draft, key: Key, reader: &mut Reader<'_>) -> Result<(), Error> {
                let ($($binding,)*) = draft;
                match key.number() {
                    $($number => $item::read($binding, key, reader),)*
                    _ => reader.skip(key),
                }
            }

            fn finish_fields(draft: Self::Draft) -> Result<Self, Error> {
                let ($($binding,)*) = draft;
                Ok(($($item::finish($binding).map_err(|error| error.in_field(Self::MESSAGE, $number))?,)*))
            }
        }
    };
}
tuple!(A a 1 "item_1", B b 2 "item_2");
tuple!(A a 1 "item_1", B b 2 "item_2", C c 3 "item_3");
tuple!(A a 1 "item_1", B b 2 "item_2", C c 3 "item_3", D d 4 "item_4");
