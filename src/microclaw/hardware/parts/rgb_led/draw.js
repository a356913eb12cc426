// An RGB LED: one color, mixed from the brightness of three. It is not known if one of them is not.

import { add, s } from "../../svg.js";
import { bulb, mixColor } from "../../shapes.js";

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [52, 50],
  draw(group) {
    const { shapes, glow } = bulb(26);
    const legs = s("path", { class: "lead", d: "M17 34v12M23 34v14M29 34v12M35 34v12" });
    add(group, s("g", { class: "c-white" }, legs, shapes));
    return ({ red = null, green = null, blue = null }) => {
      if (red === null || green === null || blue === null) {
        glow(0);
        return;
      }
      const { share, mixed } = mixColor([red / 100, green / 100, blue / 100]);
      glow(share, mixed);
    };
  },
  says({ red = null, green = null, blue = null }) {
    if (red === null || green === null || blue === null) return null;
    if (red + green + blue === 0) return "off";
    return `red ${Math.round(red)} %, green ${Math.round(green)} %, blue ${Math.round(blue)} %`;
  },
};
