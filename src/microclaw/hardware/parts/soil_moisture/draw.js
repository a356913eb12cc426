// A soil moisture sensor: a probe for the soil.

import { sensor } from "../../plain_part.js";
import { s } from "../../svg.js";

export default sensor(44, () => [
  s("path", { class: "m-black", d: "M2 6h44v5h78l18 9-18 10H46v5H2z" }),
  s("path", { class: "print-line", d: "M50 15h70M50 26h70" }),
  s("rect", { class: "m-metal dim", x: 14, y: 13, width: 10, height: 14, rx: 1 }),
]);
