// Opens a lock with the code 42#.
#include <Keypad.h>

const byte ROWS = 4;
const byte COLS = 4;
char keys[ROWS][COLS] = {
  { '1', '2', '3', 'A' },
  { '4', '5', '6', 'B' },
  { '7', '8', '9', 'C' },
  { '*', '0', '#', 'D' }
};
byte rowPins[ROWS] = { 4, 5, 6, 7 };
byte colPins[COLS] = { 15, 16, 17, 18 };

Keypad keypad = Keypad(makeKeymap(keys), rowPins, colPins, ROWS, COLS);
String typed;

void setup() {
  Serial.begin(115200);
}

void loop() {
  char key = keypad.getKey();
  if (key == NO_KEY) {
    return;
  }
  Serial.print("key ");
  Serial.println(key);
  if (key == '#') {
    Serial.println(typed == "42" ? "open" : "wrong");
    typed = "";
  } else {
    typed += key;
  }
}
