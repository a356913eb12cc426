// One to eight digits over shift registers.

export { default } from "../../segments.js";
