// Displays of characters: lines of text in cells, behind them a light.

import { screenSays, unpackScreens } from "./pixels.js";
import { add, s, say, set } from "./svg.js";

const MOST_PITCH = 7.7;
const MOST_WIDTH = 124;
const LINE = 15.5;
const LEFT = 12;
const TOP = 18;
const SPACES = / /g;
// Characters that the program itself defined: their dots are not known, and they are drawn as a filled cell.
const CUSTOM = /[\ue000-\ue007]/g;

/** @param {import("./svg.js").Attributes} attributes */
function pitchOf({ columns }) {
  return Math.min(MOST_PITCH, MOST_WIDTH / columns);
}

/** @param {import("./svg.js").Attributes} attributes @returns {[number, number]} */
function sizeOf(attributes) {
  return [Math.round(attributes.columns * pitchOf(attributes)) + 2 * LEFT, Math.round(attributes.rows * LINE) + 2 * TOP - 1];
}

/** The drawing of a display of characters. @type {import("./svg.js").PartDrawing} */
export const characterDisplay = {
  sizeOf,
  draw(group, attributes) {
    const { columns, rows } = attributes;
    const pitch = pitchOf(attributes);
    const [width, height] = sizeOf(attributes);
    const light = s("rect", { class: "lcd off", x: 8, y: 12, width: width - 16, height: height - 24, rx: 2 });
    const middles = Array.from({ length: columns }, (_, column) => (LEFT + (column + 0.5) * pitch).toFixed(1));
    const lines = Array.from({ length: rows }, (_, row) => s("text", { class: "ink", x: middles.join(" "), y: TOP + row * LINE + 10.5 }));
    const cells = lines.map((_, row) => middles.map((middle) => `M${middle} ${TOP + row * LINE}v13.5`));
    add(group, s("rect", { class: "m-green", width, height, rx: 4 }));
    add(group, s("rect", { class: "m-black", x: 4, y: 8, width: width - 8, height: height - 16, rx: 3 }), light);
    add(group, s("path", { class: "cell", d: cells.flat().join(""), "stroke-width": pitch - 1 }), lines);
    const show = unpackScreens((_, bytes) => {
      const texts = new TextDecoder().decode(bytes).split("\n");
      // SVG draws several spaces as one, but not these.
      lines.forEach((line, row) => say(line, (texts[row] ?? "").replace(CUSTOM, "█").replace(SPACES, "\u00a0")));
    });
    return (state) => {
      set(light, "class", state.backlight ? "lcd" : "lcd off");
      show(state);
    };
  },
  says: screenSays,
};
