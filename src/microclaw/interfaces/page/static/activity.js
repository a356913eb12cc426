// The questions that wait for a decision, how the last ones ended, and what was changed on the boards, by day.

import { ActView, Question, useAct, whyEnded } from "./acts.js";
import { part } from "./api.js";
import { OrderState, SureButton, useOrders, useReloaded } from "./lists.js";
import { Badge, Choice, Heading, Link, Problem, boardPath, prose, useFetched } from "./parts.js";
import { may, state } from "./state.js";
import { html, useRef, useState } from "./vendor/htm-preact.module.js";

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
        <${Badge} state=${end.outcome} /> ${end.text} <span class="quiet">${whyEnded(end)}</span>
      </li>`)}</ul>`}
    <${Changes} />`;
}

function Changes() {
  const [board, setBoard] = useState("");
  const [history, error] = useFetched(`/v1/changes?limit=${MAX_CHANGES}${board && `&device=${part(board)}`}`, [state.changed]);
  const changes = /** @type {api.Change[]} */ (history?.changes ?? []);
  const [scheduled, scheduleError, reload] = useReloaded("/v1/schedules");
  const schedules = (scheduled?.schedules ?? []).filter((/** @type {any} */ one) => !board || one.device === board);
  const rows = [
    ...changes.map((one) => ({ at: one.local_time, row: html`<${UndoableChange} key=${one.change_id} change=${one} />` })),
    ...schedules.map((/** @type {api.Schedule} */ one) => madeRow(one, scheduled.zone, reload)),
  ].sort((a, b) => b.at.localeCompare(a.at)).slice(0, MAX_CHANGES);
  const days = history ? [...new Set(rows.map(dayOf))] : [];
  const boards = state.devices.map((one) => one.name);
  return html`<h2>Changes</h2><p class="buttons"><${Choice} label="Board" value=${board} choices=${[["", "all boards"], ...boards]} onChoose=${setBoard} /></p>
    <${Problem} error=${error ?? scheduleError} />
    ${history && rows.length === 0 && html`<p class="quiet">Nothing was changed ${board ? `on ${board}` : "on a board"} yet.</p>`}
    ${days.map((day) => html`<section key=${day} aria-label=${dayText(day, history.today)}><h3>${dayText(day, history.today)}</h3>
      <ul class="rows">${rows.filter((one) => dayOf(one) === day).map((one) => one.row)}</ul></section>`)}
    ${rows.length === MAX_CHANGES && html`<p class="quiet">These are the newest ${MAX_CHANGES}.</p>`}`;
}

/** The day in the host's time zone. @param {{at: string}} row */
function dayOf({ at }) {
  return at.slice(0, 10);
}

/** A schedule that was made and is still there. @param {api.Schedule} schedule @param {string} zone the host's @param {() => void} removed */
function madeRow(schedule, zone, removed) {
  const at = new Date(schedule.created_ms).toLocaleString("sv-SE", { timeZone: zone }).slice(0, 16);
  return { at, row: html`<${MadeSchedule} key=${`schedule ${schedule.schedule}`} schedule=${schedule} time=${at.slice(11)} removed=${removed} />` };
}

/** @param {{schedule: api.Schedule, time: string, removed: () => void}} given */
function MadeSchedule({ schedule, time, removed }) {
  const orders = useOrders(removed);
  const did = `made schedule ${schedule.schedule}`;
  return html`<li><span class="quiet">${time}</span> <b>${schedule.by}</b> <${Link} to="/schedules">${did}<//>: ${schedule.when}, ${prose(schedule.what)}
    ${may("act") && html` <${SureButton} what="Remove" label=${did} disabled=${orders.isBusy}
      onYes=${() => orders.order("DELETE", `/v1/schedules/${schedule.schedule}`)} />`}<${OrderState} orders=${orders} /></li>`;
}

/** @param {string} day @param {string} today */
function dayText(day, today) {
  if (day === today) return "Today";
  return `${new Date(`${day}T12:00Z`).toLocaleDateString("en-GB", { weekday: "long", timeZone: "UTC" })}, ${day}`;
}

/** @param {{change: api.Change}} given */
function UndoableChange({ change }) {
  const [act, undo] = useAct();
  const isMine = change.person === state.me?.person_id || state.me?.role === "owner";
  const button = change.undoes === null ? "Undo" : "Redo";
  return html`<li><${Change} change=${change} time=${change.local_time.slice(11)} />
    ${change.undoable && isMine && may("act") && html` <button aria-label=${`${button}: ${change.did} on ${change.device}`} disabled=${act !== null && !act.isOver}
      onClick=${() => undo("POST", "/v1/undo", { change_id: change.change_id })}>${button}</button>`}
    <${ActView} act=${act} device=${change.device} /></li>`;
}

/** A line of the list of changes. @param {{change: api.Change, time?: string}} given */
export function Change({ change, time = change.local_time }) {
  const end = change.undone_by === null ? change.state : "undone";
  return html`<span class="quiet">${time}</span> ${end !== "done" && html`<${Badge} state=${end} />`} <b>${change.by}</b> ${change.undoes !== null && "undid:"}${" "}
    ${change.did} on <${Link} to=${boardPath(change.device)}>${change.device}<//>`;
}
