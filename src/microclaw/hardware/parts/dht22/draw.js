// A DHT22: its white case with slots.

import { sensor } from "../../plain_part.js";
import { s } from "../../svg.js";

export default sensor(52, () => [
  s("path", { class: "lead", d: "M0 17h8M0 24h8M0 31h8" }),
  s("rect", { class: "m-white", x: 6, y: 1, width: 62, height: 46, rx: 4 }),
  s("path", { class: "slots", d: "M18 11h38M18 18h38M18 25h38M18 32h38M18 39h38" }),
]);
