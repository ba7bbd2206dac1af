// Assertions for our own mistakes; on in every build, since they guard stored data.
#pragma once

namespace pgweir {

// Prints the place and the message to stderr and aborts.
[[noreturn]] void assertion_failed(const char* condition, const char* message, const char* file,
                                   int line);

}  // namespace pgweir

#define PGWEIR_ASSERT(condition, message)                                  \
  do {                                                                     \
    if (!(condition)) [[unlikely]]                                         \
      ::pgweir::assertion_failed(#condition, message, __FILE__, __LINE__); \
  } while (false)
