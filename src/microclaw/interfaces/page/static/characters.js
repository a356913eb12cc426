// Displays of characters: lines of text in cells, behind them a light.

import { screenSays, unpackScreens } from "./pixels.js";
import { add, s, say, set } from "./svg.js";

const MOST_PITCH = 7.7;
const MOST_WIDTH = 124;
const LINE = 15.5;
const LEFT = 12;
const TOP = 18;
const SPACES = / /g;
// Characters that the program itself defined: their dots are not known.
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
    /** @param {number} column @param {number} row */
    const cell = (column, row) => `M${(LEFT + column * pitch).toFixed(1)} ${TOP + row * LINE}h${(pitch - 1).toFixed(1)}v13.5h${(1 - pitch).toFixed(1)}z`;
    const starts = Array.from({ length: columns }, (_, column) => (LEFT + column * pitch + pitch / 2 - 0.5).toFixed(1));
    const cells = Array.from({ length: columns * rows }, (_, place) => cell(place % columns, Math.floor(place / columns)));
    const lines = Array.from({ length: rows }, (_, row) => s("text", { class: "ink", x: starts.join(" "), y: TOP + row * LINE + 10.5 }));
    const custom = s("path", { class: "ink", d: "" });
    add(group, s("rect", { class: "m-green", width, height, rx: 4 }));
    add(group, s("rect", { class: "m-black", x: 4, y: 8, width: width - 8, height: height - 16, rx: 3 }), light);
    add(group, s("path", { class: "cell", d: cells.join("") }), lines, custom);
    const show = unpackScreens((_, bytes) => {
      const text = new TextDecoder().decode(bytes).split("\n");
      let filled = "";
      lines.forEach((line, row) => {
        const characters = text[row] ?? "";
        for (const match of characters.matchAll(CUSTOM)) filled += cell(match.index, row);
        // SVG draws several spaces as one, but not these.
        say(line, characters.replace(CUSTOM, " ").replace(SPACES, "\u00a0"));
      });
      set(custom, "d", filled);
    });
    return ({ screen = null, backlight = null }) => {
      set(light, "class", backlight ? "lcd" : "lcd off");
      show(screen);
    };
  },
  says: screenSays,
};
