// A request's parameters, checked: what is wrong is named, with the nearest right name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/nearest_name.h"
#include "base/result.h"
#include "server/backend.h"
#include "server/http_message.h"

namespace pgweir::server {

// '*' stands for any run of characters, '?' for one.
bool glob_matches(std::string_view glob, std::string_view text);

// Reads one request's query. The first call that fails keeps its error; later calls give defaults.
class Params {
 public:
  // Every parameter must be one of `known` (or "token"), given once.
  Params(const Request& request, std::vector<std::string> known);

  std::uint64_t integer(std::string_view name, std::uint64_t standard, std::uint64_t min,
                        std::uint64_t max);
  std::optional<TimeUs> time(std::string_view name);
  // The index of the value among `choices`.
  std::optional<std::size_t> choice(std::string_view name, const std::vector<std::string>& choices);
  // "insert,update" or letters "iu"; empty when not given.
  std::vector<Operation> operations(std::string_view name);
  // A comma-separated list; empty when not given.
  std::vector<std::string> list(std::string_view name);
  std::optional<std::string> text(std::string_view name);

  // Keeps `failure`, naming the parameter, unless there is one already.
  void refuse(std::string_view name, std::string message, std::string hint);
  Status status() const;

 private:
  const Request& request_;
  std::optional<Error> failure_;
};

}  // namespace pgweir::server
