// What a change would do to a program's source, and the program that a question is about: pins, the trial's timeline, the diff.

import { part } from "./api.js";
import { BoardDrawing } from "./drawing.js";
import { networkText } from "./home.js";
import { Problem, prose, useFetched } from "./parts.js";
import { TrialView, TrialWords } from "./timeline.js";
import { html } from "./vendor/htm-preact.module.js";

/** @type {Record<string, string>} */
const TAGS = { "+": "ins", "-": "del", "@": "b" };

const MAX_DRAWN = 40; // edges of a trial

/** A unified diff; each line keeps its sign. @param {{lines: string[], label: string}} given */
export function Diff({ lines, label }) {
  if (lines.length === 0) return html`<p class="quiet">The source is the same, or is not kept.</p>`;
  const added = lines.filter((line) => line.startsWith("+")).length;
  const removed = lines.filter((line) => line.startsWith("-")).length;
  return html`<p class="quiet">${added} ${added === 1 ? "line" : "lines"} added (+), ${removed} removed (-)</p>
    <pre class="diff" role="region" tabindex="0" aria-label=${label}>${lines.map((line, i) => {
      const tag = TAGS[line[0] ?? ""] ?? "span";
      return html`<${tag} key=${i}>${line}${"\n"}<//>`;
    })}</pre>`;
}

/** The program that would be installed after a yes; nothing for other questions. @param {{id: string}} given */
export function AskedProgram({ id }) {
  const [found, error] = useFetched(`/v1/approvals/${part(id)}`);
  const program = found?.program;
  if (!program) return html`<${Problem} error=${error} />`;
  const { device, name, pins, edges, replaces, diff } = program;
  const untilMs = Math.max(1, edges[MAX_DRAWN]?.[0] ?? program.trial_ms);
  return html`<div class="asked">
    <p><b>${name}</b> on ${device}, sha256 <code>${program.sha256.slice(0, 12)}</code>${replaces
      ? html`, in place of <code>${replaces.slice(0, 12)}</code>` : ", which is new there"}</p>
    ${networkText(program.network) && html`<p>It ${networkText(program.network)}.</p>`}
    ${pins.length > 0 && html`<${AskedPins} device=${device} name=${name} pins=${pins} />`}
    ${edges.length > 0 && html`<h3>What its trial did, and the board shall do</h3>
      <${TrialView} trial=${edges} board=${[]} untilMs=${untilMs} label="edges of the trial, from the program's start" />
      <p class="quiet">The first ${(untilMs / 1000).toFixed(1)} s of the trial's ${(program.trial_ms / 1000).toFixed(1)} s of board time.</p>
      <${TrialWords} edges=${edges} />`}
    ${replaces && html`<h3>What changes in the source</h3><${Diff} lines=${diff} label=${`what changes in ${name}`} />`}
  </div>`;
}

/** @param {{device: string, name: string, pins: number[]}} given */
function AskedPins({ device, name, pins }) {
  const [shown, error] = useFetched(`/v1/devices/${part(device)}`);
  const known = new Map((shown?.pins ?? []).map((/** @type {any} */ pin) => [pin.pin, pin]));
  return html`<${Problem} error=${error} /><h3>Its pins</h3>
    <ul class="rows" aria-label="pins of the program">${pins.map((pin) => html`<li key=${pin}><b>pin ${pin}</b>${
      known.get(pin)?.name ? ` (${known.get(pin).name})` : ""} <span class="quiet">${prose(known.get(pin)?.caution)}</span></li>`)}</ul>
    ${shown && html`<details><summary>Where they are on ${device}</summary>
      <${BoardDrawing} device=${device} shown=${shown} held=${new Map(pins.map((pin) => [pin, name]))} isLive=${false} /></details>`}`;
}
