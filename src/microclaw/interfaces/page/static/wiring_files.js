// The wiring of a board beside its bench: its parts to change, its files to take and to give, the last change to undo.

import { part as quoted } from "./api.js";
import { OrderState, useOrders } from "./lists.js";
import { Link, Problem, boardPath, useFetched } from "./parts.js";
import { may } from "./state.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

/** `before` and `left`: the file before the change and after it. @typedef {{what: string, before: string, left: string, notes: string[]}} Change */

/** The last change of each board that this page made. @type {Map<string, Change>} */
const lastChanges = new Map();

/** Change a wiring, and remember what takes it back. Returns whether it was changed. @param {import("./lists.js").Orders} orders @param {string} device @param {string} what @param {"PATCH" | "PUT"} method @param {any} body */
export async function changeWiring(orders, device, what, method, body) {
  const path = `/v1/devices/${quoted(device)}/wiring`;
  const before = await orders.order("GET", path);
  const answer = before && (await orders.order(method, path, body));
  const left = answer && (await orders.order("GET", path));
  if (left) lastChanges.set(device, { what, before: before.file, left: left.file, notes: method === "PUT" ? notesOf(answer) : [] });
  return Boolean(left);
}

/** What the host did with a file, in sentences. @param {any} answer of PUT */
function notesOf(answer) {
  const renamed = Object.entries(answer.renamed).map(([theirs, ours]) => `${theirs} is ${ours} here.`);
  const missing = answer.not_simulated.length > 0 ? [`Not simulated, and left out: ${answer.not_simulated.join(", ")}.`] : [];
  return [...renamed, ...missing, ...answer.warnings.map((/** @type {string} */ text) => `${text}.`)];
}

/** Give the browser a file. @param {string} name @param {string} text */
function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text]));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** `version` changes if something else is wired. @param {{device: string, version: string | undefined}} given */
export function WiringCard({ device, version }) {
  const path = `/v1/devices/${quoted(device)}/wiring`;
  const [wiring, error] = useFetched(path, [version]);
  const [notes, setNotes] = useState(/** @type {string[]} */ ([]));
  const orders = useOrders();
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const change = lastChanges.get(device);
  useEffect(() => place.current?.focus({ preventScroll: true }), [change]);
  const undo = async () => {
    if (change === undefined) return;
    const now = await orders.order("GET", path);
    if (now === null) return;
    if (now.file !== change.left) {
      lastChanges.delete(device);
      setNotes(["Not undone: the wiring was changed since, and that would be lost."]);
      return;
    }
    if ((await orders.order("PUT", path, { file: change.before })) === null) return;
    lastChanges.delete(device);
    setNotes(["Undone."]);
  };
  /** @param {File | undefined} file */
  const take = async (file) => {
    if (file === undefined) return;
    await changeWiring(orders, device, `${file.name} is the wiring now.`, "PUT", { file: await file.text() });
    setNotes([]);
  };
  const give = async () => {
    const diagram = await orders.order("GET", `${path}/diagram`);
    if (diagram === null) return;
    download("diagram.json", diagram.file);
    setNotes(Object.entries(diagram.left_out).map(([id, reason]) => `${id} is not in the diagram: ${reason}.`));
  };
  if (wiring === null) return html`<${Problem} error=${error} />`;
  const mayChange = may("act");
  const chosen = (/** @type {any} */ event) => {
    void take(event.currentTarget.files[0]);
    event.currentTarget.value = ""; // so that the same file can be chosen again
  };
  const drop = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    if (mayChange) void take(event.dataTransfer?.files[0]);
  };
  return html`<section class="card wiring" aria-label="Wiring" onDragOver=${(/** @type {DragEvent} */ event) => event.preventDefault()} onDrop=${drop}>
    <div class="cardhead"><h2>Wiring</h2>${mayChange && html`<${Link} class="action" to=${boardPath(device, "add")}>Add a part<//>`}</div>
    <div role="status">${change && html`<p class="buttons" tabindex="-1" ref=${place}>${change.what} <button disabled=${orders.isBusy} onClick=${undo}>Undo</button></p>`}
      ${[...(change?.notes ?? []), ...notes].map((note) => html`<p key=${note} class="warning">${note}</p>`)}</div>
    <ul class="rows">${wiring.parts.map((/** @type {any} */ one) => html`<li key=${one.id}>${mayChange && one.origin === "recorded"
      ? html`<${Link} to=${boardPath(device, "add", one.id)}>${one.id}<//>` : one.id} <span class="quiet">${one.label ?? one.title}${one.origin === "recorded" ? "" : `, ${one.origin}`}</span></li>`)}</ul>
    <details><summary>Files</summary><p class="buttons">
      ${mayChange && html`<label>Take a diagram.json or a wiring.toml: it replaces all parts <input type="file" accept=".json,.toml" onChange=${chosen} /></label>`}
      <button disabled=${orders.isBusy} onClick=${give}>Save diagram.json</button><button onClick=${() => download("wiring.toml", wiring.file)}>Save wiring.toml</button></p></details>
    <${OrderState} orders=${orders} /></section>`;
}
