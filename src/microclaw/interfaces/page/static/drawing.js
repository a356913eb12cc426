// A board as a drawing: its headers in their real order where the profile has it, each pin with its names, state and program.

import { Link, boardPath, prose, useTick } from "./parts.js";
import { pins as livePins } from "./pins.js";
import { may } from "./state.js";
import { unreadText } from "./timeline.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

/** @typedef {{pin: number, name: string | null, labels: string[], uses: string[], reserved: string | null, caution: string | null, refused: string | null}} Pin */
/** @typedef {{label: string, pin: Pin | null, x: number, y: number, side: "left" | "right" | "inside"}} Place */

const WIDE = 372;
const BOARD = { left: 108, right: 264 };
const PAD = { wide: 36, high: 17 };
const ROW = 22; // more where the drawing is small, so that a finger meets one pin alone
const TARGET_PX = 24; // WCAG 2.5.8
const TOP = 34;
const COLUMNS = 4; // of the pins that are on no header
const MAX_LABEL = 14;
const TEXT_MS = 500;
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/** Where everything is, in the drawing's own units. @param {any} shown a device with `pins` and `layout` @param {number} high of a row */
function placesOf(shown, high) {
  /** @type {Map<number, Pin>} */
  const left = new Map(shown.pins.map((/** @type {Pin} */ pin) => [pin.pin, pin]));
  const inOrder = [...left.values()].map((pin) => ({ label: "", gpio: pin.pin }));
  const half = Math.ceil(inOrder.length / 2);
  const headers = shown.layout?.headers
    ?? [{ side: "left", pins: inOrder.slice(0, half) }, { side: "right", pins: inOrder.slice(half) }];
  /** @type {Place[]} */
  const places = headers.flatMap((/** @type {any} */ header) => header.pins.map((/** @type {any} */ one, /** @type {number} */ row) => {
    const pin = left.get(one.gpio) ?? null;
    left.delete(one.gpio);
    const label = one.label === String(one.gpio) ? "" : one.label;
    return { label, pin, x: header.side === "left" ? BOARD.left + 4 : BOARD.right - 4 - PAD.wide, y: TOP + row * high, side: header.side };
  }));
  const rows = Math.max(...headers.map((/** @type {any} */ header) => header.pins.length));
  const below = TOP + rows * high + (shown.layout?.usb === "bottom" ? 16 : 0);
  [...left.values()].forEach((pin, i) => places.push({
    label: "", pin, side: "inside", x: BOARD.left + 4 + (i % COLUMNS) * (PAD.wide + 1.3), y: below + 22 + Math.floor(i / COLUMNS) * high,
  }));
  return { places, end: TOP + rows * high, below: left.size > 0 ? below : null, all: Math.max(...places.map((one) => one.y)) + high + 20 };
}

/** The level and the edges that this page has seen. @param {string} device @param {number} pin */
function stateOf(device, pin) {
  const board = livePins.of(device);
  const level = board.tracks.get(pin)?.level.at(-1);
  return level === undefined ? null : { isHigh: level !== 0, count: board.counts.get(pin) ?? 0, unread: unreadText(board) };
}

/** @param {number} count */
function short(count) {
  return count < 1000 ? String(count) : `${Math.floor(count / 1000)}k`;
}

/** @param {ReturnType<typeof stateOf>} state */
function stateText(state) {
  if (state === null) return "has not moved while this page looked";
  return `${state.unread && `${state.unread}; then `}${state.isHigh ? "high" : "low"}, ${state.count} ${state.count === 1 ? "edge" : "edges"} seen`;
}

/**
 * `held`: the program on each pin. `isLive`: the board counts edges, and its pins are drawn as they are. `Switch` is
 * shown for a chosen pin that is free, with the level that the pin has not. `children` stand beside the drawing.
 * @param {{device: string, shown: any, held: Map<number, string>, isLive: boolean, Switch?: any, children?: any}} given
 */
export function BoardDrawing({ device, shown, held, isLive, Switch, children }) {
  const [row, setRow] = useState(ROW);
  const { places, end, below, all: high } = placesOf(shown, row);
  const all = places.flatMap(({ pin, ...place }) => (pin === null ? [] : [{ ...place, pin }]));
  const first = all.find((one) => held.has(one.pin.pin)) ?? all.find((one) => one.pin.name === "LED") ?? all[0];
  const [chosen, setChosen] = useState(/** @type {number | null} */ (null));
  const [pointed, setPointed] = useState(/** @type {number | null} */ (null));
  const drawing = useRef(/** @type {SVGElement | null} */ (null));
  useEffect(() => {
    const size = new ResizeObserver(([entry]) => {
      const width = entry?.contentRect.width; // 0 while it is folded away
      if (width) setRow(Math.max(ROW, Math.ceil((TARGET_PX * WIDE) / width + 0.1)));
    });
    if (drawing.current) size.observe(drawing.current);
    return () => size.disconnect();
  }, []);
  useEffect(() => (isLive ? livePins.watch([device]) : undefined), [device, isLive]);
  useTick(isLive ? TEXT_MS : 0);
  if (first === undefined) return null;
  const active = chosen ?? first.pin.pin;
  const told = all.find((one) => one.pin.pin === (pointed ?? active)) ?? first;

  /** @param {KeyboardEvent} event */
  const move = (event) => {
    const here = all.find((one) => one.pin.pin === active) ?? first;
    const to = event.key === "Home" ? all[0] : event.key === "End" ? all.at(-1) : next(all, here, ARROWS[event.key]);
    if (to === undefined) return;
    event.preventDefault();
    /** @type {SVGElement | null | undefined} */ (drawing.current?.querySelector(`[data-pin="${to.pin.pin}"]`))?.focus();
  };
  return html`<div class="boardview">
    <svg class="board" ref=${drawing} viewBox=${`0 0 ${WIDE} ${high}`} role="group" onKeyDown=${move} onPointerLeave=${() => setPointed(null)}
        aria-label=${`the pins of ${device}: the arrow keys go from pin to pin`}>
      <rect class="pcb" x=${BOARD.left} y="14" width=${BOARD.right - BOARD.left} height=${high - 20} rx="6" />
      ${shown.layout && html`<g class="usb"><rect x=${WIDE / 2 - 22} y=${shown.layout.usb === "top" ? 6 : end} width="44" height="18" rx="3" />
        <text x=${WIDE / 2} y=${shown.layout.usb === "top" ? 19 : end + 13}>USB</text></g>`}
      ${shown.led?.kind === "simple" && isLive && html`<${Lamp} led=${shown.led} state=${stateOf(device, shown.led.pin)} />`}
      ${below !== null && html`<text class="inside" x=${WIDE / 2} y=${below + 15}>on no header</text>`}
      ${places.map((place, i) => html`<${Pad} key=${i} place=${place} program=${place.pin ? held.get(place.pin.pin) : undefined}
        row=${row} state=${isLive && place.pin ? stateOf(device, place.pin.pin) : null} isLive=${isLive} isActive=${place.pin?.pin === active}
        onChoose=${setChosen} onPoint=${setPointed} />`)}
    </svg>
    <${PinCard} device=${device} place=${told} program=${held.get(told.pin.pin)} state=${isLive ? stateOf(device, told.pin.pin) : null} isLive=${isLive} Switch=${Switch} />
    <div><p class="quiet">${isLive && "H: high, L: low, ?: not read now, with the edges seen. "}Struck out: nothing may drive it. !: with care.
      ${shown.layout ? " As the board lies before you, its parts upwards." : " Drawn in the order of their numbers: for this board no physical order is recorded."}</p>
      ${children}</div>
  </div>`;
}

/** The nearest pin in this direction. @template {{x: number, y: number}} P @param {P[]} all @param {P} here @param {[number, number] | undefined} way @returns {P | undefined} */
function next(all, here, way) {
  if (way === undefined) return undefined;
  const [right, down] = way;
  const far = (/** @type {P} */ one) => {
    const [x, y] = [one.x - here.x, one.y - here.y];
    const ahead = x * right + y * down;
    return ahead <= 0 ? Infinity : ahead + 4 * Math.abs(x * down + y * right);
  };
  const nearest = [...all].sort((a, b) => far(a) - far(b))[0];
  return nearest !== undefined && far(nearest) < Infinity ? nearest : undefined;
}

/**
 * A pin's button, and beside it what is drawn for it: what is read out says all of that.
 * @param {{place: Place, row: number, program?: string, state: ReturnType<typeof stateOf>, isLive: boolean, isActive: boolean, onChoose: (pin: number) => void, onPoint: (pin: number) => void}} given
 */
function Pad({ place, row, program, state, isLive, isActive, onChoose, onPoint }) {
  const { label, pin, x, y, side } = place;
  const words = [program, ...(pin?.labels ?? []), pin?.name, label].filter(Boolean).join(" ");
  const text = words.length > MAX_LABEL ? `${words.slice(0, MAX_LABEL - 1)}…` : words;
  const outside = side === "left" ? BOARD.left - 6 : BOARD.right + 6;
  const outer = side !== "inside" && html`<text class=${`label ${side}`} x=${outside} y=${y + 13}>${text}</text>`;
  const box = html`<rect x=${x} y=${y} width=${PAD.wide} height=${PAD.high} rx="3" />`;
  if (pin === null) return html`<g class="pad power" aria-hidden="true">${box}${outer}</g>`;
  const kind = ["pad", pin.refused && "refused", program && "held", state?.isHigh && !state.unread && "high"].filter(Boolean).join(" ");
  const said = [`pin ${pin.pin}`, ...pin.labels, pin.name, label, program && `program ${program}`, isLive && stateText(state), pin.refused ?? pin.caution];
  return html`<g class=${kind}>
    <g role="button" tabindex=${isActive ? 0 : -1} aria-pressed=${isActive} aria-label=${said.filter(Boolean).join(", ")} data-pin=${pin.pin}
        data-level=${state && !state.unread ? Number(state.isHigh) : null} data-count=${state?.count} onFocus=${() => onChoose(pin.pin)}
        onClick=${() => onChoose(pin.pin)} onPointerEnter=${() => onPoint(pin.pin)}>
      <path class="hit" d=${`M${x} ${y - (row - PAD.high) / 2}h${PAD.wide}v${row}h${-PAD.wide}z`} />${box}${pin.refused && html`<path d=${`M${x} ${y}l${PAD.wide} ${PAD.high}`} />`}
    </g>
    <g class="texts" aria-hidden="true">
      <text class="number" x=${x + PAD.wide / 2} y=${y + 13}>${pin.pin}${!pin.refused && pin.caution ? " !" : ""}</text>
      ${state && side !== "inside" && html`<text class=${`state ${side}`} x=${side === "left" ? x + PAD.wide + 3 : x - 3} y=${y + 13}>
        ${state.unread ? "?" : state.isHigh ? "H" : "L"} ${short(state.count)}</text>`}
      ${outer}
    </g>
  </g>`;
}

/** The board's own LED, as bright as its pin makes it. @param {{led: {pin: number, active_level: number}, state: ReturnType<typeof stateOf>}} given */
function Lamp({ led, state }) {
  const isLit = state !== null && !state.unread && Number(state.isHigh) === led.active_level;
  return html`<g class=${isLit ? "lamp lit" : "lamp"} aria-hidden="true"><circle cx=${WIDE / 2} cy=${TOP + 10} r="7" /><text class="inside" x=${WIDE / 2} y=${TOP + 32}>LED</text></g>`;
}

/** @param {{device: string, place: Place & {pin: Pin}, program?: string, state: ReturnType<typeof stateOf>, isLive: boolean, Switch?: any}} given */
function PinCard({ device, place, program, state, isLive, Switch }) {
  const { pin, label } = place;
  const isFree = Switch && isLive && !program && !pin.refused && pin.uses.includes("output") && may("act");
  const names = [pin.labels.join(", "), label && `printed ${label}`, pin.name && `wired: ${pin.name}`].filter(Boolean).join(", ");
  return html`<section class="card pincard" aria-label="The chosen pin">
    <h2>pin ${pin.pin}</h2>
    ${names && html`<p>${names}</p>`}
    ${isLive && state && html`<p>${stateText(state)}</p>`}
    ${isFree && html`<${Switch} device=${device} pin=${pin.pin} level=${state?.isHigh ? 0 : 1} />`}
    ${program && html`<p>held by <${Link} to=${boardPath(device, "programs", program)}>${program}<//></p>`}
    ${pin.refused && html`<p class="warning">Nothing may drive it: ${prose(pin.refused)}</p>`}
    ${pin.caution && html`<p class="warning">With care: ${prose(pin.caution)}</p>`}
    <p class="quiet">${pin.uses.length > 0 && !pin.reserved ? `can: ${pin.uses.join(", ")}` : "no program may use it"}</p>
    ${place.side === "inside" && html`<p class="quiet">on no header of the board</p>`}
  </section>`;
}
