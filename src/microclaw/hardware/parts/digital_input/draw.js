// Anything that a pin reads as on or off: a contact that is open or closed.

import { either, toggle } from "../../shapes.js";
import { add, s, set } from "../../svg.js";

/** @type {[string, string]} */
const WORDS = ["off", "on"];

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [76, 44],
  draw(group, { label }, hands) {
    add(group, s("rect", { class: "m-board", x: 2, y: 3, width: 72, height: 38, rx: 4 }));
    add(group, s("path", { class: "contact", d: "M8 26h16M52 26h16" }));
    const arm = s("path", { class: "arm", d: "M24 26 52 26" });
    const { hand, show } = toggle(group, label ?? "input", [76, 44], WORDS, hands && ((on) => hands({ on })));
    add(hand, arm, s("circle", { class: "contactdot", cx: 24, cy: 26, r: 3 }), s("circle", { class: "contactdot", cx: 52, cy: 26, r: 3 }));
    return ({ on = null }) => {
      set(arm, "d", on ? "M24 26 52 26" : "M24 26 49 12");
      set(arm, "opacity", on === null ? 0 : 1);
      show(on);
    };
  },
  says: ({ on = null }) => either(on, WORDS),
};
