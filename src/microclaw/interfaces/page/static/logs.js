// What a board's programs print: the newest lines, searched and followed.

import { get, hostError, part } from "./api.js";
import { Problem, onText } from "./parts.js";
import { momentText } from "./pins.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

const POLL_MS = 1_000;
const BUSY_POLL_MS = 250; // while there is more than one answer takes
const BUSY_LINES = 100;
const MAX_LINES = 5_000;
const MAX_SHOWN = 500; // of those that are searched

/** @typedef {{n: number, text: string, app: string | null, sought: string, row: any}} Line `row`: drawn once, and the same then */

/** Of all of a board's programs, or of one. @param {{device: {name: string}, app?: string}} given */
export function Logs({ device, app }) {
  const [kept, setKept] = useState({ lines: /** @type {Line[]} */ ([]), count: 0, lost: 0 });
  const [error, setError] = useState(/** @type {any} */ (null));
  const [wanted, setWanted] = useState("");
  const [isFollowed, setFollowed] = useState(true);
  const place = useRef(/** @type {HTMLElement | null} */ (null));

  useEffect(() => {
    const stop = new AbortController();
    void follow(device.name, stop.signal, (page) => {
      if (page.lines.length === 0 && page.dropped === 0) return;
      setKept(({ lines, count, lost }) => {
        const those = app === undefined ? page.lines : page.lines.filter((/** @type {any} */ line) => line.app === null || line.app === app);
        const news = those.slice(-MAX_LINES).map((/** @type {any} */ line, /** @type {number} */ i) => lineOf(line, count + i));
        return { lines: [...lines, ...news].slice(-MAX_LINES), count: count + those.length, lost: lost + page.dropped };
      });
    }, setError);
    return () => stop.abort();
  }, [device.name, app]);

  const sought = wanted.toLowerCase();
  const found = sought ? kept.lines.filter((line) => line.sought.includes(sought)) : kept.lines;
  const shown = found.slice(-MAX_SHOWN);
  const [older, last] = [kept.count - kept.lines.length, shown.at(-1)?.n];
  useEffect(() => {
    if (isFollowed && place.current) place.current.scrollTop = place.current.scrollHeight;
  }, [last, sought, isFollowed]);
  return html`<p class="buttons">
      <label>Search <input type="search" value=${wanted} onInput=${onText(setWanted)} /></label>
      <label><input type="checkbox" checked=${isFollowed} onChange=${(/** @type {any} */ e) => setFollowed(e.currentTarget.checked)} /> follow</label>
      <span class="quiet" role="status">${shown.length} of ${kept.lines.length} lines${older > 0 ? `, ${older} older ones left out` : ""}${
        kept.lost > 0 ? `, ${kept.lost} were lost: more than could be kept` : ""}</span>
    </p>
    <${Problem} error=${error} />
    <pre class="log" role="region" ref=${place} tabindex="0" aria-label=${`log of ${device.name}`}>${shown.map((line) => line.row)}</pre>`;
}

/** @param {any} line @param {number} n @returns {Line} */
function lineOf(line, n) {
  const row = html`<div key=${n}><span class="quiet">${clock(line)}</span> ${line.app !== null && html`<b>${line.app}</b> `}${line.text}</div>`;
  return { ...line, n, row, sought: `${line.app ?? ""} ${line.text}`.toLowerCase() };
}

/** When the line came, or the board's own time. @param {any} line */
function clock(line) {
  if (line.at_ms) return momentText(line.at_ms);
  return typeof line.t_ms === "number" ? `+${(line.t_ms / 1000).toFixed(3)} s` : "";
}

/** @param {string} name @param {AbortSignal} signal @param {(page: any) => void} take @param {(error: any) => void} fail */
async function follow(name, signal, take, fail) {
  let cursor = 0;
  while (!signal.aborted) {
    let pauseMs = POLL_MS;
    try {
      const page = await get(`/v1/devices/${part(name)}/logs?cursor=${cursor}`, signal);
      cursor = page.cursor;
      take(page);
      fail(null);
      if (page.lines.length >= BUSY_LINES) pauseMs = BUSY_POLL_MS;
    } catch (error) {
      if (signal.aborted) return;
      fail(hostError(error));
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
