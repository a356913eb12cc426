// The drawing of a part that has none of its own: a module with its title, its values, and a slider for each that hands can set.

import { slide } from "./hands.js";
import { add, s, say, set } from "./svg.js";

/** @typedef {{least: number, most: number, unit: string, step: number, sets: boolean}} ValueRange */

const WIDE = 164;
const HEAD = 26;
const ROW = 30;
const RAIL = { x: 12, wide: WIDE - 24 };
const MAX_TITLE = 20;

/** @param {string} title */
function shortTitle(title) {
  const name = (title.split(/[:(]/, 1)[0] ?? "").trim().replace(/^an? /, "");
  return name.length > MAX_TITLE ? `${name.slice(0, MAX_TITLE - 1)}…` : name;
}

/** A value with its unit. @param {number | null | undefined} value @param {string} unit */
export function valueText(value, unit) {
  if (value === null || value === undefined) return "–";
  const number = Number(value.toFixed(Math.abs(value) < 100 ? 1 : 0));
  return unit ? `${number} ${unit}` : String(number);
}

/** @param {{title: string, values: Record<string, ValueRange>}} part @returns {import("./svg.js").PartDrawing} */
export function plainDrawing({ title, values }) {
  const names = Object.keys(values);
  return {
    size: [WIDE, HEAD + names.length * ROW + 6],
    draw(group, { label }, hands) {
      add(group, s("rect", { class: "m-dark", width: WIDE, height: HEAD + names.length * ROW + 6, rx: 6 }),
        s("text", { class: "title", x: RAIL.x, y: 18 }, shortTitle(title)));
      const rows = names.map((name, i) => drawRow(group, HEAD + i * ROW, { name, label, range: /** @type {ValueRange} */ (values[name]), hands }));
      return (state) => names.forEach((name, i) => rows[i]?.(/** @type {number | null} */ (state[name] ?? null)));
    },
    says(state) {
      const known = names.filter((name) => typeof state[name] === "number");
      if (known.length === 0) return names.length === 0 ? "" : "not known";
      return known.map((name) => `${names.length > 1 ? `${name} ` : ""}${valueText(state[name], values[name]?.unit ?? "")}`).join(", ");
    },
  };
}

/** @param {SVGElement} group @param {number} y @param {{name: string, label: string, range: ValueRange, hands: import("./svg.js").Hands | null}} row @returns {(value: number | null) => void} */
function drawRow(group, y, { name, label, range, hands }) {
  const { least, most, unit } = range;
  const share = (/** @type {number} */ value) => Math.min(1, Math.max(0, (value - least) / (most - least || 1)));
  const number = s("text", { class: "plainvalue", x: WIDE - 12, y: y + 12 });
  add(group, s("text", { class: "plainname", x: RAIL.x, y: y + 12 }, name), number);
  if (!range.sets) return (value) => say(number, valueText(value, unit));

  const done = s("path", { class: "rail done" });
  const thumb = s("circle", { class: hands ? "thumb" : "thumb still", cy: y + 21, r: 6 });
  add(group, s("path", { class: "rail", d: `M${RAIL.x} ${y + 21}h${RAIL.wide}` }), done, thumb);
  const show = (/** @type {number | null} */ value) => {
    say(number, valueText(value, unit));
    const x = RAIL.x + RAIL.wide * share(value ?? least);
    set(thumb, "cx", x.toFixed(1));
    set(thumb, "opacity", value === null ? 0 : 1);
    set(done, "d", value === null ? "" : `M${RAIL.x} ${y + 21}H${x.toFixed(1)}`);
  };
  if (hands === null) return show;
  const showHand = slide(group, `${label}: ${name}`, { ...range, value: null, text: (value) => valueText(value, unit) }, [4, y, WIDE - 8, ROW],
    (x) => least + ((x - RAIL.x) / RAIL.wide) * (most - least), (value) => hands({ [name]: value }));
  return (value) => {
    show(value);
    showHand(value);
  };
}
