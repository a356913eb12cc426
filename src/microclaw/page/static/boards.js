// The list of boards: whether each answers, what firmware it has, what runs there, and its memory.

import { LiveRow, MAX_LIVE, useLive } from "./live.js";
import { Badge, Heading, Link, Problem, prose, size } from "./parts.js";
import { isOnline, useStore } from "./state.js";
import { html, useState } from "./vendor/htm-preact.module.js";

const MAX_CARDS = 12; // with live pins

/** @param {string} name @param {string[]} rest */
export function boardPath(name, ...rest) {
  return ["/boards", ...[name, ...rest].map(encodeURIComponent)].join("/");
}

export function Boards() {
  const store = useStore();
  const [isLive, setLive] = useState(false);
  const counting = store.devices.filter((device) => device.capabilities.includes("edges.read")).map((device) => device.name);
  const live = isLive ? counting.slice(0, MAX_LIVE) : [];
  const isDense = isLive && store.devices.length > MAX_CARDS; // their pins alone, so that all of them are on one screen
  useLive(live);
  const pairings = store.status?.link?.waiting ?? [];
  return html`<${Heading}>Boards<//>
    ${(store.status?.problems ?? []).map((/** @type {string} */ text) => html`<p class="warning">${prose(text)}</p>`)}
    ${(store.status?.alarms ?? []).map((/** @type {any} */ one) => html`<${Problem} error=${{ message: one.text, next: one.next }} />`)}
    ${pairings.map((/** @type {any} */ one) => html`<p class="warning">A device at ${one.address} (${one.board}) shows a code
      and waits to be paired. On the host's machine: <code>microclaw device pair CODE</code></p>`)}
    ${store.devices.length === 0 && store.status && html`<p>There is no board yet. Without hardware:${" "}
      <code>microclaw up --virtual 1</code>. With a board on a cable of the host's machine:${" "}
      <code>microclaw flash</code>; on a cable of this computer: <${Link} to="/flash">flash it from here<//>.</p>`}
    ${counting.length > 0 && html`<p class="buttons"><label><input type="checkbox" checked=${isLive}
      onChange=${(/** @type {any} */ e) => setLive(e.currentTarget.checked)} /> live pins</label>
      ${isLive && counting.length > MAX_LIVE && html`<span class="quiet">of the first ${MAX_LIVE} boards: more cannot be read at once</span>`}</p>`}
    <ul class=${isDense ? "boards dense" : "boards"}>${store.devices.map((device) => html`<${BoardCard} key=${device.device_id} device=${device}
      isLive=${live.includes(device.name)} isDense=${isDense} />`)}</ul>`;
}

/** @param {{device: any, isLive: boolean, isDense: boolean}} given */
function BoardCard({ device, isLive, isDense }) {
  const store = useStore();
  const apps = store.apps.filter((app) => app.device === device.name);
  const row = store.status?.devices?.find((/** @type {any} */ one) => one.name === device.name);
  const head = html`<h2><${Link} to=${boardPath(device.name)}>${device.name}<//> <${Presence} device=${device} /></h2>`;
  if (isDense) return html`<li class="card">${head}${isLive && html`<${LiveRow} device=${device.name} />`}</li>`;
  return html`<li class="card">
    ${head}
    <p class="quiet">${device.title} · ${firmwareText(device)}</p>
    ${isLive && html`<${LiveRow} device=${device.name} />`}
    <${Absence} device=${device} />
    ${row?.problem && html`<p class="warning">${prose(row.problem)}</p>`}
    ${apps.length === 0
      ? html`<p class="quiet">no program</p>`
      : html`<ul class="rows">${apps.map((app) => html`<li key=${app.name}>
          <${Link} to=${boardPath(device.name, "programs", app.name)}>${app.name}<//>${" "}
          <${Badge} state=${app.condition} /> <span class="quiet">${memoryText(app)}</span></li>`)}</ul>`}
    ${device.labels.length > 0 && html`<p class="quiet">${device.labels.join(", ")}</p>`}
  </li>`;
}

/** Whether the board is there, and which of its states that is. @param {{device: any}} given */
export function Presence({ device }) {
  const online = isOnline(device.name);
  if (device.revoked) return html`<${Badge} state="revoked" />`;
  if (online) return html`<${Badge} state="online" />`;
  if (device.never_reached) return html`<${Badge} state="unreachable" text="never reached" />`;
  return online === null ? html`<${Badge} state="unknown" text="not known" />` : html`<${Badge} state="away" />`;
}

/** What to do about a board that cannot be there. @param {{device: any}} given */
export function Absence({ device }) {
  if (device.revoked) return html`<p class="warning">It was revoked: nothing reaches it until it is paired again. On the host's machine:${" "}
    <code>microclaw device pair CODE -d ${device.name}</code></p>`;
  if (!device.never_reached || isOnline(device.name)) return null;
  return html`<p class="warning">This host has never reached it. On the host's machine: <code>microclaw device check ${device.name}</code></p>`;
}

/** At which host of a cluster a board is connected. @param {any} device @param {any} status */
export function placeText(device, status) {
  if (!status?.host || !device.link?.online) return "";
  const other = device.link.host?.replace(/-[0-9a-f]{4}$/, ""); // without what tells its starts apart
  return ` · connected to the host ${other ?? status.host}`;
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
