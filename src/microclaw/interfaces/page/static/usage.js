// What models cost: today against its budget, and the last days by day, person, chat, model or task.

import { Moment, Table, useReloaded } from "./lists.js";
import { Choice, Heading, Problem } from "./parts.js";
import { html, useState } from "./vendor/htm-preact.module.js";

const GROUPS = ["day", "person", "chat", "model", "task"];
const DAYS = [7, 30, 90, 365];

export function Usage() {
  const [by, setBy] = useState("day");
  const [days, setDays] = useState(30);
  const [found, error] = useReloaded(`/v1/usage?by=${by}&days=${days}`);
  return html`<${Heading}>Usage<//>
    <${Problem} error=${error} />
    ${found && html`<${Today} usage=${found} />`}
    <h2>The last days</h2>
    <p class="buttons">
      <${Choice} label="By" value=${by} choices=${GROUPS} onChoose=${setBy} />
      <${Choice} label="Days" value=${days} choices=${DAYS} onChoose=${setDays} />
    </p>
    ${found && (found.groups.length === 0
      ? html`<p class="quiet">No model was asked since ${found.since}.</p>`
      : html`<${Table} label="Usage" heads=${[found.by, "requests", "tokens in", "of these cached", "tokens out", "cost"]} rows=${[
          ...found.groups.map((/** @type {any} */ one) => ({ key: `of ${one.name}`, cells: [one.name, ...counts(one)] })),
          { key: "total", cells: [html`<b>total</b>`, ...counts(found.total)] },
        ]} />`)}
    ${found?.total.estimated > 0 && html`<p class="quiet">${found.total.estimated} requests reported no tokens: theirs are estimated.</p>`}
    ${found?.total.unpriced > 0 && html`<p class="quiet">The price of ${found.total.unpriced} requests is not known: the cost is without them.</p>`}`;
}

/** @param {{usage: any}} given */
function Today({ usage }) {
  const { today, budget } = usage;
  const tokens = today.input_tokens + today.output_tokens;
  return html`<dl class="facts">
    <div><dt>cost today</dt><dd>${dollars(today.cost_usd)}${budget.day_usd ? ` of ${dollars(budget.day_usd)}` : ", no limit"}</dd></div>
    <div><dt>tokens today</dt><dd>${tokens.toLocaleString()}${budget.day_tokens ? ` of ${budget.day_tokens.toLocaleString()}` : ", no limit"}</dd></div>
    <div><dt>requests today</dt><dd>${today.requests}${today.failed > 0 ? `, ${today.failed} failed` : ""}</dd></div>
    <div><dt>the day ends</dt><dd><${Moment} at=${Date.parse(budget.resets_at)} /></dd></div>
  </dl>`;
}

/** @param {any} one */
function counts(one) {
  return [one.failed > 0 ? `${one.requests}, ${one.failed} failed` : one.requests, one.input_tokens.toLocaleString(),
    one.cached_tokens.toLocaleString(), one.output_tokens.toLocaleString(), dollars(one.cost_usd)];
}

/** @param {number} value */
function dollars(value) {
  return `$${value < 1 && value > 0 ? value.toFixed(4) : value.toFixed(2)}`;
}
