// How things are called: names of registers as people write them, and states in words.

const SPEEDS = ["", "2.5", "5", "8", "16", "32", "64"];
const CAPITALS = new Set(
  ("acs aer aspm ari ats bar bist cfg crs cto cxl cor d0 d1 d2 d3 dl dlp dpc drs dsn dvsec ecrc err flr frs hdm id ido intx io l0s l1 "
  + "ltr mc mmio mps mrl msi nfm nonfatal obff p2p pasid pba pcie pci pd pio pm pme pr ptm ras rcrb rom rp rx serr skp sos sris tlp tph "
  + "ts uio ur vga").split(" "),
);

// slot_status is Slot Status, pme_enable is PME Enable.
export function spoken(name) {
  return name
    .split(/[_-]/)
    .map((word) => (CAPITALS.has(word) ? word.toUpperCase() : word.charAt(0).toUpperCase() + word.slice(1)))
    .join(" ")
    .replace(/ERR (COR|FATAL|NONFATAL)/g, "ERR_$1")
    .replace("MSI X", "MSI-X");
}

export function hex(value, digits = 1) {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

const KINDS = {
  root_port: "root port",
  upstream_port: "upstream port",
  downstream_port: "downstream port",
  endpoint: "endpoint",
  integrated: "integrated endpoint",
  event_collector: "event collector",
};

export function kind(item) {
  return KINDS[item.kind] ?? item.kind;
}

// Whether devices are attached to it.
export function isPort(item) {
  return item.kind === "root_port" || item.kind === "downstream_port";
}

export function isOperable(item) {
  return isPort(item) && Boolean(item.slot?.hot_plug);
}

export function link(item) {
  if (!item.link) return null;
  return item.link.active ? `link up, ${SPEEDS[item.link.speed] ?? "?"} GT/s ×${item.link.width}` : "link down";
}

export function slot(item) {
  const it = item.slot;
  if (!it) return null;
  const words = [`slot ${it.number} ${it.present ? "occupied" : "empty"}`];
  if (!it.powered) words.push("power off");
  if (it.power_fault) words.push("power fault");
  if (it.latch_open) words.push("latch open");
  return words.join(", ");
}

// The one state that colour and shape show, of link and slot.
export function state(item) {
  if (!item.id) return "unreachable";
  if (!isPort(item)) return "device";
  if (item.slot?.power_fault) return "fault";
  if (item.slot && !item.slot.powered) return "off";
  if (item.link?.active) return "up";
  return item.slot && !item.slot.present ? "empty" : "down";
}

export const STATES = {
  up: "link up",
  down: "link down",
  empty: "slot empty",
  off: "power off",
  fault: "power fault",
  device: "device",
  unreachable: "out of reach",
};

// State in words, for those who do not see the colour.
export function describe(item) {
  const parts = isPort(item) ? [link(item), slot(item)] : [kind(item), item.class === null ? null : `class ${hex(item.class, 6)}`];
  if (!item.id) parts.unshift("out of reach");
  return parts.filter(Boolean).join(" · ");
}

// What keeps an item, or what is below it, from working.
export function problems(item) {
  return item.findings.filter((finding) => finding.severity === "problem");
}

export function pending(item) {
  return item.slot?.events ?? [];
}

export function shortAddress(item) {
  return item.address ? item.address.replace(/^[0-9a-f]{4}:/, "") : "unnumbered";
}
