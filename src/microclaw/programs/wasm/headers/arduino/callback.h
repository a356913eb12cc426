/* arduino/callback.h: anything that can be called, as std::function: a function, or a lambda with what it keeps. Copies share it.
 * C++'s own needs the library's headers, which every sketch with a server would then compile. */
#pragma once

template <typename Signature> class microclaw_callback;

template <typename Result, typename... Arguments> class microclaw_callback<Result(Arguments...)> {
  public:
    microclaw_callback(decltype(nullptr) = nullptr) {}
    microclaw_callback(Result (*function)(Arguments...)) : target_(function ? new Kept<Result (*)(Arguments...)>(function) : nullptr) {}
    template <typename Callable> microclaw_callback(Callable callable) : target_(new Kept<Callable>(callable)) {}
    microclaw_callback(const microclaw_callback &other) : target_(other.target_) {
        if (target_) {
            target_->users++;
        }
    }
    microclaw_callback &operator=(const microclaw_callback &other) {
        microclaw_callback copy(other);
        Target *released = target_;
        target_ = copy.target_;
        copy.target_ = released;
        return *this;
    }
    ~microclaw_callback() {
        if (target_ && --target_->users == 0) {
            delete target_;
        }
    }
    explicit operator bool() const { return target_ != nullptr; }
    Result operator()(Arguments... arguments) const { return target_->call(arguments...); }

  private:
    struct Target {
        virtual ~Target() {}
        virtual Result call(Arguments... arguments) = 0;
        int users = 1;
    };
    template <typename Callable> struct Kept final : Target {
        explicit Kept(const Callable &kept) : callable(kept) {}
        Result call(Arguments... arguments) override { return static_cast<Result>(callable(arguments...)); }
        Callable callable;
    };
    Target *target_ = nullptr;
};
