// One to eight digits over shift registers.

import { digitDisplay } from "../../segments.js";

export default digitDisplay(({ digits }) => digits);
