// The questions that wait for a decision, how the last ones ended, and what was changed on the boards, newest first.

import { ActView, Question, useAct } from "./acts.js";
import { Moment } from "./lists.js";
import { Badge, Heading, Problem, prose, useFetched } from "./parts.js";
import { may, state } from "./state.js";
import { html, useRef } from "./vendor/htm-preact.module.js";

const MAX_CHANGES = 100;

export function Activity() {
  // A question that was decided elsewhere stays until this view is left: its reader is told how it ended.
  const seen = useRef(/** @type {Map<string, any>} */ (new Map()));
  for (const one of state.approvals) seen.current.set(one.approval_id, one);
  const waiting = new Set(state.approvals.map((one) => one.approval_id));
  const shown = [...seen.current.values()].filter((one) => waiting.has(one.approval_id) || state.settled.has(one.approval_id));
  const others = [...state.settled.entries()].filter(([id, end]) => !seen.current.has(id) && end.text).reverse();
  return html`<${Heading}>Activity<//>
    ${shown.length === 0 && html`<p class="quiet">Nothing waits for a decision.</p>`}
    ${shown.map((one) => html`<${Question} key=${one.approval_id} question=${one} />`)}
    ${others.length > 0 && html`<h2>Decided</h2>
      <ul class="rows">${others.map(([id, end]) => html`<li key=${id}>
        <${Badge} state=${end.outcome} /> ${end.text} ${end.by && html`<span class="quiet">by ${end.by}</span>`}
      </li>`)}</ul>`}
    <${Changes} />`;
}

function Changes() {
  const [history, error] = useFetched(`/v1/changes?limit=${MAX_CHANGES}`, [state.changed]);
  const [act, undo] = useAct();
  const changes = /** @type {any[]} */ (history?.changes ?? []);
  const last = changes.find((one) => one.person === state.me?.name && one.state === "done" && one.undone_by === null && one.undoes === null);
  return html`<h2>Changes</h2><${Problem} error=${error} /><${ActView} act=${act} />
    ${history && changes.length === 0 && html`<p class="quiet">Nothing was changed on a board yet.</p>`}
    <ul class="rows">${changes.map((one) => html`<li key=${one.change_id}><${Change} change=${one} />
      ${one === last && may("act") && html` <button disabled=${act !== null && !act.isOver} onClick=${() => undo("POST", "/v1/undo", {})}>Undo</button>`}</li>`)}</ul>`;
}

/** A line of the list of changes. @param {{change: any}} given */
export function Change({ change }) {
  return html`<${Moment} at=${change.at_ms} /> <${Badge} state=${change.undone_by === null ? change.state : "undone"} /> ${prose(change.summary)}${" "}
    <span class="quiet">${change.person}</span>`;
}
