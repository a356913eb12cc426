void blinkTask(void *parameter) {
  pinMode(2, OUTPUT);
  for (;;) {
    digitalWrite(2, HIGH);
    vTaskDelay(500 / portTICK_PERIOD_MS);
    digitalWrite(2, LOW);
    vTaskDelay(500 / portTICK_PERIOD_MS);
  }
}

void setup() {
  xTaskCreatePinnedToCore(blinkTask, "blink", 2048, NULL, 1, NULL, 1);
}

void loop() {}
