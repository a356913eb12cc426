const byte buttonPin = 4;
volatile unsigned int pulses = 0;
unsigned long lastReport = 0;

void IRAM_ATTR countPulse() {
  pulses++;
}

void setup() {
  Serial.begin(115200);
  pinMode(buttonPin, INPUT_PULLUP);
  attachInterrupt(digitalPinToInterrupt(buttonPin), countPulse, FALLING);
}

void loop() {
  if (millis() - lastReport >= 1000) {
    lastReport = millis();
    noInterrupts();
    unsigned int n = pulses;
    pulses = 0;
    interrupts();
    Serial.print("pulses: ");
    Serial.println(n);
  }
}
