// A stepper motor on its driver board: where its shaft stands.

import { motorSays, shaft } from "../../shapes.js";
import { add } from "../../svg.js";

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [78, 78],
  draw(group) {
    const { shapes, turn } = shaft();
    add(group, shapes);
    return ({ angle = null }) => turn(angle);
  },
  says: motorSays,
};
