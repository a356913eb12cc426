// What a board's programs print: the newest lines, searched and followed.

import { ApiError, HostAway, get, part } from "./api.js";
import { Problem } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

const POLL_MS = 1_000;
const MAX_LINES = 5_000;
const MAX_SHOWN = 1_000;

/** @param {{device: any}} given */
export function Logs({ device }) {
  const [lines, setLines] = useState(/** @type {any[]} */ ([]));
  const [dropped, setDropped] = useState(0);
  const [error, setError] = useState(/** @type {any} */ (null));
  const [wanted, setWanted] = useState("");
  const [isFollowed, setFollowed] = useState(true);
  const place = useRef(/** @type {HTMLElement | null} */ (null));

  useEffect(() => {
    const stop = new AbortController();
    void follow(device.name, stop.signal, (page) => {
      setDropped((count) => count + page.dropped);
      if (page.lines.length > 0) setLines((before) => [...before, ...page.lines].slice(-MAX_LINES));
    }, setError);
    return () => stop.abort();
  }, [device.name]);
  useEffect(() => {
    if (isFollowed && place.current) place.current.scrollTop = place.current.scrollHeight;
  });

  const sought = wanted.toLowerCase();
  const found = lines.filter((line) => !sought || `${line.app ?? ""} ${line.text}`.toLowerCase().includes(sought));
  const shown = found.slice(-MAX_SHOWN);
  return html`<p class="buttons">
      <label>Search <input type="search" value=${wanted} onInput=${(/** @type {any} */ e) => setWanted(e.currentTarget.value)} /></label>
      <label><input type="checkbox" checked=${isFollowed} onChange=${(/** @type {any} */ e) => setFollowed(e.currentTarget.checked)} /> follow</label>
      <span class="quiet" role="status">${shown.length} of ${lines.length} lines${dropped > 0 ? `, ${dropped} were lost on the board` : ""}</span>
    </p>
    <${Problem} error=${error} />
    <pre class="log" role="region" ref=${place} tabindex="0" aria-label=${`log of ${device.name}`}>${shown.map((line) => html`<div
      ><span class="quiet">${clock(line)}</span> ${line.app !== null && html`<b>${line.app}</b> `}${line.text}</div>`)}</pre>`;
}

/** When the line came, or the board's own time. @param {any} line */
function clock(line) {
  if (line.at_ms) return new Date(line.at_ms).toLocaleTimeString();
  return typeof line.t_ms === "number" ? `+${(line.t_ms / 1000).toFixed(3)} s` : "";
}

/** @param {string} name @param {AbortSignal} signal @param {(page: any) => void} take @param {(error: any) => void} fail */
async function follow(name, signal, take, fail) {
  let cursor = 0;
  while (!signal.aborted) {
    try {
      const page = await get(`/v1/devices/${part(name)}/logs?cursor=${cursor}`, signal);
      cursor = page.cursor;
      take(page);
      fail(null);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError || error instanceof HostAway)) throw error;
      fail(error);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
