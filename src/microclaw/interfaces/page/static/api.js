// The host's HTTP API: the session's word, errors with their next step, streams of JSON lines. It knows no view.

/** Where the host is below this origin: nothing, or a path of Home Assistant's. This file is at BASE/page/api.js. */
export const BASE = new URL("..", import.meta.url).pathname.slice(0, -1);

/** The path of the view that is shown, from the host's own root. */
export function shownPath() {
  return location.pathname.slice(BASE.length);
}

/** What the host refused, in its own words. */
export class ApiError extends Error {
  /** @param {number} status @param {api.Failure} failure @param {number} retryAfterS */
  constructor(status, failure, retryAfterS = 0) {
    super(failure.message);
    this.status = status;
    this.code = failure.code;
    this.next = failure.next;
    this.diagnostics = failure.diagnostics ?? [];
    this.replaceable = failure.replaceable ?? []; // programs of a full board
    this.retryAfterS = retryAfterS;
  }
}

export class HostAway extends Error {
  constructor() {
    super("the host did not answer"); // what is shown of it stays, also when the host is back
    this.next = "try it again; while the host is away, a line at the top says so";
  }
}

/** Return what the host refused, or that it is away; raise any other error again. @param {unknown} error @returns {ApiError | HostAway} */
export function hostError(error) {
  if (error instanceof ApiError || error instanceof HostAway) return error;
  throw error;
}

/** The page was loaded for another person than the one who is signed in now: it takes no word of theirs, and loads again. */
export class OtherPerson extends ApiError {
  constructor() {
    const message = "somebody else is signed in now; what you sent was not sent";
    super(403, { code: "other_person", message, next: "this page is loaded again for them; send it again if it is still wanted" });
  }
}

const LONGEST_READ_MS = 30_000; // the host waits 12 s for a board

export const session = {
  csrf: "",
  /** Whose page this is, from its load on; "" before somebody signed in. */
  personId: "",
  /** What is done when another person is signed in. @type {(error: OtherPerson) => void} */
  leave: () => {},
  /** What is done when the session is over. Resolves when somebody is signed in again. @type {() => Promise<void>} */
  renew: async () => {},
};

/** HostAway if the host is too slow for the signal. @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, signal = AbortSignal.timeout(LONGEST_READ_MS)) {
  return (await ask("GET", path, undefined, signal)).json().catch(lost);
}

/** `keepalive`: it is sent also while the page goes away. @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal] @param {boolean} [keepalive] @returns {Promise<any>} */
export async function send(method, path, body, signal, keepalive) {
  return (await ask(method, path, body, signal, keepalive)).json().catch(lost);
}

/**
 * The lines of a stream as they come. One that ends without a last line was cut: the caller learns it by HostAway.
 * @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal]
 * @returns {AsyncGenerator<api.Line>}
 */
export async function* lines(method, path, body, signal) {
  const answer = await ask(method, path, body, signal);
  if (answer.body === null) throw new HostAway();
  for (const type of ["turn", "after"]) { // its place in the conversation
    const number = answer.headers.get(`Microclaw-${type}`);
    if (number) yield { type, number: Number(number) };
  }
  let last = "";
  for await (const text of pieces(answer.body.getReader(), "\n")) {
    if (text === "") continue;
    const line = /** @type {api.Line} */ (JSON.parse(text));
    last = line.type;
    if (line.type !== "keepalive") yield line;
  }
  if (!["result", "answer", "error"].includes(last)) throw new HostAway();
}

/**
 * The pieces of a stream of text that end with a separator, as they come. HostAway if it breaks.
 * @param {ReadableStreamDefaultReader<Uint8Array>} reader @param {string | RegExp} separator @param {number} [most] letters of one that has no end yet
 */
export async function* pieces(reader, separator, most = Infinity) {
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (let isDone = false; !isDone; ) {
      const { done, value } = await reader.read().catch(lost);
      const whole = (rest + decoder.decode(value, { stream: !done })).split(separator);
      rest = (whole.pop() ?? "").slice(-most);
      yield* whole;
      isDone = done;
    }
  } finally {
    reader.cancel().catch(() => {}); // it is over: there is nobody to tell
  }
}

/** An answer that is read piece by piece; a session that is over is an ApiError here. @param {string} path @param {Record<string, string>} headers @param {AbortSignal} signal */
export async function opened(path, headers, signal) {
  return checked(await reach(path, { headers, signal }));
}

/** Who is here; null when nobody is signed in. OtherPerson when it is not whose page this is. @returns {Promise<api.Me | null>} */
export async function whoAmI() {
  const answer = await reach("/v1/me", { headers: { Accept: "application/json" } });
  if (answer.status === 401) return null;
  const me = /** @type {api.Me} */ (await checked(answer).then((good) => good.json().catch(lost)));
  if (session.personId !== "" && me.person_id !== session.personId) {
    const error = new OtherPerson();
    session.leave(error);
    throw error;
  }
  session.personId = me.person_id;
  session.csrf = me.csrf ?? "";
  return me;
}

/** @param {"code" | "password"} way @param {Record<string, string>} body @returns {Promise<api.Me>} */
export async function signIn(way, body) {
  const headers = { "Content-Type": "application/json" };
  await checked(await reach(`/v1/signin/${way}`, { method: "POST", headers, body: JSON.stringify(body) }));
  const me = await whoAmI();
  if (me === null) throw new ApiError(401, { code: "unauthorized", message: "the new session is over already", next: "sign in again" });
  return me;
}

/**
 * What waited or was refused is repeated with the word of the same person's new session alone (`whoAmI`).
 * @param {string} method @param {string} path @param {unknown} body @param {AbortSignal} [signal] @param {boolean} [keepalive]
 * @returns {Promise<Response>}
 */
async function ask(method, path, body, signal, keepalive) {
  for (let tries = 0; ; tries++) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (method !== "GET") headers["Microclaw-CSRF"] = session.csrf;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const sent = session.csrf;
    const answer = await reach(path, { method, headers, signal, keepalive, body: body === undefined ? undefined : JSON.stringify(body) });
    if (answer.status === 401 && tries < 3) {
      if (session.csrf === sent) await session.renew(); // else somebody signed in meanwhile
      continue;
    }
    if (answer.status === 403 && tries === 0 && (await isOtherSession())) continue;
    return checked(answer);
  }
}

/** Whether this person has signed in again at another page of this browser, so that our word is that of an older session. */
async function isOtherSession() {
  const before = session.csrf;
  return (await whoAmI()) !== null && session.csrf !== before;
}

/** @param {string} path @param {RequestInit} init */
async function reach(path, init) {
  try {
    return await fetch(BASE + path, { ...init, credentials: "same-origin", redirect: "error", cache: "no-store" });
  } catch (error) {
    return lost(error);
  }
}

/** @param {unknown} error @returns {never} */
function lost(error) {
  if (error instanceof DOMException && error.name === "AbortError") throw error;
  throw new HostAway();
}

/** @param {Response} answer */
async function checked(answer) {
  if (answer.ok) return answer;
  const retryAfterS = Number(answer.headers.get("Retry-After") ?? 0);
  const text = await answer.text().catch(lost);
  throw new ApiError(answer.status, failureIn(text, answer.status), retryAfterS);
}

/** @param {string} text @param {number} status @returns {api.Failure} */
function failureIn(text, status) {
  try {
    const found = JSON.parse(text).error;
    if (typeof found?.message === "string") return found;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // not JSON: something between us and the host answered
  }
  return { code: "unreadable", message: `answered with ${status} and no words`, next: "is this the host's own address?" };
}

/** One part of a path. @param {string} word */
export function part(word) {
  return encodeURIComponent(word);
}
