// Registers as the specification decodes them: names, bits, access rights, values, and what changed last.

import { element } from "./elements.js";
import { hex, spoken } from "./words.js";

function isDirectory(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function isRegister(value) {
  return isDirectory(value) && "raw" in value;
}

// The table that has all of a directory's registers, with their fields.
function tableOf(tables, key, directory) {
  const registers = Object.entries(directory).filter(([, value]) => isRegister(value));
  if (registers.length === 0) return null;
  const fits = tables.filter((table) => registers.every(([name, value]) => {
    const register = table.byName.get(name);
    return register && Object.keys(value).every((field) => field === "raw" || register.fields.some((known) => known.name === field));
  }));
  const own = key.replaceAll("-", "_");
  const score = (table) => Object.keys(directory).filter((name) => table.byName.has(name)).length + (table.name === own ? 0.5 : 0);
  return fits.sort((one, other) => score(other) - score(one))[0] ?? null;
}

export function indexed(tables) {
  return tables.map((table) => ({ ...table, byName: new Map(table.registers.map((register) => [register.name, register])) }));
}

function row(id, name, value, register) {
  if (!isRegister(value)) {
    const of = { id, name, register, raw: value, fields: [] };
    return register && typeof value === "number" ? { ...of, fields: fieldsOf(register, { [register.fields[0].name]: value }) } : of;
  }
  const { raw, ...fields } = value;
  return { id, name, register, raw, fields: fieldsOf(register, fields) };
}

function fieldsOf(register, values) {
  const known = new Map(register?.fields.map((field) => [field.name, field]) ?? []);
  return Object.entries(values)
    .map(([name, value]) => ({ name, value, of: known.get(name) }))
    .sort((one, other) => (one.of?.lsb ?? 0) - (other.of?.lsb ?? 0));
}

// The directories that have values, each with its rows: registers by offset, then what is no register.
export function groups(tables, tree, path = "", above = "") {
  const found = [];
  const key = path.split("/").at(-1);
  const table = tableOf(tables, key, tree);
  const title = table?.title ?? [above, spoken(key)].filter(Boolean).join(": ");
  const rows = Object.entries(tree)
    .filter(([, value]) => !isDirectory(value) || isRegister(value))
    .map(([name, value]) => row(path ? `${path}/${name}` : name, name, value, table?.byName.get(name)))
    .sort((one, other) => (one.register?.offset ?? Infinity) - (other.register?.offset ?? Infinity) || 0);
  if (rows.length > 0 && path !== "") found.push({ path, title, section: table?.section, rows });
  for (const [name, value] of Object.entries(tree)) {
    if (isDirectory(value) && !isRegister(value)) {
      found.push(...groups(tables, value, path ? `${path}/${name}` : name, table?.title));
    }
  }
  return found;
}

function digits(row) {
  return row.register ? row.register.bytes * 2 : 1;
}

// A register is written in hex; what is none, as it is.
function written(row) {
  if (typeof row.raw === "boolean") return row.raw ? "yes" : "no";
  return typeof row.raw === "number" && (row.register || row.fields.length > 0) ? hex(row.raw, digits(row)) : String(row.raw);
}

function fieldText(value) {
  if (typeof value === "boolean") return value ? "1" : "0";
  return typeof value === "number" ? hex(value) : String(value);
}

function bits(field) {
  if (!field.of) return "";
  const high = field.of.lsb + field.of.bits - 1;
  return high === field.of.lsb ? `${high}` : `${high}:${field.of.lsb}`;
}

function clock(date) {
  return date.toLocaleTimeString([], { hour12: false });
}

function changeText(change) {
  return `${clock(change.time)}, was ${change.old}`;
}

const ALWAYS_OPEN = /\/(pci-express)$/;
const CHANGES_SHOWN = 6;

export class Registers {
  constructor(tables) {
    this.tables = indexed(tables);
    this.list = element("div", { class: "blocks" });
    this.recent = element("ul", { class: "changes" });
    this.find = element("input", { type: "search", id: "find", placeholder: "name of a register or field", autocomplete: "off" });
    this.find.addEventListener("input", () => this.filter());
    this.root = element("div", { class: "registers" },
      element("h3", {}, "What changed last"), this.recent,
      element("h3", {}, "Registers"),
      element("label", { class: "find" }, "Find ", this.find),
      this.list);
    this.values = new Map();
    this.changes = new Map();
    this.rows = new Map();
    this.signature = "";
    this.showRecent();
  }

  // Takes what inspection says now; what differs from before has changed.
  show(tree) {
    const found = groups(this.tables, tree);
    const changed = this.note(found);
    const signature = found.map((group) => group.rows.map((row) => row.id).join()).join(";");
    if (signature !== this.signature) {
      this.signature = signature;
      this.build(found);
    }
    found.flatMap((group) => group.rows).forEach((row) => this.rows.get(row.id).update(row));
    for (const group of this.list.children) {
      group.querySelector(".block-changed").hidden = !group.querySelector(".register.changed");
    }
    if (changed) this.showRecent();
  }

  note(found) {
    const time = new Date();
    let changed = false;
    for (const row of found.flatMap((group) => group.rows)) {
      const entries = [[row.id, row.name, written(row)], ...row.fields.map((field) => [`${row.id}.${field.name}`, field.name, fieldText(field.value)])];
      for (const [id, , text] of entries) {
        const old = this.values.get(id);
        if (old !== undefined && old !== text) {
          this.changes.set(id, { time, old, text });
          changed = true;
        }
        this.values.set(id, text);
      }
    }
    return changed;
  }

  showRecent() {
    const last = [...this.changes]
      .filter(([id]) => id.includes(".") || !this.rows.get(id)?.hasFields)
      .sort(([, one], [, other]) => other.time - one.time)
      .slice(0, CHANGES_SHOWN);
    const lines = last.map(([id, change]) => {
      const [register, field] = id.split("/").at(-1).split(".");
      return element("li", {},
        element("time", {}, clock(change.time)), " ",
        element("b", {}, field ? `${spoken(register)}: ${spoken(field)}` : spoken(register)),
        ` ${change.old} → ${change.text}`);
    });
    this.recent.replaceChildren(...(lines.length > 0 ? lines : [element("li", { class: "none" }, "nothing since it was opened")]));
  }

  build(found) {
    const open = new Set([...this.list.querySelectorAll("details[open]")].map((details) => details.dataset.id));
    this.rows.clear();
    this.list.replaceChildren(...found.map((group) => {
      const rows = group.rows.map((row) => {
        const view = new RegisterRow(row, this.changes);
        view.root.open = open.has(row.id);
        this.rows.set(row.id, view);
        return view.root;
      });
      return element("details", { class: "block", "data-id": group.path, open: open.has(group.path) || (open.size === 0 && ALWAYS_OPEN.test(group.path)) },
        element("summary", {},
          element("span", { class: "title" }, group.title),
          element("span", { class: "block-changed", hidden: true }, "✱ changed"),
          element("span", { class: "section" }, group.section ?? "")),
        rows);
    }));
    this.filter();
  }

  filter() {
    const wanted = this.find.value.trim().toLowerCase();
    for (const block of this.list.children) {
      let found = false;
      for (const row of block.querySelectorAll(".register")) {
        row.hidden = !row.dataset.words.includes(wanted);
        found ||= !row.hidden;
      }
      block.hidden = !found;
      if (wanted && found) block.open = true;
    }
  }
}

// One register: a line with what is set, and all its fields below.
class RegisterRow {
  constructor(row, changes) {
    this.changes = changes;
    this.hasFields = row.fields.length > 0;
    this.raw = element("code", { class: "raw" });
    this.set = element("span", { class: "set" });
    this.changed = element("span", { class: "when-changed" });
    const offset = row.register ? element("span", { class: "offset", title: "offset in its block" }, hex(row.register.offset, 2)) : element("span", { class: "offset" });
    const summary = element(this.hasFields ? "summary" : "div", { class: "line" },
      offset, element("span", { class: "register-name" }, spoken(row.name)), this.raw, this.set, this.changed);
    this.root = element(this.hasFields ? "details" : "div", {
      class: "register", "data-id": row.id,
      "data-words": [row.name, spoken(row.name), ...row.fields.flatMap((field) => [field.name, spoken(field.name)])].join(" ").toLowerCase(),
    }, summary);
    if (this.hasFields) this.root.addEventListener("toggle", () => this.decode());
  }

  update(row) {
    // What is selected in it stays selected where nothing changed.
    const values = JSON.stringify([row.raw, row.fields.map((field) => field.value)]);
    if (values === this.values) return;
    this.values = values;
    this.row = row;
    this.raw.textContent = written(row);
    // A single value says it already.
    const set = row.fields.length > 1 ? row.fields.filter((field) => field.value !== false && field.value !== 0) : [];
    this.set.replaceChildren(...set.map((field) =>
      element("span", { class: "chip" }, field.value === true ? spoken(field.name) : `${spoken(field.name)} ${fieldText(field.value)}`)));
    const change = this.changes.get(row.id);
    this.root.classList.toggle("changed", Boolean(change));
    this.changed.textContent = change ? `✱ ${changeText(change)}` : "";
    this.decode();
  }

  decode() {
    if (!this.hasFields || !this.root.open) return;
    const { row } = this;
    const table = element("table", {},
      element("caption", {}, [spoken(row.name), row.register?.section].filter(Boolean).join(", ")),
      element("thead", {}, element("tr", {}, ["Bits", "Field", "Access", "Value", "Changed"].map((title) => element("th", { scope: "col" }, title)))),
      element("tbody", {}, row.fields.map((field) => {
        const change = this.changes.get(`${row.id}.${field.name}`);
        return element("tr", { class: change ? "changed" : null, "data-field": field.name },
          element("td", {}, bits(field)),
          element("th", { scope: "row" }, field.name === "value" ? spoken(row.name) : spoken(field.name)),
          element("td", { class: "access" }, field.of?.access ?? ""),
          element("td", { class: "value" }, fieldText(field.value)),
          element("td", { class: "when-changed" }, change ? changeText(change) : ""));
      })));
    this.table?.remove();
    this.table = table;
    this.root.append(table);
  }
}
