// Addressable LEDs in their colors: a strip, which goes on in further rows if it is long, or a matrix.

import { mixColor } from "../../shapes.js";
import { add, s, set } from "../../svg.js";

const WIDTH = 148;
const MOST_PITCH = 18.5;
const MARGIN = 6;
// LEDs that lie closer have no room for a housing and a glow.
const LEAST_PITCH = 9;
const LONG_STRIP = 64;

/** @param {number} count @param {number} width of a matrix, 0 for a strip */
function grid(count, width) {
  const columns = width || Math.min(count, count > LONG_STRIP ? 32 : 16);
  return { columns, rows: Math.ceil(count / columns), pitch: Math.min(MOST_PITCH, WIDTH / columns) };
}

/** The LEDs that the wiring says. @param {import("../../svg.js").Attributes} attributes */
function countOf({ count, width, height }) {
  return count > 1 ? count : width * height || count;
}

/** Add an LED. Returns a function that shows its color. @param {SVGElement} group @param {number} x @param {number} y @param {number} pitch */
function addLed(group, x, y, pitch) {
  const side = pitch * 0.76;
  const halo = s("circle", { cx: x, cy: y, r: pitch * 0.7, opacity: 0 });
  const light = s("circle", { class: "unlit", cx: x, cy: y, r: pitch * 0.27 });
  if (pitch > LEAST_PITCH) add(group, s("rect", { class: "m-white", x: x - side / 2, y: y - side / 2, width: side, height: side, rx: 2 }), halo);
  add(group, light);
  return (color = "000000") => {
    const levels = [0, 2, 4].map((place) => parseInt(color.slice(place, place + 2), 16) / 255);
    const { share, mixed } = mixColor(levels);
    set(light, "class", share ? "" : "unlit");
    set(light, "opacity", share ? 0.45 + 0.55 * share : 1);
    set(halo, "opacity", share ? 0.12 + 0.2 * share : 0);
    for (const node of [light, halo]) set(node, "fill", mixed);
  };
}

/** @param {import("../../svg.js").Attributes} attributes @returns {[number, number]} */
function sizeOf(attributes) {
  const { pitch, rows } = grid(countOf(attributes), attributes.width);
  return [WIDTH, Math.max(28, Math.round(rows * pitch) + 2 * MARGIN)];
}

/** @type {import("../../svg.js").PartDrawing} */
export default {
  sizeOf,
  draw(group, attributes) {
    const [, height] = sizeOf(attributes);
    const place = s("g");
    add(group, s("rect", { class: "m-board", width: WIDTH, height, rx: 4 }), place);
    /** @param {number} count */
    const lay = (count) => {
      const { columns, pitch, rows } = grid(count, attributes.width);
      const left = (WIDTH - columns * pitch) / 2;
      const top = (height - rows * pitch) / 2;
      place.replaceChildren();
      return Array.from({ length: count }, (_, number) => {
        const row = Math.floor(number / columns);
        const isBackwards = attributes.serpentine && row % 2 === 1;
        const column = isBackwards ? columns - 1 - (number % columns) : number % columns;
        return addLed(place, left + (column + 0.5) * pitch, top + (row + 0.5) * pitch, pitch);
      });
    };
    let lights = lay(countOf(attributes));
    return ({ colors = null }) => {
      // A wiring need not say how many there are: a program that drives more of them shows it.
      if (colors !== null && colors.length > lights.length) lights = lay(colors.length);
      lights.forEach((show, number) => show(colors?.[number]));
    };
  },
  says({ colors = null }) {
    if (colors === null) return null;
    return `${colors.filter((color) => color !== "000000").length} of ${colors.length} lit`;
  },
};
