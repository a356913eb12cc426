String command = "SET led=5, speed=120 , name=Fan";

String getValue(const String &data, const String &key) {
  int start = data.indexOf(key + "=");
  if (start < 0) {
    return "";
  }
  start += key.length() + 1;
  int end = data.indexOf(',', start);
  if (end < 0) {
    end = data.length();
  }
  String value = data.substring(start, end);
  value.trim();
  return value;
}

void setup() {
  Serial.begin(115200);
  if (command.startsWith("SET ")) {
    String rest = command.substring(4);
    int led = getValue(rest, "led").toInt();
    int speed = getValue(rest, "speed").toInt();
    String name = getValue(rest, "name");
    Serial.println("led: " + String(led));
    Serial.println("speed: " + String(speed) + " rpm");
    name.toUpperCase();
    Serial.println("name: " + name + " (" + name.length() + ")");
    Serial.println(getValue(rest, "none") == "" ? "none" : "some");
    rest.replace("=", ": ");
    Serial.println(rest);
    if (name.equalsIgnoreCase("fan")) Serial.println(name.charAt(0));
  }
}

void loop() {
  delay(1000);
}
