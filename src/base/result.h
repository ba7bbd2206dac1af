// Failures as values: Result<T> holds a T or an Error that says what, where, why and how to fix it.
//
// Place:   the bottom layer; every module uses it.
// Threads: plain values, as safe as their contents.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace pgweir {

// What a caller can do about an error. The command line maps codes to exit codes (cli/exit_code.h).
enum class Code {
  kInvalid,      // a request or value that can never work
  kUsage,        // a wrong command line
  kConfig,       // a wrong configuration
  kNotFound,     // the named thing is not there
  kCheckFailed,  // something outside must be put right first: privileges, settings, a port in use
  kUnavailable,  // the peer is gone: retrying helps
  kTimeout,      // waited long enough
  kIo,           // the disk or the operating system failed
  kNoSpace,      // the disk is full: waiting helps
  kBroken,       // what it works on has given itself up: opening that anew helps
  kCorruption,   // stored data is damaged or does not fit together
  kUnsupported,  // known, but not built
  kCancelled,    // asked to stop
  kInternal,     // our mistake
};

const char* code_name(Code code);

// An error in PostgreSQL's form: what happened; more about it; how to fix it.
struct Error {
  Code code = Code::kInternal;
  std::string message;  // one sentence without a full stop, naming the thing
  std::string detail;   // facts: where, found and expected; may be empty
  std::string hint;     // what to do; may be empty

  // "message (detail). hint" on one line.
  std::string text() const;
};

inline Error error(Code code, std::string message, std::string detail = {}, std::string hint = {}) {
  return Error{code, std::move(message), std::move(detail), std::move(hint)};
}

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::move(value)) {}          // NOLINT: implicit on purpose
  Result(Error failure) : content_(std::move(failure)) {}  // NOLINT: implicit on purpose

  bool ok() const { return std::holds_alternative<T>(content_); }
  explicit operator bool() const { return ok(); }

  // Requires ok(). By value on an rvalue, so that range-for over a temporary does not dangle.
  T& value() & {
    PGWEIR_ASSERT(ok(), error().text().c_str());
    return std::get<T>(content_);
  }
  const T& value() const& {
    PGWEIR_ASSERT(ok(), error().text().c_str());
    return std::get<T>(content_);
  }
  T value() && {
    PGWEIR_ASSERT(ok(), error().text().c_str());
    return std::move(std::get<T>(content_));
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }

  // Requires !ok().
  const Error& error() const { return std::get<Error>(content_); }

 private:
  std::variant<T, Error> content_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error failure) : error_(std::move(failure)) {}  // NOLINT: implicit on purpose

  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return *error_; }
  void value() const { PGWEIR_ASSERT(ok(), error_->text().c_str()); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

#define PGWEIR_CONCAT_(a, b) a##b
#define PGWEIR_CONCAT(a, b) PGWEIR_CONCAT_(a, b)

// Returns the error of a Status or Result from the calling function.
#define TRY(expression)                                     \
  do {                                                      \
    if (auto try_status = (expression); !try_status.ok()) { \
      return ::pgweir::Error(try_status.error());           \
    }                                                       \
  } while (false)

// TRY_ASSIGN(auto file, fs.open(path)): declares or assigns, or returns the error.
#define TRY_ASSIGN(target, expression) \
  TRY_ASSIGN_(PGWEIR_CONCAT(try_result_, __LINE__), target, expression)
#define TRY_ASSIGN_(name, target, expression)           \
  auto name = (expression);                             \
  if (!name.ok()) return ::pgweir::Error(name.error()); \
  target = std::move(name).value()

}  // namespace pgweir
