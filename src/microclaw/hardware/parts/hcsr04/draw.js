// Distance by ultrasound: two eyes, and a slider for how far away the thing is.

import { sensor, WIDTH } from "../../plain_part.js";
import { s } from "../../svg.js";

export default sensor(54, () => [
  s("rect", { class: "m-board blue", width: WIDTH, height: 50, rx: 4 }),
  s("circle", { class: "m-metal", cx: 34, cy: 25, r: 21 }), s("circle", { class: "mesh", cx: 34, cy: 25, r: 16 }),
  s("circle", { class: "m-metal", cx: 114, cy: 25, r: 21 }), s("circle", { class: "mesh", cx: 114, cy: 25, r: 16 }),
  s("rect", { class: "m-metal dim", x: 64, y: 6, width: 20, height: 8, rx: 4 }),
]);
