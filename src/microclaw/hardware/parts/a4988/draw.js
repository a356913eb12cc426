// A driver of a stepper motor, and the motor on it: where its shaft stands.

import { motorSays, shaft } from "../../shapes.js";
import { add, s } from "../../svg.js";

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [130, 78],
  draw(group) {
    const { shapes, turn } = shaft();
    add(group, s("rect", { class: "m-green", x: 86, y: 9, width: 42, height: 60, rx: 3 }));
    add(group, s("path", { class: "lead", d: "M76 34h10M76 44h10" }), s("rect", { class: "m-black", x: 97, y: 26, width: 20, height: 20, rx: 1 }));
    add(group, s("circle", { class: "m-metal", cx: 107, cy: 57, r: 5 }), s("path", { class: "facets", d: "M104 57h6" }), shapes);
    return ({ angle = null }) => turn(angle);
  },
  says: motorSays,
};
