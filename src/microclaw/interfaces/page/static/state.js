// What the page knows of the host: fetched once, kept new by the event stream. Views read it, and none of them fetches it.

import { ApiError, HostAway, OtherPerson, get, hostError, session, whoAmI } from "./api.js";
import { benches } from "./bench_state.js";
import { LiveStream } from "./events.js";
import { pins } from "./pins.js";

export const state = {
  phase: /** @type {"starting" | "out" | "in"} */ ("starting"),
  me: /** @type {api.Me | null} */ (null),
  isOver: false, // the session ended while the page was in use
  left: /** @type {OtherPerson | null} */ (null), // why the page of another person ended here
  live: /** @type {import("./events.js").LiveState} */ ("connecting"),
  liveWhy: "",
  status: /** @type {any} */ (null),
  devices: /** @type {any[]} */ ([]),
  apps: /** @type {any[]} */ ([]),
  approvals: /** @type {any[]} */ ([]),
  settled: /** @type {Map<string, any>} */ (new Map()), // how questions ended, newest last
  changed: 0, // counts what happened to programs
  returned: 0, // counts how often the host came back
  said: 0, // counts what happened to this person's conversations
};

/** When each board answered last, Unix ms. @type {Map<string, number>} */
const seenAt = new Map();
const MAX_SETTLED = 64;
const LONGEST_PAUSE_MS = 2_000;
const FIRST_ANSWER_MS = 5_000;
const PRESENCE_MS = 1_000;
let isDue = false;
let drawPage = () => {};

/** @param {() => void} draw is called after each change */
export function onChange(draw) {
  drawPage = draw;
}

/** Changes the state and draws again, once a frame at most. @param {Partial<typeof state>} [news] */
export function update(news = {}) {
  Object.assign(state, news);
  if (isDue) return;
  isDue = true;
  const draw = () => {
    if (!isDue) return;
    isDue = false;
    drawPage();
  };
  requestAnimationFrame(draw);
  setTimeout(draw, 250); // a page in the background has no frames
}

/** Whether the host reached the board when it was asked last; null when it has not tried. @param {string} name @returns {boolean | null} */
function wasReached(name) {
  const device = state.devices.find((one) => one.name === name);
  const row = state.status?.devices?.find((/** @type {any} */ one) => one.name === name);
  return device?.link?.online || (row?.reachable ?? (device?.link ? false : null));
}

/**
 * What is known of a board: `isOnline` is true or false, or null if nobody knows it now; `seenMs` is when it answered last, Unix ms, 0 if
 * this page does not know. Every view that says how a board or its programs are asks here.
 * @param {string} name @returns {{isOnline: boolean | null, seenMs: number}}
 */
export function presenceOf(name) {
  const device = state.devices.find((one) => one.name === name);
  const edges = pins.watched(name);
  const readings = [edges, benches.watched(name)].filter((one) => one !== null);
  const isSilent = readings.some((one) => one.isSilent());
  const isRead = edges?.isOld() === false; // it is newer than what the host found when it asked last
  const isThere = isRead || wasReached(name);
  const isUnknown = state.live === "away" || (isThere && isSilent);
  const seenMs = Math.max(device?.link?.last_seen_ms ?? 0, seenAt.get(name) ?? 0, ...readings.map((one) => one.readAt));
  return { isOnline: isUnknown ? null : isThere, seenMs };
}

/** Whether this person's role has at least this access (docs/people.md). @param {"look" | "ask" | "act" | "own"} access */
export function may(access) {
  const all = ["look", "ask", "act", "own"];
  const role = { "read-only": 0, guest: 1, member: 2, owner: 3 }[state.me?.role ?? ""] ?? -1;
  return role >= all.indexOf(access);
}

/** @type {(() => void)[]} */
let waitingForSession = [];

session.renew = () => {
  update(state.me === null ? { phase: "out" } : { isOver: true });
  return new Promise((resolve) => waitingForSession.push(resolve));
};

const LEFT = "other person"; // of the address's state in the browser's history, which a load again keeps

session.leave = (error) => {
  waitingForSession = []; // what they wait with is never sent
  update({ left: error });
  history.replaceState(LEFT, "");
  location.reload();
};

/** The person signed in: what waited for it goes on. @param {api.Me} me */
export function signedIn(me) {
  const waiting = waitingForSession;
  waitingForSession = [];
  const isFirst = state.phase !== "in";
  update({ me, phase: "in", isOver: false });
  for (const resolve of waiting) resolve();
  if (isFirst) begin();
}

/** Every device: the host tells them in pages. */
async function allDevices() {
  const found = [];
  for (let after = ""; after !== null;) {
    const page = await get(`/v1/devices${after && `?after=${encodeURIComponent(after)}`}`);
    found.push(...page.devices);
    after = page.next;
  }
  return found;
}

async function refreshBoards() {
  const { apps } = await get("/v1/apps"); // it asks every board, and the status then says which of them answered
  const [status, devices] = await Promise.all([get("/v1/status"), allDevices()]);
  update({ status, devices, apps });
  for (const { name } of devices) if (wasReached(name)) seenAt.set(name, Date.now());
}

async function refreshApprovals() {
  if (!may("ask")) return;
  const { approvals } = await get("/v1/approvals");
  update({ approvals });
}

/** Everything, once; also what the stream would have told, while it is blocked. HostAway if the host is frozen, too. */
async function refresh() {
  await get("/v1/me", AbortSignal.timeout(FIRST_ANSWER_MS));
  await Promise.all([refreshBoards(), refreshApprovals(), ...(state.live === "stream" ? [] : [pins.poll(), benches.poll()])]);
  update({ said: state.said + 1 });
}

/**
 * Runs `work` soon, and not more than once at a time; after work that took long the pause is longer, as others need the host too.
 * @param {() => Promise<void>} work @param {number} [pauseMs]
 */
function soon(work, pauseMs = 150) {
  let [isWanted, isAtWork, tookMs] = [false, false, 0];
  const begin = () => {
    isWanted = true;
    if (isAtWork) return;
    isAtWork = true;
    setTimeout(async () => {
      isWanted = false;
      const began = performance.now();
      try {
        await work().catch(tell);
      } finally {
        tookMs = performance.now() - began;
        isAtWork = false;
        if (isWanted) begin();
      }
    }, Math.max(pauseMs, Math.min(3 * tookMs, LONGEST_PAUSE_MS)));
  };
  return begin;
}

/** An error of a fetch in the background: the line at the top says it. @param {unknown} error */
function tell(error) {
  if (error instanceof HostAway) {
    liveIs("away", error.message);
    stream.reopen(); // it tells when the host is back
  } else if (error instanceof ApiError) update({ liveWhy: error.message });
  else throw error;
}

/** Ask soon for the boards, and have the views ask again for what was changed on them. */
export const boardsSoon = soon(async () => {
  await refreshBoards();
  update({ changed: state.changed + 1 });
});
const approvalsSoon = soon(refreshApprovals, 50);
const REFRESH_MS = 10_000; // whether boards without a link answer is told by no event

// Told by the host are these alone: what programs print and count would wake this page thousands of times a second.
const KINDS = ["device.connected", "device.left", "app.deployed", "app.ended", "alarm", "approval", "chat"];
export const stream = new LiveStream({ kinds: KINDS, event: heard, state: liveIs, poll: refresh });

/** @param {import("./events.js").LiveState} live @param {string} liveWhy */
function liveIs(live, liveWhy) {
  const before = state.live;
  update({ live, liveWhy });
  if (live === "away") {
    pins.lost();
    benches.lost();
  }
  if (before === "away" && live !== "away") update({ returned: state.returned + 1 });
  if (live === "stream" && before !== "stream") allSoon();
}

/** Ask soon for everything that events tell: some were missed. */
function allSoon() {
  boardsSoon();
  approvalsSoon();
  update({ said: state.said + 1 });
}

/** @param {string} kind @param {any} data */
function heard(kind, data) {
  if (kind === "edges") {
    if (pins.take(data)) boardsSoon(); // whether the board is there may have changed
  } else if (kind === "bench") benches.take(data);
  else if (kind === "approval") {
    if (data.state !== "asked") settle(data.approval, { outcome: data.state, by: data.by, text: data.text });
    approvalsSoon();
  } else if (kind === "chat" || kind === "lost") allSoon(); // what a turn led to on the boards, also one of another page
  else boardsSoon();
}

/** @param {string} id @param {{outcome: string, by: string | null, text?: string}} outcome */
export function settle(id, outcome) {
  state.settled.set(id, { ...state.settled.get(id), ...outcome });
  while (state.settled.size > MAX_SETTLED) state.settled.delete([...state.settled.keys()][0] ?? "");
  update();
}

function begin() {
  refresh().catch(tell);
  setInterval(() => {
    if (state.phase === "in" && !state.isOver && state.live === "stream" && !document.hidden) boardsSoon();
  }, REFRESH_MS);
  let shown = "";
  setInterval(() => { // that nothing is heard of a board is told by no event
    const now = state.devices.map(({ name }) => presenceOf(name).isOnline).join();
    if (now !== shown) update();
    shown = now;
  }, PRESENCE_MS);
  document.addEventListener("visibilitychange", () => { // a device that slept does not learn that its connections are gone
    if (document.hidden || state.isOver) return;
    stream.reopen();
    allSoon();
  });
  pins.onWatched = (names) => stream.follow("edges", names);
  benches.onWatched = (names) => stream.follow("bench", names);
  void stream.run();
}

export async function start() {
  if (history.state === LEFT) {
    history.replaceState(null, "");
    update({ left: new OtherPerson() });
  }
  for (;;) {
    try {
      const me = await whoAmI();
      if (me === null) update({ phase: "out" });
      else signedIn(me);
      return;
    } catch (error) {
      update({ live: "away", liveWhy: hostError(error).message });
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
}
