// A number or a sign before a text, and texts of numbers in every base: as Arduino-ESP32 writes them.
int items = 65;
unsigned long elapsed = 48;
float volts = 2.5;
byte code = 66;
long long far_away = -9000000000LL;
int8_t small = -5;
uint16_t port = 8080;
bool on = true;
enum Level { LOW_LEVEL = 7 };

void setup() {
  Serial.begin(115200);
  Serial.println(items + String(" items"));
  Serial.println(elapsed + String(" ms"));
  Serial.println(48UL + String(" ms"));
  Serial.println(volts + String(" V"));
  Serial.println(2.25 + String(" V"));
  Serial.println(code + String(" code"));
  Serial.println(far_away + String(" m"));
  Serial.println(small + String(" C"));
  Serial.println(port + String("/tcp"));
  Serial.println(on + String(" on"));
  Serial.println(LOW_LEVEL + String(" level"));
  Serial.println('c' + String("d"));
  Serial.println(5 + 6 + String("x"));
  char unit[] = "kg";
  Serial.println(unit + String("!"));
  Serial.println("n=" + String(items) + ", " + volts + ';' + code + on);
  String sum;
  sum += items; sum += ' '; sum += volts; sum += ' '; sum += code; sum += ' '; sum += elapsed; sum += ' '; sum += far_away;
  Serial.println(sum);
  sum = "";
  sum.concat(small); sum.concat('/'); sum.concat(1.5); sum.concat("/"); sum.concat(port);
  Serial.println(sum);
  Serial.println(String(0xAB, HEX) + " " + String(255UL, HEX) + " " + String((byte)10, HEX) + " " + String(3735928559ULL, HEX));
  Serial.println(String(5, BIN) + " " + String(64, OCT) + " " + String(35, 36) + " " + String(-7) + " " + String(-1, HEX));
  Serial.println(String(2.0f, 0) + " " + String(3.14159, 4) + " " + String(true) + " " + String('x'));
  String address = "0x" + String(0xAB, HEX);
  Serial.println(address == "0xab" ? "match" : "no match");
  Serial.println("abc" == String("abc") && String("a") < "b" && "b" > String("a") && String("a") != "b" ? "ordered" : "wrong");
  Serial.println(0xAB, HEX);
  Serial.println(String("a-b-c").lastIndexOf("-", 2));
}

void loop() { delay(1000); }
