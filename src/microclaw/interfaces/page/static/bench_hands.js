// What a person's hands do to a board's parts, on its way to the host: presses in their order, sliders by their newest value.

import { hostError, part, send } from "./api.js";

const PAUSE_MS = 50; // between two orders: 20 a second
const NEWS_MS = 2_000; // after an order is done, the host's news have its values

/** @typedef {{id: string, values: Record<string, number>}} Move */

const MOST_TURNS = 1_000; // detents of one order

/** Whether both are turns of an encoder, which can be added. @param {Record<string, number>} first @param {Record<string, number>} second */
function isTurned(first, second) {
  const areTurns = [first, second].every((values) => Object.keys(values).join() === "turn");
  return areTurns && Math.abs((first.turn ?? 0) + (second.turn ?? 0)) <= MOST_TURNS;
}

export class BoardHands {
  /** No maximum: it grows by a person's presses alone, as values of knobs and turns of encoders that wait become one. @type {Move[]} */
  queue = [];
  isSending = false;
  /** What was set and is not in the host's news yet, by part. @type {Map<string, {values: Record<string, number>, until: number}>} */
  latest = new Map();

  /** @param {string} device @param {(error: any) => void} onError null: the last one was done */
  constructor(device, onError) {
    this.device = device;
    this.onError = onError;
  }

  /** @param {string} id @param {Record<string, number>} values @param {boolean} isQuantity only the newest counts */
  set(id, values, isQuantity) {
    const before = this.latest.get(id)?.values;
    this.latest.set(id, { values: { ...before, ...values }, until: Infinity });
    const last = this.queue.at(-1);
    if (last?.id === id && isQuantity) last.values = { ...last.values, ...values };
    else if (last?.id === id && isTurned(last.values, values)) last.values = { turn: (last.values.turn ?? 0) + (values.turn ?? 0) };
    else this.queue.push({ id, values });
    if (!this.isSending) void this.sendAll();
  }

  async sendAll() {
    this.isSending = true;
    for (let move = this.queue.shift(); move !== undefined; move = this.queue.shift()) {
      try {
        await send("PATCH", `/v1/devices/${part(this.device)}/parts/${part(move.id)}`, { values: move.values }, undefined, true);
        if (move.values.pressed !== 0) this.onError(null); // letting go says nothing of the press before
        const latest = this.latest.get(move.id);
        const isLast = !this.queue.some((next) => next.id === move.id);
        if (latest && isLast) latest.until = performance.now() + NEWS_MS;
      } catch (error) {
        this.onError(hostError(error));
        // What is let go is let go on the board, too, though a press before was refused.
        this.queue = this.queue.filter(({ values }) => values.pressed === 0);
        this.latest.clear();
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    this.isSending = false;
  }

  /** Put what the hands hold over what the host told. What the host never tells, as the turns of an encoder, stays. @param {Record<string, import("./bench.js").PartState>} states */
  putOver(states) {
    const now = performance.now();
    for (const [id, { values, until }] of this.latest) {
      const known = states[id];
      const newer = Object.entries(values).filter(([name, value]) => typeof known?.state[name] === "number" && known.state[name] !== value);
      if (known === undefined || newer.length === 0) {
        if (until < Infinity) this.latest.delete(id);
      } else if (now > until) {
        this.latest.delete(id);
      } else {
        states[id] = { ...known, state: { ...known.state, ...Object.fromEntries(newer) } };
      }
    }
  }
}
