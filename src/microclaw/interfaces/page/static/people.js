// People, the browsers that are signed in, and tokens. It changes no person and no token: that is the command line's (docs/people.md).

import { part } from "./api.js";
import { Moment, OrderState, SureButton, Table, useOrders, useReloaded } from "./lists.js";
import { Badge, Heading, Problem } from "./parts.js";
import { html } from "./vendor/htm-preact.module.js";

export function People() {
  return html`<${Heading}>People<//><${Persons} /><${SignIns} /><${Tokens} />`;
}

function Persons() {
  const [found, error] = useReloaded("/v1/people");
  return html`<${Problem} error=${error} />
    ${(found?.asking ?? []).map((/** @type {any} */ one) => html`<p class="warning">${one.name} asks over ${one.channel} to be let in.
      On the host's machine: <code>microclaw person pair CODE</code></p>`)}
    ${found && html`<${Table} label="People" heads=${["name", "role", "reached over"]} rows=${found.people.map((/** @type {any} */ one) => ({
      key: one.person_id,
      cells: [one.name, html`<${Badge} state=${one.role} />`, one.addresses.map((/** @type {any} */ each) => each.channel).join(", ") || "browser, command line"],
    }))} />`}
    <${Commands} text="People are let in, changed and removed on the host's machine" lines=${["microclaw person add NAME --role member",
      "microclaw person role NAME read-only", "microclaw status --open --person NAME"]} />`;
}

function SignIns() {
  const [found, error, reload] = useReloaded("/v1/signins");
  const orders = useOrders(reload);
  return html`<h2>Signed-in browsers</h2><${Problem} error=${error} /><${OrderState} orders=${orders} />
    <ul class="rows">${(found?.signins ?? []).map((/** @type {any} */ one) => html`<li key=${one.id} aria-label=${`session ${one.id}`}>
      <b>${one.person}</b> ${one.this && html`<${Badge} state="this" text="this browser" />`} by ${one.how}, from ${one.address}
      <div class="quiet">${one.browser}</div>
      <div class="quiet">since <${Moment} at=${one.made_ms} /> · used <${Moment} at=${one.used_ms} /> · ends <${Moment} at=${one.ends_ms} /></div>
      <p class="buttons"><${SureButton} what="End" label=${one.this ? "this session" : `session ${one.id}`} disabled=${orders.isBusy}
        onYes=${() => orders.order("DELETE", `/v1/signins/${part(one.id)}`)} /></p></li>`)}</ul>`;
}

function Tokens() {
  const [found, error] = useReloaded("/v1/tokens");
  const tokens = found?.tokens ?? [];
  return html`<h2>Tokens</h2><${Problem} error=${error} />
    ${found && tokens.length === 0 && html`<p class="quiet">There is no token.</p>`}
    ${tokens.length > 0 && html`<${Table} label="Tokens" heads=${["name", "person", "scope", "made", "last used", "ends"]} rows=${tokens.map((/** @type {any} */ one) => ({
      key: one.token_id,
      cells: [one.name, one.person, html`<${Badge} state=${one.scope} /> ${one.role}`, html`<${Moment} at=${one.made_ms} />`,
        html`<${Moment} at=${one.used_ms} />`, html`<${Moment} at=${one.expires_ms} none="no end" />`],
    }))} />`}
    <${Commands} text="Tokens are made and ended on the host's machine, where the secret is shown once" lines=${[
      "microclaw person tokens --add NAME --person PERSON --scope read", "microclaw person tokens --rm NAME"]} />`;
}

/** What only the command line may. @param {{text: string, lines: string[]}} given */
function Commands({ text, lines }) {
  return html`<p class="quiet">${text}; no session may, so that a stolen one leaves nothing behind:</p>
    <pre>${lines.join("\n")}</pre>`;
}
