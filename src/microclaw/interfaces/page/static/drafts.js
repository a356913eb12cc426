// Drafts of programs and texts, and what is typed in a chat: in this browser alone.

import { ApiError, get, part } from "./api.js";
import { state } from "./state.js";
import { useState } from "./vendor/htm-preact.module.js";

/** @typedef {{source: string, language: string, name: string, device: string, expect: string, wiring: string}} Draft `wiring`: a text of its own, or empty */

/** Where a draft of this person is kept. @param {string[]} rest what it is of */
export function draftKey(rest) {
  return ["microclaw.draft", state.me?.name ?? "", ...rest].map(encodeURIComponent).join("/");
}

/** @typedef {"localStorage" | "sessionStorage"} Store the browser's, or that of a tab, also while it is loaded again */

/** @param {string} key @param {Store} [store] @returns {any} null if there is none */
export function keptDraft(key, store = "localStorage") {
  return ofStorage(() => JSON.parse(window[store].getItem(key) ?? "null"));
}

/** Whether it could be kept. @param {string} key @param {unknown} draft null: forget it @param {Store} [store] */
export function keepDraft(key, draft, store = "localStorage") {
  return ofStorage(() => {
    if (draft === null) window[store].removeItem(key);
    else window[store].setItem(key, JSON.stringify(draft));
    return true;
  }) ?? false;
}

/** What is written in a view, kept until it is set to null; and whether it is kept. @param {string} key @param {Store} [store] @returns {[any, (draft: unknown) => void, boolean]} */
export function useDraft(key, store) {
  const [draft, setDraft] = useState(() => keptDraft(key, store));
  const [isKept, setKept] = useState(true);
  /** @param {unknown} news */
  const change = (news) => {
    setDraft(news);
    setKept(keepDraft(key, news, store));
  };
  return [draft, change, isKept];
}

/** The draft of a program as it is installed. @param {string} device @param {string} name @param {AbortSignal} [signal] @returns {Promise<Draft>} */
export async function installedDraft(device, name, signal) {
  const app = await get(`/v1/devices/${part(device)}/apps/${part(name)}`, signal);
  if (app.source === null) throw new ApiError(404, { code: "no_source", message: `this host has no source of ${name}`, next: "it was not installed from source here; begin a new program" });
  return { source: app.source, language: app.kind === "py" ? "python" : "", name, device, expect: app.proof?.text ?? "", wiring: app.wiring ?? "" };
}

/**
 * Give the draft of an installed program recorded lines as its expectations. Those before stay as comments: their presses would come
 * between the recorded ones.
 * @param {string} device @param {string} name @param {string[]} lines
 */
export async function expectRecorded(device, name, lines) {
  const key = draftKey(["program", device, name]);
  const draft = /** @type {Draft} */ (keptDraft(key) ?? await installedDraft(device, name));
  const before = draft.expect.split("\n").filter((line) => line.trim()).map((line) => (line.startsWith("#") ? line : `# ${line}`));
  keepDraft(key, { ...draft, expect: [...lines, ...before].join("\n") });
}

/** What the browser's storage answers; null if it is off or full, or what it has is not ours. @template T @param {() => T} work @returns {T | null} */
export function ofStorage(work) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof SyntaxError)) throw error;
    return null;
  }
}
