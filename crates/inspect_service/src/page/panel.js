// What is open: a port or device with its state, what can be done to it, and its registers.

import { byId, element } from "./elements.js";
import { Operations } from "./operations.js";
import { Registers } from "./registers.js";
import { inspect } from "./server.js";
import { hex, isOperable, isPort, kind, link, pending, slot, spoken } from "./words.js";

// Deeper than configuration space goes.
const DEPTH = 8;

function facts(item) {
  const range = (window) => `${hex(window[0])}-${hex(window[1])}`;
  const { bridge } = item;
  const windows = bridge ? [["memory", bridge.memory], ["prefetchable", bridge.prefetchable], ["I/O", bridge.io]].filter(([, window]) => window) : [];
  const bus = (number) => number.toString(16).padStart(2, "0");
  return [
    ["Kind", item.cxl ? `${kind(item)}, CXL` : kind(item)],
    ["Link", link(item)],
    ["Slot", slot(item)],
    ["Latch", item.slot && item.slot.latch_open !== null ? (item.slot.latch_open ? "open" : "closed") : null],
    ["Attention indicator", item.slot?.attention_indicator ?? null],
    ["Power indicator", item.slot?.power_indicator ?? null],
    ["Interlock", item.slot && item.slot.interlock_engaged !== null ? (item.slot.interlock_engaged ? "engaged" : "released") : null],
    ["Pending", pending(item).map(spoken).join(", ") || (item.slot ? "none" : null), pending(item).length > 0 ? "pending" : null],
    ["Errors", item.id ? item.errors.map(spoken).join(", ") || "none" : null, item.errors.length > 0 ? "latched" : null],
    ["Address", item.address ?? "unnumbered"],
    ["ID", item.id ? `${item.id.map((id) => id.toString(16).padStart(4, "0")).join(":")}, class ${item.class.toString(16).padStart(6, "0")}` : "out of reach"],
    ["Buses", bridge ? (bridge.secondary === 0 ? "not numbered" : `${bus(bridge.secondary)}-${bus(bridge.subordinate)}`) : null],
    ["Windows", bridge ? windows.map(([name, window]) => `${name} ${range(window)}`).join(", ") || "closed" : null],
    ["Path", item.path],
  ].filter(([, value]) => value);
}

export class Panel {
  constructor(tables, { changed, closed }) {
    this.tables = tables;
    this.changed = changed;
    this.closed = closed;
    this.root = byId("panel");
    this.empty = [...this.root.children];
    // What was seen of each item, so that a second look shows what changed since the first.
    this.seen = new Map();
    this.item = null;
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.item) return;
      event.preventDefault();
      this.close();
    });
  }

  open(item) {
    const same = this.item?.path === item.path;
    this.item = item;
    if (!same) {
      if (!this.seen.has(item.path)) this.seen.set(item.path, new Registers(this.tables));
      this.registers = this.seen.get(item.path);
      this.title = element("h2", { id: "panel-title", tabindex: -1 }, item.name);
      this.findings = element("ul", { class: "findings", "aria-label": "Findings" });
      this.facts = element("dl", { class: "facts" });
      this.operations = new Operations(item.name, this.changed);
      this.problem = element("p", { class: "message error", role: "alert", hidden: true });
      this.root.replaceChildren(
        element("div", { class: "panel-head" }, this.title, element("button", { type: "button", class: "close", onclick: () => this.close() }, "Close")),
        this.findings, this.facts, this.operations.root, this.problem, this.registers.root);
      this.root.dataset.open = item.path;
      this.root.scrollTop = 0;
    }
    this.update(item);
    this.title.focus({ preventScroll: same });
    return this.refresh();
  }

  close() {
    const { path } = this.item;
    this.item = null;
    delete this.root.dataset.open;
    this.root.replaceChildren(...this.empty);
    this.closed(path);
  }

  // Takes the item as the hierarchy has it now; without one, it is gone.
  update(item) {
    if (!item) {
      this.tell("It is not there any more: it was unplugged.");
      return;
    }
    this.item = item;
    this.showFindings(item.findings);
    const said = facts(item);
    if (JSON.stringify(said) !== this.facts.dataset.said) this.facts.replaceChildren(...said.map(([name, value, of]) =>
      element("div", {}, element("dt", {}, name), element("dd", { class: of, "data-fact": name }, value))));
    this.facts.dataset.said = JSON.stringify(said);
    this.operations.root.hidden = !isOperable(item);
    if (isOperable(item)) this.operations.show(item.slot);
  }

  // What is wrong, why, and what is to be done.
  showFindings(findings) {
    const said = JSON.stringify(findings);
    if (said === this.findings.dataset.said) return;
    this.findings.dataset.said = said;
    this.findings.hidden = findings.length === 0;
    this.findings.replaceChildren(...findings.map((finding) =>
      element("li", { class: finding.severity, "data-code": finding.code },
        element("b", {}, finding.severity === "problem" ? `◆ ${finding.badge}` : finding.badge), ` ${finding.says}`,
        finding.severity === "problem" ? element("p", { class: "cure" }, finding.cure) : null)));
  }

  tell(problem) {
    this.problem.hidden = problem === null;
    this.problem.textContent = problem ?? "";
  }

  // Reads the registers again.
  async refresh() {
    const { item, registers } = this;
    if (!item) return;
    try {
      const { header, ...rest } = await inspect(`${item.path}/cfg_space`, DEPTH);
      // As the configuration space has them: the header comes before what it points to.
      const tree = { header, ...rest };
      if (isPort(item)) tree.station = await inspect(`${item.path}/station`, 1);
      if (this.item?.path !== item.path) return;
      registers.show(tree);
      this.tell(null);
    } catch (error) {
      if (this.item?.path === item.path) this.tell(error.message);
    }
  }
}
