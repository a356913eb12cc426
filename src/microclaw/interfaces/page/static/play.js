// A trial over its time, as the host sends it: what parts and pins are at a moment, and the steps from one to the next. It draws nothing.

/** A pin that changed: `t` in ms, `level` is from 0 to 1. @typedef {{gpio: number, label: string, use: string, t: number[], level: number[]}} Row */

const MAX_DUTY = 255;
const ALIKE_MS = 0.001; // the host rounds to this
const BEFORE_MS = -1; // the first level is known before the start

/** What is shown at a moment. It goes on from the moment before; to an earlier one it begins again. */
export class PlayedBench {
  states = /** @type {Record<string, api.PartState>} */ ({});
  levels = /** @type {Map<number, number>} */ (new Map());
  nextChange = 0;
  nextLevel = 0;
  ms = Infinity;

  /** @param {api.Play} play */
  constructor(play) {
    this.play = play;
  }

  begin() {
    for (const part of this.play.parts) this.states[part.id] = part;
    this.levels.clear();
    this.nextChange = 0;
    this.nextLevel = 0;
  }

  /** @param {number} ms */
  goTo(ms) {
    if (ms < this.ms) this.begin();
    this.ms = ms;
    const { changes, levels } = this.play;
    for (let row = changes[this.nextChange]; row !== undefined && row[0] <= ms; row = changes[this.nextChange]) {
      this.change(row[1], row[2]);
      this.nextChange += 1;
    }
    for (let row = levels[this.nextLevel]; row !== undefined && row[0] <= ms; row = levels[this.nextLevel]) {
      this.levels.set(row[1], row[3] / MAX_DUTY);
      this.nextLevel += 1;
    }
  }

  /** @param {string} id @param {api.Changed} changed */
  change(id, changed) {
    const before = this.states[id];
    if (before === undefined) return;
    this.states[id] = { ...before, ...changed, state: { ...before.state, ...changed.state } };
  }
}

/** The end of what can be played. @param {api.Play} play */
export function endOf(play) {
  return play.cut_ms ?? play.for_ms;
}

/** The moments at which something changes, in order; the bounces of a contact are a part of its edge. @param {api.Play} play */
export function stepsOf(play) {
  const bounces = bouncesOf(play);
  const moments = new Set(play.changes.map((row) => row[0]));
  /** @type {Map<number, number>} */
  const edges = new Map();
  for (const [ms, gpio] of play.levels) {
    const isBounce = ms <= (edges.get(gpio) ?? -Infinity) + (bounces.get(gpio) ?? 0) + ALIKE_MS;
    if (ms === 0 || isBounce) continue;
    edges.set(gpio, ms);
    moments.add(ms);
  }
  return [...moments].filter((ms) => ms > 0).sort((a, b) => a - b);
}

/** For how many ms the contact at an input bounces, by its GPIO. @param {api.Play} play @returns {Map<number, number>} */
function bouncesOf(play) {
  const bounces = new Map();
  for (const part of play.parts) {
    for (const pin of part.pins.filter((/** @type {any} */ one) => one.use === "input")) bounces.set(pin.gpio, part.attributes.bounce_ms ?? 0);
  }
  return bounces;
}

/** The next moment, or the end. @param {number[]} steps @param {number} ms @param {number} end */
export function stepAfter(steps, ms, end) {
  return steps.find((step) => step > ms + ALIKE_MS) ?? end;
}

/** The moment before, or the begin. @param {number[]} steps @param {number} ms */
export function stepBefore(steps, ms) {
  return steps.filter((step) => step < ms - ALIKE_MS).at(-1) ?? 0;
}

/** The pins that changed, in the order of the parts. @param {api.Play} play @returns {Row[]} */
export function rowsOf(play) {
  /** @type {Map<number, Row>} */
  const rows = new Map();
  for (const part of play.parts) {
    for (const { gpio, use } of part.pins) rows.set(gpio, { gpio, label: part.label ?? part.id, use, t: [], level: [] });
  }
  for (const [ms, gpio, , duty] of play.levels) {
    const row = rows.get(gpio) ?? { gpio, label: "", use: "output", t: [], level: [] };
    row.t.push(ms > 0 ? ms : BEFORE_MS);
    row.level.push(duty / MAX_DUTY);
    rows.set(gpio, row);
  }
  return [...rows.values()].filter((row) => row.t.length > 1);
}
