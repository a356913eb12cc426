// A display of four digits, such as a clock's.

export { default } from "../../segments.js";
