// What views share that show a document of the API: fetching it, again while it is shown, orders, a button that asks again, tables.

import { Question } from "./acts.js";
import { ApiError, get, part, send } from "./api.js";
import { Problem, useAgain, useAttempt, useFetched } from "./parts.js";
import { momentText } from "./pins.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

const RELOAD_MS = 10_000;
const ASK_AGAIN_MS = 500;

/** @typedef {{error: any, isBusy: boolean, question: any, order: (method: string, path: string, body?: unknown) => Promise<any>}} Orders */

/**
 * One document of the API: fetched when the view opens, again some time after each answer, when `news` is another one, and when `reload` is called.
 * @param {string} path @param {number} [everyMs] @param {unknown} [news] @returns {[any, any, () => void]}
 */
export function useReloaded(path, everyMs = RELOAD_MS, news = null) {
  const [round, reload] = useAgain();
  const [value, error] = useFetched(path, [round, news]);
  useEffect(() => {
    let timer = 0;
    const wait = () => {
      timer = setTimeout(() => (document.hidden ? wait() : reload()), everyMs);
    };
    wait();
    return () => clearTimeout(timer);
  }, [value, error, everyMs]);
  return [value, error, reload];
}

/**
 * Orders of a view, one at a time: `isBusy` while one is under way, `question` is what it waits for; `order` gives the
 * answer once the act is done, or null when it was refused.
 * @param {() => void} [done] called after each that was not refused @returns {Orders}
 */
export function useOrders(done = () => {}) {
  const { isBusy, error, attempt } = useAttempt();
  const [question, setQuestion] = useState(/** @type {any} */ (null));
  const isHere = useRef(true); // whether the view is still shown
  useEffect(() => () => {
    isHere.current = false;
  }, []);
  /** @type {Orders["order"]} */
  const order = (method, path, body) => attempt(async () => {
    setQuestion(null);
    let answer = await send(method, path, body);
    if (answer.request && answer.approval) { // 202: nothing is done before somebody says yes
      setQuestion(answer.approval);
      answer = await endOf(answer.request, () => isHere.current);
    }
    if (answer !== null) done();
    return answer;
  });
  return { error, isBusy, question, order };
}

/**
 * What a request that waited for a yes was answered with at its end; null when nobody is here any more.
 * @param {string} number @param {() => boolean} isHere @returns {Promise<any>}
 */
async function endOf(number, isHere) {
  while (isHere()) {
    const told = await get(`/v1/requests/${part(number)}`);
    if (told.state === "ended") {
      if (told.status < 400) return told.result;
      throw new ApiError(told.status, told.result?.error ?? { code: "failed", message: `it was answered with ${told.status}`, next: "look at what was changed" });
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
  return null;
}

/** The question that an order waits for, and what went wrong with it. @param {{orders: Orders}} given */
export function OrderState({ orders }) {
  return html`${orders.question && html`<${Question} key=${orders.question.approval_id} question=${orders.question} isCut=${!orders.isBusy} />`}
    <${Problem} error=${orders.error} />`;
}

/** A button for what cannot be reverted: it asks again. @param {{what: string, label: string, disabled?: boolean, onYes: () => void}} given */
export function SureButton({ what, label, disabled = false, onYes }) {
  const [isAsked, setAsked] = useState(false);
  const wasAsked = useRef(false);
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => { // the button that had the focus is gone
    if (isAsked || wasAsked.current) place.current?.focus();
    wasAsked.current = isAsked;
  }, [isAsked]);
  if (!isAsked) return html`<button key="what" ref=${place} disabled=${disabled} aria-label=${`${what} ${label}`} onClick=${() => setAsked(true)}>${what}</button>`;
  return html`<span key="sure" class="buttons" role="group" aria-label=${`${what} ${label}?`}>${what}?
    <button class="main" disabled=${disabled} onClick=${() => {
      setAsked(false);
      onYes();
    }}>Yes</button><button ref=${place} onClick=${() => setAsked(false)}>No</button></span>`;
}

/** That a draft is kept, and what discards it. @param {{isKept: boolean, until: string, discard: () => void}} given */
export function DraftState({ isKept, until, discard }) {
  return html`${isKept ? `A draft is kept in this browser until it is ${until} or discarded.` : "This browser keeps no draft: its storage is off or full."}${" "}
    <${SureButton} what="Discard" label="the draft" onYes=${discard} />`;
}

/** A date and a time, or a word where there is none. @param {{at: number | null | undefined, none?: string}} given Unix ms */
export function Moment({ at, none = "never" }) {
  if (at === null || at === undefined) return html`<span class="quiet">${none}</span>`;
  return html`<time datetime=${new Date(at).toISOString()}>${momentText(at)}</time>`;
}

/**
 * A table that scrolls by itself where the window is narrow.
 * @param {{label: string, heads: string[], rows: {key: string | number, kind?: string, cells: any[]}[], isBroad?: boolean}} given
 */
export function Table({ label, heads, rows, isBroad = false }) {
  return html`<div class=${isBroad ? "scrolled broad" : "scrolled"} role="region" aria-label=${label} tabindex="0"><table>
    <thead><tr>${heads.map((head) => html`<th key=${head}>${head}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.key} class=${row.kind ?? ""}>${row.cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}
