// A water level sensor: traces that the water connects.

import { sensor } from "../../plain_part.js";
import { s } from "../../svg.js";

export default sensor(44, () => [
  s("rect", { class: "m-red", x: 2, y: 2, width: 144, height: 36, rx: 3 }),
  s("path", { class: "traces", d: "M48 8h92M48 13h92M48 18h92M48 23h92M48 28h92M48 33h92" }),
  s("rect", { class: "m-black", x: 16, y: 14, width: 12, height: 12, rx: 1 }),
]);
