// A motion sensor: hold its dome to move before it.

import { press } from "../../hands.js";
import { either } from "../../shapes.js";
import { add, s, set } from "../../svg.js";

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [72, 60],
  draw(group, { label }, hands) {
    const rays = s("path", { class: "wave", d: "M60 12l7-6M63 30h7M60 48l7 6", opacity: 0 });
    const dome = s("g", {},
      s("circle", { class: "m-dome", cx: 32, cy: 30, r: 22 }),
      s("path", { class: "facets", d: "M32 8v44M10 30h44M16.5 14.5l31 31M47.5 14.5l-31 31" }),
      s("circle", { class: "facets", cx: 32, cy: 30, r: 12 }));
    add(group, s("rect", { class: "m-green", x: 4, y: 2, width: 56, height: 56, rx: 5 }));
    press(group, hands, { label: `${label}: move before it`, box: [8, 6, 48, 48], input: "motion" }, dome);
    add(group, rays);
    return ({ motion = null }) => set(rays, "opacity", motion ? 1 : 0);
  },
  says: ({ motion = null }) => either(motion, ["still", "motion"]),
};
