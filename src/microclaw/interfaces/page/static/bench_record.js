// Recording on the bench: what one presses, and what followed, as lines of expectations that can be kept.

import { get, hostError, part, send } from "./api.js";
import { expectRecorded } from "./drafts.js";
import { Problem, go, prose, useAttempt, useEvery } from "./parts.js";
import { html, useRef, useState } from "./vendor/htm-preact.module.js";

const AGAIN_MS = 1_000;

/** The button, and the card with the lines. @param {string} device @param {any[]} apps those on the board @returns {[any, any]} */
export function useRecording(device, apps) {
  const [recording, setRecording] = useState(/** @type {api.Recording | null} */ (null));
  const { isBusy, error, attempt } = useAttempt();
  const [pollError, setPollError] = useState(/** @type {any} */ (null));
  const rounds = useRef(0); // of the button: its answers are newer than those of polls that began before
  const path = `/v1/devices/${part(device)}/recording`;
  const isOn = recording?.running === true && !isBusy;

  const poll = async () => {
    const round = rounds.current;
    const isLate = () => round !== rounds.current; // the recording was ended or begun since: this answer is of before
    try {
      const answer = await get(path);
      if (!isLate()) setRecording(answer);
    } catch (problem) {
      if (!isLate()) setPollError(hostError(problem));
    }
  };
  useEvery(isOn ? AGAIN_MS : 0, poll, [path]);
  const begin = async () => {
    try {
      setRecording(await send("POST", path));
    } catch (problem) {
      // One that another page began can be ended here; else the refusal says all.
      setRecording(await get(path).catch(() => null));
      throw problem;
    }
  };
  const end = async () => setRecording(await send("DELETE", path));
  const toggle = () => {
    setPollError(null);
    rounds.current += 1;
    void attempt(isOn ? end : begin);
  };
  /** @param {string} name */
  const keep = async (name) => {
    await expectRecorded(device, name, (recording?.lines ?? []).map((line) => line.text));
    go(`/editor/${part(device)}/${part(name)}`);
  };

  const button = html`<button class="record" aria-pressed=${isOn} disabled=${isBusy} onClick=${toggle}>${isOn ? "Stop recording" : "Record"}</button>`;
  if (recording === null && error === null && pollError === null) return [button, null];
  const lines = recording?.lines ?? [];
  const card = html`<section class="card" aria-label="Recorded"><div class="cardhead"><h2>Recorded</h2>
      ${recording && html`<span class="quiet">${(recording.length_ms / 1000).toFixed(1)} s</span>`}</div>
    <${Problem} error=${error ?? pollError} />
    ${isOn && lines.length === 0 && html`<p class="quiet">Press and turn: each becomes a line, with what the board did then. Kept, they are the proof of the next version.</p>`}
    ${isBusy && recording?.running && html`<p class="quiet">One moment: these lines are tried.</p>`}
    ${recording?.note && html`<p class="quiet">${prose(recording.note)}</p>`}
    <ol class="recorded" aria-live="polite">${lines.map((line, i) => html`<li key=${i} class=${line.kind}><code>${line.text}</code></li>`)}</ol>
    ${!isOn && !isBusy && html`<p class="buttons">${lines.length > 0 && apps.map((app) => html`<button key=${app.name} class="main"
      onClick=${() => attempt(() => keep(app.name))}>Keep as expectations of ${app.name}</button>`)}
      <button onClick=${() => attempt(async () => setRecording(null))}>Discard</button></p>`}
  </section>`;
  return [button, card];
}
