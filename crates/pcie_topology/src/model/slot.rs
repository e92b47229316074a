//! Slots and links of ports.

use super::is_default;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::Error;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde::de::value::MapAccessDeserializer;
use std::fmt;

/// A hot-plug slot and what it has (PCIe 6.2 section 6.7.1). In a file it is the slot number alone, for a slot whose devices come and go by
/// surprise, or a table.
///
/// ```
/// use pcie_topology::{SlotSpec, Topology};
///
/// let topology = Topology::from_toml(r#"
///     [[root_complex]]
///     name = "rc0"
///     ecam = 0xe000_0000
///     port = [
///         { name = "rp0", slot = 1 },
///         { name = "rp1", slot = { number = 2, attention_button = true, power_controller = true } },
///     ]
/// "#)?;
/// let ports = &topology.root_complex[0].port;
/// assert_eq!(ports[0].slot, Some(SlotSpec::from(1)));
/// assert!(ports[1].slot.as_ref().is_some_and(|slot| slot.power_controller && !slot.surprise));
/// # Ok::<(), pcie_topology::Problems>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct SlotSpec {
    /// Physical slot number, 0 to 8191, unique in the topology.
    pub number: u32,
    /// Devices may leave without notice.
    #[serde(default, skip_serializing_if = "is_default")]
    pub surprise: bool,
    /// An attention button, with which an operator asks for a device to be added or removed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attention_button: bool,
    /// A power controller: the guest turns the device's power on and off.
    #[serde(default, skip_serializing_if = "is_default")]
    pub power_controller: bool,
    /// A sensor for the manually operated retention latch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mrl_sensor: bool,
    /// An attention indicator.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attention_indicator: bool,
    /// A power indicator.
    #[serde(default, skip_serializing_if = "is_default")]
    pub power_indicator: bool,
    /// An electromechanical interlock, which holds the device until the guest releases it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub interlock: bool,
    /// The guest may leave what the link sees out of presence detection, and go by the presence pin alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub in_band_presence_disable: bool,
}

impl From<u32> for SlotSpec {
    /// A slot whose devices come and go by surprise.
    fn from(number: u32) -> Self {
        Self {
            number,
            surprise: true,
            ..Self::default()
        }
    }
}

// What is derived above is the table form, as functions of the type; the traits themselves know the number as well.
impl Serialize for SlotSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::from(self.number) {
            return serializer.serialize_u32(self.number);
        }
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for SlotSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrTable)
    }
}

struct NumberOrTable;

impl<'de> Visitor<'de> for NumberOrTable {
    type Value = SlotSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a slot number, or a table with the `number` and what the slot has")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<SlotSpec, E> {
        u32::try_from(number)
            .map(SlotSpec::from)
            .map_err(|_| E::custom(format_args!("{number}: a slot number has 13 bits")))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<SlotSpec, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::custom(format_args!(
                "{number}: a slot number is not negative"
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SlotSpec, A::Error> {
        SlotSpec::deserialize(MapAccessDeserializer::new(map))
    }
}

/// What the link of a port or an endpoint can do: `{ speed = "32GT/s", width = 16 }`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Highest speed; all lower ones are supported too.
    pub speed: LinkSpeedSpec,
    /// Most lanes: 1, 2, 4, 8 or 16.
    pub width: u8,
}

/// The speed of a link, per lane (PCIe 6.2 section 7.5.3.18).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkSpeedSpec {
    /// 2.5 GT/s.
    #[serde(rename = "2.5GT/s")]
    Gen1,
    /// 5 GT/s.
    #[serde(rename = "5GT/s")]
    Gen2,
    /// 8 GT/s.
    #[serde(rename = "8GT/s")]
    Gen3,
    /// 16 GT/s.
    #[serde(rename = "16GT/s")]
    Gen4,
    /// 32 GT/s.
    #[serde(rename = "32GT/s")]
    Gen5,
    /// 64 GT/s.
    #[serde(rename = "64GT/s")]
    Gen6,
}
