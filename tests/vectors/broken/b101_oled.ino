#include <Adafruit_ImageReader.h>
#include <Adafruit_SSD1351.h>
Adafruit_SSD1351 display(128,96,&SPI,5,17,16);
void setup(){ display.begin(); display.fillScreen(0); display.setTextSize(1); display.setTextColor(0xFFFF); display.println("x"); }
void loop(){}
