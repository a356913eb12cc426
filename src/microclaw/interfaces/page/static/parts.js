// Small pieces that every view uses: errors with their next step, states, evidence, dialogs, links within the page, a document of the API.

import { BASE, HostAway, get, hostError, shownPath } from "./api.js";
import { state } from "./state.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

/** Goes to another view. @param {string} path */
export function go(path) {
  if (path !== shownPath()) history.pushState(null, "", BASE + path);
  dispatchEvent(new PopStateEvent("popstate"));
  scrollTo(0, 0);
}

/** The path of a board's view. @param {string} name @param {string[]} rest */
export function boardPath(name, ...rest) {
  return ["/boards", ...[name, ...rest].map(encodeURIComponent)].join("/");
}

/** @param {{to: string, children?: any, class?: string, current?: boolean}} given */
export function Link({ to, children, class: kind = "", current = false }) {
  /** @param {MouseEvent} event */
  const click = (event) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };
  return html`<a href=${BASE + to} class=${kind} aria-current=${current ? "page" : null} onClick=${click}>${children}</a>`;
}

/** A text of the host, in which `this` is code. Never for sources, logs and what a person is asked. @param {string | null | undefined} text @returns {any} */
export function prose(text) {
  if (!text?.includes("`")) return text;
  return text.split(/```[\w+#.-]*\n([^]*?)\n?```|`([^`\n]+)`/).map((piece, i) => {
    if (i % 3 === 0 || piece === undefined) return piece; // three by three: plain, a block, a word
    return html`<code class=${i % 3 === 1 ? "block" : ""}>${piece}</code>`;
  });
}

/** A next step, with a program's view in the place of a command on it. @param {string} text */
function nextStep(text) {
  return text.split(/`?microclaw app \w+ ([\w-]+) -d ([\w.-]+)`?/).map((piece, i, all) => {
    if (i % 3 === 0) return prose(piece);
    return i % 3 === 1 && html`<${Link} to=${boardPath(all[i + 1] ?? "", "programs", piece)}>${piece}<//>`;
  });
}

/** What went wrong, and what to do next; what the details say is not said twice. @param {{error: any}} given */
export function Problem({ error }) {
  if (!error) return null;
  const detail = (error.diagnostics ?? []).map((/** @type {any} */ one) => one.text).join("\n");
  return html`<div class="problem" role="alert">
    ${!detail.startsWith(error.message) && html`<p>${prose(error.message)}</p>`}
    ${detail && html`<pre>${detail}</pre>`}
    ${error.next && !detail.includes(error.next) && html`<p class="next">next: ${nextStep(error.next)}</p>`}
  </div>`;
}

/** An outline in the colour of the text beside it, which says in words what it means. @param {{name: string}} given */
export function Icon({ name }) {
  return html`<svg class="icon" aria-hidden="true"><use href=${`${BASE}/page/icons.svg#${name}`} /></svg>`;
}

/** @param {{state: string, text?: string}} given */
export function Badge({ state, text = state }) {
  return html`<span class=${`badge ${state.replaceAll(" ", "-")}`}>${text}</span>`;
}

/**
 * A choice with its label: `choices` are values, or values with their titles.
 * @param {{label: string, value: string | number, choices: (string | number | (string | number)[])[], onChoose: (value: any) => void}} given
 */
export function Choice({ label, value, choices, onChoose }) {
  const rows = choices.map((one) => (Array.isArray(one) ? one : [one, one]));
  return html`<label>${label} <select value=${value} onChange=${(/** @type {any} */ event) => onChoose(rows[event.currentTarget.selectedIndex]?.[0])}>
    ${rows.map(([one, title]) => html`<option key=${one} value=${one}>${title}</option>`)}</select></label>`;
}

/** What a field does with each text that is typed or chosen. @param {(text: string) => unknown} take */
export function onText(take) {
  return (/** @type {any} */ event) => take(event.currentTarget.value);
}

/** What a form does when it is sent: the page stays. @param {(values: FormData, form: HTMLFormElement) => unknown} work */
export function onSent(work) {
  return (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    return work(new FormData(form), form);
  };
}

/** How the host knows what it says; what stands in `said` is not said twice. @param {{evidence: any, said?: string}} given */
export function Evidence({ evidence, said = "" }) {
  if (!evidence) return null;
  const isSaid = said.toLowerCase().includes(evidence.text.toLowerCase());
  return html`<p class="evidence"><${Badge} state=${evidence.kind} /> ${!isSaid && prose(evidence.text)}</p>`;
}

/** A size in bytes, in words. @param {number | null | undefined} bytes */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "";
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1 << 20 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / (1 << 20)).toFixed(1)} MB`;
}

/** A count, and what adds to it, which draws the component again. @returns {[number, () => void]} */
export function useAgain() {
  const [round, setRound] = useState(0);
  return [round, () => setRound((count) => count + 1)];
}

/** One document of the API, fetched when the view opens. @param {string} path @param {unknown[]} [again] fetch again when these change @returns {[any, any]} */
export function useFetched(path, again = []) {
  return useLoaded((signal) => get(path, signal), [path, ...again]);
}

/** What a work brings, which is done again when these change, and soon if the host did not answer. @param {(signal: AbortSignal) => Promise<any>} work @param {unknown[]} again @returns {[any, any]} */
export function useLoaded(work, again) {
  const [round, doAgain] = useAgain();
  const [value, setValue] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    work(stop.signal).then(
      (found) => {
        setValue(found);
        setError(null);
      },
      (problem) => {
        if (stop.signal.aborted) return;
        setError(hostError(problem));
      },
    );
    return () => stop.abort();
  }, [...again, round, state.returned]);
  const isAway = error instanceof HostAway && state.live === "away"; // the line at the top says it, and when the host is back
  useEffect(() => {
    const timer = error instanceof HostAway && !isAway ? setTimeout(doAgain, LOST_AGAIN_MS) : 0;
    return () => clearTimeout(timer);
  }, [error, isAway]);
  return [value, isAway ? null : error];
}

/**
 * Work that can fail: whether it is under way, and what went wrong with the last one. `attempt` gives its answer, null if it failed.
 * @param {(problem: unknown) => any} [explain] what is shown of an error
 */
export function useAttempt(explain = hostError) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  /** @param {() => Promise<any>} work @returns {Promise<any>} */
  const attempt = async (work) => {
    setBusy(true);
    setError(null);
    try {
      return await work();
    } catch (problem) {
      setError(explain(problem));
      return null;
    } finally {
      setBusy(false);
    }
  };
  return { isBusy, error, attempt };
}

/** A dialog over the page; the page below keeps what was typed. @param {{title: string, children?: any}} given */
export function Dialog({ title, children }) {
  const place = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const dialog = place.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return html`<dialog ref=${place} aria-label=${title} onCancel=${(/** @type {Event} */ e) => e.preventDefault()}>
    <h2>${title}</h2>
    ${children}
  </dialog>`;
}

/** Do something every so many ms, if it is done with the time before; 0: not. @param {number} everyMs @param {() => unknown} work @param {any[]} look begin again if these change */
export function useEvery(everyMs, work, look = []) {
  useEffect(() => {
    let isAtWork = false;
    const once = async () => {
      if (isAtWork) return;
      isAtWork = true;
      try {
        await work();
      } finally {
        isAtWork = false;
      }
    };
    const timer = everyMs ? setInterval(once, everyMs) : 0;
    return () => clearInterval(timer);
  }, [everyMs, ...look]);
}

/** Draws the component again every so many ms; 0: not. @param {number} everyMs */
export function useTick(everyMs) {
  useEvery(everyMs, useAgain()[1]);
}

/** Whether a media query is met. @param {string} query */
export function useMedia(query) {
  const [isMet, setMet] = useState(matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const change = () => setMet(list.matches);
    list.addEventListener("change", change);
    return () => list.removeEventListener("change", change);
  }, [query]);
  return isMet;
}

const LOST_AGAIN_MS = 2_000;
let isFirstView = true;

/** The view's heading, which is read out when the view changes. @param {{children?: any}} given */
export function Heading({ children }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!isFirstView) place.current?.focus({ preventScroll: true });
    isFirstView = false;
  }, []);
  return html`<h1 ref=${place} tabindex="-1">${children}</h1>`;
}
