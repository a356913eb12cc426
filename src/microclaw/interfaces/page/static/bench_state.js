// What is known of boards' parts, as the event stream brings it; asked for where the stream is blocked. It draws nothing.

import { ApiError, HostAway, get, part } from "./api.js";
import { UNKNOWN } from "./bench.js";
import { Readings, Watched } from "./pins.js";

/** @typedef {import("./bench.js").PartState} PartState */
/** @typedef {import("./bench.js").WiredPart} WiredPart */
/** @typedef {{gpio: number, level: number | null, duty: number | null, source: string, program: string | null, is_input: boolean}} PinState */
/** @typedef {{device: string, wiring: string, fault: string | null, now_ms: number | null, parts: Record<string, PartState>, pins: PinState[], begins?: boolean}} News */

export const MAX_BENCHES = 8; // the host takes no more of one page

export class BoardBench extends Readings {
  answer = /** @type {any} */ (null); // of GET bench, with everything that does not move; null before the first
  states = /** @type {Record<string, PartState>} */ ({});
  pins = /** @type {Map<number, PinState>} */ (new Map());
  movedAt = /** @type {Map<string, number>} */ (new Map()); // when a part or a pin moved last while this page looked: performance.now() by id
  fault = /** @type {string | null} */ (null);
  error = /** @type {any} */ (null);
  isAsked = false;
  heardCount = 0; // news since the page watches it
  nowMs = /** @type {number | null} */ (null); // the board's time of the newest news
  statesOf = ""; // the wiring whose states are here

  /** Why the state is not known now; "" while it is read. */
  unreadText() {
    return this.fault || (this.isOld() ? "nothing is read of it now" : "");
  }

  /** The wired parts, and the pins that moved and have none. @returns {WiredPart[]} */
  parts() {
    const wired = /** @type {WiredPart[]} */ (this.answer?.parts ?? []);
    const wiredPins = new Set(wired.flatMap((one) => one.pins.map((pin) => pin.gpio)));
    const bare = [...this.pins.values()].filter(({ gpio }) => !wiredPins.has(gpio)).sort((a, b) => a.gpio - b.gpio);
    return [...wired, ...bare.map(barePin)];
  }

  /** The state of each part by id, and the level of each pin, 0 to 1. @param {string} unread see `unreadText` */
  shown(unread) {
    /** @type {Map<number, number | null>} */
    const levels = new Map();
    /** @type {Record<string, PartState>} */
    const states = unread ? {} : { ...this.states };
    for (const one of this.answer?.parts ?? []) {
      if (unread) for (const { gpio } of one.pins) levels.set(gpio, null);
    }
    for (const pin of this.pins.values()) {
      levels.set(pin.gpio, unread ? null : levelOf(pin));
      if (unread) continue;
      states[pinId(pin.gpio)] = pinStates.get(pin) ?? UNKNOWN;
    }
    return { states, levels };
  }

  /** Take from an older answer what the news did not bring yet. @param {Record<string, PartState>} parts @param {PinState[]} pins */
  fill(parts, pins) {
    for (const [id, state] of Object.entries(parts)) this.states[id] = { ...state, ...this.states[id] };
    for (const pin of pins.filter(({ gpio }) => !this.pins.has(gpio))) this.addPin(pin);
  }

  /** @param {PinState} pin */
  addPin(pin) {
    this.pins.set(pin.gpio, pin);
    pinStates.set(pin, { state: { level: levelOf(pin) }, source: pin.source });
  }

  /** @param {News} news */
  take(news) {
    const now = performance.now();
    this.heardAt = now;
    this.isLost = false;
    this.heardCount += 1;
    this.nowMs = news.now_ms;
    this.statesOf = news.wiring;
    this.fault = news.fault;
    if (!news.fault) this.readAt = Date.now();
    if (news.begins) this.pins.clear();
    for (const [id, state] of Object.entries(news.parts)) {
      this.states[id] = { ...this.states[id], ...state };
      if (!news.begins) this.movedAt.set(id, now);
    }
    for (const pin of news.pins) {
      this.addPin(pin);
      if (!news.begins) this.movedAt.set(pinId(pin.gpio), now);
    }
  }
}

/** The state of a pin as that of a part, made once for each reading. @type {WeakMap<PinState, PartState>} */
const pinStates = new WeakMap();

/** @param {number} gpio */
function pinId(gpio) {
  return `pin ${gpio}`;
}

/** @param {PinState} pin */
function levelOf({ level, duty }) {
  if (level === null) return null;
  return duty === null || duty === undefined ? level : duty / 255;
}

/** A pin without a part, drawn as a lamp if it is no input. @param {PinState} pin @returns {WiredPart} */
function barePin({ gpio, is_input: isInput }) {
  const title = isInput ? "an input without a part" : "without a part";
  return { id: pinId(gpio), part: "", title, attributes: { isInput }, values: {}, pins: [{ role: "pin", use: isInput ? "input" : "output", gpio }] };
}

/** @extends {Watched<BoardBench>} */
class Benches extends Watched {
  constructor() {
    super(() => new BoardBench());
    /** Called when a wiring is another one. @type {Set<() => void>} */
    this.readers = new Set();
  }

  /** @param {News} news */
  take(news) {
    const board = this.of(news.device);
    const count = board.pins.size;
    board.take(news);
    if (news.wiring !== board.answer?.wiring) this.ask(news.device);
    else if (count !== board.pins.size) this.tell();
  }

  tell() {
    for (const reader of [...this.readers]) reader();
  }

  /** Ask for everything of a board, unless that is under way. @param {string} name */
  ask(name) {
    const board = this.of(name);
    if (board.isAsked) return;
    board.isAsked = true;
    this.read(name).catch((error) => {
      if (!(error instanceof HostAway)) throw error;
      board.isLost = true;
    }).finally(() => {
      board.isAsked = false;
    });
  }

  /** Everything of a board; HostAway is the caller's. @param {string} name */
  async read(name) {
    const board = this.of(name);
    try {
      const heardCount = board.heardCount;
      const answer = await get(`/v1/devices/${part(name)}/bench`);
      const isOther = board.answer?.wiring !== answer.wiring;
      board.error = null;
      board.answer = answer;
      const parts = Object.fromEntries(answer.parts.map((/** @type {any} */ one) => [one.id, one]));
      // News that came meanwhile are newer than this answer, unless they are of a board that began again.
      const isOlder = board.heardCount !== heardCount && answer.now_ms !== null && board.nowMs !== null && answer.now_ms < board.nowMs;
      if (isOlder && board.statesOf === answer.wiring) board.fill(parts, answer.pins);
      else board.take({ ...answer, parts, begins: true });
      if (isOther) this.tell();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      board.error = error;
      this.tell();
    }
  }
}

export const benches = new Benches();
