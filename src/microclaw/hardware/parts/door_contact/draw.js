// A door contact: the switch on the frame, and the magnet on the door, which moves away when it opens.

import { either, toggle } from "../../shapes.js";
import { add, s, set } from "../../svg.js";

/** @type {[string, string]} */
const WORDS = ["closed", "open"];

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [96, 48],
  draw(group, { label }, hands) {
    add(group, s("rect", { class: "m-white", x: 2, y: 8, width: 38, height: 32, rx: 3 }));
    add(group, s("path", { class: "grip", d: "M10 24h9l7-4M28 24h5" }));
    const magnet = s("g", {},
      s("rect", { class: "m-white", x: 42, y: 8, width: 22, height: 32, rx: 3 }),
      s("rect", { class: "pole", x: 47, y: 14, width: 12, height: 10 }),
      s("rect", { class: "pole south", x: 47, y: 24, width: 12, height: 10 }));
    const { hand, show } = toggle(group, label ?? "door", [96, 48], WORDS, hands && ((open) => hands({ open })));
    add(hand, magnet);
    return ({ open = null }) => {
      set(magnet, "transform", `translate(${open ? 30 : 0} 0)`);
      set(magnet, "opacity", open === null ? 0.4 : 1);
      show(open);
    };
  },
  says: ({ open = null }) => either(open, WORDS),
};
