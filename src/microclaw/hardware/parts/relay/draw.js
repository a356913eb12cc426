// A relay module: its lamp, its arm, and the contact that it closes.

import { either, light } from "../../shapes.js";
import { add, s, set } from "../../svg.js";

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [122, 56],
  draw(group) {
    const arm = s("path", { class: "arm", d: "M50 28 72 38" });
    const lamp = s("circle", { class: "indicator", cx: 12, cy: 46, r: 3.5 });
    add(group, s("rect", { class: "m-board", width: 122, height: 56, rx: 4 }), s("rect", { class: "m-relay", x: 24, y: 7, width: 68, height: 42, rx: 2 }));
    add(group, s("rect", { class: "m-terminal", x: 97, y: 5, width: 21, height: 46, rx: 2 }));
    add(group, [14, 28, 42].map((cy) => s("circle", { class: "screw", cx: 107.5, cy, r: 4.5 })));
    add(group, s("path", { class: "contact", d: "M34 28h14M74 18h10M74 38h10" }));
    for (const [cx, cy] of [[50, 28], [72, 18], [72, 38]]) add(group, s("circle", { class: "contactdot", cx, cy, r: 2.6 }));
    add(group, arm, lamp);
    return ({ on = null }) => {
      set(arm, "d", on ? "M50 28 72 18" : "M50 28 72 38");
      set(arm, "opacity", on === null ? 0 : 1);
      light(lamp, on);
    };
  },
  says: ({ on = null }) => either(on, ["off", "on"]),
};
