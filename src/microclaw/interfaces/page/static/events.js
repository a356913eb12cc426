// The one event stream (GET /v1/events): it is opened again when it ends, and where it is blocked the caller polls.

import { ApiError, HostAway, get, hostError, opened, pieces } from "./api.js";

/** @typedef {"connecting" | "stream" | "polling" | "away"} LiveState */
/**
 * @typedef {object} Handlers
 * @property {string[]} kinds which events the host should tell
 * @property {(kind: string, data: any) => void} event
 * @property {(state: LiveState, why: string) => void} state
 * @property {() => Promise<void>} poll asks for everything once
 */

const FIRST_BYTES_MS = 5_000;
const QUIET_MS = 20_000; // the host says "nothing new" more often
const POLL_MS = 2_000;
const STREAM_AGAIN_MS = 20_000;
const LONGEST_PAUSE_MS = 8_000;

export class LiveStream {
  boards = { edges: /** @type {string[]} */ ([]), bench: /** @type {string[]} */ ([]) };
  lastId = "";
  failures = 0;
  open = /** @type {AbortController | null} */ (null);
  wake = () => {};
  /** Resolves while the page is shown. A browser keeps pages that were left, for "Back", and opens six connections to a host. @type {Promise<unknown>} */
  shown = Promise.resolve();

  /** @param {Handlers} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    addEventListener("pagehide", () => {
      this.shown = new Promise((resolve) => addEventListener("pageshow", resolve, { once: true }));
      this.open?.abort("left");
    });
  }

  /** Whose edges, or whose parts, the stream carries besides. @param {"edges" | "bench"} what @param {string[]} names */
  follow(what, names) {
    const wanted = [...names].sort();
    if (wanted.join("\n") === this.boards[what].join("\n")) return;
    this.boards[what] = wanted;
    this.reopen();
  }

  reopen() {
    this.open?.abort("again");
    this.wake();
  }

  async run() {
    for (;;) {
      await this.shown;
      const why = await this.readOnce();
      this.open = null;
      if (why === "again") continue;
      if (why === "blocked") await this.pollFor(STREAM_AGAIN_MS);
      else await this.pause(Math.min(LONGEST_PAUSE_MS, 250 * 2 ** this.failures) * (0.75 + Math.random() / 2));
    }
  }

  /** @returns {Promise<"again" | "away" | "blocked">} */
  async readOnce() {
    const open = new AbortController();
    this.open = open;
    const { edges, bench } = this.boards;
    const query = new URLSearchParams([...this.handlers.kinds.map((kind) => ["kind", kind]), ...edges.map((name) => ["edges", name]),
      ...bench.map((name) => ["bench", name])]);
    const path = `/v1/events?${query}`;
    let alarm = setTimeout(() => open.abort("quiet"), FIRST_BYTES_MS);
    let heard = false;
    try {
      /** @type {Record<string, string>} */
      const headers = { Accept: "text/event-stream" };
      if (this.lastId) headers["Last-Event-ID"] = this.lastId;
      const answer = await opened(path, headers, open.signal);
      if (answer.body === null) return "blocked";
      for await (const block of pieces(answer.body.getReader(), "\n\n")) {
        clearTimeout(alarm);
        alarm = setTimeout(() => open.abort("quiet"), QUIET_MS);
        if (!heard) {
          heard = true;
          this.failures = 0;
          this.handlers.state("stream", "");
        }
        this.take(block);
      }
      return this.lostIt(heard);
    } catch (error) {
      if (open.signal.aborted) {
        if (open.signal.reason !== "quiet") return "again";
        return this.lostIt(false);
      }
      if (error instanceof ApiError && error.status === 401) {
        await get("/v1/me"); // goes on when somebody has signed in again
        return "again";
      }
      if (error instanceof ApiError) return this.blocked(error.message);
      if (error instanceof HostAway) return this.lostIt(heard);
      throw error;
    } finally {
      clearTimeout(alarm);
    }
  }

  /** One event of the stream. @param {string} block */
  take(block) {
    let kind = "message";
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("id: ")) this.lastId = line.slice(4);
      else if (line.startsWith("event: ")) kind = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (data) this.handlers.event(kind, JSON.parse(data));
  }

  /** @param {boolean} heard @returns {Promise<"away" | "blocked">} */
  async lostIt(heard) {
    this.failures += 1;
    if (await this.isAway()) return "away";
    // The host answers, and the stream does not: something between blocks it.
    return heard ? "away" : this.blocked("");
  }

  async isAway() {
    try {
      await this.handlers.poll();
      return false;
    } catch (error) {
      const isAway = error instanceof HostAway;
      this.handlers.state(isAway ? "away" : "polling", hostError(error).message);
      return isAway;
    }
  }

  /** @param {string} why @returns {"blocked"} */
  blocked(why) {
    this.handlers.state("polling", why);
    return "blocked";
  }

  /** @param {number} ms */
  async pollFor(ms) {
    const until = performance.now() + ms;
    while (performance.now() < until) {
      if (await this.isAway()) return;
      await this.pause(POLL_MS);
    }
  }

  /** @param {number} ms */
  pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }
}
