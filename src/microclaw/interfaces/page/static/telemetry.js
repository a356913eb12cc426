// What a board measured, as plots: the mean of each bucket as a line, its lowest and highest as a band.

import { part } from "./api.js";
import { Moment, useReloaded } from "./lists.js";
import { Choice, Problem, onText, prose, size } from "./parts.js";
import { html, useState } from "./vendor/htm-preact.module.js";

const MINUTE_MS = 60_000;
const SPANS = [
  [15 * MINUTE_MS, "15 minutes"], [120 * MINUTE_MS, "2 hours"], [1_440 * MINUTE_MS, "a day"], [10_080 * MINUTE_MS, "a week"], [43_200 * MINUTE_MS, "30 days"],
];
const POINTS = 120;
const MAX_SHOWN = 40;
const [WIDTH, HEIGHT, EDGE] = [600, 90, 4];
const GAP_BUCKETS = 3; // a longer silence breaks the line

/** @param {{device: any}} given */
export function Telemetry({ device }) {
  const [span, setSpan] = useState(120 * MINUTE_MS);
  const [wanted, setWanted] = useState("");
  const since = Math.floor((Date.now() - span) / MINUTE_MS) * MINUTE_MS; // the same path for a minute
  const [found, error] = useReloaded(`/v1/devices/${part(device.name)}/telemetry?since=${since}&points=${POINTS}`);
  const all = /** @type {api.Series[]} */ (found?.series ?? []);
  const matching = all.filter((one) => one.key.toLowerCase().includes(wanted.toLowerCase()));
  const last = new Map((found?.last ?? []).map((/** @type {any} */ one) => [one.key, one]));
  return html`<p class="buttons">
      <${Choice} label="The last" value=${span} choices=${SPANS} onChoose=${setSpan} />
      <label>Search <input type="search" value=${wanted} onInput=${onText(setWanted)} /></label>
      <span class="quiet" role="status">${found && `${Math.min(matching.length, MAX_SHOWN)} of ${all.length} series`}</span>
    </p>
    <${Problem} error=${error} />
    ${(found?.refused ?? []).map((/** @type {any} */ one) => html`<p key=${one.reason} class="warning">${prose(one.text)}</p>`)}
    ${found && all.length === 0 && html`<p>${device.name} has sent no telemetry. Boards that are paired with this host send their memory
      and signal by themselves, and what their programs publish as numbers.</p>`}
    ${matching.slice(0, MAX_SHOWN).map((one) => html`<${Plot} key=${one.key} series=${one} last=${last.get(one.key)}
      since=${found.since_ms} until=${found.until_ms} bucketMs=${found.bucket_ms} />`)}`;
}

/** @param {{series: api.Series, last: any, since: number, until: number, bucketMs: number}} given */
function Plot({ series, last, since, until, bucketMs }) {
  const { key, unit, points } = series;
  const low = Math.min(...points.map((one) => one.min));
  const high = Math.max(...points.map((one) => one.max));
  const range = points.length === 0 ? "nothing in this time" : `lowest ${said(low, unit)}, highest ${said(high, unit)}`;
  /** @param {number} at */
  const x = (at) => ((at - since) / (until - since)) * WIDTH;
  /** @param {number} value */
  const y = (value) => (high === low ? HEIGHT / 2 : EDGE + ((high - value) / (high - low)) * (HEIGHT - 2 * EDGE));
  return html`<section class="series" aria-label=${`series ${key}`}>
    <h2>${key}</h2>
    <p>${last ? html`<b>${said(last.value, unit)}</b> <span class="quiet"><${Moment} at=${last.at_ms} /></span> · ` : ""}<span class="quiet">${range}</span></p>
    ${points.length > 0 && html`<svg class="plot" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img"
        aria-label=${`${key}: ${range}`}>
      ${unbroken(points, bucketMs).map((run) => html`<polygon class="band" points=${band(run, x, y)} />
        <path d=${`M${text(run.map((one) => [x(one.at_ms), y(one.mean)]))}h0`} />`)}</svg>
      <p class="quiet ends"><${Moment} at=${since} /> <${Moment} at=${until} /></p>`}
  </section>`;
}

/** The points in runs without a gap. @param {api.Point[]} points @param {number} bucketMs @returns {api.Point[][]} */
function unbroken(points, bucketMs) {
  /** @type {api.Point[][]} */
  const runs = [];
  let before = -Infinity;
  for (const point of points) {
    if (point.at_ms - before > GAP_BUCKETS * bucketMs) runs.push([]);
    runs.at(-1)?.push(point);
    before = point.at_ms;
  }
  return runs;
}

/** @param {api.Point[]} run @param {(at: number) => number} x @param {(value: number) => number} y */
function band(run, x, y) {
  return text([...run.map((one) => [x(one.at_ms), y(one.max)]), ...[...run].reverse().map((one) => [x(one.at_ms), y(one.min)])]);
}

/** @param {number[][]} places */
function text(places) {
  return places.map((place) => place.map((one) => one.toFixed(1)).join(",")).join(" ");
}

/** A value with its unit. @param {number} value @param {string | null} unit */
export function said(value, unit) {
  if (unit === "B" && value >= 1024) return size(value);
  return `${Number(value.toPrecision(5))}${unit ? ` ${unit}` : ""}`;
}
