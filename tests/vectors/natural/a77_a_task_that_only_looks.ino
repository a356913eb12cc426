volatile int lows = 0;

void look(void *) {
  for (;;) {
    if (digitalRead(4) == LOW) lows++;
  }
}

void rest(void *) {
  for (;;) delay(1000);
}

void setup() {
  Serial.begin(115200);
  pinMode(4, INPUT_PULLUP);
  xTaskCreate(look, "look", 1024, NULL, 1, NULL);
  for (int i = 0; i < 4; i++) {
    Serial.println(xTaskCreate(rest, "rest", 1024, NULL, 1, NULL) == pdPASS);
  }
}

void loop() {
  delay(1000);
  Serial.println(lows > 0);
}
