// A matrix of 8 x 8 LEDs, or digits; also a chain of them.

import { line, screenPicture, screenSays } from "../../pixels.js";
import { digitDisplay } from "../../segments.js";
import { add, s } from "../../svg.js";

const SIDE = 8;
const MOST_PITCH = 8;
const MOST_WIDTH = 138;
const MARGIN = 5;
const digits = digitDisplay((attributes) => attributes.count * attributes.digits);

/** @type {import("../../svg.js").PartDrawing & {sizeOf: Function}} */
const matrix = {
  sizeOf({ count }) {
    const pitch = Math.min(MOST_PITCH, MOST_WIDTH / (SIDE * count));
    return [SIDE * count * pitch + 2 * MARGIN, SIDE * pitch + 2 * MARGIN];
  },
  draw(group, attributes) {
    const [width, height] = matrix.sizeOf(attributes);
    const scale = (height - 2 * MARGIN) / SIDE;
    const rows = Array.from({ length: SIDE }, (_, row) => line(0, row, SIDE * attributes.count));
    add(group, s("rect", { class: "m-black", width, height, rx: 3 }));
    add(group, s("path", { class: "pixels matrix dark", d: rows.join(""), transform: `translate(${MARGIN} ${MARGIN}) scale(${scale})` }));
    return screenPicture(group, [MARGIN, MARGIN, width - 2 * MARGIN, height - 2 * MARGIN], "matrix");
  },
  says: screenSays,
};

/** @type {import("../../svg.js").PartDrawing} */
export default {
  sizeOf: (attributes) => (attributes.digits ? digits : matrix).sizeOf?.(attributes) ?? [0, 0],
  draw: (group, attributes, hands) => (attributes.digits ? digits : matrix).draw(group, attributes, hands),
  says: screenSays,
};
