// Drafts of programs, kept in this browser alone, and what is typed in a tab.

import { ApiError, get, part } from "./api.js";
import { state } from "./state.js";
import { useState } from "./vendor/htm-preact.module.js";

/** @typedef {{source: string, language: string, name: string, device: string, expect: string, wiring: string}} Draft `wiring`: a text of its own, or empty */

/** Where the draft of this person and this program is kept, in the browser alone. @param {string[]} rest */
export function draftKey(rest) {
  return ["microclaw.draft", state.me?.name ?? "", ...rest].map(encodeURIComponent).join("/");
}

/** @param {string} key @returns {Draft | null} */
export function keptDraft(key) {
  const found = ofStorage(() => JSON.parse(localStorage.getItem(key) ?? "null"));
  if (found === null) return null;
  found.wiring ??= "";
  return ["source", "language", "name", "device", "expect", "wiring"].every((one) => typeof found[one] === "string") ? found : null;
}

/** Whether it could be kept. @param {string} key @param {Draft | null} draft null: forget it */
export function keepDraft(key, draft) {
  return ofStorage(() => {
    if (draft === null) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(draft));
    return true;
  }) ?? false;
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
  const key = draftKey([device, name]);
  const draft = keptDraft(key) ?? await installedDraft(device, name);
  const before = draft.expect.split("\n").filter((line) => line.trim()).map((line) => (line.startsWith("#") ? line : `# ${line}`));
  keepDraft(key, { ...draft, expect: [...lines, ...before].join("\n") });
}

/** A text that this tab keeps while it is loaded again, as a phone does with a tab that it put away. @param {string[]} rest @returns {[string, (text: string) => void]} */
export function useTyped(rest) {
  const key = draftKey(rest);
  const [text, setText] = useState(() => ofStorage(() => sessionStorage.getItem(key)) ?? "");
  /** @param {string} typed */
  const keep = (typed) => {
    setText(typed);
    ofStorage(() => sessionStorage.setItem(key, typed));
  };
  return [text, keep];
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
