// What a hand can do to a drawing, the same with mouse, finger and keyboard. Drawings of parts use these two.

import { add, s, set } from "./svg.js";

/** @typedef {import("./svg.js").Hands} Hands */
/** @typedef {[number, number, number, number]} Box x, y, width and height, in the part's units */
/** @typedef {{least: number, most: number, step: number}} Range */

/** @type {Record<string, number>} */
const STEPS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };

const LET_GO = "microclaw-let-go";

/** Release what is held down in a drawing that goes away: not every browser tells a removed node. @param {Element | null} drawing */
export function letGo(drawing) {
  for (const hand of drawing?.querySelectorAll("[aria-pressed=true]") ?? []) hand.dispatchEvent(new Event(LET_GO));
}

/**
 * An element that mouse, finger and keyboard reach. `box` is where a finger meets it, 40 units at least.
 * @param {string} role @param {string} label @param {Box} box @param {any[]} drawing
 */
function reachable(role, label, [x, y, width, height], drawing) {
  const reach = s("rect", { class: "reach", x, y, width, height, rx: 8 });
  const hand = s("g", { class: "hand", role, tabindex: 0, "aria-label": label }, reach, drawing);
  hand.addEventListener("pointerdown", (event) => hand.setPointerCapture(event.pointerId));
  return hand;
}

/**
 * Add a drawing to hold down: a button's cap, a key. `input` is 1, or `held`, while it is down. It stands still if `hands`
 * is null.
 * @param {SVGElement} group @param {Hands | null} hands @param {{label: string, box: Box, input: string, held?: 0 | 1}} form @param {any[]} drawing
 */
export function press(group, hands, { label, box, input, held = 1 }, ...drawing) {
  if (hands === null) {
    add(group, drawing);
    return;
  }
  let isDown = false;
  const hand = reachable("button", label, box, drawing);
  set(hand, "aria-pressed", false);
  /** @param {boolean} isNow */
  const change = (isNow) => {
    if (isNow === isDown) return;
    isDown = isNow;
    set(hand, "aria-pressed", isNow);
    hands({ [input]: isNow ? held : 1 - held });
  };
  hand.addEventListener("pointerdown", () => change(true));
  for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur", LET_GO]) hand.addEventListener(end, () => change(false));
  hand.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    change(true);
  });
  hand.addEventListener("keyup", () => change(false));
  group.append(hand);
}

/**
 * Add a drawing with a value, `input`: a knob, a slider, a switch. `valueAt(x, y)` turns a place in the part's units into a
 * value, `text` says a value; the arrow keys step. Returns a function that shows a value which came from elsewhere, null if
 * not known. It stands still if `hands` is null.
 * @param {SVGElement} group @param {Hands | null} hands
 * @param {Range & {label: string, box: Box, input: string, text: (value: number) => string, valueAt: (x: number, y: number) => number}} form
 * @param {any[]} drawing @returns {(value: number | null) => void}
 */
export function slide(group, hands, { label, box, input, least, most, step, text, valueAt }, ...drawing) {
  if (hands === null) {
    add(group, drawing);
    return () => {};
  }
  /** @type {number | null} */
  let value = null;
  const hand = reachable("slider", label, box, drawing);
  set(hand, "aria-valuemin", least);
  set(hand, "aria-valuemax", most);
  /** @param {number | null} shown */
  const show = (shown) => {
    value = shown;
    set(hand, "aria-valuenow", shown ?? least);
    set(hand, "aria-valuetext", shown === null ? "not read" : text(shown));
  };
  /** @param {number} wanted */
  const change = (wanted) => {
    const steps = Math.round((wanted - least) / step);
    const next = Number(Math.min(most, Math.max(least, least + steps * step)).toFixed(3));
    if (next === value) return;
    show(next);
    hands({ [input]: next });
  };
  /** @param {PointerEvent} event */
  const move = (event) => {
    const matrix = /** @type {SVGGraphicsElement} */ (/** @type {unknown} */ (hand)).getScreenCTM();
    if (matrix === null) return;
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    change(valueAt(place.x, place.y));
  };
  hand.addEventListener("pointerdown", move);
  hand.addEventListener("pointermove", (event) => {
    if (event.buttons) move(event);
  });
  hand.addEventListener("keydown", (event) => {
    const wanted = wantedBy(event.key, value ?? least, { least, most, step });
    if (wanted === null) return;
    event.preventDefault();
    change(wanted);
  });
  show(null);
  group.append(hand);
  return show;
}

/** How far around a knob's middle a place is, clockwise from the top: from -0.5 to 0.5 turns. @param {number} x @param {number} y @param {number} middle */
export function turnsAt(x, y, middle) {
  return Math.atan2(x - middle, middle - y) / (2 * Math.PI);
}

/** The value that a key asks for, or null. @param {string} key @param {number} value @param {Range} range */
function wantedBy(key, value, { least, most, step }) {
  if (key === "Home") return least;
  if (key === "End") return most;
  const count = STEPS[key];
  return count === undefined ? null : value + count * step;
}
