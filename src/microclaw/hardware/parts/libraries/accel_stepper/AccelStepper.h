/* AccelStepper.h: stepper motors that speed up and slow down, on a driver with STEP and DIR or on two or four pins; our own
 * code behind the names of the library. Motors of three coils are not here. */
#pragma once
#include <Arduino.h>
#include <arduino/pin_arguments.h>
class AccelStepper {
  public:
    typedef enum { FUNCTION = 0, DRIVER = 1, FULL2WIRE = 2, FULL4WIRE = 4, HALF4WIRE = 8 } MotorInterfaceType;
    AccelStepper(uint8_t interface = FULL4WIRE, uint8_t pin1 = 2, uint8_t pin2 = 3, uint8_t pin3 = 4, uint8_t pin4 = 5,
                 bool enable = true);
    AccelStepper(void (*forward)(), void (*backward)());
    void moveTo(long absolute);
    void move(long relative) { moveTo(position_ + relative); }
    bool run(); /* call it often: makes a step if it is due; false if it is at the target */
    bool runSpeed();
    bool runSpeedToPosition();
    void runToPosition();
    void runToNewPosition(long position);
    void stop();
    void setMaxSpeed(float steps_per_s);
    float maxSpeed() const { return max_speed_; }
    void setAcceleration(float steps_per_s2);
    float acceleration() const { return acceleration_; }
    void setSpeed(float steps_per_s);
    float speed() const { return speed_; }
    long distanceToGo() const { return target_ - position_; }
    long targetPosition() const { return target_; }
    long currentPosition() const { return position_; }
    void setCurrentPosition(long position);
    bool isRunning() const { return speed_ != 0 || target_ != position_; }
    void enableOutputs();
    void disableOutputs();
    void setMinPulseWidth(unsigned us) { pulse_us_ = us; }
    void setEnablePin(uint8_t pin = 0xff);
    void setPinsInverted(bool direction = false, bool step = false, bool enable = false);

  private:
    void plan();
    void set_speed(float steps_per_s);
    void make_step();
    void write_coils(uint8_t coils);
    uint8_t interface_;
    uint8_t pins_[4];
    uint8_t enable_pin_ = 0xff;
    bool is_direction_inverted_ = false, is_step_inverted_ = false, is_enable_inverted_ = false;
    void (*forward_)() = nullptr;
    void (*backward_)() = nullptr;
    long position_ = 0, target_ = 0;
    float speed_ = 0, max_speed_ = 1, acceleration_ = 1;
    unsigned pulse_us_ = 1;
    unsigned long step_us_ = 0, last_us_ = 0;
};
