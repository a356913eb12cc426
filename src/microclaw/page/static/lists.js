// What views share that show a document of the API: fetching it, anew while it is shown, orders, a button that asks again, tables.

import { ApiError, HostAway, get, send } from "./api.js";
import { Link, Problem } from "./parts.js";
import { useStore } from "./state.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

const RELOAD_MS = 10_000;

/** @typedef {{error: any, busy: string, order: (what: string, method: string, path: string, body?: unknown) => Promise<any>}} Orders */

/** One document of the API, fetched when the view opens. @param {string} path @param {unknown[]} [again] fetch anew when these change @returns {[any, any]} */
export function useFetched(path, again = []) {
  const [value, setValue] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    get(path, stop.signal).then(
      (found) => {
        setValue(found);
        setError(null);
      },
      (problem) => {
        if (stop.signal.aborted) return;
        if (!(problem instanceof ApiError || problem instanceof HostAway)) throw problem;
        setError(problem);
      },
    );
    return () => stop.abort();
  }, [path, ...again]);
  return [value, error];
}

/**
 * One document of the API: fetched when the view opens, again some time after each answer, and when `reload` is called.
 * @param {string} path @param {number} [everyMs] @returns {[any, any, () => void]}
 */
export function useReloaded(path, everyMs = RELOAD_MS) {
  const [round, setRound] = useState(0);
  const reload = () => setRound((count) => count + 1);
  const [value, error] = useFetched(path, [round]);
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
 * Orders of a view, one at a time: `busy` names the one under way; `order` gives the answer, or null when it was refused.
 * @param {() => void} done called after each that was not refused @returns {Orders}
 */
export function useOrders(done) {
  const [busy, setBusy] = useState("");
  const [error, setError] = useState(/** @type {any} */ (null));
  /** @type {Orders["order"]} */
  const order = async (what, method, path, body) => {
    setBusy(what);
    setError(null);
    try {
      const answer = await send(method, path, body);
      done();
      return answer;
    } catch (problem) {
      if (!(problem instanceof ApiError || problem instanceof HostAway)) throw problem;
      setError(problem);
      return null;
    } finally {
      setBusy("");
    }
  };
  return { error, busy, order };
}

/** What an order waits for, and what became wrong with it. @param {{orders: Orders}} given */
export function OrderState({ orders }) {
  const store = useStore();
  const isAsked = orders.busy !== "" && store.approvals.length > 0;
  return html`${isAsked && html`<p class="warning" role="status">A question may wait for a yes: <${Link} to="/approvals">approvals<//>.</p>`}
    <${Problem} error=${orders.error} />`;
}

/** A button for what cannot be taken back: it asks again. @param {{what: string, label: string, disabled?: boolean, onYes: () => void}} given */
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

/** A date and a time, or a word where there is none. @param {{at: number | null | undefined, none?: string}} given Unix ms */
export function Moment({ at, none = "never" }) {
  if (at === null || at === undefined) return html`<span class="quiet">${none}</span>`;
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  return html`<time datetime=${date.toISOString()} title=${date.toLocaleString()}>${isToday ? date.toLocaleTimeString() : date.toLocaleString()}</time>`;
}

/**
 * A table that scrolls by itself where the window is narrow.
 * @param {{label: string, heads: string[], rows: {key: string | number, cells: any[]}[]}} given
 */
export function Table({ label, heads, rows }) {
  return html`<div class="scrolled" role="region" aria-label=${label} tabindex="0"><table>
    <thead><tr>${heads.map((head) => html`<th key=${head}>${head}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.key}>${row.cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}
