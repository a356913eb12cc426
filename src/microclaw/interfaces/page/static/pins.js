// The edges that boards counted, by board and pin, as the event stream brings them. It draws nothing.

import { ApiError, get, part } from "./api.js";
import { addEdge } from "./tracks.js";

/** @typedef {[number, number, number]} Edge board time in ms, pin, level */

const MAX_EDGES = 20_000; // a board; older ones go
const FROM_THE_END = 2 ** 52;
const AT_FIRST = 400;
export const LATE_NEWS_MS = 6_000; // the host tells of each board every second, polling takes 2

/** A moment, in the form in which the host writes it: the time if it is today, else the date, too. @param {number} ms Unix ms */
export function momentText(ms) {
  const [date, today] = [new Date(ms), new Date()].map((one) => one.toLocaleString("sv-SE"));
  return date?.slice(0, 10) === today?.slice(0, 10) ? date?.slice(11) : date;
}

/** What is read of a board again and again. */
export class Readings {
  heardAt = 0; // performance.now() of the newest; 0: there was none
  readAt = 0; // Unix ms of it
  isLost = false; // nothing came since the host was away
  beganAt = performance.now();

  /** Whether what the board does now is not known. */
  isOld() {
    return this.heardAt === 0 || this.isSilent();
  }

  /** Whether news should have come by now, and none did. */
  isSilent() {
    return this.isLost || performance.now() - Math.max(this.heardAt, this.beganAt) > LATE_NEWS_MS;
  }

  /** Since when nothing is known; "" while it is read. */
  sinceText() {
    if (!this.isOld()) return "";
    return this.readAt === 0 ? "not read yet" : `not read since ${momentText(this.readAt)}`;
  }
}

export class BoardPins extends Readings {
  tracks = /** @type {Map<number, import("./tracks.js").Track>} */ (new Map());
  counts = /** @type {Map<number, number>} */ (new Map()); // edges by pin, with those that were forgotten
  nowMs = 0;
  dropped = 0;
  count = 0;
  cursor = -1; // of polling
  problem = "";

  /** The board's time now, as far as this page can tell. */
  now() {
    return this.heardAt === 0 ? 0 : this.nowMs + (performance.now() - this.heardAt);
  }

  /** When a pin moved last, as performance.now(); -Infinity: never. @param {number | null} pin */
  movedAt(pin) {
    return performance.now() - this.now() + (this.tracks.get(pin ?? -1)?.t.at(-1) ?? -Infinity);
  }

  isSilent() {
    return this.problem !== "" || super.isSilent();
  }

  /** Until when its pins are known, in its own time; before all time while they were never read. @param {number} until */
  knownUntil(until) {
    if (this.heardAt === 0) return -Infinity;
    return this.isOld() ? Math.min(this.nowMs, until) : until;
  }

  clear() {
    this.tracks.clear();
    this.counts.clear();
    this.count = 0;
    this.dropped = 0;
  }
}

/** What is known of the boards that somebody watches. @template {{isLost: boolean}} B */
export class Watched {
  boards = /** @type {Map<string, B>} */ (new Map());
  watchers = /** @type {Map<string, number>} */ (new Map());
  onWatched = (/** @type {string[]} */ _names) => {};

  /** @param {(name: string) => B} begin what is known of a board at first */
  constructor(begin) {
    this.begin = begin;
  }

  /** @param {string} name */
  of(name) {
    let board = this.boards.get(name);
    if (board === undefined) {
      board = this.begin(name);
      this.boards.set(name, board);
    }
    return board;
  }

  /** What is known of a board if somebody watches it. @param {string} name */
  watched(name) {
    return this.watchers.has(name) ? this.of(name) : null;
  }

  /** From now on the news of these boards come; call the answer to end it. @param {string[]} names */
  watch(names) {
    for (const name of names) this.watchers.set(name, (this.watchers.get(name) ?? 0) + 1);
    this.onWatched([...this.watchers.keys()]);
    return () => {
      for (const name of names) {
        const left = (this.watchers.get(name) ?? 1) - 1;
        if (left > 0) this.watchers.set(name, left);
        else {
          this.watchers.delete(name);
          this.boards.delete(name); // the next who watches it gets what is recent
        }
      }
      this.onWatched([...this.watchers.keys()]);
    };
  }

  /** What the stream would bring of a board, asked for. @param {string} _name @returns {Promise<void>} */
  async read(_name) {}

  async poll() {
    await Promise.all([...this.watchers.keys()].map((name) => this.read(name)));
  }

  lost() {
    for (const board of this.boards.values()) board.isLost = true;
  }
}

/** @extends {Watched<BoardPins>} */
class Pins extends Watched {
  constructor() {
    super(() => new BoardPins());
  }

  /** Whether it is news that the board is read, or is not. @param {{device: string, edges: Edge[], now_ms: number, dropped: number, begins: boolean, problem?: string | null}} news */
  take(news) {
    const board = this.of(news.device);
    const was = board.problem;
    board.isLost = false;
    board.problem = news.problem ?? "";
    if (board.problem) return was === "";
    if (news.begins || news.now_ms < board.nowMs) board.clear();
    board.nowMs = news.now_ms;
    board.heardAt = performance.now();
    board.readAt = Date.now();
    board.dropped += news.dropped;
    for (const edge of news.edges) {
      const pin = edge[1];
      addEdge(board.tracks, edge);
      board.count += 1;
      board.counts.set(pin, (board.counts.get(pin) ?? 0) + 1);
    }
    if (board.count > MAX_EDGES) this.forgetOld(board);
    return was !== "";
  }

  /** @param {BoardPins} board */
  forgetOld(board) {
    board.count = 0;
    for (const track of board.tracks.values()) {
      const from = Math.floor(track.t.length / 2);
      track.t.splice(0, from);
      track.level.splice(0, from);
      board.count += track.t.length;
    }
  }

  /** @param {string} name */
  async read(name) {
    const board = this.of(name);
    const path = `/v1/devices/${part(name)}/edges?cursor=`;
    try {
      const begins = board.cursor < 0;
      if (begins) board.cursor = Math.max(0, (await get(path + FROM_THE_END)).cursor - AT_FIRST);
      const page = await get(path + board.cursor);
      board.cursor = page.cursor;
      this.take({ ...page, device: name, begins });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      board.problem = error.message;
    }
  }
}

export const pins = new Pins();
