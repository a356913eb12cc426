// An RGB LED: one color, mixed from the brightness of three.

import { add, s } from "../../svg.js";
import { bulb } from "../../shapes.js";

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [52, 50],
  draw(group) {
    const { shapes, glow } = bulb(26);
    const legs = s("path", { class: "lead", d: "M17 34v12M23 34v14M29 34v12M35 34v12" });
    add(group, s("g", { class: "c-white" }, legs, shapes));
    return ({ red = null, green = null, blue = null }) => {
      const shares = [red ?? 0, green ?? 0, blue ?? 0];
      const most = Math.max(...shares);
      const levels = shares.map((share) => Math.round((share / (most || 1)) * 255));
      glow(most / 100, `rgb(${levels.join(" ")})`);
    };
  },
  says({ red = null, green = null, blue = null }) {
    if (red === null || green === null || blue === null) return "not known";
    if (red + green + blue === 0) return "off";
    return `red ${Math.round(red)} %, green ${Math.round(green)} %, blue ${Math.round(blue)} %`;
  },
};
