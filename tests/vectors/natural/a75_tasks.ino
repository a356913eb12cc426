QueueHandle_t numbers;
SemaphoreHandle_t lock;
int steps = 0;

void blink(void *value) {
  int pin = *(int *)value;
  pinMode(pin, OUTPUT);
  for (;;) {
    digitalWrite(pin, HIGH);
    vTaskDelay(250 / portTICK_PERIOD_MS);
    digitalWrite(pin, LOW);
    vTaskDelay(pdMS_TO_TICKS(250));
  }
}

void count(void *) {
  for (int i = 1; i <= 5; i++) {
    xQueueSend(numbers, &i, portMAX_DELAY);
    xSemaphoreTake(lock, portMAX_DELAY);
    steps++;
    vTaskDelay(300);
    xSemaphoreGive(lock);
  }
  Serial.printf("%s is done after %d steps on core %d\n", pcTaskGetName(NULL), steps, (int)xPortGetCoreID());
  vTaskDelete(NULL);
}

int led = 5;

void setup() {
  Serial.begin(115200);
  numbers = xQueueCreate(2, sizeof(int));
  lock = xSemaphoreCreateMutex();
  xTaskCreate(blink, "blink", 2048, &led, 1, NULL);
  xTaskCreatePinnedToCore(count, "count", 10000, NULL, 1, NULL, 0);
}

void loop() {
  int number;
  if (xQueueReceive(numbers, &number, pdMS_TO_TICKS(1000))) {
    Serial.printf("received %d at %lu\n", number, (unsigned long)millis() / 100);
  } else {
    Serial.println("nothing");
  }
}
