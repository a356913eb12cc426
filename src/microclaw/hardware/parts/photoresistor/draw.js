// A photoresistor on its module.

import { sensor } from "../../plain_part.js";
import { s } from "../../svg.js";

export default sensor(46, () => [
  s("rect", { class: "m-blue", x: 30, y: 8, width: 86, height: 28, rx: 3 }),
  s("rect", { class: "m-relay", x: 90, y: 13, width: 18, height: 18, rx: 1 }), s("circle", { class: "screw", cx: 99, cy: 22, r: 5 }),
  s("circle", { class: "m-sand", cx: 22, cy: 22, r: 20 }),
  s("path", { class: "snake", d: "M9 15h24q5 0 5 4t-5 4H13q-4 0-4 3.5t4 3.5h20" }),
]);
