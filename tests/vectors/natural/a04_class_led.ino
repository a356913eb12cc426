class Flasher {
  int ledPin;
  long onTime;
  long offTime;
  int ledState;
  unsigned long previousMillis;

public:
  Flasher(int pin, long on, long off) {
    ledPin = pin;
    onTime = on;
    offTime = off;
    ledState = LOW;
    previousMillis = 0;
  }

  void begin() {
    pinMode(ledPin, OUTPUT);
  }

  void update() {
    unsigned long currentMillis = millis();
    if ((ledState == HIGH) && (currentMillis - previousMillis >= onTime)) {
      ledState = LOW;
      previousMillis = currentMillis;
      digitalWrite(ledPin, ledState);
    } else if ((ledState == LOW) && (currentMillis - previousMillis >= offTime)) {
      ledState = HIGH;
      previousMillis = currentMillis;
      digitalWrite(ledPin, ledState);
    }
  }
};

Flasher led1(2, 100, 400);
Flasher led2(5, 350, 350);

void setup() {
  led1.begin();
  led2.begin();
}

void loop() {
  led1.update();
  led2.update();
}
