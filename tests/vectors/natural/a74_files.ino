#include <FS.h>
#include <LittleFS.h>

void append(fs::FS &disk, const char *path, const char *line) {
  File file = disk.open(path, FILE_APPEND);
  if (!file) {
    Serial.println("no file");
    return;
  }
  file.println(line);
  file.close();
}

void setup() {
  Serial.begin(115200);
  if (!LittleFS.begin(true)) return;
  Serial.println(LittleFS.exists("/data.csv"));
  append(LittleFS, "/data.csv", "1,21.5");
  append(LittleFS, "/data.csv", "2,22.0");
  File file = LittleFS.open("/data.csv");
  Serial.printf("%s %u\n", file.name(), (unsigned)file.size());
  while (file.available()) {
    long number = file.parseInt();
    file.read();
    String value = file.readStringUntil('\n');
    Serial.println(String(number) + " = " + value);
  }
  file.seek(2);
  Serial.write(file.peek());
  Serial.println((char)file.read());
  file.close();
  Serial.println((bool)file);
  append(LittleFS, "/no/folder.txt", "x");
}

void loop() {
  delay(1000);
}
