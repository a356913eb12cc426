// Live pins as a timeline: what the board counted, and what the trial expects, on one axis.

import { get, part } from "./api.js";
import { benches } from "./bench_state.js";
import { Choice, Problem, useLoaded, useTick } from "./parts.js";
import { pins } from "./pins.js";
import { may, state } from "./state.js";
import { expectedFrom, indexAt, pathOf, points, rhythm, rhythmText, tracksOf } from "./tracks.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

/** @typedef {import("./pins.js").Edge} Edge */
/** @typedef {import("./tracks.js").Track} Track */
/** @typedef {import("./tracks.js").Rhythm} Rhythm */

const ROW = 46;
const TRIAL_ROW = 30; // of a trial alone
const GUTTER = 92;
const AXIS = 22;
export const LATE_MS = 60; // the newest edges are on their way: the right end is so far behind the board's time
const WINDOWS = [2, 10, 60].map((one) => [one, `${one} s`]);
const TEXT_MS = 500;
const LINE_DOTS = 500; // edges that are nearer than this part of a line cannot be told apart
const FRAME_MS = 50;
const CALM_MS = 250;
const PERIODS = 6; // of a steady program: so many are drawn at least
const AGAIN = "is it powered, and on the network? This page reads it again by itself";
/** @type {Map<number, Rhythm>} */
const NO_TRIALS = new Map();
/** @type {Track} */
const NONE = { t: [], level: [] };

/** What each pin did in a trial, in words. @param {{edges: Edge[]}} given */
export function TrialWords({ edges }) {
  const tracks = [...tracksOf(edges)].sort(([a], [b]) => a - b);
  return html`<ul class="rows" aria-label="edges in words">${tracks.map(([pin, track]) => html`<li key=${pin}><b>pin ${pin}</b>: ${track.t.length}${" "}
    ${track.t.length === 1 ? "edge" : "edges"}, ${rhythmText(rhythm(track))}</li>`)}</ul>`;
}

/** What the line and the words beside it are of: from when, until when, and until when it is known. @param {import("./pins.js").BoardPins} board @param {{seconds: number, frozenAt: number | null}} view @returns {[number, number, number]} */
function windowOf(board, { seconds, frozenAt }) {
  const until = frozenAt ?? board.now() - LATE_MS;
  return [until - seconds * 1000, until, board.knownUntil(until)];
}

/** @param {{device: string, nameOf: (pin: number) => string, used: Map<number, string>}} given */
export function LivePins({ device, nameOf, used }) {
  const [seconds, setSeconds] = useState(10);
  const [frozenAt, setFrozenAt] = useState(/** @type {number | null} */ (null));
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const trials = useTrials(device, used, state.changed);
  const board = pins.of(device);
  const wired = (benches.watched(device)?.parts() ?? []).filter((one) => !one.soldered).flatMap((one) => one.pins.map((pin) => pin.gpio));
  const rows = [...new Set([...used.keys(), ...board.tracks.keys(), ...wired])].filter((pin) => pin !== null).sort((a, b) => a - b);
  const view = useRef({ seconds, frozenAt, rows, trials, nameOf });
  view.current = { seconds, frozenAt, rows, trials, nameOf };

  useEffect(() => pins.watch([device]), [device]);
  useEffect(() => everyFrame(() => canvas.current !== null && drawBoard(canvas.current, device, view.current)), [device]);
  useTick(TEXT_MS);

  const [from, until, end] = windowOf(board, view.current);
  return html`<p class="buttons">
      <${Choice} label="Show" value=${seconds} choices=${WINDOWS} onChoose=${setSeconds} />
      <button onClick=${() => setFrozenAt(frozenAt === null ? board.now() - LATE_MS : null)}>${frozenAt === null ? "Hold" : "Go on"}</button>
      <span class="legend"><i class="counted"></i> counted by the board <i class="expected"></i> seen in the trial, aligned at the first rise</span>
      ${board.dropped > 0 && html`<span class="warning">${board.dropped} edges were too many to be kept</span>`}
    </p>
    <${Problem} error=${board.problem ? { message: board.problem, next: AGAIN } : null} />
    ${rows.length === 0
      ? html`<p class="quiet">No pin has moved yet. What a program does here is drawn as the board counts it.</p>`
      : html`<canvas class="timeline" ref=${canvas} role="img" aria-label=${`the pins of ${device} over the last ${seconds} seconds`}></canvas>
        <ul class="rows" aria-label="pins in words">${rows.map((pin) => html`<${PinText} key=${pin} pin=${pin} name=${nameOf(pin)}
          program=${used.get(pin)} track=${board.tracks.get(pin) ?? NONE} expected=${trials.get(pin)} from=${from} until=${end} unread=${end < until ? board.sinceText() : ""} />`)}</ul>`}`;
}

/** @param {{pin: number, name: string, program?: string, track: Track, expected?: Rhythm | null, from: number, until: number, unread: string}} given */
function PinText({ pin, name, program, track, expected, from, until, unread }) {
  const label = html`<b>pin ${pin}</b>${name ? ` (${name})` : ""}${program ? `, used by ${program}` : ""}: `;
  if (until <= from) return html`<li data-pin=${pin} data-edges=${track.t.length}>${label}<span class="unread">${unread}</span></li>`;
  const times = track.t.slice(indexAt(track.t, from), indexAt(track.t, until));
  const count = times.length;
  const closeCount = times.filter((t, i) => t - (times[i - 1] ?? -Infinity) < (until - from) / LINE_DOTS).length;
  return html`<li data-pin=${pin} data-edges=${track.t.length}>
    ${label}${unread && html`<span class="unread">${unread}</span>; before: `}${count} ${count === 1 ? "edge" : "edges"} counted in${" "}
    ${((until - from) / 1000).toFixed(0)} s${closeCount > 0 ? ` (${closeCount} too soon after another to be seen in the line)` : ""}${count > 2 ? `, ${rhythmText(rhythm(track, from))}` : ""}
    ${expected && html`<span class="quiet">; in the trial: ${rhythmText(expected)}</span>`}</li>`;
}

/** The rhythm that the trial showed, by pin, of the programs that run here. @param {string} device @param {Map<number, string>} used @param {number} changed @returns {Map<number, Rhythm>} */
function useTrials(device, used, changed) {
  const programs = may("ask") ? [...new Set(used.values())].sort() : [];
  const [found] = useLoaded(async (signal) => {
    const shown = await Promise.allSettled(programs.map((name) => get(`/v1/devices/${part(device)}/apps/${part(name)}`, signal)));
    signal.throwIfAborted();
    const edges = shown.flatMap((one) => (one.status === "fulfilled" && one.value.proof ? one.value.proof.trial.edges : []));
    return new Map([...tracksOf(edges)].flatMap(([pin, track]) => {
      const seen = rhythm(track);
      return seen === null ? [] : [/** @type {[number, Rhythm]} */ ([pin, seen])];
    }));
  }, [device, programs.join(" "), changed]);
  return found ?? NO_TRIALS;
}

/** Draw now, and 20 times a second; people who want little motion get four. All draw at one beat, and so in one frame. @param {() => unknown} draw */
export function everyFrame(draw) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;
  const step = () => {
    const frameMs = calm.matches ? CALM_MS : FRAME_MS;
    timer = setTimeout(step, frameMs - (performance.now() % frameMs));
    draw();
  };
  step();
  return () => clearTimeout(timer);
}

/** @param {HTMLCanvasElement} canvas @param {string} device @param {any} view */
function drawBoard(canvas, device, view) {
  const board = pins.of(device);
  const [from, until, end] = windowOf(board, view);
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const { top, bottom } = canvas.getBoundingClientRect();
  const height = view.rows.length * ROW + AXIS;
  const size = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) {
    [canvas.width, canvas.height] = /** @type {[number, number]} */ (size);
    canvas.style.height = `${height}px`;
  }
  const draw = canvas.getContext("2d");
  const isInSight = bottom > 0 && top < innerHeight;
  if (draw === null || !isInSight) return;
  const style = getComputedStyle(canvas);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name);
  draw.setTransform(scale, 0, 0, scale, 0, 0);
  draw.clearRect(0, 0, width, height);
  draw.font = "12px system-ui, sans-serif";
  drawAxis(draw, colour("--quiet"), width, height, view.seconds);
  view.rows.forEach((/** @type {number} */ pin, /** @type {number} */ row) => {
    const top = row * ROW;
    const track = board.tracks.get(pin) ?? stillTrack(device, pin);
    draw.fillStyle = colour("--text");
    draw.fillText(`pin ${pin}`, 4, top + 20);
    draw.fillStyle = colour("--quiet");
    draw.fillText(view.nameOf(pin).slice(0, 13), 4, top + 36);
    const expected = view.trials.get(pin);
    if (expected) {
      draw.setLineDash([4, 3]);
      line(draw, expectedFrom(expected, track, from, end), from, until, colour("--expected"), width, top + 4, 14, GUTTER, end);
      draw.setLineDash([]);
    }
    line(draw, track, from, until, colour("--counted"), width, top + 22, 18, GUTTER, end);
  });
}

/** The line of a pin that moved before this page looked: as the board says. @param {string} device @param {number} pin @returns {Track} */
function stillTrack(device, pin) {
  const level = benches.watched(device)?.pins.get(pin)?.level ?? null;
  return level === null ? NONE : { t: [-Infinity], level: [level] };
}

/** @param {CanvasRenderingContext2D} draw @param {string} colour @param {number} width @param {number} height @param {number} seconds */
function drawAxis(draw, colour, width, height, seconds) {
  draw.strokeStyle = draw.fillStyle = colour;
  draw.lineWidth = 1;
  draw.globalAlpha = 0.35;
  draw.beginPath();
  for (let i = 0; i <= 10; i++) {
    const x = Math.round(GUTTER + ((width - GUTTER - 2) * i) / 10) + 0.5;
    draw.moveTo(x, 0);
    draw.lineTo(x, height - AXIS + 4);
  }
  draw.stroke();
  draw.globalAlpha = 1;
  draw.fillText(`-${seconds} s`, GUTTER, height - 6);
  draw.fillText("now", width - 28, height - 6);
}

/** @param {CanvasRenderingContext2D} draw @param {Track} track @param {number} from @param {number} until @param {string} colour @param {number} width @param {number} top @param {number} high @param {number} [gutter] @param {number} [end] until when it is known */
export function line(draw, track, from, until, colour, width, top, high, gutter = GUTTER, end = until) {
  if (track.t.length === 0) return;
  draw.strokeStyle = colour;
  draw.lineWidth = 1.5;
  draw.beginPath();
  points(track, from, until, end).forEach(([x, level], i) => {
    const at = /** @type {[number, number]} */ ([gutter + x * (width - gutter - 2), top + (1 - level) * high]);
    if (i === 0) draw.moveTo(...at);
    else draw.lineTo(...at);
  });
  draw.stroke();
}

/**
 * The trial from its start on, and below it what the board counted after the installation, where both have their first edge at one
 * place; `untilMs` where it ends.
 * @param {{trial: Edge[], board: Edge[], label?: string, untilMs?: number}} given
 */
export function TrialView({ trial, board: since, label = "edges: the trial above, the board below", untilMs }) {
  const first = firstOfBoth(trial, since);
  const board = since.map(([t, pin, level]) => /** @type {Edge} */ ([t - (first?.lateMs ?? 0), pin, level]));
  const [expected, counted] = [tracksOf(trial), tracksOf(board)];
  const rows = [...new Set([...expected.keys(), ...counted.keys()])].sort((a, b) => a - b);
  if (rows.length === 0) return null;
  const lastMs = Math.max(...(board.length > 0 ? board : trial).map((edge) => edge[0]));
  const periods = [...expected.values(), ...counted.values()].map((track) => rhythm(track)).map((one) => (one === null ? 0 : one.highMs + one.lowMs));
  const until = untilMs ?? Math.max(100, Math.min(60_000, Math.max(lastMs * 1.25, PERIODS * Math.max(0, ...periods))));
  const rowHigh = board.length > 0 ? ROW : TRIAL_ROW;
  const height = rows.length * rowHigh + AXIS;
  /** @param {Track | undefined} track @param {number} top @param {number} high */
  const path = (track, top, high) => pathOf(track ?? NONE, { x: GUTTER, y: top, wide: 700, high }, until, Math.min(until, track?.t.at(-1) ?? 0));
  return html`<svg class="trial" viewBox=${`0 0 ${GUTTER + 704} ${height}`} role="img"
      aria-label=${label}>
    ${rows.map((pin, row) => html`<g key=${pin}><text x="4" y=${row * rowHigh + 24}>pin ${pin}</text>
      ${expected.has(pin) && html`<path class="expected" d=${path(expected.get(pin), row * rowHigh + 4, 14)} />`}
      ${counted.has(pin) && html`<path class="counted" d=${path(counted.get(pin), row * rowHigh + 22, 18)} />`}</g>`)}
    <text x=${GUTTER} y=${height - 6}>0 s</text><text class="end" x=${GUTTER + 700} y=${height - 6}>${(until / 1000).toFixed(2)} s</text>
  </svg>
  ${first && html`<p class="quiet">Aligned at the first edge of pin ${first.pin}, which the board had ${(first.boardMs / 1000).toFixed(3)} s after the
    installation, and the trial ${(first.trialMs / 1000).toFixed(3)} s after its start.</p>`}
  ${board.length > 0 && !first && html`<p class="quiet">Not aligned: no edge of the trial is among those of the board. The trial from its start, the board from the installation.</p>`}`;
}

/** The trial's first edge that the board had too, and when. @param {Edge[]} trial @param {Edge[]} board */
function firstOfBoth(trial, board) {
  for (const [trialMs, pin, level] of trial) {
    const same = board.find((edge) => edge[1] === pin && edge[2] === level);
    if (same) return { pin, trialMs, boardMs: same[0], lateMs: same[0] - trialMs };
  }
  return null;
}
