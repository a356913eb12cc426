// An NTC thermistor: its bead and its legs on a module.

import { sensor } from "../../plain_part.js";
import { s } from "../../svg.js";

export default sensor(40, () => [
  s("rect", { class: "m-blue", x: 48, y: 4, width: 66, height: 28, rx: 3 }),
  s("path", { class: "lead", d: "M22 15h30M22 21h30" }),
  s("circle", { class: "m-black", cx: 18, cy: 18, r: 11 }),
  s("rect", { class: "m-black", x: 76, y: 12, width: 14, height: 11, rx: 1 }),
]);
