void setup(){ Serial.begin(9600); analogReadResolution(12); }
void loop(){ int v = analogRead(A0); int w = analogRead(34); Serial.println(v+w); delay(100);}
