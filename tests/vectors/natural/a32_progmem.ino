const char hello[] PROGMEM = "Hello from flash";
const uint8_t pattern[] PROGMEM = {1, 0, 1, 1, 0};

void setup() {
  Serial.begin(115200);
  pinMode(2, OUTPUT);
  for (unsigned i = 0; i < strlen_P(hello); i++) {
    Serial.print((char)pgm_read_byte(&hello[i]));
  }
  Serial.println();
}

void loop() {
  for (uint8_t i = 0; i < sizeof(pattern); i++) {
    digitalWrite(2, pgm_read_byte(&pattern[i]));
    delay(100);
  }
}
