void setup(){ }
void setup(){ }
void loop(){ int x; x.y = 3; undefined_thing(); }
