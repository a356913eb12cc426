// One to four digits on pins.

import { digitDisplay } from "../../segments.js";

export default digitDisplay(({ digits }) => digits);
