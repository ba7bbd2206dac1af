// A mutex and condition variable that clang's thread-safety analysis understands
// (libstdc++'s own are not annotated).
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define PGWEIR_TSA(x) __attribute__((x))
#else
#define PGWEIR_TSA(x)
#endif
#define GUARDED_BY(mutex) PGWEIR_TSA(guarded_by(mutex))
#define REQUIRES(...) PGWEIR_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) PGWEIR_TSA(locks_excluded(__VA_ARGS__))

namespace pgweir {

class PGWEIR_TSA(capability("mutex")) Mutex {
 public:
  void lock() PGWEIR_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() PGWEIR_TSA(release_capability()) { mutex_.unlock(); }

 private:
  friend class Condition;
  std::mutex mutex_;
};

class PGWEIR_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) PGWEIR_TSA(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() PGWEIR_TSA(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class Condition {
 public:
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

  void wait(Mutex& mutex) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }

  // Returns false when `timeout` has passed without a notification.
  bool wait_for(Mutex& mutex, std::chrono::microseconds timeout) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool notified = condition_.wait_for(lock, timeout) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }

 private:
  std::condition_variable condition_;
};

}  // namespace pgweir
