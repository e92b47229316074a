// The hierarchy as a drawing that is also a tree for keyboard and screen reader (WAI-ARIA, pattern "tree view").

import { element, svg } from "./elements.js";
import { STATES, describe, isPort, kind, pending, problems, shortAddress, spoken, state } from "./words.js";

const ROW = 48;
const BADGES = 22;
const GAP = 8;
const NARROW = 380;
// How wide a character is drawn at most; a font that is narrower leaves room.
const NAME_CHARACTER = 9;
const WORDS_CHARACTER = 6.5;
const BADGE_CHARACTER = 7.6;

// A mark for each state that differs in shape, too.
function mark(of, x, y) {
  const at = { class: `mark ${of}`, transform: `translate(${x} ${y})`, "aria-hidden": "true" };
  switch (of) {
    case "up": return svg("circle", { ...at, r: 6 });
    case "down": return svg("path", { ...at, d: "M-5-5L5 5M5-5L-5 5" });
    case "empty": return svg("circle", { ...at, r: 5.2 });
    case "off": return svg("path", { ...at, d: "M-3.4-3.4A5 5 0 1 0 3.4-3.4M0-6V0" });
    case "fault": return svg("path", { ...at, d: "M0-6.5L6.5 5.5H-6.5ZM0-2.6V1.4M0 2.9V4" });
    case "unreachable": return svg("path", { ...at, d: "M-5 0H-1M1 0H5" });
    case "complex": return svg("path", { ...at, d: "M-5-5H5V5H-5ZM-2-8V-5M2-8V-5M-2 5V8M2 5V8" });
    default: return svg("rect", { ...at, x: -5, y: -5, width: 10, height: 10, rx: 2 });
  }
}

export function legend() {
  return Object.entries(STATES).map(([name, words]) =>
    element("li", {}, svg("svg", { width: 18, height: 18, viewBox: "-9 -9 18 18", "aria-hidden": "true" }, mark(name, 0, 0)), words));
}

// The functions of one device are one item until they are asked for.
function grouped(functions) {
  const items = [];
  for (let at = 0; at < functions.length;) {
    const first = functions[at];
    let end = at + 1;
    while (first.kind === "endpoint" && functions[end]?.kind === "endpoint" && functions[end].name === first.name) end += 1;
    const members = functions.slice(at, end);
    items.push(members.length === 1 ? fromFunction(first) : {
      key: `${first.path}#`,
      name: first.name,
      state: members.every((member) => !member.id) ? "unreachable" : "device",
      address: shortAddress(first),
      words: `device of ${members.length} functions`,
      errors: [...new Set(members.flatMap((member) => member.errors))],
      pending: [],
      problems: [...new Set(members.flatMap((member) => problems(member).map((problem) => problem.badge)))],
      below: members.map(fromFunction),
      closed: true,
    });
    at = end;
  }
  return items;
}

function fromFunction(item) {
  return {
    key: item.path,
    name: item.name,
    item,
    state: state(item),
    address: shortAddress(item),
    words: describe(item),
    errors: item.errors,
    pending: pending(item),
    problems: problems(item).map((problem) => problem.badge),
    below: grouped(item.below),
    lanes: isPort(item) && item.link?.active ? item.link.width : 0,
    port: isPort(item),
  };
}

function fromComplex(complex) {
  const [first, last] = complex.buses.map((bus) => bus.toString(16).padStart(2, "0"));
  return {
    key: complex.name,
    name: complex.name,
    state: "complex",
    address: "",
    words: `root complex · segment ${complex.segment} · buses ${first}-${last}`,
    errors: [],
    pending: [],
    problems: [],
    below: grouped(complex.functions),
  };
}

function clipped(text, width, character) {
  const room = Math.max(4, Math.floor(width / character));
  return text.length <= room ? text : `${text.slice(0, room - 1)}…`;
}

function badges(row) {
  const list = row.problems.map((problem) => ({ of: "problem", text: `◆ ${problem}` }));
  if (row.pending.length > 0) {
    list.push({ of: "pending", text: `● ${row.pending.length} pending: ${row.pending.map(spoken).join(", ")}` });
  }
  if (row.errors.length > 0) {
    list.push({ of: "latched", text: `▲ ${row.errors.length} latched: ${row.errors.map(spoken).join(", ")}` });
  }
  return list;
}

export class Drawing {
  constructor(container, open) {
    this.container = container;
    this.open = open;
    this.roots = [];
    // What the operator opened or closed, where it differs from how it comes.
    this.toggled = new Set();
    this.focused = null;
    this.selected = null;
    this.placed = [];
    this.nodes = new Map();
    this.edges = svg("g", { "aria-hidden": "true" });
    this.drawing = svg("svg", { role: "tree", "aria-label": "Hierarchy", onkeydown: (event) => this.key(event) }, this.edges);
    container.append(this.drawing);
    new ResizeObserver(() => this.draw()).observe(container);
  }

  show(topology) {
    this.roots = topology.complexes.map(fromComplex);
    this.draw();
  }

  select(key) {
    this.selected = key;
    this.draw();
  }

  focus(key) {
    this.focused = key ?? this.focused;
    this.draw();
    this.node(this.focused)?.focus();
  }

  isOpen(row) {
    return row.below.length > 0 && Boolean(row.closed) === this.toggled.has(row.key);
  }

  // What is visible, from top to bottom, with where it goes.
  rows() {
    const width = this.container.clientWidth;
    const indent = width < NARROW ? 13 : 26;
    const rows = [];
    let y = GAP;
    const add = (row, level, above) => {
      const x = 4 + level * indent;
      const drawn = badges(row);
      const height = ROW + drawn.length * BADGES;
      const placed = { row, level, above, x, y, height, width: width - x - 4, badges: drawn };
      rows.push(placed);
      y += height + GAP;
      if (this.isOpen(row)) row.below.forEach((child) => add(child, level + 1, placed));
    };
    this.roots.forEach((root) => add(root, 0, null));
    return { rows, width, indent, height: y };
  }

  // Draws anew what is not as it was drawn before. The rest stays, and with it the focus and a click that is half done.
  draw() {
    const { rows, width, indent, height } = this.rows();
    if (width === 0) return;
    this.placed = rows;
    if (!rows.some((placed) => placed.row.key === this.focused)) this.focused = rows[0]?.row.key ?? null;
    const hadFocus = this.drawing.contains(document.activeElement);
    const size = { width, height, viewBox: `0 0 ${width} ${height}` };
    Object.entries(size).forEach(([name, value]) => this.drawing.setAttribute(name, value));
    this.edges.replaceChildren(...rows.filter((placed) => placed.above).map((placed) => edge(placed, indent)));
    const before = this.nodes;
    this.nodes = new Map();
    let last = this.edges;
    for (const placed of rows) {
      const { key } = placed.row;
      const { above, row: { below, item, ...row }, ...place } = placed;
      const signature = JSON.stringify([row, place, below.length > 0 && this.isOpen(placed.row)]);
      const known = before.get(key);
      const node = known?.signature === signature ? known.node : this.box(placed);
      if (last.nextSibling !== node) last.after(node);
      last = node;
      node.setAttribute("tabindex", key === this.focused ? 0 : -1);
      node.setAttribute("aria-selected", key === this.selected);
      this.nodes.set(key, { node, signature });
    }
    while (last.nextSibling) last.nextSibling.remove();
    if (hadFocus && !this.drawing.contains(document.activeElement)) this.node(this.focused)?.focus({ preventScroll: true });
  }

  box({ row, level, x, y, width, height, badges: drawn }) {
    const open = this.isOpen(row);
    const text = (name, dx, dy, value, attributes = {}) =>
      svg("text", { class: name, x: x + dx, y: y + dy, ...attributes }, value);
    const address = row.address.length * 7.4;
    const sign = row.below.length > 0 ? 18 : 0;
    const node = svg("g", {
      role: "treeitem",
      class: `node ${row.state}`,
      "aria-level": level + 1,
      "aria-expanded": row.below.length > 0 ? String(open) : null,
      "aria-label": [row.name, row.address, row.item ? kind(row.item) : null, row.words, ...drawn.map((badge) => badge.text)]
        .filter(Boolean).join(", "),
      "data-key": row.key,
      "data-name": row.name,
      "data-state": row.state,
      "data-port": row.port ? "true" : null,
      onclick: () => this.activate(row.key),
    },
      svg("title", {}, [`${row.name}: ${row.words}`, ...drawn.map((badge) => badge.text)].join("\n")),
      svg("rect", { class: "box", x, y, width, height, rx: 7 }),
      svg("rect", { class: "stripe", x: x + 3, y: y + 8, width: 3, height: height - 16, rx: 1.5 }),
      mark(row.state, x + 19, y + 17),
      text("name", 34, 21, clipped(row.name, width - 42 - address - sign, NAME_CHARACTER)),
      text("address", width - 10 - sign, 21, row.address, { "text-anchor": "end" }),
      text("words", 34, 38, clipped(row.words, width - 40, WORDS_CHARACTER)),
      drawn.map((badge, index) => {
        const top = y + ROW - 2 + index * BADGES;
        const shown = clipped(badge.text, width - 60, BADGE_CHARACTER);
        const room = Math.min(width - 42, shown.length * BADGE_CHARACTER + 16);
        return svg("g", { class: `badge ${badge.of}`, "data-badge": badge.of },
          svg("rect", { x: x + 33, y: top, width: room, height: 18, rx: 9 }),
          svg("text", { x: x + 41, y: top + 13 }, shown));
      }));
    if (row.below.length > 0) node.append(this.sign(row, open, x + width - 16, y + 17));
    return node;
  }

  sign(row, open, x, y) {
    return svg("g", {
      class: "sign",
      "aria-hidden": "true",
      onclick: (event) => { event.stopPropagation(); this.toggle(row); },
    },
      svg("rect", { class: "target", x: x - 12, y: y - 15, width: 26, height: 28 }),
      svg("path", { d: open ? `M${x - 4} ${y - 2}l4 4l4-4` : `M${x - 2} ${y - 4}l4 4l-4 4` }));
  }

  node(key) {
    return this.nodes.get(key)?.node;
  }

  toggle(row) {
    this.focused = row.key;
    if (!this.toggled.delete(row.key)) this.toggled.add(row.key);
    this.draw();
  }

  // Opens what has the key, as it is by now.
  activate(key) {
    const { row } = this.placed.find((placed) => placed.row.key === key);
    this.focused = key;
    if (row.item) this.open(row.item);
    else if (row.below.length > 0) this.toggle(row);
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const at = this.placed.findIndex((placed) => placed.row.key === this.focused);
    const { row, above } = this.placed[at] ?? {};
    if (!row) return;
    const open = this.isOpen(row);
    const moves = {
      ArrowDown: () => this.placed[at + 1],
      ArrowUp: () => this.placed[at - 1],
      Home: () => this.placed[0],
      End: () => this.placed.at(-1),
      ArrowRight: () => (open ? this.placed[at + 1] : void (row.below.length > 0 && this.toggle(row))),
      ArrowLeft: () => (open ? void this.toggle(row) : above),
      Enter: () => void this.activate(row.key),
      " ": () => void this.activate(row.key),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const to = move();
    if (to) this.focus(to.row.key);
  }
}

// From the box above down its left side and over to the box; as thick as there are lanes.
function edge({ above, x, y }, indent) {
  const left = above.x + indent / 2;
  const of = above.row.port ? (above.row.lanes > 0 ? "up" : "down") : "internal";
  return svg("path", {
    class: `edge ${of}`,
    "stroke-width": of === "up" ? 1.5 + Math.log2(above.row.lanes) * 0.6 : 1.5,
    d: `M${left} ${above.y + above.height}V${y + 12}Q${left} ${y + 17} ${left + 5} ${y + 17}H${x}`,
  });
}
