#include <Keypad.h>
char keys[4][4] = {
  {'1','2','3','A'},
  {'4','5','6','B'},
  {'7','8','9','C'},
  {'*','0','#','D'}
};
byte rowPins[4] = {4, 5, 6, 7};
byte colPins[4] = {15, 16, 17, 18};
Keypad keypad = Keypad(makeKeymap(keys), rowPins, colPins, 4, 4);
const int door = 21;
String typed = "";

void setup() {
  Serial.begin(115200);
  pinMode(door, OUTPUT);
}

void loop() {
  char key = keypad.getKey();
  if (key == '#') {
    if (typed == "159") {
      digitalWrite(door, HIGH);
      Serial.println("open");
    } else {
      Serial.println("wrong");
    }
    typed = "";
  } else if (key == '*') {
    typed = "";
    digitalWrite(door, LOW);
  } else if (key != NO_KEY) {
    typed += key;
  }
}
