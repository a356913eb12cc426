// What a person's hands do to a board's parts, on its way to the host: presses in their order, sliders by their newest value.

import { ApiError, HostAway, part, send } from "./api.js";

const PAUSE_MS = 50; // between two orders: 20 a second
const SHOWN_MS = 400; // a hand's own value is drawn until the host's news can have it

/** @typedef {{id: string, values: Record<string, number>}} Move */

export class BoardHands {
  /** @param {string} device @param {(error: any) => void} onError null: the last one was done */
  constructor(device, onError) {
    this.device = device;
    this.onError = onError;
    /** No maximum: it grows by a person's presses alone. @type {Move[]} */
    this.queue = [];
    this.isSending = false;
    /** What was set just now, by part. @type {Map<string, {values: Record<string, number>, until: number}>} */
    this.latest = new Map();
  }

  /** @param {string} id @param {Record<string, number>} values @param {boolean} isPress every one counts, as a press and its release do */
  set(id, values, isPress) {
    const before = this.latest.get(id)?.values;
    this.latest.set(id, { values: { ...before, ...values }, until: performance.now() + SHOWN_MS });
    const last = this.queue.at(-1);
    if (last?.id === id && !isPress) last.values = { ...last.values, ...values };
    else this.queue.push({ id, values });
    if (!this.isSending) void this.sendAll();
  }

  async sendAll() {
    this.isSending = true;
    for (let move = this.queue.shift(); move !== undefined; move = this.queue.shift()) {
      try {
        await send("PATCH", `/v1/devices/${part(this.device)}/parts/${part(move.id)}`, { values: move.values });
        this.onError(null);
        const latest = this.latest.get(move.id);
        if (latest) latest.until = performance.now() + SHOWN_MS;
      } catch (error) {
        if (!(error instanceof ApiError || error instanceof HostAway)) throw error;
        this.queue = [];
        this.latest.clear();
        this.onError(error);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    this.isSending = false;
  }

  /** Put what the hands hold over what the host told. @param {Record<string, import("./bench.js").PartState>} states */
  putOver(states) {
    const now = performance.now();
    for (const [id, { values, until }] of this.latest) {
      const state = states[id];
      if (now > until || state === undefined) this.latest.delete(id);
      else if (Object.entries(values).some(([name, value]) => state.state[name] !== value)) {
        states[id] = { ...state, state: { ...state.state, ...values } };
      }
    }
  }
}
