// An OLED on SPI: its glass with the pixels that are lit.

import { pixelDisplay } from "../../pixels.js";

export default pixelDisplay("m-blue");
