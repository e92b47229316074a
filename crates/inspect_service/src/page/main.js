// The page: what the server says, to the drawing, the panel and the time line.

import { Drawing, legend } from "./drawing.js";
import { byId } from "./elements.js";
import { Panel } from "./panel.js";
import { follow, get } from "./server.js";
import { Timeline } from "./timeline.js";
import { isPort, pending, problems } from "./words.js";

// A guest that writes registers makes no event, so the page looks again by itself.
const LOOK_MS = 2000;
// Events come in bursts; one look is enough for a burst.
const SETTLE_MS = 60;

let items = new Map();
let looking = null;
let again = false;

function collect(functions, into) {
  for (const item of functions) {
    into.set(item.path, item);
    collect(item.below, into);
  }
  return into;
}

function summarize() {
  const all = [...items.values()];
  const ports = all.filter(isPort);
  const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;
  byId("summary").textContent = [
    count(ports.length, "port", "ports"),
    count(ports.filter((port) => port.link?.active).length, "link up", "links up"),
    count(all.filter((item) => problems(item).length > 0).length, "problem", "problems"),
    `${all.filter((item) => pending(item).length > 0).length} pending`,
    `${all.filter((item) => item.errors.length > 0).length} with errors`,
  ].join(" · ");
}

async function look() {
  const topology = await get("/topology");
  items = collect(topology.complexes.flatMap((complex) => complex.functions), new Map());
  drawing.show(topology);
  summarize();
  if (panel.item) {
    panel.update(items.get(panel.item.path));
    await panel.refresh();
  }
}

// Looks once more, and once again after that if it was called meanwhile.
async function refresh() {
  if (looking) {
    again = true;
    return;
  }
  looking = look();
  try {
    await looking;
    byId("problem").hidden = true;
  } catch (error) {
    byId("problem").hidden = false;
    byId("problem").textContent = error.message;
  }
  looking = null;
  if (again) {
    again = false;
    await refresh();
  }
}

function open(item) {
  drawing.select(item.path);
  panel.open(item);
}

function connection(state, words) {
  byId("connection").dataset.state = state;
  byId("connection").textContent = words;
}

byId("legend").append(...legend());
const drawing = new Drawing(byId("drawing"), open);
const panel = new Panel(await get("/registers"), {
  changed: refresh,
  closed: (path) => {
    drawing.select(null);
    drawing.focus(path);
  },
});
const timeline = new Timeline((name) => {
  const item = [...items.values()].find((candidate) => candidate.name === name);
  if (item) open(item);
});

let settling = null;
follow({
  event: (event) => {
    timeline.add(event);
    settling ??= setTimeout(() => {
      settling = null;
      refresh();
    }, SETTLE_MS);
  },
  dropped: (count) => timeline.dropped(count),
  connected: () => {
    connection("live", "● live");
    refresh();
  },
  lost: () => connection("lost", "○ connection lost, trying again"),
});
setInterval(() => {
  if (!document.hidden) refresh();
}, LOOK_MS);
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
  const find = byId("find");
  if (!find) return;
  event.preventDefault();
  find.focus();
});
await refresh();
