// Rollouts of firmware: a new one; how far each is, its boards by state; pause, resume, stop and revert.

import { Moment, OrderState, SureButton, Table, useOrders, useReloaded } from "./lists.js";
import { Badge, Choice, Heading, Problem, prose, useFetched } from "./parts.js";
import { state } from "./state.js";
import { html, useState } from "./vendor/htm-preact.module.js";

/** What each state lets a person do, as the API has it. @type {Record<string, ("pause" | "resume" | "stop" | "undo")[]>} */
const ACTS = { running: ["pause", "stop", "undo"], paused: ["resume", "stop", "undo"], halted: ["undo"], done: ["undo"], undone: [] };
const NAMES = { pause: "Pause", resume: "Resume", stop: "Stop for good", undo: "Revert" };

export function Rollouts() {
  const [found, error, reload] = useReloaded("/v1/rollouts", 5_000);
  return html`<${Heading}>Rollouts<//><${Problem} error=${error} />
    <${NewRollout} begun=${reload} />
    ${found && found.rollouts.length === 0 && html`<p class="quiet">No update was rolled out yet.</p>`}
    <ul class="rows">${(found?.rollouts ?? []).map((/** @type {any} */ one) => html`<${Rollout} key=${one.rollout} rollout=${one} changed=${reload} />`)}</ul>`;
}

/** Begins one, of a release that is published here. @param {{begun: () => void}} given */
function NewRollout({ begun }) {
  const [found, error] = useFetched("/v1/firmware/releases");
  const [chosen, setChosen] = useState("");
  const [whom, setWhom] = useState("all boards");
  const orders = useOrders(begun);
  const releases = /** @type {any[]} */ (found?.releases ?? []);
  const versions = [...new Set(releases.filter((one) => one.withdrawn_ms === null).map((one) => one.version))];
  if (versions.length === 0) return html`<${Problem} error=${error} />${found && html`<p class="quiet">No release is published here. A release is signed with a
    private key, which never comes to this page: publish it where the key is, with <code>microclaw firmware publish</code>.</p>`}`;
  const version = chosen || versions[0];
  const labels = [...new Set(state.devices.flatMap((one) => one.labels))];
  const targets = [["all boards", { all: true }], ...labels.map((label) => [`boards with the label ${label}`, { labels: [label] }]), ...state.devices.map((one) => [one.name, { devices: [one.name] }])];
  const begin = () => orders.order("POST", "/v1/rollouts", { version, ...Object.fromEntries(targets)[whom] });
  return html`<section class="card" aria-label="A new rollout"><p class="buttons">
      <${Choice} label="Release" value=${version} choices=${versions} onChoose=${setChosen} />
      <${Choice} label="For" value=${whom} choices=${targets.map(([title]) => title)} onChoose=${setWhom} />
      <button class="main" disabled=${orders.isBusy} onClick=${begin}>Roll out ${version} to ${whom}</button></p>
    <p class="quiet">It goes in stages, and stops by itself if boards do not become healthy.</p>
    <${OrderState} orders=${orders} /></section>`;
}

/** @param {{rollout: any, changed: () => void}} given */
function Rollout({ rollout, changed }) {
  const orders = useOrders(changed);
  const [isOpen, setOpen] = useState(false);
  const label = `rollout ${rollout.rollout}`;
  const acts = (ACTS[rollout.state] ?? []).filter((act) => act !== "undo" || rollout.undoes === null);
  /** @param {string} act */
  const order = (act) => orders.order("POST", `/v1/rollouts/${rollout.rollout}/${act}`);
  const states = Object.entries(rollout.counts).filter(([, count]) => count > 0);
  return html`<li class="card" aria-label=${label}>
    <h2>${rollout.version} <${Badge} state=${rollout.state} /></h2>
    <p class="quiet">${label}${rollout.undoes ? `, reverts rollout ${rollout.undoes}` : ""} · channel ${rollout.channel} · by ${rollout.began_by},${" "}
      <${Moment} at=${rollout.began_ms} /></p>
    ${rollout.reason && html`<p class="warning">${prose(rollout.reason)}</p>`}
    <p>Stage ${Math.min(rollout.stage, rollout.stages.length)} of ${rollout.stages.length}
      ${rollout.soaking_since_ms && html`, watched since <${Moment} at=${rollout.soaking_since_ms} />`}${rollout.crashes > 0 ? `, ${rollout.crashes} crashes` : ""}</p>
    <p>${rollout.count} boards: ${states.map(([state, count]) => html`<${Badge} state=${state} text=${`${count} ${state.replaceAll("_", " ")}`} /> `)}</p>
    ${rollout.failures.map((/** @type {any} */ one) => html`<p class="warning">${one.device}: ${one.state.replaceAll("_", " ")}${one.error && html`, ${prose(one.error)}`}</p>`)}
    <p class="buttons">${acts.map((act) => (act === "pause" || act === "resume"
      ? html`<button key=${act} aria-label=${`${NAMES[act]} ${label}`} disabled=${orders.isBusy} onClick=${() => order(act)}>${NAMES[act]}</button>`
      : html`<${SureButton} key=${act} what=${NAMES[act]} label=${label} disabled=${orders.isBusy} onYes=${() => order(act)} />`))}</p>
    <${OrderState} orders=${orders} />
    <details onToggle=${(/** @type {any} */ e) => setOpen(e.currentTarget.open)}><summary>Its boards</summary>
      ${isOpen && html`<${RolloutBoards} rollout=${rollout} />`}</details>
  </li>`;
}

/** @param {{rollout: any}} given */
function RolloutBoards({ rollout }) {
  const [full, error] = useReloaded(`/v1/rollouts/${rollout.rollout}`, 5_000);
  return html`<${Problem} error=${error} />${full && html`<${Table} label=${`Boards of rollout ${rollout.rollout}`} heads=${["board", "from", "state", "since"]}
    rows=${full.boards.map((/** @type {any} */ one) => ({ key: one.device, cells: [one.device, one.from_version,
      html`<${Badge} state=${one.state} text=${one.step || one.state.replaceAll("_", " ")} /> ${prose(one.error)}`,
      html`<${Moment} at=${one.ended_ms ?? one.offered_ms} none="" />`] }))} />`}`;
}
