// The pins of a board, on the drawing that its bench has: each with its names, its state and its program, and a card of the chosen one.

import { benches } from "./bench_state.js";
import { Link, boardPath, prose, useMedia, useTick } from "./parts.js";
import { pins as livePins } from "./pins.js";
import { NARROW, useStage } from "./stage.js";
import { may } from "./state.js";
import { add, s, say, set } from "./svg.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.module.js";

/** @typedef {{pin: number, name: string | null, labels: string[], uses: string[], reserved: string | null, caution: string | null, refused: string | null}} Pin */
/**
 * A drawn pin; `label` is printed on the board, `isOff`: it is on no header.
 * @typedef {{pin: Pin, label: string, isOff: boolean, x: number, y: number, pad: SVGElement,
 *   button: SVGElement, state: SVGElement, names: SVGElement}} Place
 */
/** The level and the edges that this page has seen; null: none. @typedef {{isHigh: boolean, count: number, unread: string} | null} Seen */

const SIDE = { narrow: 14, wide: 100 }; // units beside the board: room for a state; and for names, too
const STATE_X = 12; // from the middle of a pad
const NAMES_X = 54;
const REACH = 44; // of a pad alone
const MAX_NAMES = 14;
const TEXT_MS = 500;
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/** The board with all of its pins: those on no header stand below. @param {any} shown a device with `pins` and `layout` */
function wholeBoard(shown) {
  const headers = shown.layout?.headers ?? [];
  const placed = new Set(headers.flatMap((/** @type {any} */ header) => header.pins.map((/** @type {any} */ hole) => hole.gpio)));
  const free = shown.pins.filter((/** @type {Pin} */ pin) => !placed.has(pin.pin));
  const off = free.map((/** @type {Pin} */ pin) => ({ gpio: pin.pin, label: String(pin.pin) }));
  const half = Math.ceil(off.length / 2);
  const pins = shown.pins.map((/** @type {Pin} */ pin) => ({ pin: pin.pin, reserved: pin.refused }));
  return { chip: shown.chip, pins, layout: { usb: shown.layout?.usb,
    headers: [...headers, { side: "left", pins: off.slice(0, half) }, { side: "right", pins: off.slice(half) }] } };
}

/**
 * Put the texts of a pin beside its pad; a finger meets it there, too.
 * @param {any} shown @param {SVGElement} pad @param {number} gpio @param {number} side @returns {Place}
 */
function placeOf(shown, pad, gpio, side) {
  const pin = shown.pins.find((/** @type {Pin} */ one) => one.pin === gpio);
  const holes = (shown.layout?.headers ?? []).flatMap((/** @type {any} */ header) => header.pins);
  const hole = holes.find((/** @type {any} */ one) => one.gpio === gpio);
  const label = hole && hole.label !== String(gpio) ? hole.label : "";
  const [ring, number] = [pad.querySelector(".ringpad"), pad.querySelector(".number")];
  const button = /** @type {SVGElement} */ (pad.querySelector(".reach"));
  const [x, y] = [Number(ring?.getAttribute("cx")), Number(ring?.getAttribute("cy"))];
  const isRight = number?.classList.contains("end");
  const text = (/** @type {number} */ away, /** @type {string} */ look) => (
    s("text", { class: `${look} ${isRight ? "" : "end"}`, x: isRight ? x + away : x - away, y: y + 4 }));
  const [state, names] = [text(STATE_X, "seen"), text(NAMES_X, "names")];
  if (number) say(number, `${gpio}${pin.caution && !pin.refused ? " !" : ""}`);
  set(button, "width", REACH + side);
  if (!isRight) set(button, "x", x - 10 - side);
  add(pad, state, names);
  for (const one of pad.querySelectorAll("text")) set(one, "aria-hidden", true); // the button's name says all of it
  return { pin, label, isOff: holes.length > 0 && !hole, x, y, pad, button, state, names };
}

/** What the board says of a pin; else its last edge. @param {string} device @param {number} pin @returns {Seen} */
function seenOf(device, pin) {
  const board = livePins.of(device);
  const asked = benches.of(device).pins.get(pin);
  const level = (asked?.source === "counted" ? asked.level : null) ?? board.tracks.get(pin)?.level.at(-1);
  return level === undefined ? null : { isHigh: level !== 0, count: board.counts.get(pin) ?? 0, unread: board.sinceText() };
}

/** @param {Seen} seen */
function shortText(seen) {
  if (seen === null) return "";
  const level = seen.isHigh ? "H" : "L";
  return `${seen.unread ? "?" : level} ${seen.count < 1000 ? seen.count : `${Math.floor(seen.count / 1000)}k`}`;
}

/** @param {Seen} seen */
function longText(seen) {
  if (seen === null) return "has not moved while this page looked";
  return `${seen.unread && `${seen.unread}; then `}${seen.isHigh ? "high" : "low"}, ${seen.count} ${seen.count === 1 ? "edge" : "edges"} seen`;
}

/**
 * Show a pin as it is now; what is read out says all of it.
 * @param {Place} place @param {{program?: string, seen: Seen, isLive: boolean, isActive: boolean, led: any}} now
 */
function showPlace({ pin, label, pad, button, state, names }, { program, seen, isLive, isActive, led }) {
  const words = [program, ...pin.labels, pin.name, label].filter(Boolean).join(" ");
  say(names, words.length > MAX_NAMES ? `${words.slice(0, MAX_NAMES - 1)}…` : words);
  say(state, shortText(seen));
  const level = seen === null || seen.unread ? null : Number(seen.isHigh);
  const isLit = led?.kind === "simple" && led.pin === pin.pin && level === led.active_level;
  for (const [look, isOn] of Object.entries({ held: Boolean(program), high: level === 1, lit: isLit })) pad.classList.toggle(look, isOn);
  const said = [`pin ${pin.pin}`, ...pin.labels, pin.name, label, program && `program ${program}`, isLive && longText(seen), pin.refused ?? pin.caution];
  const facts = { role: "button", tabindex: isActive ? 0 : -1, "aria-pressed": isActive, "aria-label": said.filter(Boolean).join(", "),
    "data-pin": pin.pin, "data-level": level ?? "", "data-count": seen?.count ?? "" };
  for (const [name, value] of Object.entries(facts)) set(button, name, value);
}

/**
 * `held`: the program on each pin. `isLive`: the board counts edges, and its pins are drawn as they are. `Switch` is
 * shown for a chosen pin that is free, with the level that the pin has not. `children` stand beside the drawing.
 * @param {{device: string, shown: any, held: Map<number, string>, isLive: boolean, Switch?: any, children?: any}} given
 */
export function BoardDrawing({ device, shown, held, isLive, Switch, children }) {
  const side = useMedia(NARROW) ? SIDE.narrow : SIDE.wide;
  const places = useRef(/** @type {Map<number, Place>} */ (new Map()));
  const [chosen, setChosen] = useState(/** @type {number | null} */ (null));
  const [pointed, setPointed] = useState(/** @type {number | null} */ (null));
  const label = `the pins of ${device}: the arrow keys go from pin to pin`;
  const [stage, drawing] = useStage({ board: wholeBoard(shown), parts: [], label, side,
    onPad: (pad, gpio) => places.current.set(gpio, placeOf(shown, pad, gpio, side)) }, [shown, side]);
  useEffect(() => {
    if (!isLive) return undefined;
    const ends = [livePins, benches].map((one) => one.watch([device]));
    benches.ask(device);
    return () => ends.forEach((end) => end());
  }, [device, isLive]);
  useTick(isLive ? TEXT_MS : 0);
  const all = [...places.current.values()];
  const first = all.find((one) => held.has(one.pin.pin)) ?? all.find((one) => one.pin.name === "LED") ?? all[0];
  const active = chosen ?? first?.pin.pin ?? -1;
  const told = places.current.get(pointed ?? active) ?? first;
  const seen = (/** @type {Place} */ { pin }) => (isLive ? seenOf(device, pin.pin) : null);
  useLayoutEffect(() => {
    for (const place of all) {
      showPlace(place, { program: held.get(place.pin.pin), seen: seen(place), isLive, isActive: place.pin.pin === active, led: shown.led });
    }
    drawing?.node.classList.add("board");
  });
  /** @param {any} event */
  const pinAt = ({ target }) => {
    const pad = target.closest("[data-gpio]");
    return pad && Number(pad.dataset.gpio);
  };
  const choose = (/** @type {Event} */ event) => setChosen(pinAt(event) ?? chosen);
  const move = (/** @type {KeyboardEvent} */ event) => {
    const here = places.current.get(active);
    /** @type {Record<string, Place | undefined>} */
    const ends = { Home: all[0], End: all.at(-1) };
    const to = ends[event.key] ?? (here && next(all, here, ARROWS[event.key]));
    if (to === undefined) return;
    event.preventDefault();
    to.button.focus();
  };
  return html`<div class="boardview"><div onKeyDown=${move} onClick=${choose} onFocusCapture=${choose}
      onPointerOver=${(/** @type {Event} */ event) => setPointed(pinAt(event))} onPointerLeave=${() => setPointed(null)}>${stage}</div>
    ${told && html`<${PinCard} device=${device} place=${told} program=${held.get(told.pin.pin)} seen=${seen(told)} isLive=${isLive} Switch=${Switch} />`}
    <div><p class="quiet">${isLive && "H: high, L: low, ?: not read now, with the edges seen. "}Struck out: nothing may drive it. !: with care.
      ${shown.layout ? " As the board lies before you, its parts upwards." : " Drawn in the order of their numbers: for this board no physical order is recorded."}</p>
      ${children}</div>
  </div>`;
}

/** The nearest pin in this direction. @param {Place[]} all @param {Place} here @param {[number, number] | undefined} way */
function next(all, here, way) {
  if (way === undefined) return undefined;
  const [right, down] = way;
  const far = (/** @type {Place} */ one) => {
    const [x, y] = [one.x - here.x, one.y - here.y];
    const ahead = x * right + y * down;
    return ahead <= 0 ? Infinity : ahead + 4 * Math.abs(x * down + y * right);
  };
  const nearest = [...all].sort((a, b) => far(a) - far(b))[0];
  return nearest !== undefined && far(nearest) < Infinity ? nearest : undefined;
}

/** @param {{device: string, place: Place, program?: string, seen: Seen, isLive: boolean, Switch?: any}} given */
function PinCard({ device, place, program, seen, isLive, Switch }) {
  const { pin, label } = place;
  const isFree = Switch && isLive && !program && !pin.refused && pin.uses.includes("output") && may("act");
  const names = [pin.labels.join(", "), label && `printed ${label}`, pin.name && `wired: ${pin.name}`].filter(Boolean).join(", ");
  return html`<section class="card pincard" aria-label="The chosen pin">
    <h2>pin ${pin.pin}</h2>
    ${names && html`<p>${names}</p>`}
    ${isLive && seen && html`<p>${longText(seen)}</p>`}
    ${isFree && html`<${Switch} device=${device} pin=${pin.pin} level=${seen?.isHigh ? 0 : 1} />`}
    ${program && html`<p>held by <${Link} to=${boardPath(device, "programs", program)}>${program}<//></p>`}
    ${pin.refused && html`<p class="warning">Nothing may drive it: ${prose(pin.refused)}</p>`}
    ${pin.caution && html`<p class="warning">With care: ${prose(pin.caution)}</p>`}
    <p class="quiet">${pin.uses.length > 0 && !pin.reserved ? `can: ${pin.uses.join(", ")}` : "no program may use it"}</p>
    ${place.isOff && html`<p class="quiet">on no header of the board</p>`}
  </section>`;
}
