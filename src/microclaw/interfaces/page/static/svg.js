// Elements of a drawing, and the form of a part's drawing. Looks are classes, live values are SVG attributes: the page
// has no style attribute.

const SVG = "http://www.w3.org/2000/svg";

/** What a display shows, as hardware/screens/screen.py has it; `data` is zlib in base64. @typedef {{kind: "pixels" | "colors" | "text" | "digits", width: number, height: number, data: string, mark: string}} Screen */
/** The values of a part by their names in its part.toml, null if not known; `screen` of a display and its content in words as `text`, `colors` ("ff0000") of addressable LEDs. @typedef {Record<string, number | null> & {screen?: Screen | null, text?: string | null, colors?: string[] | null}} State */
/** A value of a part: its range, and whether hands can set it. @typedef {{least: number, most: number, unit: string, step: number, sets: boolean, choices?: number[]}} Value */
/** Sets inputs of a part by their names. @typedef {(values: Record<string, number>) => void} Hands */
/** The part's attributes; besides its label or id as `label`, its `title`, and its values by name. @typedef {Record<string, any> & {label?: string, title?: string, values?: Record<string, Value>}} Attributes */
/**
 * `hardware/parts/NAME/draw.js` exports one of these. `draw` gets an empty group at 0,0 in the part's own units (a unit
 * is a pixel at full size), and returns a function that shows a state. `says` is the state in words.
 * @typedef {{
 *   size?: [number, number], sizeOf?: (attributes: Attributes) => [number, number],
 *   draw: (group: SVGElement, attributes: Attributes, hands: Hands | null) => (state: State) => void,
 *   says: (state: State, attributes: Attributes) => string,
 * }} PartDrawing
 */
/** @typedef {Node | string | null | undefined | false} Child */

/** @template {Element} E @param {E} node @param {Record<string, any>} attributes @param {any[]} children @returns {E} */
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (/^aria-(pressed|checked|expanded)$/.test(name)) node.setAttribute(name, String(value));
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An SVG element. @param {string} tag @param {Record<string, any>} [attributes] @param {any[]} children @returns {SVGElement} */
export function s(tag, attributes = {}, ...children) {
  return fill(/** @type {SVGElement} */ (document.createElementNS(SVG, tag)), attributes, children);
}

/** Put children, also lists of them, into a group. @param {SVGElement} group @param {any[]} children */
export function add(group, ...children) {
  return fill(group, {}, children);
}

/** Set an attribute only if it changes: a drawing that stands still costs nothing. @param {Element} node @param {string} name @param {unknown} value */
export function set(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Set a text only if it changes. @param {Element} node @param {string} text */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
