// The questions that wait for a decision, and how the last ones ended.

import { Question, mayDecide } from "./acts.js";
import { Badge, Heading } from "./parts.js";
import { useStore } from "./state.js";
import { html, useRef } from "./vendor/htm-preact.module.js";

export function Approvals() {
  const store = useStore();
  // A question that was decided elsewhere stays until this view is left: its reader is told how it ended.
  const seen = useRef(/** @type {Map<string, any>} */ (new Map()));
  for (const one of store.approvals) seen.current.set(one.approval_id, one);
  const waiting = new Set(store.approvals.map((one) => one.approval_id));
  const shown = [...seen.current.values()].filter((one) => waiting.has(one.approval_id) || store.settled.has(one.approval_id));
  const others = [...store.settled.entries()].filter(([id, end]) => !seen.current.has(id) && end.text).reverse();
  return html`<${Heading}>Approvals<//>
    ${shown.length === 0 && html`<p class="quiet">Nothing waits for a decision.</p>`}
    ${shown.map((one) => html`<${Question} key=${one.approval_id} question=${{ ...one, may_decide: mayDecide(one) }} />`)}
    ${others.length > 0 && html`<h2>Decided</h2>
      <ul class="rows">${others.map(([id, end]) => html`<li key=${id}>
        <${Badge} state=${end.outcome} /> ${end.text} ${end.by && html`<span class="quiet">by ${end.by}</span>`}
      </li>`)}</ul>`}`;
}
