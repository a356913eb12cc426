// A gas sensor: its can with a mesh.

import { sensor, WIDTH } from "../../plain_part.js";
import { s } from "../../svg.js";

export default sensor(58, () => [
  s("rect", { class: "m-board blue", y: 4, width: WIDTH, height: 46, rx: 4 }),
  s("circle", { class: "m-metal", cx: 44, cy: 27, r: 26 }), s("circle", { class: "mesh", cx: 44, cy: 27, r: 18 }),
  s("rect", { class: "m-relay", x: 108, y: 18, width: 18, height: 18, rx: 1 }), s("circle", { class: "screw", cx: 117, cy: 27, r: 5 }),
]);
