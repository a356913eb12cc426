// Recording on the bench: what one presses, and what followed, as lines of expectations that can be kept.

import { ApiError, HostAway, get, part, send } from "./api.js";
import { addExpectations } from "./editor.js";
import { Problem, go } from "./parts.js";
import { html, useEffect, useState } from "./vendor/htm-preact.module.js";

/** @typedef {{text: string, kind: "stimulus" | "followed"}} RecordedLine */

const AGAIN_MS = 1_000;

/** The button, and the card with the lines. @param {string} device @param {any[]} apps those on the board @returns {[any, any]} */
export function useRecording(device, apps) {
  const [isOn, setOn] = useState(false);
  const [lines, setLines] = useState(/** @type {RecordedLine[] | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const path = `/v1/devices/${part(device)}/recording`;

  /** @param {() => Promise<unknown>} work */
  const attempt = async (work) => {
    try {
      await work();
      setError(null);
    } catch (problem) {
      if (!(problem instanceof ApiError || problem instanceof HostAway)) throw problem;
      setError(problem);
    }
  };
  useEffect(() => {
    if (!isOn) return undefined;
    const timer = setInterval(() => attempt(async () => setLines((await get(path)).lines)), AGAIN_MS);
    return () => clearInterval(timer);
  }, [isOn, path]);
  const begin = async () => {
    await send("POST", path);
    setLines([]);
    setOn(true);
  };
  const end = async () => {
    setOn(false);
    setLines((await send("DELETE", path)).lines);
  };
  /** @param {string} name */
  const keep = async (name) => {
    await addExpectations(device, name, (lines ?? []).map((line) => line.text));
    go(`/editor/${part(device)}/${part(name)}`);
  };

  const button = html`<button class="record" aria-pressed=${isOn} onClick=${() => attempt(isOn ? end : begin)}>${isOn ? "Stop recording" : "Record"}</button>`;
  if (lines === null && error === null) return [button, null];
  const card = html`<section class="card" aria-label="Recorded"><div class="cardhead"><h2>Recorded</h2>
      ${!isOn && html`<button onClick=${() => setLines(null)}>Discard</button>`}</div>
    <${Problem} error=${error} />
    ${lines?.length === 0 && html`<p class="quiet">Press and turn: each becomes a line, with what the board did then. Kept, they are the proof of the next version.</p>`}
    ${lines !== null && lines.length > 0 && html`<ol class="recorded" aria-live="polite">${lines.map((line, i) => html`<li key=${i} class=${line.kind}><code>${line.text}</code></li>`)}</ol>`}
    ${!isOn && lines !== null && lines.length > 0 && html`<p class="buttons">${apps.map((app) => html`<button key=${app.name} class="main"
      onClick=${() => attempt(() => keep(app.name))}>Keep as expectations of ${app.name}</button>`)}</p>`}
  </section>`;
  return [button, card];
}
