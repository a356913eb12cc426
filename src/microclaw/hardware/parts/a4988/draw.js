// A driver of a stepper motor, and the motor on it: where its shaft stands.

import { stepper } from "../../shapes.js";
import { s } from "../../svg.js";

export default stepper([130, 78], () => [
  s("rect", { class: "m-green", x: 86, y: 9, width: 42, height: 60, rx: 3 }),
  s("path", { class: "lead", d: "M76 34h10M76 44h10" }),
  s("rect", { class: "m-black", x: 97, y: 26, width: 20, height: 20, rx: 1 }),
  s("circle", { class: "m-metal", cx: 107, cy: 57, r: 5 }), s("path", { class: "facets", d: "M104 57h6" }),
]);
