#include <stdio.h>
#include <unistd.h>

typedef struct {
    double kp, ki, kd;
    double integral, last_error;
    double low, high;
} pid_controller;

static double clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

static double step(pid_controller *c, double error, double dt)
{
    c->integral = clamp(c->integral + error * dt, -50, 50);
    double derivative = (error - c->last_error) / dt;
    c->last_error = error;
    return clamp(c->kp * error + c->ki * c->integral + c->kd * derivative, c->low, c->high);
}

int main(void)
{
    pid_controller c = {2.0, 0.5, 0.1, 0, 0, 0, 100};
    double speed = 0;
    for (int i = 1; i <= 20; i++) {
        double power = step(&c, 50.0 - speed, 0.1);
        speed += (power - speed) * 0.2;
        if (i % 5 == 0)
            printf("step %2d: power %6.2f speed %6.2f\n", i, power, speed);
        usleep(100 * 1000);
    }
    return speed > 20 ? 0 : 1;
}
