// What an operator does to a slot: the same as the commands of rootplex.

import { element } from "./elements.js";
import { operate } from "./server.js";

const PATIENCE_MS = 15_000;
const POLL_MS = 300;

// What is offered to be plugged in, in the words of a topology.
const CARDS = {
  "plain endpoint": {},
  "network card": { class: 0x020000, bar: [{ kind: "64", size: "64K" }], msix: { vectors: 8 } },
  "NVM Express": { class: 0x010802, bar: [{ kind: "64", size: "16K" }], msix: { vectors: 33 } },
};

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export class Operations {
  // `name` is the port's, `done` is called after each operation.
  constructor(name, done) {
    this.name = name;
    this.done = done;
    this.message = element("p", { class: "message", role: "status" });
    this.root = element("div", { class: "operations" });
  }

  show(slot) {
    const shape = JSON.stringify([slot.present, slot.attention_button, slot.power_controller, slot.latch_open]);
    if (shape === this.shape) return;
    const hadFocus = this.root.contains(document.activeElement) && document.activeElement !== document.body;
    this.shape = shape;
    const button = (words, run, of) => element("button", { type: "button", class: of, onclick: () => this.run(words, run) }, words);
    this.root.replaceChildren(
      element("h3", {}, "Slot"),
      slot.present ? element("div", { class: "buttons" },
        button("Unplug", () => this.unplug()),
        button("Unplug by surprise", () => operate(this.name, "unplug?surprise=true"), "danger"),
      ) : this.plugForm(),
      slot.attention_button || slot.power_controller || slot.latch_open !== null ? element("div", { class: "buttons" },
        slot.attention_button ? button("Press attention button", () => operate(this.name, "button")) : null,
        slot.latch_open === null ? null : button(slot.latch_open ? "Close latch" : "Open latch", () => operate(this.name, `latch?open=${!slot.latch_open}`)),
        slot.power_controller ? button("Power fault", () => operate(this.name, "power-fault"), "danger") : null,
      ) : "",
      this.message);
    if (hadFocus) this.root.querySelector("button, select, input")?.focus();
  }

  plugForm() {
    const name = element("input", { name: "name", value: `${this.name}-card`, required: true, autocomplete: "off" });
    const kind = element("select", { name: "kind" }, Object.keys(CARDS).map((words) => element("option", {}, words)));
    const text = element("textarea", { name: "description", rows: 4, spellcheck: "false" });
    const fill = () => { text.value = JSON.stringify(CARDS[kind.value], null, 1); };
    kind.addEventListener("change", fill);
    fill();
    return element("form", {
      class: "plug",
      onsubmit: (event) => {
        event.preventDefault();
        this.run("Plug", async () => operate(this.name, "plug", JSON.stringify({ ...JSON.parse(text.value), name: name.value })));
      },
    },
      element("label", {}, "Endpoint ", kind),
      element("label", {}, "Name ", name),
      element("button", {}, "Plug"),
      element("details", {}, element("summary", {}, "Description as JSON"), element("label", {}, element("span", { class: "unseen" }, "Description"), text)));
  }

  // Asks the guest where it has not let the card go, and waits until it did.
  async unplug() {
    const attempt = async () => {
      try {
        await operate(this.name, "unplug");
        return true;
      } catch (error) {
        if (!error.held) throw error;
        return false;
      }
    };
    if (await attempt()) return;
    await operate(this.name, "request-removal");
    this.say("The guest was asked to let the device go; waiting for it.");
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end;) {
      await pause(POLL_MS);
      if (await attempt()) return;
    }
    throw new Error(`port '${this.name}': the guest was asked and has not let the device go in ${PATIENCE_MS / 1000} s; Unplug by surprise does not ask`);
  }

  async run(words, work) {
    this.say(`${words} …`);
    try {
      await work();
      this.say(`${words}: done.`);
    } catch (error) {
      this.say(`${words}: ${error.message}`, true);
    }
    this.done();
  }

  say(text, isError = false) {
    this.message.className = isError ? "message error" : "message";
    this.message.setAttribute("role", isError ? "alert" : "status");
    this.message.textContent = text;
  }
}
