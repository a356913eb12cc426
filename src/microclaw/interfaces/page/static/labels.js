// A board's room and labels, and names for its pins: added and removed one at a time, as `microclaw device label` does.

import { part } from "./api.js";
import { OrderState, SureButton, useOrders, useReloaded } from "./lists.js";
import { Link, Problem, boardPath, onSent } from "./parts.js";
import { may } from "./state.js";
import { html, useState } from "./vendor/htm-preact.module.js";

/** @param {{device: string}} given */
export function Labels({ device }) {
  const path = `/v1/devices/${part(device)}`;
  const [shown, error, reload] = useReloaded(path);
  const [changes, setChanges] = useState(/** @type {string[]} */ ([]));
  const orders = useOrders(reload);
  /** @param {{labels?: string[], remove?: string[]}} body @param {HTMLFormElement} [form] is empty again when it is done */
  const change = async (body, form) => {
    const answer = await orders.order("PATCH", `${path}/labels`, body);
    setChanges(answer?.changes ?? []);
    if (answer) form?.reset();
  };
  const labels = /** @type {string[]} */ (shown?.labels ?? []);
  return html`<section aria-label="Room and labels"><h2>Room and labels</h2><${Problem} error=${error} />
    ${shown && labels.length === 0 && html`<p class="quiet">It has no room and no label yet.</p>`}
    <ul class="rows">${labels.map((label) => html`<li key=${label}>${label.replace("=", ": ")} ${may("act")
      && html`<${SureButton} what="Remove" label=${label} disabled=${orders.isBusy} onYes=${() => change({ remove: [label] })} />`}</li>`)}</ul>
    ${may("act") && html`<form class="buttons" onSubmit=${onSent((given, form) => change({ labels: [`room=${given.get("room")}`], remove: labels.filter((label) => label.startsWith("room=")) }, form))}>
        <label>Room <input name="room" required maxlength="40" /></label><button disabled=${orders.isBusy}>Put it there</button></form>
      <form class="buttons" onSubmit=${onSent((given, form) => change({ labels: [`pin-${given.get("pin")}=${given.get("name")}`] }, form))}>
        <label>Pin <input name="pin" type="number" min="0" required /></label> <label>is called <input name="name" required maxlength="40" /></label>
        <button disabled=${orders.isBusy}>Name the pin</button></form>
      <p class="quiet">A pin's name is the name of the part at it: it counts in the chat, for MQTT and on the <${Link} to=${boardPath(device, "bench")}>bench<//>, where it is changed.</p>`}
    <div role="status"><ul class="rows">${changes.map((text) => html`<li key=${text}>${text}</li>`)}</ul></div>
    <${OrderState} orders=${orders} /></section>`;
}
