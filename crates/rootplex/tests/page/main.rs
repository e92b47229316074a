//! The page, in a browser, against hierarchies that are served.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails should stop at once"
)]

mod browser;
mod served;

use browser::Page;
use fantoccini::key::Key;
use serde_json::Value;
use serde_json::json;
use served::Served;

/// Shows the page of a hierarchy; nothing may be fetched from elsewhere, and the console stays empty but for `expected` complaints.
fn on_page(topology: Option<&str>, expected: &[&str], work: impl AsyncFnOnce(&Served, &Page)) {
    let served = Served::start(topology);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let page = Page::open(&served.origin).await;
        work(&served, &page).await;
        let complaints = page.complaints().await;
        let unexpected: Vec<_> = complaints
            .iter()
            .filter(|complaint| !expected.iter().any(|words| complaint.contains(words)))
            .collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
        page.close().await;
    });
}

const MACHINE: Option<&str> = Some("machine.toml");

/// The ports of the demo with their states, as `demo.toml` describes and firmware leaves them: a link is up where something is plugged in.
const DEMO_PORTS: [(&str, &str, &str); 14] = [
    ("front-slot", "empty", "link down · slot 1 empty"),
    ("nvme-port0", "up", "link up, 32 GT/s ×16 · slot 2 occupied"),
    ("nvme-port1", "empty", "link down · slot 3 empty"),
    ("nic-port", "up", "link up, 32 GT/s ×16"),
    ("gpu-port", "up", "link up, 32 GT/s ×16"),
    ("switch0-port0", "empty", "link down · slot 16 empty"),
    ("switch0-port1", "up", "link up, 32 GT/s ×16"),
    ("switch1-port0", "up", "link up, 32 GT/s ×16"),
    ("switch1-port1", "empty", "link down · slot 17 empty"),
    ("cxl-port0", "up", "link up, 32 GT/s ×16"),
    ("cxl-port1", "up", "link up, 32 GT/s ×16"),
    ("cxl-switch0-port0", "up", "link up, 32 GT/s ×16"),
    ("cxl-switch0-port1", "empty", "link down · slot 32 empty"),
    ("ari-port", "up", "link up, 32 GT/s ×16"),
];

#[test]
fn every_port_is_drawn_with_its_state() {
    on_page(None, &[], async |_, page| {
        let drawn = page
            .script(
                "return [...document.querySelectorAll('[data-port=true]')].map((node) =>
                    [node.dataset.name, node.dataset.state, node.querySelector('.words').textContent])",
            )
            .await;
        assert_eq!(drawn, json!(DEMO_PORTS));
        let summary = page.text("#summary").await;
        assert_eq!(
            summary,
            "14 ports · 9 links up · 0 problems · 0 pending · 0 with errors"
        );
        // Not by colour alone: the marks differ in shape, and the words are there for who does not see them.
        let shapes = page
            .script(
                "const shape = (name) => document.querySelector(`[data-name=${name}] .mark`).outerHTML.replace(/transform=\"[^\"]*\"/, '');
                 return shape('gpu-port') != shape('front-slot') && document.querySelector('[data-name=front-slot]').ariaLabel",
            )
            .await;
        assert_eq!(
            shapes,
            "front-slot, 00:02.0, root port, link down · slot 1 empty"
        );
    });
}

#[test]
fn a_press_of_the_button_raises_the_badge() {
    on_page(MACHINE, &[], async |served, page| {
        let badge = "return document.querySelector('[data-name=bay0] [data-badge=pending]')?.textContent ?? null";
        assert_eq!(page.script(badge).await, Value::Null);
        page.open_item("bay0").await;
        page.press("Press attention button").await;
        assert_eq!(
            page.until(badge).await,
            "● 1 pending: Attention Button Pressed"
        );
        assert_eq!(
            page.text("[data-fact=Pending]").await,
            "Attention Button Pressed"
        );
        // What changed is marked, with the value before: presence was there, the button is bit 0 (PCIe 6.2 section 7.5.3.11).
        let changed = "[data-id='capabilities/pci-express/slot_status'].changed .when-changed";
        let changed = page.text(changed).await;
        assert!(changed.ends_with(", was 0x0040"), "{changed}");
        let recent = page.text(".changes").await;
        assert!(
            recent.contains("Slot Status: Attention Button Pressed 0 → 1"),
            "{recent}"
        );
        let event = page.text("#events li").await;
        assert!(
            event.contains("hot-plug") && event.contains("bay0 attention button"),
            "{event}"
        );
        let status = served.inspect(
            "pcie0/functions/bay0/cfg_space/capabilities/pci-express/slot_status",
            "0",
        );
        assert_eq!(status["raw"], 0x41);
        page.keep_picture("button").await;
    });
}

#[test]
fn what_keeps_a_device_from_working_is_a_badge_with_its_reason_and_cure() {
    on_page(MACHINE, &[], async |served, page| {
        let badges = "return [...document.querySelectorAll('[data-badge=problem]')].map((badge) => badge.textContent)";
        assert_eq!(page.script(badges).await, json!([]));
        served.rootplex(&["plug", "bay2"]);
        let marked = "return document.querySelector('[data-name=bay2] [data-badge=problem]')?.textContent ?? null";
        assert_eq!(page.until(marked).await, "◆ interrupt disabled");
        page.open_item("bay2").await;
        let finding = page.text(".findings .problem").await;
        assert!(
            finding.contains("Presence Detect Changed")
                && finding.contains("Hot-Plug Interrupt Enable is 0: nobody is told."),
            "{finding}"
        );
        assert!(
            page.text(".findings .cure")
                .await
                .contains("hot-plug driver")
        );
        page.press("Open latch").await;
        page.until("return [...document.querySelectorAll('button')].some((button) => button.textContent == 'Close latch')").await;
        assert_eq!(
            page.text("[data-fact=Slot]").await,
            "slot 3 occupied, latch open"
        );
        assert_eq!(page.text("[data-fact=Interlock]").await, "released");
        assert_eq!(
            page.script(badges).await,
            json!(["◆ latch open", "◆ interrupt disabled"])
        );
        for scheme in ["light", "dark"] {
            let scheme_is =
                json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            page.emulate("setEmulatedMedia", scheme_is).await;
            page.keep_picture(&format!("findings-{scheme}")).await;
        }
        page.press("Close latch").await;
        page.until("return document.querySelectorAll('[data-badge=problem]').length == 1")
            .await;
    });
}

#[test]
fn an_unplug_by_another_client_is_drawn_without_a_reload() {
    on_page(MACHINE, &[], async |served, page| {
        page.script("window.marker = 'the same document'").await;
        served.rootplex(&["unplug", "bay0", "--surprise"]);
        page.until("return !document.querySelector('[data-name=nvme0]')")
            .await;
        page.until("return document.querySelector('[data-name=bay0]').dataset.state != 'up'")
            .await;
        served.rootplex(&["plug", "bay1"]);
        page.until("return document.querySelector('[data-name=bay1]').dataset.state == 'up'")
            .await;
        page.until("return Boolean(document.querySelector('[data-name=bay1-card]'))")
            .await;
        assert_eq!(
            page.script("return window.marker").await,
            "the same document"
        );
    });
}

#[test]
fn registers_are_those_of_inspection() {
    on_page(None, &[], async |served, page| {
        page.open_item("nvme-port0").await;
        let shown = page
            .script(
                "return Object.fromEntries([...document.querySelectorAll('.register')].map((row) =>
                    [row.dataset.id, row.querySelector('.raw').textContent]))",
            )
            .await;
        let shown = shown.as_object().unwrap();
        let mut compared = 0;
        registers(
            &served.inspect("pcie0/functions/nvme-port0/cfg_space", "8"),
            "",
            &mut |id, raw| {
                let text = shown[id].as_str().unwrap();
                let value = u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
                assert_eq!(value, raw, "{id}");
                compared += 1;
            },
        );
        assert!(compared > 100, "{compared}");
        // The PCI Express capability in one of its registers, as PCIe 6.2 section 7.5.3.9 has it: slot 2.
        page.script("document.querySelector(`[data-id='capabilities/pci-express/slot_capabilities']`).open = true").await;
        let row = "[data-id='capabilities/pci-express/slot_capabilities'] [data-field=physical_slot_number]";
        page.until(&format!("return Boolean(document.querySelector(`{row}`))"))
            .await;
        let cells = page.script(&format!("return [...document.querySelector(`{row}`).children].map((cell) => cell.textContent)")).await;
        assert_eq!(
            cells,
            json!(["31:19", "Physical Slot Number", "HwInit", "0x2", ""])
        );
        let caption = page
            .text("[data-id='capabilities/pci-express/slot_capabilities'] caption")
            .await;
        assert_eq!(caption, "Slot Capabilities, PCIe 6.2 section 7.5.3.9");
    });
}

/// Every decoded register below a node, with its path.
fn registers(node: &Value, path: &str, f: &mut impl FnMut(&str, u64)) {
    for (name, child) in node.as_object().unwrap() {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}/{name}"),
        };
        match child.get("raw").and_then(Value::as_u64) {
            Some(raw) => f(&path, raw),
            None if child.is_object() => registers(child, &path, f),
            None => {}
        }
    }
}

#[test]
fn the_keyboard_is_enough() {
    on_page(MACHINE, &[], async |_, page| {
        let focused =
            "return document.activeElement.dataset.name ?? document.activeElement.textContent";
        page.key(Key::Tab).await;
        assert_eq!(page.script(focused).await, "pcie0");
        // To the device of two functions, which opens by the right arrow.
        page.key(Key::End).await;
        assert_eq!(page.script(focused).await, "gpu0");
        page.key(Key::Right).await;
        page.key(Key::Down).await;
        assert_eq!(
            page.script("return document.activeElement.ariaLevel").await,
            "4"
        );
        page.key(Key::Left).await;
        page.key(Key::Left).await;
        assert_eq!(page.script(focused).await, "gpu0");
        page.key(Key::Home).await;
        page.key(Key::Down).await;
        assert_eq!(page.script(focused).await, "bay0");
        page.key(Key::Enter).await;
        page.until("return document.activeElement.id == 'panel-title' && Boolean(document.querySelector('.register'))").await;
        for words in [
            "Close",
            "Unplug",
            "Unplug by surprise",
            "Press attention button",
        ] {
            page.key(Key::Tab).await;
            assert_eq!(page.script(focused).await, words);
        }
        page.key(Key::Enter).await;
        assert_eq!(
            page.text("[data-name=bay0] [data-badge=pending]").await,
            "● 1 pending: Attention Button Pressed"
        );
        page.key(Key::Escape).await;
        page.until("return document.activeElement.dataset.name == 'bay0' && !document.querySelector('#panel[data-open]')").await;
    });
}

#[test]
fn a_refusal_is_shown_where_it_happens() {
    // The browser's console notes each answer that is an error.
    on_page(
        MACHINE,
        &["status of 422", "status of 409"],
        async |_, page| {
            page.open_item("bay1").await;
            let name = page.find("input[name=name]").await;
            name.clear().await.unwrap();
            name.send_keys("<b>nvme0</b>").await.unwrap();
            page.press("Plug").await;
            let message = page
                .until("return document.querySelector('.operations .message.error')?.textContent")
                .await;
            let message = message.as_str().unwrap();
            assert!(message.starts_with("Plug: "), "{message}");
            assert!(message.contains("<b>nvme0</b>"), "{message}");
            // Text stays text.
            assert_eq!(
                page.script("return document.querySelectorAll('.message b').length")
                    .await,
                0
            );
            assert_eq!(
                page.script("return document.querySelector('.message').getAttribute('role')")
                    .await,
                "alert"
            );
        },
    );
}

#[test]
fn events_are_filtered() {
    on_page(MACHINE, &[], async |served, page| {
        served.rootplex(&["plug", "bay1"]);
        page.until("return Boolean(document.querySelector('.event.hot_plug'))")
            .await;
        let shown = "return [...document.querySelectorAll('.event:not([hidden]) .kind')].map((kind) => kind.textContent)";
        assert!(
            page.script(shown)
                .await
                .as_array()
                .unwrap()
                .contains(&json!("buses"))
        );
        page.find("#filter-kind")
            .await
            .select_by_value("hot_plug")
            .await
            .unwrap();
        page.find("#filter-port")
            .await
            .select_by_value("bay1")
            .await
            .unwrap();
        assert_eq!(page.script(shown).await, json!(["hot-plug"]));
    });
}

#[test]
fn it_is_legible_in_light_and_dark_and_at_the_width_of_a_phone() {
    on_page(None, &[], async |_, page| {
        let mut grounds = Vec::new();
        for scheme in ["light", "dark"] {
            let scheme_is =
                json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            page.emulate("setEmulatedMedia", scheme_is).await;
            for (width, height, device) in [(1280, 900, "wide"), (360, 740, "phone")] {
                let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 400 });
                page.emulate("setDeviceMetricsOverride", metrics).await;
                page.until(&format!(
                    "const drawing = document.querySelector('#drawing');
                     return innerWidth == {width} && drawing.clientWidth == drawing.querySelector('svg').clientWidth"
                ))
                .await;
                page.keep_picture(&format!("{device}-{scheme}")).await;
                page.open_item("nvme-port0").await;
                page.keep_picture(&format!("{device}-{scheme}-registers"))
                    .await;
                let overflow = page
                    .script("return document.documentElement.scrollWidth - innerWidth")
                    .await;
                assert_eq!(overflow, 0, "{device}, {scheme}");
                let contrast = page.script(CONTRAST).await;
                assert_eq!(
                    contrast,
                    json!([]),
                    "{device}, {scheme}: contrast below 4.5"
                );
                page.press("Close").await;
            }
            grounds.push(
                page.script("return getComputedStyle(document.body).backgroundColor")
                    .await,
            );
        }
        assert_ne!(grounds[0], grounds[1]);
    });
}

/// The colours of text whose contrast to what they are on is below 4.5 (WCAG 2.2, 1.4.3).
const CONTRAST: &str = "
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgb = (name) => {
        canvas.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = (name) => {
        const [r, g, b] = rgb(name).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (one, other) => {
        const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const text = ['ink', 'soft', 'up', 'down', 'off', 'fault', 'accent', 'pending', 'changed'];
    const pairs = text.flatMap((name) => [[name, 'card'], ...(['ink', 'soft'].includes(name) ? [[name, 'ground']] : [])])
        .concat([['pending', 'pending-ground'], ['fault', 'fault-ground'], ['changed', 'changed-ground'], ['ink', 'changed-ground'], ['card', 'fault'],
            ['ink', 'fault-ground'], ['soft', 'fault-ground']]);
    return pairs.filter(([one, other]) => contrast(`--${one}`, `--${other}`) < 4.5).map((pair) => pair.join(' on '));
";
