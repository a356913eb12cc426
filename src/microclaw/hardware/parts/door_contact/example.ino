// A door alarm: it prints that the door opens and closes, and the buzzer on pin 5 is on if it is open for 5 seconds.
const int DOOR = 4;
const int BUZZER = 5;
bool wasOpen = false;
unsigned long since = 0;

void setup() {
  Serial.begin(115200);
  pinMode(DOOR, INPUT_PULLUP);
  pinMode(BUZZER, OUTPUT);
}

void loop() {
  bool open = digitalRead(DOOR) == HIGH;
  if (open != wasOpen) {
    Serial.println(open ? "door open" : "door closed");
    wasOpen = open;
    since = millis();
  }
  digitalWrite(BUZZER, open && millis() - since > 5000);
  delay(20);
}
