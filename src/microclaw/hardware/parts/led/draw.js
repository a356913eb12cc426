// An LED in its color. Dark without a glow if it is off, or if nobody knows.

import { add, s } from "../../svg.js";
import { bulb } from "../../shapes.js";

const COLORS = ["red", "green", "blue", "yellow", "white", "orange"];

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [44, 50],
  draw(group, { color = 0 }) {
    const { shapes, glow } = bulb(22);
    const legs = s("path", { class: "lead", d: "M17 34v14M27 34v14" });
    add(group, s("g", { class: `c-${COLORS[color] ?? "red"}` }, legs, shapes));
    return ({ brightness = null }) => glow((brightness ?? 0) / 100);
  },
  says({ brightness = null }) {
    if (brightness === null) return null;
    if (brightness === 0) return "off";
    return brightness === 100 ? "on" : `${Math.round(brightness)} %`;
  },
};
