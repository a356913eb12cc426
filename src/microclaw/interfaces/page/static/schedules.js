// Schedules: when each is due, how it went last, and adding, running, pausing, resuming and removing one.

import { Moment, OrderState, SureButton, useOrders, useReloaded } from "./lists.js";
import { Badge, Heading, Link, Problem, onSent, prose, useAgain, useEvery, useFetched } from "./parts.js";
import { may, state } from "./state.js";
import { html, useState } from "./vendor/htm-preact.module.js";

const SHOWN_AT_FIRST = 50;
const RUN_LOOK_MS = 1_000;

export function Schedules() {
  const [listed, error, reload] = useReloaded("/v1/schedules");
  const [isAllShown, showAll] = useState(false);
  const all = listed?.schedules ?? [];
  const shown = isAllShown ? all : all.slice(0, SHOWN_AT_FIRST);
  return html`<${Heading}>Schedules<//>
    <${Problem} error=${error} />
    ${may("act") && html`<${NewSchedule} added=${reload} />`}
    ${listed && all.length === 0 && html`<p class="quiet">There is no schedule yet.</p>`}
    ${listed && html`<p class="quiet">Times without a zone of their own are those of ${listed.zone}.</p>`}
    <ul class="rows">${shown.map((/** @type {any} */ one) => html`<${Row} key=${one.schedule} schedule=${one} changed=${reload} />`)}</ul>
    ${shown.length < all.length && html`<button onClick=${() => showAll(true)}>Show all ${all.length}</button>`}`;
}

/** @param {{schedule: any, changed: () => void}} given */
function Row({ schedule, changed }) {
  const [round, again] = useAgain();
  const path = `/v1/schedules/${schedule.schedule}`;
  const [full, error] = useFetched(path, [schedule.next_ms, schedule.state, round]);
  const orders = useOrders(changed);
  /** @param {"run" | "pause" | "resume"} what */
  const order = (what) => orders.order("POST", `${path}/${what}`).then(again);
  const runs = full?.runs ?? [];
  const last = runs[0];
  const isRunning = last?.state === "claimed" || last?.state === "started";
  useEvery(isRunning ? RUN_LOOK_MS : 0, again);
  const label = `schedule ${schedule.schedule}`;
  const now = full ?? schedule;
  const next = now.next_ms === schedule.next_ms ? schedule : now; // "tomorrow" becomes "today"
  return html`<li class="card" aria-label=${label}>
    <h2>${schedule.when} <${Badge} state=${now.state} /></h2>
    <p>${prose(schedule.what)} ${schedule.device && html`<span class="quiet">on ${schedule.device}</span>`}
      <span class="quiet"> · ${label}, made by ${schedule.by}${schedule.asks_model ? " · asks the model" : ""}</span></p>
    <p>next: ${next.next ?? "not due"} <span class="quiet">· when the host was off at the time: ${schedule.missed === "run" ? "run it once later" : "skip it"}</span></p>
    ${schedule.problem && html`<p class="warning">${prose(schedule.problem)}</p>`}
    ${now.why && html`<p class="quiet">${prose(now.why)}</p>`}
    ${last ? html`<p class="last">last: <${Run} run=${last} /></p>` : full && html`<p class="last quiet">It has not run yet.</p>`}
    ${runs.length > 1 && html`<details><summary>Earlier runs</summary><ul class="rows">${runs.slice(1).map((/** @type {any} */ one) =>
      html`<li><${Run} run=${one} /></li>`)}</ul></details>`}
    ${may("act") && html`<p class="buttons">
      ${now.state !== "over" && html`<button aria-label=${`Run now: ${label}`} disabled=${orders.isBusy} onClick=${() => order("run")}>Run now</button>`}
      ${now.state === "active" && html`<button aria-label=${`Pause ${label}`} disabled=${orders.isBusy} onClick=${() => order("pause")}>Pause</button>`}
      ${now.state === "paused" && html`<button aria-label=${`Resume ${label}`} disabled=${orders.isBusy} onClick=${() => order("resume")}>Resume</button>`}
      <${SureButton} what="Remove" label=${label} disabled=${orders.isBusy} onYes=${() => orders.order("DELETE", path)} />
    </p>`}
    <${OrderState} orders=${orders} /><${Problem} error=${orders.error ? null : error} />
  </li>`;
}

/** @param {{run: any}} given */
function Run({ run }) {
  return html`<${Badge} state=${run.state} text=${run.state === "claimed" ? "begins" : run.state} /> <${Moment} at=${Date.parse(run.due)} />
    ${run.result && html` <span>${prose(run.result)}</span>`}`;
}

/** @param {{added: () => void}} given */
function NewSchedule({ added }) {
  const orders = useOrders(added);
  const [made, setMade] = useState(/** @type {any} */ (null));

  /** @param {FormData} given @param {HTMLFormElement} form */
  const submit = async (given, form) => {
    const device = String(given.get("device") ?? "");
    setMade(null);
    const body = { when: String(given.get("when")), do: String(given.get("do")), ...(device ? { device } : {}) };
    const answer = await orders.order("POST", "/v1/schedules", body);
    if (answer === null) return; // what was typed stays
    setMade(answer);
    form.reset();
  };

  return html`<form class="card" aria-label="A new schedule" onSubmit=${onSent(submit)}>
    <p class="buttons">
      <label>When <input name="when" required maxlength="200" placeholder="every weekday at 7:00" /></label>
      <label>Do what <input name="do" required maxlength="4000" placeholder="turn on pin 4" /></label>
      ${state.devices.length > 0 && html`<label>Board <select name="device"><option value="">as the words say</option>
        ${state.devices.map((one) => html`<option key=${one.device_id} value=${one.name}>${one.name}</option>`)}</select></label>`}
      <button class="main" disabled=${orders.isBusy}>Add</button>
    </p>
    <p class="quiet">In words: "in 20 minutes", "tomorrow at 8:00", "every 2 hours". Or say all of it in the <${Link} to="/chat">chat<//>.</p>
    <div role="status">${made && html`<p>Schedule ${made.schedule} is kept: ${made.when}, ${prose(made.what)}.</p>`}</div>
    ${made?.warning && html`<p class="warning">${prose(made.warning)}</p>`}
    <${OrderState} orders=${orders} />
  </form>`;
}
