// Home below its field: each board as it is now: its pins, what runs there, its readings, what waits for a yes.

import { part } from "./api.js";
import { MAX_BENCHES } from "./bench_state.js";
import { MovedParts } from "./bench_view.js";
import { CardActs } from "./card_acts.js";
import { Moment, useReloaded } from "./lists.js";
import { LiveRow, MAX_LIVE, useLive } from "./live.js";
import { Badge, Heading, Link, Problem, boardPath, prose, size } from "./parts.js";
import { may, presenceOf, state } from "./state.js";
import { said } from "./telemetry.js";
import { html, useState } from "./vendor/htm-preact.module.js";

const MAX_CARDS = 12; // with live pins
const MAX_READINGS = 4;
const HOST_KNOWS = ["unreachable", "deferred", "waiting", "stopped"];

export function Home() {
  const [isWanted, setWanted] = useState(false);
  const counting = state.devices.filter((device) => device.capabilities.includes("edges.read")).map((device) => device.name);
  const isMany = state.devices.length > MAX_CARDS;
  const isLive = isWanted || !isMany;
  const live = isLive ? counting.slice(0, MAX_LIVE) : [];
  const isDense = isLive && isMany; // their pins alone, so that all of them are on one screen
  useLive(live);
  const pairings = state.status?.link?.waiting ?? [];
  return html`${!may("ask") && html`<${Heading}>Boards<//>`}
    ${(state.status?.problems ?? []).map((/** @type {string} */ text) => html`<p class="warning">${prose(text)}</p>`)}
    ${(state.status?.alarms ?? []).map((/** @type {any} */ one) => html`<${Problem} error=${{ message: one.text, next: one.next }} />`)}
    ${state.approvals.map((one) => html`<p key=${one.approval_id} class="warning">Waits for a yes: <${Link} to="/activity">${one.action}<//></p>`)}
    ${pairings.map((/** @type {any} */ one) => html`<p class="warning">A device at ${one.address} (${one.board}) shows a code
      and waits to be paired. On the host's machine: <code>microclaw device pair CODE</code></p>`)}
    ${state.devices.length === 0 && state.status && html`<section class="card empty"><h2>There is no board yet</h2>
      ${may("own") && html`<p class="buttons"><${Link} class="action" to="/flash">Flash a board from here<//></p>`}
      <p class="quiet">Without hardware: <code>microclaw up --virtual 1</code></p></section>`}
    ${isMany && counting.length > 0 && html`<p class="buttons"><label><input type="checkbox" checked=${isWanted}
      onChange=${(/** @type {any} */ e) => setWanted(e.currentTarget.checked)} /> live pins</label>
      ${isLive && counting.length > MAX_LIVE && html`<span class="quiet">of the first ${MAX_LIVE} boards: more cannot be read at once</span>`}</p>`}
    <ul class=${isDense ? "boards dense" : "boards"}>${state.devices.map((device, i) => html`<${BoardCard} key=${device.device_id} device=${device}
      isLive=${live.includes(device.name)} isDense=${isDense} isAlone=${!isMany} hasBench=${!isMany && i < MAX_BENCHES} />`)}</ul>`;
}

/** `hasBench`: its parts are shown, too. @param {{device: any, isLive: boolean, isDense: boolean, isAlone: boolean, hasBench: boolean}} given */
function BoardCard({ device, isLive, isDense, isAlone, hasBench }) {
  const apps = state.apps.filter((app) => app.device === device.name);
  const status = state.status?.devices?.find((/** @type {any} */ one) => one.name === device.name);
  const row = isLive && html`<${LiveRow} device=${device.name} />`;
  const head = html`<h2><${Link} to=${boardPath(device.name)}>${device.name}<//> <${Presence} device=${device} /></h2>`;
  if (isDense) return html`<li class="card">${head}${row}</li>`;
  return html`<li class="card">
    ${head}
    <p class="quiet">${device.title} · ${firmwareText(device)}</p>
    ${hasBench ? html`<${MovedParts} device=${device}>${row}<//>` : row}
    <${Absence} device=${device} />
    ${status?.problem && html`<p class="warning">${prose(status.problem)}</p>`}
    ${apps.length === 0 ? html`<p class="quiet">no program</p>` : html`<${ProgramList} apps=${apps} />`}
    ${hasBench && may("act") && html`<${CardActs} device=${device.name} apps=${apps} />`}
    ${isAlone && device.link?.online && html`<${Readings} device=${device.name} />`}
    ${device.labels.length > 0 && html`<p class="quiet">${device.labels.join(", ")}</p>`}
  </li>`;
}

/** Programs with their states. @param {{apps: any[]}} given */
export function ProgramList({ apps }) {
  return html`<ul class="rows">${apps.map((app) => html`<li key=${app.name}>
    <${Link} to=${boardPath(app.device, "programs", app.name)}>${app.name}<//> <${ProgramState} app=${app} />${" "}
    <span class="quiet">${memoryText(app)}${app.foreign ? ", not installed by this host" : ""}</span>
    ${app.error && html`<p class="warning">${prose(app.error)}</p>`}</li>`)}</ul>`;
}

/** The last values that a board sent. @param {{device: string}} given */
function Readings({ device }) {
  const [found] = useReloaded(`/v1/devices/${part(device)}`);
  const last = found?.telemetry ?? [];
  if (last.length === 0) return null;
  return html`<p class="quiet">${last.slice(0, MAX_READINGS).map((/** @type {any} */ one) => `${one.key} ${said(one.value, one.unit)}`).join(" · ")}</p>`;
}

/** Whether the board is there, else when it was. @param {{device: any}} given */
export function Presence({ device }) {
  const { isOnline, seenMs } = presenceOf(device.name);
  if (device.revoked) return html`<${Badge} state="revoked" />`;
  if (isOnline) return html`<${Badge} state="online" />`;
  if (device.never_reached) return html`<${Badge} state="unreachable" text="never reached" />`;
  return html`<${Badge} state="before" text=${isOnline === null ? "not known" : "away"} />
    ${seenMs > 0 && html` <small class="quiet">last seen <${Moment} at=${seenMs} /></small>`}`;
}

/** A program's state, or what it was when its board was seen last; what this host itself knows of it stays. @param {{app: any}} given */
export function ProgramState({ app }) {
  const isNow = presenceOf(app.device).isOnline || HOST_KNOWS.includes(app.condition);
  return isNow ? html`<${Badge} state=${app.condition} />` : html`<${Badge} state="before" text=${`${app.condition} when last seen`} />`;
}

/** What to do about a board that cannot be there. @param {{device: any}} given */
export function Absence({ device }) {
  if (device.revoked) return html`<p class="warning">It was revoked: nothing reaches it until it is paired again. On the host's machine:${" "}
    <code>microclaw device pair CODE -d ${device.name}</code></p>`;
  if (!device.never_reached || presenceOf(device.name).isOnline) return null;
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

/** What a program may do on the network. @param {{hosts: string[], ports: number[]} | undefined} network */
export function networkText(network) {
  const hosts = network?.hosts.length ? `talks to ${network.hosts.join(", ")}` : "";
  const ports = network?.ports.length ? `opens port ${network.ports.join(", ")}` : "";
  return [hosts, ports].filter(Boolean).join(", ");
}

/** @param {number[]} pins */
export function pinsText(pins) {
  return pins.length === 0 ? "" : `pin${pins.length > 1 ? "s" : ""} ${pins.join(", ")}`;
}

/** @param {any} app */
function memoryText(app) {
  const heap = app.heap_bytes ? `heap ${size(app.heap_bytes)}` : "";
  return [pinsText(app.pins), heap].filter(Boolean).join(", ");
}
