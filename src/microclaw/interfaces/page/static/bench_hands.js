// What a person's hands do to a board's parts, on its way to the host: presses in their order, sliders by their newest value.

import { hostError, part, send } from "./api.js";
import { LATE_NEWS_MS } from "./pins.js";

const PAUSE_MS = 50; // between two orders: 20 a second

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
  /**
   * What was set and is not in the host's news yet. `doneMs`: the board's time of it, Infinity before it is done. `until`: the news
   * of a board that began again, which counts from 0, are never newer. @type {Map<string, {values: Record<string, number>, doneMs: number, until: number}>}
   */
  latest = new Map();

  /** @param {string} device @param {(error: any) => void} onError null: the last one was done */
  constructor(device, onError) {
    this.device = device;
    this.onError = onError;
  }

  /** @param {string} id @param {Record<string, number>} values @param {boolean} isQuantity only the newest counts */
  set(id, values, isQuantity) {
    const before = this.latest.get(id)?.values;
    this.latest.set(id, { values: { ...before, ...values }, doneMs: Infinity, until: Infinity });
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
        const moved = await send("PATCH", `/v1/devices/${part(this.device)}/parts/${part(move.id)}`, { values: move.values }, undefined, true);
        if (move.values.pressed !== 0) this.onError(null); // letting go says nothing of the press before
        const latest = this.latest.get(move.id);
        const isLast = !this.queue.some((next) => next.id === move.id);
        if (latest && isLast) Object.assign(latest, { doneMs: moved.now_ms, until: performance.now() + LATE_NEWS_MS });
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

  /**
   * Put what the hands hold over what the host told until `nowMs`, the board's time. What the host never tells, as the turns of
   * an encoder, stays. @param {Record<string, import("./bench.js").PartState>} states @param {number | null} nowMs
   */
  putOver(states, nowMs) {
    for (const [id, { values, doneMs, until }] of this.latest) {
      if ((nowMs ?? 0) > doneMs || performance.now() > until) {
        this.latest.delete(id);
        continue;
      }
      const known = states[id];
      if (known === undefined) continue;
      const newer = Object.entries(values).filter(([name, value]) => typeof known.state[name] === "number" && known.state[name] !== value);
      if (newer.length > 0) states[id] = { ...known, state: { ...known.state, ...Object.fromEntries(newer) } };
    }
  }
}
