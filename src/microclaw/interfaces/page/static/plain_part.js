// The drawing of a sensor: its picture, and below it each value as a number and as a slider. A part without a picture
// of its own is a plain board with its title.

import { slide } from "./hands.js";
import { add, s, say, set } from "./svg.js";

/** @typedef {import("./svg.js").Attributes} Attributes */
/** @typedef {import("./svg.js").Value} Value */

const WIDTH = 164;
const UNKNOWN = "–";
const NUMBER_ROW = 20;
const SLIDER_ROW = 38;
const THUMB = 7;
const BOARD = 30;
const MOST_LETTERS = 19;
const INSET = 8; // of the values from the edge of their card, at which wires end
// A range this long is drawn with most room for its small values, as light is.
const LONG_RANGE = 5000;

/** A value as it is read, with its unit; a dash if it is not known. @param {number | null} value @param {Value} facts */
export function reading(value, { step, unit }) {
  if (value === null) return UNKNOWN;
  let decimals = 0;
  if (step < 1) decimals = 1;
  if (step < 0.1) decimals = 2;
  return `${value.toFixed(decimals)} ${unit}`.trim();
}

/**
 * Add a slider for an input; its place is x, y and width. Returns a function that shows a value; what is not known has no
 * thumb. It stands still if `hands` is null.
 * @param {SVGElement} group @param {import("./svg.js").Hands | null} hands
 * @param {{label: string, place: [number, number, number], input: string, facts: Value}} form
 */
export function slider(group, hands, { label, place: [x, y, width], input, facts }) {
  const { least, most } = facts;
  const begin = x + THUMB;
  const length = width - 2 * THUMB;
  const bend = least >= 0 && most >= LONG_RANGE ? 3 : 1;
  const full = s("path", { class: "rail full", d: "" });
  const thumb = s("circle", { class: hands ? "thumb" : "thumb still", cx: begin, cy: y, r: THUMB, opacity: 0 });
  const drawing = [s("path", { class: "rail", d: `M${begin} ${y}h${length}` }), full, thumb];
  const showHand = slide(group, hands, {
    ...facts, label, box: [x, y - 12, width, 24], input,
    text: (value) => reading(value, facts),
    valueAt: (at) => least + (most - least) * Math.min(1, Math.max(0, (at - begin) / length)) ** bend,
  }, drawing);
  /** @param {number | null} value */
  return (value) => {
    showHand(value);
    set(thumb, "opacity", value === null ? 0 : 1);
    if (value === null) {
      set(full, "d", "");
      return;
    }
    const share = Math.min(1, Math.max(0, (value - least) / (most - least)));
    const at = (begin + length * share ** (1 / bend)).toFixed(1);
    set(thumb, "cx", at);
    set(full, "d", `M${begin} ${y}H${at}`);
  };
}

/** The name of a value in words. @param {string} name */
function wordsOf(name) {
  return name.replaceAll("_", " ");
}

/** @param {Value} facts */
function rowHeight(facts) {
  return facts.sets ? SLIDER_ROW : NUMBER_ROW;
}

/** @param {Record<string, Value>} values */
function valuesHeight(values) {
  return Object.values(values).reduce((height, facts) => height + rowHeight(facts), 0);
}

/**
 * Add a row with a value. Returns a function that shows it.
 * @param {SVGElement} group @param {number} y @param {string} name @param {Value} facts @param {Attributes} attributes
 * @param {import("./svg.js").Hands | null} hands
 */
function addRow(group, y, name, facts, attributes, hands) {
  const number = s("text", { class: "value end", x: WIDTH - INSET, y: y + 14 });
  add(group, s("text", { class: "name", x: INSET, y: y + 14 }, wordsOf(name)), number);
  let show = (/** @type {number | null} */ _value) => {};
  if (facts.sets) {
    const label = `${attributes.label ?? attributes.title}: ${wordsOf(name)}`;
    show = slider(group, hands, { label, place: [INSET, y + 27, WIDTH - 2 * INSET], input: name, facts });
  }
  /** @param {number | null} value */
  return (value) => {
    say(number, reading(value, facts));
    show(value);
  };
}

/**
 * Return the drawing of a sensor. Its picture stands above its values, and is WIDTH wide.
 * @param {number} pictureHeight @param {(attributes: Attributes) => any[]} drawPicture @returns {import("./svg.js").PartDrawing}
 */
export function sensor(pictureHeight, drawPicture) {
  return {
    sizeOf: ({ values = {} }) => [WIDTH, pictureHeight + valuesHeight(values)],
    draw(group, attributes, hands) {
      const height = valuesHeight(attributes.values ?? {});
      add(group, s("rect", { class: "valuecard", y: pictureHeight - 2, width: WIDTH, height: height + 2, rx: 4 }), drawPicture(attributes));
      /** @type {[string, (value: number | null) => void][]} */
      const rows = [];
      let y = pictureHeight;
      for (const [name, facts] of Object.entries(attributes.values ?? {})) {
        rows.push([name, addRow(group, y, name, facts, attributes, hands)]);
        y += rowHeight(facts);
      }
      return (state) => {
        for (const [name, show] of rows) show(state[name] ?? null);
      };
    },
    says(state, { values = {} }) {
      const known = Object.entries(values).filter(([name]) => (state[name] ?? null) !== null);
      const hasNames = Object.keys(values).length > 1;
      const phrases = known.map(([name, facts]) => `${hasNames ? wordsOf(name) : ""} ${reading(state[name] ?? null, facts)}`.trim());
      return phrases.join(", ") || null;
    },
  };
}

export default sensor(BOARD, ({ title = "" }) => {
  const [name = ""] = title.split(/[:(]/);
  let words = name.trim();
  if (words.length > MOST_LETTERS) words = `${words.slice(0, MOST_LETTERS - 1)}…`;
  return [
    s("rect", { class: "m-violet", width: WIDTH, height: BOARD - 2, rx: 4 }),
    s("rect", { class: "m-metal", x: 8, y: 8, width: 12, height: 12, rx: 2 }),
    s("circle", { class: "bore", cx: 12, cy: 12, r: 1.5 }),
    s("text", { class: "print", x: 27, y: 18.5 }, words),
  ];
});
