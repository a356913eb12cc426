// The list of boards: whether each answers, what firmware it has, what runs there, and its memory.

import { Badge, Heading, Link, Online, Problem, size } from "./parts.js";
import { isOnline, useStore } from "./state.js";
import { html } from "./vendor/htm-preact.module.js";

/** @param {string} name @param {string[]} rest */
export function boardPath(name, ...rest) {
  return ["/boards", ...[name, ...rest].map(encodeURIComponent)].join("/");
}

export function Boards() {
  const store = useStore();
  const pairings = store.status?.link?.waiting ?? [];
  return html`<${Heading}>Boards<//>
    ${(store.status?.problems ?? []).map((/** @type {string} */ text) => html`<p class="warning">${text}</p>`)}
    ${(store.status?.alarms ?? []).map((/** @type {any} */ one) => html`<${Problem} error=${{ message: one.text, next: one.next }} />`)}
    ${pairings.map((/** @type {any} */ one) => html`<p class="warning">A device at ${one.address} (${one.board}) shows a code
      and waits to be paired. On the host's machine: <code>microclaw device pair CODE</code></p>`)}
    ${store.devices.length === 0 && store.status && html`<p>There is no board yet. Without hardware:
      <code>microclaw up --virtual 1</code>. With a board on a cable of the host's machine:
      <code>microclaw flash</code>; on a cable of this computer: <${Link} to="/flash">flash it from here<//>.</p>`}
    <ul class="boards">${store.devices.map((device) => html`<${BoardCard} key=${device.device_id} device=${device} />`)}</ul>`;
}

/** @param {{device: any}} given */
function BoardCard({ device }) {
  const store = useStore();
  const apps = store.apps.filter((app) => app.device === device.name);
  const row = store.status?.devices?.find((/** @type {any} */ one) => one.name === device.name);
  return html`<li class="card">
    <h2><${Link} to=${boardPath(device.name)}>${device.name}<//> <${Online} online=${isOnline(device.name)} /></h2>
    <p class="quiet">${device.title} · ${firmwareText(device)}</p>
    ${row?.problem && html`<p class="warning">${row.problem}</p>`}
    ${apps.length === 0
      ? html`<p class="quiet">no program</p>`
      : html`<ul class="rows">${apps.map((app) => html`<li key=${app.name}>
          <${Link} to=${boardPath(device.name, "programs", app.name)}>${app.name}<//>
          <${Badge} state=${app.condition} /> <span class="quiet">${memoryText(app)}</span></li>`)}</ul>`}
    ${device.labels.length > 0 && html`<p class="quiet">${device.labels.join(", ")}</p>`}
  </li>`;
}

/** @param {any} device */
export function firmwareText(device) {
  if (device.link?.firmware) return device.link.firmware;
  if (device.voice_only) return "voice only";
  return device.kinds.includes("py") ? "microclaw (MicroPython)" : "ESP-WASMachine";
}

/** @param {any} app */
export function memoryText(app) {
  const heap = app.heap_bytes ? `heap ${size(app.heap_bytes)}` : "";
  const pins = app.pins.length > 0 ? `pins ${app.pins.join(", ")}` : "";
  return [heap, pins].filter(Boolean).join(", ");
}
