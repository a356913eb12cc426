// Addressable LEDs in their colors: a strip, which goes on in further rows if it is long, or a matrix.

import { add, s, set } from "../../svg.js";

const WIDTH = 148;
const MOST_PITCH = 18.5;
const MARGIN = 6;
// LEDs that lie closer have no room for their housing and their glow.
const LEAST_PITCH = 9;
const ROWS = [[16, 16], [256, 24], [Infinity, 32]];

/** The LEDs of a row. @param {number} count @param {number} matrixWidth 0 for a strip */
function columnsOf(count, matrixWidth) {
  if (matrixWidth > 0) return matrixWidth;
  const [, most = 32] = ROWS.find(([limit = 0]) => count <= limit) ?? [];
  return Math.min(count, most);
}

/** The LEDs that the wiring says. @param {import("../../svg.js").Attributes} attributes */
function countOf({ count = 1, width = 0, height = 8 }) {
  return width > 0 && count <= 1 ? width * height : count;
}

/** @param {number} count @param {number} width */
function grid(count, width) {
  const columns = columnsOf(count, width);
  return { columns, pitch: Math.min(MOST_PITCH, WIDTH / columns), rows: Math.ceil(count / columns) };
}

/** Add an LED. Returns a function that shows its color. @param {SVGElement} group @param {number} x @param {number} y @param {number} pitch */
function addLed(group, x, y, pitch) {
  const isLarge = pitch > LEAST_PITCH;
  const halo = isLarge ? s("circle", { cx: x, cy: y, r: pitch * 0.7, opacity: 0 }) : null;
  const light = s("circle", { class: "unlit", cx: x, cy: y, r: (pitch * 0.27).toFixed(2) });
  const side = pitch * 0.76;
  if (isLarge) add(group, s("rect", { class: "m-white", x: x - side / 2, y: y - side / 2, width: side, height: side, rx: 2 }));
  add(group, light, halo);
  /** @param {string | undefined} color */
  return (color = "000000") => {
    const shares = [0, 2, 4].map((place) => parseInt(color.slice(place, place + 2), 16));
    const most = Math.max(...shares);
    const levels = shares.map((share) => Math.round((share / (most || 1)) * 255));
    const fill = `rgb(${levels.join(" ")})`;
    set(light, "class", most ? "" : "unlit");
    set(light, "fill", fill);
    set(light, "opacity", most ? 0.45 + 0.55 * (most / 255) : 1);
    if (halo === null) return;
    set(halo, "fill", fill);
    set(halo, "opacity", most ? 0.12 + 0.2 * (most / 255) : 0);
  };
}

/** @type {import("../../svg.js").PartDrawing} */
export default {
  sizeOf(attributes) {
    const { pitch, rows } = grid(countOf(attributes), attributes.width ?? 0);
    return [WIDTH, Math.max(28, Math.round(rows * pitch) + 2 * MARGIN)];
  },
  draw(group, attributes) {
    const [, height] = this.sizeOf?.(attributes) ?? [WIDTH, 28];
    const place = s("g");
    add(group, s("rect", { class: "m-board", width: WIDTH, height, rx: 4 }), place);
    /** @type {((color: string | undefined) => void)[]} */
    let leds = [];
    /** @param {number} count */
    const lay = (count) => {
      const { columns, pitch, rows } = grid(count, attributes.width ?? 0);
      place.replaceChildren();
      const left = (WIDTH - columns * pitch) / 2;
      const top = (height - rows * pitch) / 2;
      leds = Array.from({ length: count }, (_, number) => {
        const row = Math.floor(number / columns);
        const isBackwards = attributes.serpentine && row % 2 === 1;
        const column = isBackwards ? columns - 1 - (number % columns) : number % columns;
        return addLed(place, left + (column + 0.5) * pitch, top + (row + 0.5) * pitch, pitch);
      });
    };
    lay(countOf(attributes));
    return ({ colors = null }) => {
      // A wiring need not say how many there are: a program that drives more of them shows it.
      if (colors !== null && colors.length > leds.length) lay(colors.length);
      leds.forEach((show, number) => show(colors?.[number]));
    };
  },
  says({ colors = null }) {
    if (colors === null) return "not known";
    const lit = colors.filter((color) => parseInt(color, 16) > 0);
    return `${lit.length} of ${colors.length} lit`;
  },
};
