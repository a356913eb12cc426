// An interrupt wakes a task; loop stops another one, and ends itself.
TaskHandle_t waiting, beating, other;
volatile int beats = 0;

void IRAM_ATTR pressed() {
  BaseType_t woken = pdFALSE;
  vTaskNotifyGiveFromISR(waiting, &woken);
  portYIELD_FROM_ISR(woken);
}

void wait_for_presses(void *) {
  while (true) {
    if (ulTaskNotifyTake(pdTRUE, pdMS_TO_TICKS(1500))) {
      Serial.println("pressed");
    } else {
      Serial.println("quiet");
    }
  }
}

void beat(void *pause_ms) {
  for (;;) {
    beats++;
    delay((int)pause_ms);
  }
}

void end(void *) {
  Serial.println("short");
}

void setup() {
  Serial.begin(115200);
  attachInterrupt(digitalPinToInterrupt(4), pressed, FALLING);
  xTaskCreate(wait_for_presses, "wait", 2048, NULL, 1, &waiting);
  xTaskCreate(beat, "beat", 2048, (void *)100, 1, &beating);
  xTaskCreate(end, "end", 2048, NULL, 1, &other);
}

void loop() {
  delay(1050);
  Serial.println(beats);
  vTaskSuspend(beating);
  delay(500);
  Serial.println(beats);
  vTaskResume(beating);
  delay(250);
  Serial.println(beats);
  vTaskDelete(beating);
  delay(500);
  Serial.println(beats);
  vTaskDelete(NULL);
  Serial.println("never");
}
