// Displays of pixels: unpacks what a display shows, and draws it on the glass of its module.

import { add, s, set } from "./svg.js";

/** @typedef {import("./svg.js").Screen} Screen */
/** @typedef {import("./hands.js").Box} Box */

// A BMP file up to its picture: 16 bits a pixel, with masks for red, green and blue.
const BMP_BEGIN = [0x4d42, 0, 0, 0, 0, 66, 0, 40, 0, 0, 0, 0, 0, 1, 16, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf800, 0, 0x7e0, 0, 0x1f, 0];
const BMP_WIDTH_AT = 9;
const BMP_HEIGHT_AT = 11;
const MOST_WIDTH = 128;
const MOST_HEIGHT = 160;

/** The content of a display in words. @param {import("./svg.js").State} state */
export function screenSays({ screen = null, text = null }) {
  if (text) return text;
  return screen === null ? null : "shows no text";
}

/**
 * Return an update that unpacks each new screen and calls `show`; an older one that is unpacked later is left out.
 * Without a screen `show` gets null.
 * @param {(screen: Screen | null, bytes: Uint8Array<ArrayBuffer>) => void} show
 */
export function unpackScreens(show) {
  let data = "";
  let taken = 0;
  let shown = 0;
  return async (/** @type {import("./svg.js").State} */ { screen = null }) => {
    const next = screen?.data ?? "";
    if (next === data) return;
    data = next;
    taken += 1;
    const number = taken;
    const bytes = await unpack(next);
    if (number < shown) return;
    shown = number;
    show(screen, bytes);
  };
}

/** @param {string} data zlib in base64, or nothing */
async function unpack(data) {
  if (data === "") return new Uint8Array();
  const packed = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Add a place for pictures of pixels or colors. Returns an update; without a screen the place is dark.
 * @param {SVGElement} group @param {Box} box @param {string} look the class of lit pixels: "oled" or "matrix"
 */
export function screenPicture(group, [x, y, width, height], look) {
  const pixels = s("path", { class: `pixels ${look}`, d: "" });
  const pictures = s("g");
  add(group, pixels, pictures);
  return unpackScreens((screen, bytes) => {
    set(pixels, "transform", `translate(${x} ${y}) scale(${width / (screen?.width ?? 1)} ${height / (screen?.height ?? 1)})`);
    set(pixels, "d", screen?.kind === "pixels" ? litPixels(screen, bytes) : "");
    if (screen?.kind !== "colors") {
      pictures.replaceChildren();
      return;
    }
    const address = URL.createObjectURL(new Blob([bitmap(screen, bytes)], { type: "image/bmp" }));
    const picture = s("image", { x, y, width, height, preserveAspectRatio: "none", href: address });
    picture.addEventListener("load", () => {
      URL.revokeObjectURL(address);
      while (picture.nextSibling !== null) picture.nextSibling.remove();
    });
    picture.addEventListener("error", () => URL.revokeObjectURL(address));
    // It lies below the older ones until it is loaded, so that nothing flickers.
    pictures.prepend(picture);
  });
}

/** The lit pixels as lines from the middle of the first to that of the last one; the class gives them their ends. @param {Screen} screen @param {Uint8Array} bytes */
function litPixels({ width, height }, bytes) {
  const rowBytes = Math.ceil(width / 8);
  let path = "";
  for (let row = 0; row < height; row += 1) {
    let begin = -1;
    for (let column = 0; column <= width; column += 1) {
      const byte = bytes[row * rowBytes + (column >> 3)] ?? 0;
      const isLit = column < width && (byte & (0x80 >> (column & 7))) !== 0;
      if (isLit && begin < 0) begin = column;
      if (isLit || begin < 0) continue;
      path += line(begin, row, column - begin);
      begin = -1;
    }
  }
  return path;
}

/** A line through pixels beside each other. @param {number} column @param {number} row @param {number} count */
export function line(column, row, count) {
  // A bit longer, so that the last one of dots gets its dot.
  return `M${column + 0.5} ${row + 0.5}h${count - 0.99}`;
}

/**
 * Return colors as a BMP file, which is made of the same numbers of 16 bits; each of its rows has an even count of them.
 * @param {Screen} screen @param {Uint8Array} bytes
 */
function bitmap({ width, height }, bytes) {
  const rowLength = width + (width % 2);
  const file = new Uint16Array(BMP_BEGIN.length + rowLength * height);
  file.set(BMP_BEGIN);
  file[BMP_WIDTH_AT] = width;
  // A negative height, of 32 bits: the first row is the upper one.
  file.set([-height, -1], BMP_HEIGHT_AT);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    const place = Math.floor(pixel / width) * rowLength + (pixel % width);
    file[BMP_BEGIN.length + place] = ((bytes[2 * pixel] ?? 0) << 8) | (bytes[2 * pixel + 1] ?? 0);
  }
  return file.buffer;
}

/**
 * Return the drawing of a module with a glass of pixels: OLEDs and color displays.
 * @param {string} material the class of its board @param {[number, number]} [panel] its pixels, if they are no attributes
 * @returns {import("./svg.js").PartDrawing}
 */
export function pixelDisplay(material, panel = [0, 0]) {
  /** A pixel is a unit, or less on a large panel. @param {import("./svg.js").Attributes} attributes @returns {[number, number]} */
  const sizeOf = ({ width: columns = panel[0], height: rows = panel[1] }) => {
    const scale = Math.min(1, MOST_WIDTH / columns, MOST_HEIGHT / rows);
    return [Math.round(columns * scale) + 20, Math.round(rows * scale) + 32];
  };
  return {
    sizeOf,
    draw(group, attributes) {
      const [width, height] = sizeOf(attributes);
      add(group, s("rect", { class: material, width, height, rx: 5 }));
      for (const cx of [8, width - 8]) {
        for (const cy of [7, height - 7]) add(group, s("circle", { class: "hole", cx, cy, r: 3.2 }));
      }
      add(group, s("rect", { class: "glass", x: 6, y: 12, width: width - 12, height: height - 24, rx: 2 }));
      return screenPicture(group, [10, 16, width - 20, height - 32], "oled");
    },
    says: screenSays,
  };
}

export const oled = pixelDisplay("m-blue");
