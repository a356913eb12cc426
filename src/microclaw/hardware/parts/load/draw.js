// Anything that a pin switches: the transistor's module, its lamp, and a motor for whatever hangs there.

import { either, light } from "../../shapes.js";
import { add, s, set } from "../../svg.js";

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [112, 56],
  draw(group) {
    const lamp = s("circle", { class: "indicator", cx: 12, cy: 44, r: 3.5 });
    const blades = s("path", { class: "blades", d: "M84 28c-4-6-3-13 0-18 3 5 4 12 0 18zM84 28c7-2 14 1 17 6-6 0-13 0-17-6zM84 28c-3 7-9 11-16 11 2-6 9-11 16-11z" });
    add(group, s("rect", { class: "m-board", y: 4, width: 46, height: 48, rx: 4 }), s("rect", { class: "m-black", x: 20, y: 12, width: 18, height: 20, rx: 1 }));
    add(group, s("path", { class: "lead", d: "M46 22h12M46 34h12" }), s("circle", { class: "m-dark", cx: 84, cy: 28, r: 26 }));
    add(group, blades, s("circle", { class: "screw", cx: 84, cy: 28, r: 5 }), lamp);
    return ({ on = null }) => {
      set(blades, "opacity", on ? 1 : 0.3);
      light(lamp, on);
    };
  },
  says: ({ on = null }) => either(on, ["off", "on"]),
};
