enum State { IDLE, RUNNING, DONE };

struct Job {
  const char *name;
  unsigned long duration;
  State state;
};

Job jobs[] = {
  {"wash", 300, IDLE},
  {"spin", 200, IDLE},
};
const int JOBS = sizeof(jobs) / sizeof(jobs[0]);
int current = 0;
unsigned long started;

void setup() {
  Serial.begin(115200);
  startJob(jobs[0]);
}

void loop() {
  if (current < JOBS && jobs[current].state == RUNNING && millis() - started >= jobs[current].duration) {
    finishJob(jobs[current]);
    if (++current < JOBS) startJob(jobs[current]);
    else Serial.println("all done");
  }
}

void startJob(Job &job) {
  job.state = RUNNING;
  started = millis();
  Serial.printf("%s: %s\n", job.name, stateName(job.state));
}

void finishJob(Job &job) {
  job.state = DONE;
  Serial.printf("%s: %s\n", job.name, stateName(job.state));
}

const char *stateName(State s) {
  switch (s) {
    case IDLE: return "idle";
    case RUNNING: return "running";
    case DONE: return "done";
  }
  return "?";
}
