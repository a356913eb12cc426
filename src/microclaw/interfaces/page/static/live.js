// The pins of many boards at once: one small row a board, drawn only where it is seen and only when it looks different.

import { pins } from "./pins.js";
import { LATE_MS, everyFrame, line } from "./timeline.js";
import { indexAt } from "./tracks.js";
import { html, useEffect, useRef } from "./vendor/htm-preact.module.js";

const SECONDS = 10;
const GUTTER = 26;
const [HEIGHT, MAX_PINS] = [36, 3];
const MANY = 40; // rows: no screen shows so many large enough to see a step of two pixels
export const MAX_LIVE = 64; // the host takes no more of one page

/** @typedef {{pins: string, look: string}} Shown what stands there: the pins' names, which stay, and the lines */
/** The rows that are in sight. @type {Map<HTMLCanvasElement, Shown>} */
const inSight = new Map();
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const canvas = /** @type {HTMLCanvasElement} */ (entry.target);
    if (entry.isIntersecting) inSight.set(canvas, { pins: "", look: "" });
    else inSight.delete(canvas);
  }
});

/** Reads and draws these boards' rows as long as the view is shown. @param {string[]} names */
export function useLive(names) {
  useEffect(() => {
    if (names.length === 0) return undefined;
    const [unwatch, stop] = [pins.watch(names), everyFrame(drawRows)];
    return () => {
      stop();
      unwatch();
    };
  }, [names.join("\n")]);
}

/** @param {{device: string}} given */
export function LiveRow({ device }) {
  const place = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  useEffect(() => {
    const canvas = /** @type {HTMLCanvasElement} */ (place.current);
    sight.observe(canvas);
    return () => {
      sight.unobserve(canvas);
      inSight.delete(canvas);
    };
  }, []);
  return html`<canvas class="live" ref=${place} data-board=${device} role="img" aria-label=${`the pins of ${device} over the last ${SECONDS} seconds`}></canvas>`;
}

function drawRows() {
  const width = inSight.keys().next().value?.clientWidth; // all are alike, and each asking would lay out again
  if (!width) return;
  const scale = window.devicePixelRatio || 1;
  const style = getComputedStyle(document.documentElement);
  const colours = [style.getPropertyValue("--quiet"), style.getPropertyValue("--counted")];
  const stepMs = ((1 + Math.floor(inSight.size / MANY)) * SECONDS * 1000) / width; // a row is drawn again when it has moved so far
  for (const [canvas, shown] of inSight) {
    const board = pins.of(canvas.dataset.board ?? "");
    const until = board.now() - LATE_MS;
    const look = [Math.floor(until / stepMs), board.isOld(), board.count, width, scale, colours].join(" ");
    if (look === shown.look) continue;
    shown.look = look;
    drawRow(canvas, shown, board, until, width, scale, colours);
  }
}

/** @param {HTMLCanvasElement} canvas @param {Shown} shown @param {import("./pins.js").BoardPins} board @param {number} until @param {number} width @param {number} scale @param {string[]} colours */
function drawRow(canvas, shown, board, until, width, scale, [quiet = "", counted = ""]) {
  const from = until - SECONDS * 1000;
  const rows = [...board.tracks].sort(([a], [b]) => board.movedAt(b) - board.movedAt(a)).slice(0, MAX_PINS).sort(([a], [b]) => a - b);
  const high = HEIGHT / rows.length;
  canvas.classList.toggle("empty", rows.length === 0);
  const still = rows.map(([pin, track]) => (indexAt(track.t, from) === indexAt(track.t, until) ? `${pin}=${track.level.at(-1)}` : pin));
  const end = board.knownUntil(until);
  const names = [...still, end < until, width, scale, quiet].join(" ");
  if (names === shown.pins && end === until && !still.some((one) => typeof one === "number")) return; // lines that do not move
  const draw = canvas.getContext("2d");
  if (draw === null) return;
  if (canvas.width !== Math.round(width * scale)) [canvas.width, canvas.height] = [Math.round(width * scale), HEIGHT * scale];
  draw.setTransform(scale, 0, 0, scale, 0, 0);
  draw.clearRect(names === shown.pins ? GUTTER : 0, 0, width, HEIGHT);
  if (names !== shown.pins) {
    draw.font = "11px system-ui, sans-serif";
    draw.fillStyle = quiet;
    rows.forEach(([pin], row) => draw.fillText(String(pin), 2, (row + 0.5) * high + 4));
    shown.pins = names;
  }
  rows.forEach(([, track], row) => line(draw, track, from, until, counted, width, row * high + 2, high - 4, GUTTER, end));
}
