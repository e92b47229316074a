//! Get Features and Set Features (NVMe 2.0 sections 5.15 and 5.27).
//!
//! Not emulated: what Arbitration, Power Management, Error Recovery, Interrupt Coalescing and Interrupt Vector Configuration ask for; their
//! values are kept and told, as the specification allows of each. No value outlives a controller reset.

use super::async_event::AsyncEvent;
use crate::controller::Controller;
use crate::spec::Status;
use crate::spec::SubmissionEntry;
use inspect::Inspect;

/// The composite temperature, in kelvins. There is no sensor.
pub(crate) const TEMPERATURE: u16 = 300;
/// From where on Identify calls the temperature high, in kelvins.
pub(crate) const TEMPERATURE_WARNING: u16 = 343;

/// Temperature below or above its threshold, in the critical warnings (NVMe 2.0 figure 207).
pub(crate) const WARNING_TEMPERATURE: u8 = 1 << 1;

/// Features that are there (NVMe 2.0 figure 316).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum FeatureId {
    Arbitration = 0x01,
    PowerManagement = 0x02,
    TemperatureThreshold = 0x04,
    ErrorRecovery = 0x05,
    VolatileWriteCache = 0x06,
    NumberOfQueues = 0x07,
    InterruptCoalescing = 0x08,
    InterruptVectorConfiguration = 0x09,
    WriteAtomicity = 0x0a,
    AsyncEventConfiguration = 0x0b,
}

impl FeatureId {
    const ALL: [Self; 10] = [
        Self::Arbitration,
        Self::PowerManagement,
        Self::TemperatureThreshold,
        Self::ErrorRecovery,
        Self::VolatileWriteCache,
        Self::NumberOfQueues,
        Self::InterruptCoalescing,
        Self::InterruptVectorConfiguration,
        Self::WriteAtomicity,
        Self::AsyncEventConfiguration,
    ];

    fn find(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == id)
    }
}

/// What the features are set to.
#[derive(Clone, Debug, PartialEq, Eq, Inspect)]
pub(crate) struct Features {
    #[inspect(hex)]
    pub(crate) arbitration: u32,
    #[inspect(hex)]
    pub(crate) power_management: u32,
    pub(crate) temperature_over: u16,
    pub(crate) temperature_under: u16,
    #[inspect(hex)]
    pub(crate) error_recovery: u32,
    pub(crate) write_cache: bool,
    /// Queue pairs that the guest may create.
    pub(crate) queues: u16,
    /// The guest created one: their number stands.
    pub(crate) queues_fixed: bool,
    #[inspect(hex)]
    pub(crate) interrupt_coalescing: u32,
    /// Vectors without coalescing, a bit each.
    #[inspect(skip)]
    pub(crate) coalescing_disabled: Vec<u64>,
    #[inspect(hex)]
    pub(crate) write_atomicity: u32,
    #[inspect(hex)]
    pub(crate) async_event_configuration: u32,
}

impl Features {
    pub(crate) fn new(queues: u16) -> Self {
        Self {
            arbitration: 0,
            power_management: 0,
            temperature_over: TEMPERATURE_WARNING,
            temperature_under: 0,
            error_recovery: 0,
            write_cache: true,
            queues,
            queues_fixed: false,
            interrupt_coalescing: 0,
            coalescing_disabled: vec![0; usize::from(queues) / 64 + 1],
            write_atomicity: 0,
            async_event_configuration: 0,
        }
    }

    pub(crate) fn queues_allocated(&self) -> u16 {
        self.queues
    }

    pub(crate) fn queues_created(&mut self) {
        self.queues_fixed = true;
    }

    /// The critical warnings of the SMART log.
    pub(crate) fn critical_warnings(&self) -> u8 {
        let beyond = TEMPERATURE >= self.temperature_over || TEMPERATURE <= self.temperature_under;
        if beyond { WARNING_TEMPERATURE } else { 0 }
    }

    /// Whether the guest wants to hear of critical warnings of this kind.
    fn wants_warning(&self, warning: u8) -> bool {
        self.async_event_configuration & u32::from(warning) != 0
    }

    /// Whether the guest wants to hear of changes of the namespace.
    pub(crate) fn wants_namespace_changes(&self) -> bool {
        self.async_event_configuration & (1 << 8) != 0
    }

    /// The word and the bit of a vector's coalescing.
    fn coalescing_bit(vector: u16) -> (usize, u64) {
        (usize::from(vector / 64), 1 << (vector % 64))
    }
}

/// Number of Queues as both commands return it: submission and completion queues, less one each.
fn queue_counts(queues: u16) -> u32 {
    let last = u32::from(queues.saturating_sub(1));
    last << 16 | last
}

/// The Temperature Threshold that command dword 11 selects: whether it is the one below. Only the composite temperature is there.
fn threshold_below(selected: u32) -> Result<bool, Status> {
    const ALL_SENSORS: u32 = 0xf;
    let sensor = (selected >> 16) & 0xf;
    match ((selected >> 20) & 0b11, sensor) {
        (0, 0 | ALL_SENSORS) => Ok(false),
        (1, 0 | ALL_SENSORS) => Ok(true),
        _ => Err(Status::INVALID_FIELD),
    }
}

impl Controller {
    pub(super) fn get_features(&self, command: &SubmissionEntry) -> Result<u32, Status> {
        const CURRENT: u32 = 0;
        const DEFAULT: u32 = 1;
        const SAVED: u32 = 2;
        const CAPABILITIES: u32 = 3;
        const CHANGEABLE: u32 = 1 << 2;
        let [id, ..] = command.cdw(10).to_le_bytes();
        let feature = FeatureId::find(id).ok_or(Status::INVALID_FIELD)?;
        let default = Features::new(self.identity.queues);
        let admin = self.admin.lock();
        let features = match (command.cdw(10) >> 8) & 0b111 {
            CURRENT => &admin.features,
            // What can't be saved is saved as the default (NVMe 2.0 section 4.2).
            DEFAULT | SAVED => &default,
            CAPABILITIES => return Ok(CHANGEABLE),
            _ => return Err(Status::INVALID_FIELD),
        };
        let selected = command.cdw(11);
        Ok(match feature {
            FeatureId::Arbitration => features.arbitration,
            FeatureId::PowerManagement => features.power_management,
            FeatureId::TemperatureThreshold if threshold_below(selected)? => {
                features.temperature_under.into()
            }
            FeatureId::TemperatureThreshold => features.temperature_over.into(),
            FeatureId::ErrorRecovery => features.error_recovery,
            FeatureId::VolatileWriteCache => {
                self.has_write_cache()?;
                features.write_cache.into()
            }
            FeatureId::NumberOfQueues => queue_counts(features.queues),
            FeatureId::InterruptCoalescing => features.interrupt_coalescing,
            FeatureId::InterruptVectorConfiguration => {
                let vector = self.vector(command)?;
                let (word, bit) = Features::coalescing_bit(vector);
                let disabled = features.coalescing_disabled.get(word);
                let disabled = disabled.is_some_and(|word| word & bit != 0);
                u32::from(vector) | u32::from(disabled) << 16
            }
            FeatureId::WriteAtomicity => features.write_atomicity,
            FeatureId::AsyncEventConfiguration => features.async_event_configuration,
        })
    }

    pub(super) fn set_features(&self, command: &SubmissionEntry) -> Result<u32, Status> {
        const SAVE: u32 = 1 << 31;
        let [id, ..] = command.cdw(10).to_le_bytes();
        let feature = FeatureId::find(id).ok_or(Status::INVALID_FIELD)?;
        if command.cdw(10) & SAVE != 0 {
            return Err(Status::FEATURE_NOT_SAVEABLE);
        }
        let value = command.cdw(11);
        let mut admin = self.admin.lock();
        let features = &mut admin.features;
        match feature {
            FeatureId::Arbitration => features.arbitration = value,
            FeatureId::PowerManagement => {
                // There is power state 0 alone.
                if value & 0x1f != 0 {
                    return Err(Status::INVALID_FIELD);
                }
                features.power_management = value & 0xff;
            }
            FeatureId::TemperatureThreshold => {
                let [a, b, ..] = value.to_le_bytes();
                let threshold = u16::from_le_bytes([a, b]);
                if threshold_below(value)? {
                    features.temperature_under = threshold;
                } else {
                    features.temperature_over = threshold;
                }
                let warning = features.critical_warnings();
                if warning != 0 && features.wants_warning(warning) {
                    self.events.lock().raise(AsyncEvent::TemperatureThreshold);
                }
            }
            // Deallocated blocks can be read, so the error that bit 16 asks for can't be had.
            FeatureId::ErrorRecovery => features.error_recovery = value & 0xffff,
            FeatureId::VolatileWriteCache => {
                self.has_write_cache()?;
                features.write_cache = value & 1 != 0;
                self.namespace.set_write_cache(features.write_cache);
            }
            FeatureId::NumberOfQueues => {
                let (submission, completion) = command.cdw_halves(11);
                if submission == u16::MAX || completion == u16::MAX {
                    return Err(Status::INVALID_FIELD);
                }
                if features.queues_fixed {
                    return Err(Status::COMMAND_SEQUENCE_ERROR);
                }
                let asked = submission.max(completion) + 1;
                features.queues = asked.min(self.identity.queues);
                return Ok(queue_counts(features.queues));
            }
            FeatureId::InterruptCoalescing => features.interrupt_coalescing = value & 0xffff,
            FeatureId::InterruptVectorConfiguration => {
                let (word, bit) = Features::coalescing_bit(self.vector(command)?);
                if let Some(word) = features.coalescing_disabled.get_mut(word) {
                    *word = if value & (1 << 16) != 0 {
                        *word | bit
                    } else {
                        *word & !bit
                    };
                }
            }
            FeatureId::WriteAtomicity => features.write_atomicity = value & 1,
            // Health warnings, and changes of the namespace: what Identify says there is.
            FeatureId::AsyncEventConfiguration => {
                features.async_event_configuration = value & 0x1ff;
            }
        }
        Ok(0)
    }

    fn has_write_cache(&self) -> Result<(), Status> {
        match self.namespace.storage.volatile_write_cache() {
            true => Ok(()),
            false => Err(Status::INVALID_FIELD),
        }
    }

    /// The vector in command dword 11, if there is such a one.
    fn vector(&self, command: &SubmissionEntry) -> Result<u16, Status> {
        let (vector, _) = command.cdw_halves(11);
        match usize::from(vector) < self.interrupts.len() {
            true => Ok(vector),
            false => Err(Status::INVALID_FIELD),
        }
    }
}
