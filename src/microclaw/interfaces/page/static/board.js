// One board: its live pins, its programs, its log, and facts about it.

import { Absence, Presence, ProgramList, firmwareText, placeText } from "./home.js";
import { AddPart } from "./add_part.js";
import { part } from "./api.js";
import { BenchView } from "./bench_view.js";
import { PinSwitch } from "./card_acts.js";
import { BoardDrawing } from "./drawing.js";
import { Labels } from "./labels.js";
import { OrderState, Table, useOrders } from "./lists.js";
import { Logs } from "./logs.js";
import { Badge, Heading, Link, Problem, boardPath, prose, useFetched } from "./parts.js";
import { Program } from "./program.js";
import { may, state } from "./state.js";
import { Telemetry } from "./telemetry.js";
import { LivePins } from "./timeline.js";
import { html, useState } from "./vendor/htm-preact.module.js";

const TABS = ["bench", "pins", "programs", "log", "telemetry", "facts"];

/** @param {{name: string, tab: string, program?: string}} given */
export function Board({ name, tab, program }) {
  const device = state.devices.find((one) => one.name === name);
  if (device === undefined) {
    if (state.status === null) return html`<p class="quiet">One moment.</p>`;
    return html`<${Heading}>There is no board ${name}<//><p><${Link} to="/">All boards<//></p>`;
  }
  const apps = state.apps.filter((app) => app.device === name);
  return html`<p class="crumbs"><${Link} to="/">Home<//></p>
    <${Heading}>${name} <${Presence} device=${device} /><//>
    <p class="quiet">${device.title} · ${device.chip} · ${firmwareText(device)}${placeText(device, state.status)}</p>
    <${Absence} device=${device} />
    <nav class="tabs" aria-label=${`Parts of ${name}`}>${TABS.map((one) => html`<${Link} key=${one} to=${boardPath(name, one)}
      current=${one === (tab === "add" ? "bench" : tab)}>${one}<//>`)}</nav>
    ${tab === "bench" && html`<${BenchView} device=${device} apps=${apps} />`}
    ${tab === "add" && html`<${AddPart} key=${program} device=${device} id=${program} />`}
    ${tab === "pins" && html`<${Pins} device=${device} apps=${apps} />`}
    ${tab === "programs" && program && html`<${Program} key=${program} device=${name} name=${program} />`}
    ${tab === "programs" && !program && (apps.length > 0 ? html`<${ProgramList} apps=${apps} />`
      : html`<p class="quiet">No program is on ${name}. Ask for one: <${Link} to="/chat">chat<//>.</p>`)}
    ${tab === "log" && html`<${Logs} device=${device} />`}
    ${tab === "telemetry" && html`<${Telemetry} device=${device} />`}
    ${tab === "facts" && html`<${Facts} device=${device} />`}`;
}

/** @param {{device: any, apps: any[]}} given */
function Pins({ device, apps }) {
  const [shown, error] = useFetched(`/v1/devices/${part(device.name)}`);
  const isLive = device.capabilities.includes("edges.read");
  const held = new Map(apps.filter((app) => app.condition !== "stopped").flatMap((app) => app.pins.map((/** @type {number} */ pin) => [pin, app.name])));
  const names = new Map((shown?.pins ?? []).map((/** @type {any} */ pin) => [pin.pin, pin.name]));
  const used = new Map(apps.flatMap((app) => app.pins.map((/** @type {number} */ pin) => [pin, app.name])));
  const seen = isLive ? html`<${LivePins} device=${device.name} nameOf=${(/** @type {number} */ pin) => names.get(pin) ?? ""} used=${used} />`
    : html`<p>This board does not report its pins: its firmware takes orders and counts no edges. What a program did is
      seen on another board, or on the virtual one.</p>`;
  if (!shown?.pins.length) return html`<${Problem} error=${error} />${(shown || error) && seen}`;
  return html`<${BoardDrawing} device=${device.name} shown=${shown} held=${held} isLive=${isLive} Switch=${PinSwitch}>${seen}<//>
    <details><summary>All pins of this board</summary><${PinTable} shown=${shown} held=${held} /></details>`;
}

/** @param {{shown: any, held: Map<number, string>}} given */
function PinTable({ shown, held }) {
  const places = (shown.layout?.headers ?? []).flatMap((/** @type {any} */ header) => header.pins);
  const prints = new Map(places.map((/** @type {any} */ place) => [place.gpio, place.label]));
  const rows = shown.pins.map((/** @type {any} */ pin) => ({ key: pin.pin, kind: pin.reserved ? "reserved" : "",
    cells: [pin.pin, [...pin.labels, pin.name, prints.get(pin.pin)].filter(Boolean).join(", "), pin.uses.join(", "), held.get(pin.pin) ?? "",
      prose(pin.refused ?? pin.caution)] }));
  return html`<${Table} label="Pins" heads=${["pin", "name", "can", "program", "note"]} rows=${rows} isBroad=${true} />`;
}

/** @param {{device: any}} given */
function Facts({ device }) {
  const [shown, error] = useFetched(`/v1/devices/${part(device.name)}`);
  const [status, setStatus] = useState(/** @type {any} */ (null));
  const orders = useOrders();
  const ask = async () => {
    const answer = await orders.order("POST", `/v1/devices/${part(device.name)}/call`, { method: "device.status", wait: false });
    if (answer) setStatus(answer.result);
  };
  const rows = [
    ["board", device.title], ["chip", device.chip], ["firmware", firmwareText(device)],
    ["ways in", device.transports.join(", ")], ["at a power cut", device.power_cut],
    ...Object.entries(status?.values ?? status ?? {}).map(([key, value]) => [key, String(value)]),
  ];
  return html`<${Problem} error=${error} />
    <dl class="facts">${rows.filter(([, value]) => value).map(([key, value]) => html`<div key=${key}><dt>${key}</dt><dd>${value}</dd></div>`)}</dl>
    ${may("ask") && html`<p><button onClick=${ask}>Ask the board for its memory and state</button></p>`}
    <${OrderState} orders=${orders} />
    <${Labels} device=${device.name} />
    ${shown?.today && html`<h2>What works on such boards today</h2>
      <ul class="rows">${shown.today.findings.map((/** @type {any} */ one) => html`<li key=${one.feature}>
        ${prose(one.feature)}: <${Badge} state=${one.state} text=${one.text} /></li>`)}</ul>`}`;
}
