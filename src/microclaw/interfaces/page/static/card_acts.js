// What one does most with a board, on its card: stop a program, undo the last change, switch a pin.

import { part } from "./api.js";
import { benches } from "./bench_state.js";
import { OrderState, useOrders } from "./lists.js";
import { useTick } from "./parts.js";
import { pins } from "./pins.js";
import { ProgramActs, useChanges } from "./program.js";
import { html } from "./vendor/htm-preact.module.js";

const MAX_PINS = 2;
const LEVELS_MS = 500;

/** The button that sets a free pin. @param {{device: string, pin: number, level: number, name?: string}} given */
export function PinSwitch({ device, pin, level, name = "it" }) {
  const orders = useOrders();
  const set = () => orders.order("POST", `/v1/devices/${part(device)}/call`, { method: "gpio.set", arguments: { pin, level } });
  return html`<span class="buttons"><button disabled=${orders.isBusy} onClick=${set}>Set ${name} ${level ? "high" : "low"}</button></span>
    <${OrderState} orders=${orders} />`;
}

/** @param {{device: string, apps: any[]}} given */
export function CardActs({ device, apps }) {
  const [changes] = useChanges(device);
  useTick(LEVELS_MS);
  const running = apps.filter((app) => app.condition === "running");
  return html`<${ProgramActs} device=${device} apps=${running} changes=${changes} isCard=${true}>
    ${freePins(device, apps).map(({ pin, level, name }) => html`<${PinSwitch} key=${pin} device=${device} pin=${pin} level=${1 - level} name=${name} />`)}<//>`;
}

/** The outputs that no program has, with their levels; the one that moved last comes first. @param {string} device @param {any[]} apps */
function freePins(device, apps) {
  const [bench, edges] = [benches.of(device), pins.of(device)];
  if (bench.unreadText()) return [];
  const held = new Set(apps.flatMap((app) => (app.condition === "running" ? app.pins : [])));
  const found = bench.parts().flatMap((one) => one.pins.flatMap(({ gpio: pin, use }) => {
    const known = pin === null ? undefined : bench.pins.get(pin);
    if (pin === null || use !== "output" || held.has(pin) || known?.source !== "counted" || known.level === null) return [];
    return [{ pin, level: known.level, name: one.part ? `${one.label || one.id} (pin ${pin})` : one.id, at: edges.movedAt(pin) }];
  }));
  return found.sort((a, b) => b.at - a.at).slice(0, MAX_PINS);
}
