//! What a schema promises to the states that were saved under it.

use crate::schema::Field;
use crate::schema::Schema;
use mesh_protobuf::MessageDescription;
use mesh_protobuf::reachable_messages;

/// Every message and field of `before` that is gone, or means something else, in `now`.
pub(crate) fn broken(before: &Schema, now: &Schema) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, fields) in &before.0 {
        let Some(found) = now.0.get(name) else {
            broken.push(format!("{name} is gone"));
            continue;
        };
        for (number, field) in fields {
            let was = format!("{name}: field {number} was {}", shown(field));
            match found.get(number) {
                None => broken.push(format!("{was}, and is gone")),
                Some(found) if found != field => {
                    broken.push(format!("{was}, and is {}", shown(found)));
                }
                Some(_) => {}
            }
        }
    }
    broken
}

fn shown(field: &Field) -> String {
    let choice = if field.variant {
        ", one of several"
    } else {
        ""
    };
    format!("'{}' ({}{choice})", field.declaration, field.rust_type)
}

/// Fields that messages of `before` did not have, and that the decoder misses where they are absent, as they are in every state
/// that was saved before.
pub(crate) fn required_additions(
    before: &Schema,
    roots: &[&'static MessageDescription<'static>],
) -> Vec<String> {
    let mut findings = Vec::new();
    for message in reachable_messages(roots.iter().copied()) {
        let name = message.full_name();
        let Some(fields) = before.0.get(&name) else {
            continue;
        };
        // A variant that is new is absent where another is present.
        for field in message.fields.iter().filter(|_| !message.one_of) {
            if !fields.contains_key(&field.number) && !field.field_type.may_be_absent() {
                findings.push(format!(
                    "{name}: field {} '{}' ({}) is new, and states without it do not decode: make it an Option",
                    field.number, field.name, field.field_type
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_protobuf::DescribedProtobuf;
    use mesh_protobuf::Protobuf;
    use mesh_protobuf::to_proto_files;

    /// The same message in several versions.
    macro_rules! version {
        ($version:ident, $body:tt) => {
            mod $version {
                use super::*;
                #[derive(Protobuf)]
                #[mesh(package = "demo")]
                pub(super) struct State $body
            }
        };
    }
    version!(first, {
        #[mesh(1)]
        pub(super) command: u16,
        #[mesh(2)]
        pub(super) name: String,
    });
    version!(grown, {
        #[mesh(1)]
        pub(super) command: u16,
        #[mesh(2)]
        pub(super) name: String,
        #[mesh(3)]
        pub(super) status: u16,
    });
    version!(demanding, {
        #[mesh(1)]
        pub(super) command: u16,
        #[mesh(2)]
        pub(super) name: String,
        #[mesh(3)]
        pub(super) vectors: [u32; 2],
    });
    version!(renumbered, {
        #[mesh(1)]
        pub(super) command: u16,
        #[mesh(3)]
        pub(super) name: String,
    });
    version!(retyped, {
        #[mesh(1)]
        pub(super) command: u32,
        #[mesh(2)]
        pub(super) name: String,
    });
    version!(relabelled, {
        #[mesh(1)]
        pub(super) command: Option<u16>,
        #[mesh(2)]
        pub(super) name: String,
    });
    version!(reused, {
        #[mesh(1)]
        pub(super) command: u16,
        #[mesh(2)]
        pub(super) label: String,
    });

    type Description = MessageDescription<'static>;

    fn findings(before: &'static Description, now: &'static Description) -> Vec<String> {
        let schema = |message| Schema::parse_all(&to_proto_files(&[message])).unwrap();
        let mut found = broken(&schema(before), &schema(now));
        found.extend(required_additions(&schema(before), &[now]));
        found
    }

    #[test]
    fn what_is_new_is_welcome() {
        let (first, grown) = (first::State::DESCRIPTION, grown::State::DESCRIPTION);
        assert_eq!(findings(first, first), [""; 0]);
        assert_eq!(findings(first, grown), [""; 0]);
    }

    #[test]
    fn what_is_gone_is_found() {
        assert_eq!(
            findings(grown::State::DESCRIPTION, first::State::DESCRIPTION),
            ["demo.State: field 3 was 'uint32 status' (u16), and is gone"]
        );
        let none = Schema::default();
        let files = to_proto_files(&[first::State::DESCRIPTION]);
        assert_eq!(
            broken(&Schema::parse_all(&files).unwrap(), &none),
            ["demo.State is gone"]
        );
    }

    #[test]
    fn a_changed_number_type_label_or_meaning_is_found() {
        for (now, finding) in [
            (
                renumbered::State::DESCRIPTION,
                "demo.State: field 2 was 'string name' (String), and is gone",
            ),
            (
                retyped::State::DESCRIPTION,
                "demo.State: field 1 was 'uint32 command' (u16), and is 'uint32 command' (u32)",
            ),
            (
                relabelled::State::DESCRIPTION,
                "demo.State: field 1 was 'uint32 command' (u16), and is 'optional uint32 command' (Option<u16>)",
            ),
            (
                reused::State::DESCRIPTION,
                "demo.State: field 2 was 'string name' (String), and is 'string label' (String)",
            ),
        ] {
            assert_eq!(findings(first::State::DESCRIPTION, now), [finding]);
        }
    }

    #[test]
    fn an_addition_that_old_states_lack_is_found() {
        assert_eq!(
            findings(first::State::DESCRIPTION, demanding::State::DESCRIPTION),
            [
                "demo.State: field 3 'vectors' ([u32; 2]) is new, and states without it do not decode: make it an Option"
            ]
        );
    }
}
