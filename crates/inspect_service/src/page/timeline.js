// The time line: what happened, the newest first.

import { byId, element } from "./elements.js";

// As many as the server's log keeps.
const EVENTS_MAX = 1024;
const KINDS = { hot_plug: "hot-plug", power: "power", link: "link", error: "error", reset: "reset", buses: "buses" };
// A pause that is worth a line.
const PAUSE_US = 1_000_000;
// What comes this soon happened before the page was there, and is not read out.
const HISTORY_MS = 1000;

function seconds(us) {
  return (us / 1e6).toFixed(us < 1e7 ? 4 : 2);
}

export class Timeline {
  constructor(open) {
    this.open = open;
    this.list = byId("events");
    this.port = byId("filter-port");
    this.kind = byId("filter-kind");
    this.entries = [];
    this.since = performance.now();
    for (const select of [this.port, this.kind]) select.addEventListener("change", () => this.filter());
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    Object.entries(KINDS).forEach(([value, words]) => this.kind.append(element("option", { value }, words)));
  }

  add(event) {
    const last = this.entries.at(-1)?.event;
    const pause = last ? event.time_us - last.time_us : 0;
    const words = KINDS[event.kind] ?? event.kind;
    for (const [select, value, text] of [[this.port, event.port, event.port], [this.kind, event.kind, words]]) {
      if (value && ![...select.options].some((option) => option.value === value)) select.append(element("option", { value }, text));
    }
    const line = element("li", { class: `event ${event.kind}`, "data-sequence": event.sequence },
      pause >= PAUSE_US ? element("span", { class: "pause" }, `${(pause / 1e6).toFixed(1)} s later`) : null,
      element("span", { class: "when" }, `${seconds(event.time_us)} s`),
      element("span", { class: "kind" }, words),
      element("span", { class: "text" },
        event.port ? element("button", { type: "button", class: "where", onclick: () => this.open(event.port) }, event.port) : null,
        ` ${event.what} `,
        event.cause ? element("span", { class: "cause" }, event.cause) : null));
    this.list.prepend(line);
    this.entries.push({ event, line });
    if (this.entries.length > EVENTS_MAX) this.entries.shift().line.remove();
    this.filter([this.entries.at(-1)]);
    if (performance.now() - this.since > HISTORY_MS) byId("announcer").textContent = `${event.port} ${event.what}`;
  }

  dropped(count) {
    this.list.prepend(element("li", { class: "event dropped" }, `${count} events were lost: the log went on without this page`));
  }

  filter(entries = this.entries) {
    for (const { event, line } of entries) {
      line.hidden = (this.port.value !== "" && event.port !== this.port.value) || (this.kind.value !== "" && event.kind !== this.kind.value);
    }
    const all = this.entries.length;
    const shown = all - this.list.querySelectorAll("li[data-sequence][hidden]").length;
    byId("shown").textContent = shown === all ? `${all}` : `${shown} of ${all}`;
  }
}
