// Two timers, one as core 3 of the ESP32 begins them, one as core 2 does.
hw_timer_t *half_seconds = NULL;
hw_timer_t *once = NULL;
portMUX_TYPE lock = portMUX_INITIALIZER_UNLOCKED;
volatile int ticks = 0;
int rung = 0;

void ARDUINO_ISR_ATTR onTick() {
  portENTER_CRITICAL_ISR(&lock);
  ticks++;
  portEXIT_CRITICAL_ISR(&lock);
}

void ARDUINO_ISR_ATTR onRing(void *value) {
  *(int *)value += 1;
  digitalWrite(2, HIGH);
}

void setup() {
  Serial.begin(115200, SERIAL_8N1);
  pinMode(2, OUTPUT);
  half_seconds = timerBegin(1000000);
  timerAttachInterrupt(half_seconds, &onTick);
  timerAlarm(half_seconds, 500000, true, 0);
  once = timerBegin(0, 80, true);
  timerAttachInterruptArg(once, onRing, &rung);
  timerAlarmWrite(once, 1250000, false);
  timerAlarmEnable(once);
}

void loop() {
  Serial.printf("%d %d\n", ticks, rung);
  if (ticks == 4) {
    timerStop(half_seconds);
    Serial.println(timerReadMillis(once));
  }
  delay(1000);
}
