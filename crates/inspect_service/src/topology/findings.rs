//! What keeps a device from appearing or from working, by the registers of the port above it and its own: one table of rules.

use super::Bar;
use super::Bridge;
use super::Function;
use super::Kind;
use super::registers::Image;
use pci_enumerate::Bytes;
use pci_spec::caps::dpc::DpcTriggerReason;
use pci_spec::caps::pci_express::SlotControl;
use pci_spec::caps::power_management::PowerState;
use serde::Deserialize;
use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A device cannot appear, or cannot work, as long as it is so.
    Problem,
    /// It is so between steps that a guest takes, or where a driver is not loaded.
    Note,
}

/// What a rule says of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule, [`Rule::code`].
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// The finding at a glance, in two or three words.
    pub badge: String,
    /// What the registers say, by their names.
    pub says: String,
    /// What is to be done.
    pub cure: String,
}

/// A rule: under which condition a function, or what is below it, does not work.
#[derive(Debug)]
pub struct Rule {
    /// Its name, for programs.
    pub code: &'static str,
    /// The finding at a glance.
    pub badge: &'static str,
    /// What is to be done.
    pub cure: &'static str,
    sees: fn(&Seen<'_>) -> Option<Sight>,
}

/// A condition that holds: how much it matters, and what the registers say.
type Sight = (Severity, String);

/// The rules, what is nearer to the card and to the electricity first: where several hold, the first is likely to be the cause of the rest.
pub const RULES: &[Rule] = &[
    Rule {
        code: "power_fault",
        badge: "power fault",
        cure: "The guest's driver clears Power Fault Detected and turns the slot on again; a card that faults again is to be replaced.",
        sees: power_fault,
    },
    Rule {
        code: "latch_open",
        badge: "latch open",
        cure: "Close the latch (`rootplex latch NAME close`); the guest keeps the slot without power until then.",
        sees: latch_open,
    },
    Rule {
        code: "power_off",
        badge: "power off",
        cure: "The guest turns the slot on: press its attention button (`rootplex button NAME`), or in Linux write 1 to /sys/bus/pci/slots/NUMBER/power.",
        sees: power_off,
    },
    Rule {
        code: "contained",
        badge: "contained by DPC",
        cure: "The guest's DPC driver handles the error and clears DPC Trigger Status; `rootplex events` says which error it was.",
        sees: contained,
    },
    Rule {
        code: "link_disabled",
        badge: "link disabled",
        cure: "The guest clears Link Disable.",
        sees: link_disabled,
    },
    Rule {
        code: "link_down",
        badge: "link down",
        cure: "Look at `rootplex events` for what took it down; a guest that resets the secondary bus brings it up when it is done.",
        sees: link_down,
    },
    Rule {
        code: "power_state",
        badge: "asleep",
        cure: "The guest wakes the function by writing D0 to PowerState; in Linux write `on` to its power/control in sysfs.",
        sees: power_state,
    },
    Rule {
        code: "no_bus_numbers",
        badge: "no bus numbers",
        cure: "Give the root complex more `buses` in the topology, or have the firmware reserve some for this slot; then start anew.",
        sees: no_bus_numbers,
    },
    Rule {
        code: "bus_numbers_short",
        badge: "too few bus numbers",
        cure: "Have the firmware, or the guest, give this port more bus numbers: Subordinate Bus Number must take in all that is below.",
        sees: bus_numbers_short,
    },
    Rule {
        code: "silent",
        badge: "does not answer",
        cure: "Wait for a device that was just reset or plugged; look at `rootplex events` for what happened to it.",
        sees: silent,
    },
    Rule {
        code: "window_too_small",
        badge: "window too small",
        cure: "Have the firmware, or the guest, give this port larger windows (in Linux pci=hpmmiosize= and hpmmioprefsize=), or the root complex a larger aperture.",
        sees: window_too_small,
    },
    Rule {
        code: "outside_window",
        badge: "outside the windows",
        cure: "The guest moves the address into a window of the port, or the window over the address.",
        sees: outside_window,
    },
    Rule {
        code: "interrupt_disabled",
        badge: "interrupt disabled",
        cure: "The guest's hot-plug driver sets Hot-Plug Interrupt Enable: see that it is loaded and has the slot (in Linux pciehp, which pcie_ports=compat keeps away).",
        sees: interrupt_disabled,
    },
    Rule {
        code: "event_disabled",
        badge: "event not enabled",
        cure: "The guest's hot-plug driver sets the event's enable bit in Slot Control.",
        sees: event_disabled,
    },
    Rule {
        code: "interrupt_blocked",
        badge: "interrupt has no way",
        cure: "The guest enables MSI or MSI-X of the port, or clears Interrupt Disable where the port has a pin.",
        sees: interrupt_blocked,
    },
    Rule {
        code: "bus_master_disabled",
        badge: "bus master off",
        cure: "The guest's driver sets Bus Master Enable in the Command register.",
        sees: bus_master_disabled,
    },
    Rule {
        code: "memory_disabled",
        badge: "memory off",
        cure: "The guest's driver sets Memory Space Enable in the Command register.",
        sees: memory_disabled,
    },
    Rule {
        code: "no_address",
        badge: "no address",
        cure: "The guest gives the BAR an address when it takes the device in; if it was told of the device, its own log says why it did not.",
        sees: no_address,
    },
    Rule {
        code: "event_pending",
        badge: "event pending",
        cure: "The guest was told and has not answered yet; if it stays so, its hot-plug driver hangs.",
        sees: event_pending,
    },
];

/// The findings about a function, in the order of the rules.
pub(super) fn of(function: &Function, image: &Image) -> Vec<Finding> {
    let seen = Seen { function, image };
    let finding = |rule: &Rule| {
        (rule.sees)(&seen).map(|(severity, says)| Finding {
            code: rule.code.to_owned(),
            severity,
            badge: rule.badge.to_owned(),
            says,
            cure: rule.cure.replace("NAME", &function.name),
        })
    };
    RULES.iter().filter_map(finding).collect()
}

/// A function that answers, and all below it.
struct Seen<'a> {
    function: &'a Function,
    image: &'a Image,
}

impl Seen<'_> {
    fn bridge(&self) -> Option<&Bridge> {
        self.function.bridge.as_ref()
    }

    /// What is attached, if it is a port: one function of each device.
    fn below(&self) -> Vec<&Function> {
        let mut first: Vec<&Function> = Vec::new();
        for function in &self.function.below {
            if first.iter().all(|known| known.name != function.name) {
                first.push(function);
            }
        }
        first
    }

    /// The names of what is attached; `None` if nothing is.
    fn names_below(&self) -> Option<String> {
        let names: Vec<_> = self
            .below()
            .iter()
            .map(|below| below.name.clone())
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    fn is_contained(&self) -> bool {
        self.image
            .containment()
            .is_some_and(|status| status.trigger_status())
    }

    fn is_link_disabled(&self) -> bool {
        self.function.is_downstream_port()
            && self
                .image
                .link_control()
                .is_some_and(|control| control.link_disable())
    }

    fn is_powered_off(&self) -> bool {
        self.function
            .slot
            .as_ref()
            .is_some_and(|slot| !slot.powered)
    }

    /// Slot Control, of a port with a hot-plug slot.
    fn slot_control(&self) -> Option<SlotControl> {
        self.function.hot_plug_slot()?;
        self.image.slot_control()
    }

    /// The events that are pending, by whether Slot Control enables each.
    fn events(&self) -> Option<SlotEvents> {
        let control = self.slot_control()?;
        let status = self.image.slot_status()?;
        let mut events = SlotEvents::default();
        for (name, is_pending, is_enabled) in [
            (
                "Attention Button Pressed",
                status.attention_button_pressed(),
                control.attention_button_pressed_enable(),
            ),
            (
                "Power Fault Detected",
                status.power_fault_detected(),
                control.power_fault_detected_enable(),
            ),
            (
                "MRL Sensor Changed",
                status.mrl_sensor_changed(),
                control.mrl_sensor_changed_enable(),
            ),
            (
                "Presence Detect Changed",
                status.presence_detect_changed(),
                control.presence_detect_changed_enable(),
            ),
            (
                "Data Link Layer State Changed",
                status.data_link_layer_state_changed(),
                control.data_link_layer_state_changed_enable(),
            ),
        ] {
            match (is_pending, is_enabled) {
                (true, true) => events.enabled.push(name),
                (true, false) => events.disabled.push(name),
                (false, _) => {}
            }
        }
        Some(events)
    }

    /// Whether a memory write that the port makes for its own interrupt gets out of it.
    fn interrupt_has_way(&self) -> bool {
        let ways = self.image.interrupt_ways();
        [ways.msi, ways.msix, ways.intx].contains(&Some(true))
    }
}

/// Names of bits of Slot Status that are set.
#[derive(Default)]
struct SlotEvents {
    enabled: Vec<&'static str>,
    disabled: Vec<&'static str>,
}

impl SlotEvents {
    fn all(&self) -> Vec<&'static str> {
        [self.enabled.as_slice(), self.disabled.as_slice()].concat()
    }
}

fn power_fault(seen: &Seen<'_>) -> Option<Sight> {
    seen.function.slot.as_ref()?.power_fault.then(|| {
        (
            Severity::Problem,
            "Slot Status: Power Fault Detected is 1.".to_owned(),
        )
    })
}

fn latch_open(seen: &Seen<'_>) -> Option<Sight> {
    let slot = seen.function.slot.as_ref()?;
    (slot.latch_open? && slot.present).then(|| {
        (
            Severity::Problem,
            "Slot Status: MRL Sensor State is 1: the retention latch is open.".to_owned(),
        )
    })
}

fn power_off(seen: &Seen<'_>) -> Option<Sight> {
    let slot = seen.function.slot.as_ref()?;
    (seen.is_powered_off() && slot.present).then(|| {
        (
            Severity::Problem,
            "Slot Control: Power Controller Control is 1: there is a card in the slot, and its power is off.".to_owned(),
        )
    })
}

fn contained(seen: &Seen<'_>) -> Option<Sight> {
    let status = seen.image.containment()?;
    let reason = match status.trigger_reason() {
        DpcTriggerReason::UNMASKED_UNCORRECTABLE_ERROR => "an uncorrectable error of the port",
        DpcTriggerReason::ERR_NONFATAL_RECEIVED => "ERR_NONFATAL from below",
        DpcTriggerReason::ERR_FATAL_RECEIVED => "ERR_FATAL from below",
        _ => "software, or a failed request of the root complex",
    };
    status.trigger_status().then(|| {
        (
            Severity::Problem,
            format!(
                "DPC Status: DPC Trigger Status is 1: the link is held down because of {reason}."
            ),
        )
    })
}

fn link_disabled(seen: &Seen<'_>) -> Option<Sight> {
    seen.is_link_disabled().then(|| {
        (
            match seen.names_below() {
                Some(_) => Severity::Problem,
                None => Severity::Note,
            },
            "Link Control: Link Disable is 1: nothing below the link is reached.".to_owned(),
        )
    })
}

fn link_down(seen: &Seen<'_>) -> Option<Sight> {
    let names = seen.names_below()?;
    let explained = seen.is_powered_off() || seen.is_contained() || seen.is_link_disabled();
    let is_down = seen.function.link.as_ref().is_some_and(|link| !link.active);
    (seen.function.is_downstream_port() && is_down && !explained).then(|| {
        (
            Severity::Problem,
            format!("Link Status: Data Link Layer Link Active is 0, though {names} is attached."),
        )
    })
}

fn power_state(seen: &Seen<'_>) -> Option<Sight> {
    let state = match seen.image.power_state() {
        PowerState::D0 => return None,
        PowerState::D1 => "D1",
        PowerState::D2 => "D2",
        _ => "D3hot",
    };
    Some(match (seen.bridge(), seen.names_below()) {
        (Some(_), Some(names)) => (
            Severity::Problem,
            format!(
                "Power Management Control/Status: PowerState is {state}: no request is forwarded to {names}."
            ),
        ),
        _ => (
            Severity::Note,
            format!(
                "Power Management Control/Status: PowerState is {state}: only configuration requests are answered."
            ),
        ),
    })
}

fn no_bus_numbers(seen: &Seen<'_>) -> Option<Sight> {
    let bridge = seen.bridge()?;
    let names = seen.names_below()?;
    (bridge.secondary == 0).then(|| {
        (
            Severity::Problem,
            format!(
                "Secondary Bus Number is 0: no configuration request is forwarded to {names}, so the guest cannot find it."
            ),
        )
    })
}

fn bus_numbers_short(seen: &Seen<'_>) -> Option<Sight> {
    let bridge = seen.bridge()?;
    if bridge.secondary == 0 {
        return None;
    }
    let own = format!(
        "Secondary Bus Number is {:02x} and Subordinate Bus Number {:02x}",
        bridge.secondary, bridge.subordinate
    );
    seen.below().into_iter().find_map(|below| {
        let inner = below.bridge.as_ref()?;
        let says = if inner.secondary == 0 {
            (bridge.secondary == bridge.subordinate)
                .then(|| format!("{own}: no number is left for the bus below {}.", below.name))
        } else {
            let fits =
                bridge.secondary < inner.secondary && inner.subordinate <= bridge.subordinate;
            (!fits).then(|| {
                format!(
                    "{own}: the buses {:02x}-{:02x} below {} are not among these.",
                    inner.secondary, inner.subordinate, below.name
                )
            })
        };
        Some((Severity::Problem, says?))
    })
}

fn silent(seen: &Seen<'_>) -> Option<Sight> {
    if !seen.image.forwards() {
        return None;
    }
    let mut below = seen.below().into_iter();
    let silent =
        below.find(|function| function.id.is_none() && function.kind != Kind::DownstreamPort)?;
    Some((
        Severity::Problem,
        format!(
            "{} at {} answers no configuration request.",
            silent.name,
            silent.short_address()
        ),
    ))
}

fn span((first, last): (u64, u64)) -> String {
    format!("{first:x}-{last:x}")
}

fn length(window: Option<(u64, u64)>) -> u64 {
    window.map_or(0, |(first, last)| (last - first).saturating_add(1))
}

fn window_too_small(seen: &Seen<'_>) -> Option<Sight> {
    let bridge = seen.bridge()?;
    let memory_bars = || {
        let below = seen
            .function
            .below
            .iter()
            .flat_map(|function| &function.bars);
        below.filter(|bar| bar.is_memory())
    };
    memory_bars().find(|bar| bar.address == 0)?;
    // What may be in the prefetchable window is there, unless that is closed.
    let is_upper =
        |bar: &Bar| bar.is_prefetchable() && bar.is_64_bit() && bridge.prefetchable.is_some();
    for (name, window, upper) in [
        ("memory", bridge.memory, false),
        ("prefetchable", bridge.prefetchable, true),
    ] {
        let needed = memory_bars()
            .filter(|bar| is_upper(bar) == upper)
            .fold(0_u64, |sum, bar| sum.saturating_add(bar.size));
        if needed > length(window) {
            let names = seen.names_below().unwrap_or_default();
            let is = match window {
                Some(window) => format!("{} has {}", span(window), Bytes(length(Some(window)))),
                None => "is closed".to_owned(),
            };
            return Some((
                Severity::Problem,
                format!(
                    "The BARs of {names} ask for {}, and the port's {name} window {is}.",
                    Bytes(needed)
                ),
            ));
        }
    }
    None
}

fn outside_window(seen: &Seen<'_>) -> Option<Sight> {
    let bridge = seen.bridge()?;
    let lies_in = |(first, last), outer: &[(u64, u64)]| {
        outer
            .iter()
            .any(|(outer_first, outer_last)| *outer_first <= first && last <= *outer_last)
    };
    let open: Vec<_> = [bridge.memory, bridge.prefetchable]
        .into_iter()
        .flatten()
        .collect();
    let windows_say = match open.as_slice() {
        [] => "all closed".to_owned(),
        open => open
            .iter()
            .map(|window| span(*window))
            .collect::<Vec<_>>()
            .join(" and "),
    };
    seen.function.below.iter().find_map(|below| {
        let bars = below.bars.iter().filter(|bar| bar.is_memory());
        let stray = bars
            .filter_map(|bar| Some((bar, (bar.address, bar.last()?))))
            .find(|(_, range)| !lies_in(*range, &open))
            .map(|(bar, range)| format!("BAR {} of {} ({}) at {}", bar.index, below.name, Bytes(bar.size), span(range)));
        let inner = below.bridge.iter().flat_map(|inner| [inner.memory, inner.prefetchable]);
        let stray = stray.or_else(|| {
            inner
                .flatten()
                .find(|window| !lies_in(*window, &open))
                .map(|window| format!("The window {} of {}", span(window), below.name))
        })?;
        Some((
            Severity::Problem,
            format!("{stray} lies outside the port's memory windows, which are {windows_say}: no access gets there."),
        ))
    })
}

fn interrupt_disabled(seen: &Seen<'_>) -> Option<Sight> {
    let control = seen.slot_control()?;
    let events = seen.events()?.all();
    if control.hot_plug_interrupt_enable() {
        return None;
    }
    Some(match events.as_slice() {
        [] => (
            Severity::Note,
            "Slot Control: Hot-Plug Interrupt Enable is 0: nobody will be told of a card that comes or goes.".to_owned(),
        ),
        events => (
            Severity::Problem,
            format!(
                "Slot Status: {} pending, but Slot Control: Hot-Plug Interrupt Enable is 0: nobody is told.",
                events.join(", ")
            ),
        ),
    })
}

fn event_disabled(seen: &Seen<'_>) -> Option<Sight> {
    let events = seen.events()?;
    let is_enabled = seen.slot_control()?.hot_plug_interrupt_enable();
    // Of an arrival or a removal, one of its two events is enough.
    (is_enabled && events.enabled.is_empty() && !events.disabled.is_empty()).then(|| {
        let names = events.disabled.join(", ");
        (
            Severity::Problem,
            format!("Slot Status: {names} pending, but the enable bit in Slot Control is 0: nobody is told."),
        )
    })
}

fn interrupt_blocked(seen: &Seen<'_>) -> Option<Sight> {
    let events = seen.events()?;
    let is_enabled = seen.slot_control()?.hot_plug_interrupt_enable();
    if !is_enabled || events.enabled.is_empty() || seen.interrupt_has_way() {
        return None;
    }
    let ways = seen.image.interrupt_ways();
    let closed: Vec<_> = [
        (ways.msi, "MSI Enable is 0"),
        (ways.msix, "MSI-X Enable is 0 or Function Mask 1"),
        (ways.intx, "Interrupt Disable is 1"),
    ]
    .into_iter()
    .filter(|(way, _)| way.is_some())
    .map(|(_, says)| says)
    .collect();
    Some((
        Severity::Problem,
        format!(
            "Slot Status: {} pending and enabled, but {}: the interrupt cannot leave the port.",
            events.enabled.join(", "),
            match closed.as_slice() {
                [] => "the port has neither MSI nor MSI-X nor a pin".to_owned(),
                closed => closed.join(" and "),
            }
        ),
    ))
}

fn bus_master_disabled(seen: &Seen<'_>) -> Option<Sight> {
    if seen.image.command().bus_master() {
        return None;
    }
    match (seen.bridge(), seen.names_below()) {
        (Some(_), Some(names)) => Some((
            Severity::Problem,
            format!(
                "Command: Bus Master Enable is 0: neither DMA nor interrupts of {names} get past the port."
            ),
        )),
        (Some(_), None) => None,
        (None, _) => Some((
            Severity::Note,
            "Command: Bus Master Enable is 0: the function may make no DMA and no interrupts."
                .to_owned(),
        )),
    }
}

fn memory_disabled(seen: &Seen<'_>) -> Option<Sight> {
    if seen.image.command().mmio_enabled() {
        return None;
    }
    if let Some(bridge) = seen.bridge() {
        let names = seen.names_below()?;
        let is_open = bridge.memory.is_some() || bridge.prefetchable.is_some();
        return is_open.then(|| {
            (
                Severity::Problem,
                format!("Command: Memory Space Enable is 0: no memory access gets past the port to {names}."),
            )
        });
    }
    let mut bars = seen.function.bars.iter().filter(|bar| bar.is_memory());
    bars.any(|bar| bar.address != 0).then(|| {
        (
            Severity::Note,
            "Command: Memory Space Enable is 0: the function answers no memory access.".to_owned(),
        )
    })
}

fn no_address(seen: &Seen<'_>) -> Option<Sight> {
    let bars = seen
        .function
        .bars
        .iter()
        .filter(|bar| bar.is_memory() && bar.address == 0);
    let bars: Vec<_> = bars
        .map(|bar| format!("BAR {} ({})", bar.index, Bytes(bar.size)))
        .collect();
    (!bars.is_empty()).then(|| {
        (
            Severity::Note,
            format!("{}: no address yet.", bars.join(", ")),
        )
    })
}

fn event_pending(seen: &Seen<'_>) -> Option<Sight> {
    let events = seen.events()?;
    let is_told = seen.slot_control()?.hot_plug_interrupt_enable() && seen.interrupt_has_way();
    (is_told && !events.enabled.is_empty()).then(|| {
        (
            Severity::Note,
            format!("Slot Status: {} pending.", events.enabled.join(", ")),
        )
    })
}
