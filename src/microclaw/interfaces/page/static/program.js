// One program on one board: what it is, what it was expected to do, what ran and how it is known; stop, start, remove, undo.

import { ActView, Screens, useAct } from "./acts.js";
import { Change } from "./activity.js";
import { BASE, part } from "./api.js";
import { Diff } from "./asked.js";
import { ProgramState, networkText, pinsText } from "./home.js";
import { Moment } from "./lists.js";
import { Logs } from "./logs.js";
import { Badge, Evidence, Link, Problem, prose, size, useFetched } from "./parts.js";
import { may, state } from "./state.js";
import { TrialView } from "./timeline.js";
import { html } from "./vendor/htm-preact.module.js";

/** @param {{device: string, name: string}} given */
export function Program({ device, name }) {
  const mayRead = may("ask");
  const path = `/v1/devices/${part(device)}/apps/${part(name)}`;
  const listed = state.apps.find((app) => app.device === device && app.name === name);
  const [shown, error] = useFetched(mayRead ? path : `/v1/devices/${part(device)}`, [state.changed]);
  const [changes, historyError] = useChanges(device, name);
  const app = listed ?? null;

  return html`<section aria-label=${`program ${name}`}>
    <h2>${name} ${app && html`<${ProgramState} app=${app} />`}</h2>
    ${app ? html`<p class="quiet">${[app.kind, size(app.size_bytes ?? shown?.size_bytes), app.heap_bytes && `heap ${size(app.heap_bytes)}`,
        pinsText(app.pins), networkText(app.network)].filter(Boolean).join(" · ")}
        ${app.installed_ms && html` · since <${Moment} at=${app.installed_ms} />`} ${shown?.page && html` · <a href=${BASE + shown.page} target="_blank" rel="noopener">Open its page</a>`}</p>`
      : html`<p>There is no program ${name} on ${device} now.</p>`}
    ${app?.error && html`<p class="warning">${prose(app.error)}</p>`}
    <${ProgramActs} device=${device} apps=${app ? [app] : []} changes=${changes} />
    ${app && html`<${Problem} error=${error} />`}
    ${app && shown?.proof && html`<${Proof} proof=${shown.proof} />`}
    ${app && shown?.source && html`<h3>Source</h3><p><${Link} to=${`/editor/${part(device)}/${part(name)}`}>Edit<//></p><pre class="source" tabindex="0">${shown.source}</pre>`}
    ${app && html`<h3>Log</h3><${Logs} device=${{ name: device }} app=${name} />`}
    ${app && shown?.before && html`<${Before} before=${shown.before} name=${name} />`}
    ${mayRead && html`<h3>What was changed</h3><${Problem} error=${historyError} />
      <ul class="rows">${changes.map((/** @type {any} */ one) => html`<li key=${one.change_id}><${Change} change=${one} /></li>`)}</ul>`}
  </section>`;
}

/** The changes of a program or of all of a board, newest first. @param {string} device @param {string} [name] @returns {[any[], any]} */
export function useChanges(device, name) {
  const { changed } = state;
  const [history, error] = useFetched(may("ask") ? `/v1/changes?device=${part(device)}&limit=200` : "/v1/me", [changed]);
  return [(history?.changes ?? []).filter((/** @type {any} */ one) => !name || one.summary.split(" ").includes(name)), error];
}

/** Stop, start, remove, undo, and how that goes on. `isCard`: there programs are only stopped. @param {{device: string, apps: any[], changes: any[], isCard?: boolean, children?: any}} given */
export function ProgramActs({ device, apps, changes, isCard = false, children }) {
  const [act, begin] = useAct();
  const isBusy = act !== null && !act.isOver;
  const last = changes.find((one) => one.undoable && one.undoes === null);
  return html`<p class="buttons">${may("act") && html`
      ${apps.map(({ name, condition }) => {
        const path = `/v1/devices/${part(device)}/apps/${part(name)}`;
        const verb = condition === "stopped" ? "Start" : "Stop";
        return html`<button disabled=${isBusy} onClick=${() => begin("POST", `${path}/${verb.toLowerCase()}`)}>${verb}${isCard && ` ${name}`}</button>
          ${!isCard && html`<button disabled=${isBusy} onClick=${() => begin("DELETE", path)}>Remove</button>`}`;
      })}
      ${last && html`<button disabled=${isBusy} onClick=${() => begin("POST", "/v1/undo", { change_id: last.change_id })}>
        Undo: ${last.did}</button>`}`}${children}</p>
    <${ActView} act=${act} device=${device} isFolded=${isCard && act !== null && act.isOver && !act.error} />`;
}

/** Expectations with how they were met. @param {{expected: any[]}} given */
export function Expected({ expected }) {
  return html`<ul class="rows">${expected.map((one) => html`<li key=${one.line}>
    <${Badge} state=${one.answer.split(";")[0]} text=${one.answer} /> ${prose(one.text)} <span class="quiet">in the trial: ${prose(one.found)}</span></li>`)}</ul>`;
}

/** @param {{before: any, name: string}} given */
function Before({ before, name }) {
  return html`<h3>Changed since the version before</h3>
    <p class="quiet">That one, <code>${before.sha256.slice(0, 12)}</code>, came with change ${before.change_id}, <${Moment} at=${before.at_ms} />.</p>
    <${Diff} lines=${before.diff} label=${`what changed in ${name}`} />`;
}

/** What the program was expected to do, and what the trial and the board showed. @param {{proof: any}} given */
function Proof({ proof }) {
  return html`<h3>Expected and seen</h3>
    ${proof.expected.length === 0 && html`<p class="quiet">No expectation was given: this is what it did.</p>`}
    <${Expected} expected=${proof.expected} />
    <${Evidence} evidence=${proof.evidence} />
    <${Screens} screens=${proof.screens} />
    <p class="legend"><i class="counted"></i> counted by the board <i class="expected"></i> seen in the trial</p>
    <${TrialView} trial=${proof.trial.edges} board=${proof.evidence.edges} />`;
}
