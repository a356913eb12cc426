// One to four digits on pins.

export { default } from "../../segments.js";
