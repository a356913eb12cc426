#include <WebServer.h>
#include <WiFi.h>

const int LAMP = 2;

WebServer server(80);

// The links are relative, as the host serves the page below /app/web_switch/.
void sendPage(String folder) {
  String page = "<!doctype html>\n<title>Lamp</title>\n";
  page += digitalRead(LAMP) ? "<h1>The lamp is on</h1>\n" : "<h1>The lamp is off</h1>\n";
  page += "<a href=\"" + folder + "on\">On</a> <a href=\"" + folder + "off\">Off</a>\n";
  server.send(200, "text/html", page);
}

void switchLamp(int level) {
  digitalWrite(LAMP, level);
  Serial.println(level ? "lamp on" : "lamp off");
  sendPage("");
}

void setup() {
  Serial.begin(115200);
  pinMode(LAMP, OUTPUT);
  WiFi.begin("your network", "its password");
  while (WiFi.status() != WL_CONNECTED) {
    delay(500);
  }
  server.on("/", []() { sendPage("led/"); });
  server.on("/led/on", []() { switchLamp(HIGH); });
  server.on("/led/off", []() { switchLamp(LOW); });
  server.onNotFound([]() { server.send(404, "text/plain", "There is no such page"); });
  server.begin();
}

void loop() {
  server.handleClient();
  delay(10);
}
