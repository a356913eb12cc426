// A push button: held down by mouse, finger, Space or Enter.

import { press } from "../../hands.js";
import { either } from "../../shapes.js";
import { add, s, set } from "../../svg.js";

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [56, 56],
  draw(group, { label }, hands) {
    add(group, s("path", { class: "lead", d: "M2 16h8M2 40h8M46 16h8M46 40h8" }));
    add(group, s("rect", { class: "m-dark", x: 8, y: 8, width: 40, height: 40, rx: 4 }));
    for (const cx of [14, 42]) {
      for (const cy of [14, 42]) add(group, s("circle", { class: "bore", cx, cy, r: 2 }));
    }
    add(group, s("circle", { class: "m-black", cx: 28, cy: 28, r: 15 }));
    const cap = s("circle", { class: "cap", cx: 28, cy: 28, r: 13 });
    press(group, hands, { label: `${label}: hold down`, box: [6, 6, 44, 44], input: "pressed" }, cap);
    return ({ pressed = null }) => {
      set(cap, "r", pressed ? 11 : 13);
      set(cap, "class", pressed ? "cap down" : "cap");
    };
  },
  says: ({ pressed = null }) => either(pressed, ["released", "pressed"]),
};
