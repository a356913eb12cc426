// Displays of digits with seven segments.

import { unpackScreens, screenSays } from "./pixels.js";
import { add, s, set } from "./svg.js";

// The segments a to g of a digit of 20 by 31 units.
const SEGMENTS = [
  "M4 1h12l-2.5 3h-7z",
  "M17 2v12l-1.5 1-1.5-1V5z",
  "M17 17v12l-3-3v-8.5l1.5-1z",
  "M4 30h12l-2.5-3h-7z",
  "M3 17v12l3-3v-8.5l-1.5-1z",
  "M3 2v12l1.5 1L6 14V5z",
  "M5.5 15.5 7 14h6l1.5 1.5L13 17H7z",
];
const POINT = "M20.5 28a2 2 0 0 1 4 0 2 2 0 0 1-4 0z";
const COLON = "M20.5 9a2 2 0 0 1 4 0 2 2 0 0 1-4 0zM20.5 22a2 2 0 0 1 4 0 2 2 0 0 1-4 0z";
const PITCH = 27;
const HEIGHT = 32;
const MOST_WIDTH = 116;

/**
 * Return the drawing of a display with digits.
 * @param {(attributes: import("./svg.js").Attributes) => number} countOf how many digits it has
 * @returns {import("./svg.js").PartDrawing}
 */
export function digitDisplay(countOf) {
  /** @param {import("./svg.js").Attributes} attributes @returns {{size: [number, number], scale: number}} */
  const layout = (attributes) => {
    const width = countOf(attributes) * PITCH;
    const scale = Math.min(1, MOST_WIDTH / width);
    return { size: [Math.round(width * scale) + 24, Math.round(HEIGHT * scale) + 26], scale };
  };
  return {
    sizeOf: (attributes) => layout(attributes).size,
    draw(group, attributes) {
      const { size: [width, height], scale } = layout(attributes);
      add(group, s("rect", { class: "m-dark", width, height, rx: 4 }));
      add(group, s("rect", { class: "glass", x: 7, y: 7, width: width - 14, height: height - 14, rx: 2 }));
      const digits = Array.from({ length: countOf(attributes) }, (_, place) => addDigit(group, place, scale));
      return unpackScreens((screen, bytes) => {
        digits.forEach((light, place) => light(bytes[place] ?? 0, screen?.mark ?? "."));
      });
    },
    says: screenSays,
  };
}

/** Add a digit. Returns a function that lights its segments. @param {SVGElement} group @param {number} place @param {number} scale */
function addDigit(group, place, scale) {
  const segments = SEGMENTS.map((d) => s("path", { class: "segment", d }));
  const mark = s("path", { class: "segment", d: POINT });
  const transform = `translate(${(12 + place * PITCH * scale).toFixed(2)} 13) scale(${scale}) skewX(-3)`;
  add(group, s("g", { class: "c-red", transform }, segments, mark));
  /** @param {number} bits @param {string} sign */
  return (bits, sign) => {
    set(mark, "d", sign === ":" ? COLON : POINT);
    [...segments, mark].forEach((segment, bit) => {
      const isLit = bits & (1 << bit);
      set(segment, "class", isLit ? "segment lit" : "segment");
    });
  };
}

/** A display with as many digits as its wiring says. */
export default digitDisplay(({ digits }) => digits);
