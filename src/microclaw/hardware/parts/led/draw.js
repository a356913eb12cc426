// An LED in its color. Dark without a glow if it is off, or if nobody knows.

import { add, s, set } from "../../svg.js";

const LENS = "M11 30V18a11 11 0 0 1 22 0v12z";

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [44, 50],
  draw(group) {
    const outer = s("circle", { class: "halo", cx: 22, cy: 18, r: 24, opacity: 0 });
    const inner = s("circle", { class: "halo", cx: 22, cy: 18, r: 17, opacity: 0 });
    const light = s("path", { class: "glow", d: LENS, opacity: 0 });
    add(group, s("g", { class: "c-red" }, outer, inner,
      s("path", { class: "lead", d: "M17 34v14M27 34v14" }),
      s("path", { class: "lens", d: LENS }), light,
      s("path", { class: "lens rim", d: "M8 30h28v4.5a1 1 0 0 1-1 1H9a1 1 0 0 1-1-1z" }),
      s("path", { class: "shine", d: "M15.5 25v-7a6.5 6.5 0 0 1 4-6" })));
    return ({ brightness = null }) => {
      const share = (brightness ?? 0) / 100;
      set(light, "opacity", share);
      set(outer, "opacity", share * 0.16);
      set(inner, "opacity", share * 0.3);
    };
  },
  says({ brightness = null }) {
    if (brightness === null) return "not known";
    if (brightness === 0) return "off";
    return brightness === 100 ? "on" : `${Math.round(brightness)} %`;
  },
};
