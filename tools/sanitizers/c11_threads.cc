// C11's threads as pthreads, for ThreadSanitizer alone: GCC 12's knows no other, and a thread that
// it did not see begin ends the program with its first allocation. librdkafka starts its threads
// so.
#include <pthread.h>
#include <threads.h>

#include <cstdint>
#include <memory>

namespace {

struct Beginning {
  thrd_start_t function;
  void* argument;
};

void* begin(void* given) {
  const std::unique_ptr<Beginning> beginning(static_cast<Beginning*>(given));
  return reinterpret_cast<void*>(std::intptr_t{beginning->function(beginning->argument)});
}

}  // namespace

extern "C" {

int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
  auto beginning = std::make_unique<Beginning>(Beginning{function, argument});
  if (pthread_create(thread, nullptr, begin, beginning.get()) != 0) return thrd_error;
  (void)beginning.release();
  return thrd_success;
}

int thrd_join(thrd_t thread, int* result) {
  void* returned = nullptr;
  if (pthread_join(thread, &returned) != 0) return thrd_error;
  if (result != nullptr) *result = static_cast<int>(reinterpret_cast<std::intptr_t>(returned));
  return thrd_success;
}
}
