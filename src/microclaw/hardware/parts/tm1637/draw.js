// A display of four digits, such as a clock's.

import { digitDisplay } from "../../segments.js";

export default digitDisplay(({ digits }) => digits);
