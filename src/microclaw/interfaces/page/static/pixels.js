// Displays of pixels: unpacks what a display shows, and draws it on the glass of its module.

import { add, s, set } from "./svg.js";

/** @typedef {import("./svg.js").Screen} Screen */
/** @typedef {import("./hands.js").Box} Box */

// Of a BMP file: the number that says that masks follow the two headers, where they are, and where the picture is.
const MASKS = 3;
const MASKS_AT = 54;
const PICTURE_AT = 66;
const MOST_WIDTH = 128;
const MOST_HEIGHT = 160;

/** The content of a display in words. @param {import("./svg.js").State} state */
export function screenSays({ screen = null, text = null }) {
  if (text) return text;
  return screen === null ? "not known" : "shows no text";
}

/**
 * Return a function that takes screens, unpacks each new one and calls `show`; an older one that is unpacked later is
 * left out. Without a screen `show` gets null.
 * @param {(screen: Screen | null, bytes: Uint8Array<ArrayBuffer>) => void} show
 */
export function unpackScreens(show) {
  /** @type {string | null | undefined} */
  let data;
  let taken = 0;
  let shown = 0;
  /** @param {Screen | null} screen */
  return async (screen) => {
    const next = screen?.data ?? null;
    if (next === data) return;
    data = next;
    taken += 1;
    const number = taken;
    const bytes = await unpack(next ?? "");
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
 * Add a place for pictures of pixels or colors. Returns a function that shows a screen there; it is dark without one.
 * @param {SVGElement} group @param {Box} box @param {string} look the class of lit pixels: "oled" or "matrix"
 */
export function screenPicture(group, [x, y, width, height], look) {
  const pixels = s("path", { class: `pixels ${look}`, d: "" });
  const pictures = s("g");
  add(group, pixels, pictures);
  return unpackScreens((screen, bytes) => {
    if (screen?.kind === "pixels") {
      set(pixels, "transform", `translate(${x} ${y}) scale(${width / screen.width} ${height / screen.height})`);
      set(pixels, "d", litPixels(screen, bytes));
    } else {
      set(pixels, "d", "");
    }
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
 * Return colors as a BMP file of 16 bits, whose rows are those of a Screen but for their padding and the order of bytes.
 * (Bitmap Storage, in the documentation of Windows GDI.)
 * @param {Screen} screen @param {Uint8Array} bytes
 */
function bitmap({ width, height }, bytes) {
  const rowBytes = width * 2;
  const paddedBytes = Math.ceil(rowBytes / 4) * 4;
  const file = new DataView(new ArrayBuffer(PICTURE_AT + paddedBytes * height));
  file.setUint16(0, 0x424d);
  file.setUint32(2, file.byteLength, true);
  file.setUint32(10, PICTURE_AT, true);
  file.setUint32(14, 40, true);
  file.setInt32(18, width, true);
  // A negative height: the first row is the upper one.
  file.setInt32(22, -height, true);
  file.setUint16(26, 1, true);
  file.setUint16(28, 16, true);
  file.setUint32(30, MASKS, true);
  [0xf800, 0x07e0, 0x001f].forEach((mask, place) => file.setUint32(MASKS_AT + 4 * place, mask, true));
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const at = row * rowBytes + column * 2;
      file.setUint16(PICTURE_AT + row * paddedBytes + column * 2, ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0), true);
    }
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
      const show = screenPicture(group, [10, 16, width - 20, height - 32], "oled");
      return ({ screen = null }) => {
        show(screen);
      };
    },
    says: screenSays,
  };
}
