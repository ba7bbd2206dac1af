#include "server/params.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "server/rows.h"

namespace pgweir::server {
namespace {

constexpr std::array<std::string_view, 6> kOperationNames{"insert",   "update", "delete",
                                                          "truncate", "read",   "message"};
constexpr std::string_view kOperationLetters = "iudtrm";
std::string did_you_mean(std::string_view name, const std::vector<std::string>& known) {
  const std::string nearest = nearest_name(name, known);
  if (!nearest.empty()) return fmt::format("did you mean '{}'?", nearest);
  return fmt::format("known: {}", fmt::join(known, ", "));
}

std::optional<Operation> find_operation(std::string_view name) {
  for (std::size_t i = 0; i < kOperationNames.size(); ++i) {
    if (name == kOperationNames[i]) return static_cast<Operation>(i);
  }
  return std::nullopt;
}

}  // namespace

bool glob_matches(std::string_view glob, std::string_view text) {
  std::size_t at = 0;
  std::size_t text_at = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (text_at < text.size()) {
    if (at < glob.size() && glob[at] == '*') {
      star = at++;
      star_text = text_at;
    } else if (at < glob.size() && (glob[at] == '?' || glob[at] == text[text_at])) {
      ++at;
      ++text_at;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      text_at = ++star_text;
    } else {
      return false;
    }
  }
  while (at < glob.size() && glob[at] == '*') ++at;
  return at == glob.size();
}

Params::Params(const Request& request, std::vector<std::string> known) : request_(request) {
  std::vector<std::string> seen;
  for (const auto& [name, value] : request.query) {
    if (name == "token") continue;
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      if (known.empty()) {
        failure_ = error(Code::kInvalid, fmt::format("unknown parameter '{}'", name), {},
                         "this call takes no parameters");
      } else {
        failure_ = error(Code::kInvalid, fmt::format("unknown parameter '{}'", name), {},
                         did_you_mean(name, known));
      }
      return;
    }
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
      refuse(name, "is given twice", "give it once");
      return;
    }
    seen.push_back(name);
  }
}

void Params::refuse(std::string_view name, std::string message, std::string hint) {
  if (failure_) return;
  failure_ =
      error(Code::kInvalid, fmt::format("parameter '{}' {}", name, message), {}, std::move(hint));
}

Status Params::status() const {
  if (failure_) return *failure_;
  return {};
}

std::optional<std::string> Params::text(std::string_view name) {
  const std::string* value = find_value(request_.query, name);
  if (value == nullptr || value->empty()) return std::nullopt;
  return *value;
}

std::uint64_t Params::integer(std::string_view name, std::uint64_t standard, std::uint64_t min,
                              std::uint64_t max) {
  const auto given = text(name);
  if (!given) return standard;
  std::uint64_t value = 0;
  const char* const last = given->data() + given->size();
  const auto [end, failure] = std::from_chars(given->data(), last, value);
  if (failure == std::errc() && end == last && value >= min && value <= max) return value;
  refuse(name, fmt::format("is '{}', not a whole number from {} to {}", *given, min, max), {});
  return standard;
}

std::optional<TimeUs> Params::time(std::string_view name) {
  const auto given = text(name);
  if (!given) return std::nullopt;
  const auto time = parse_time(*given);
  if (time.ok()) return *time;
  refuse(name, fmt::format("is '{}', not a time", *given), time.error().hint);
  return std::nullopt;
}

std::optional<std::size_t> Params::choice(std::string_view name,
                                          const std::vector<std::string>& choices) {
  const auto given = text(name);
  if (!given) return std::nullopt;
  const auto found = std::find(choices.begin(), choices.end(), *given);
  if (found != choices.end()) return static_cast<std::size_t>(found - choices.begin());
  refuse(name, fmt::format("is '{}'", *given), fmt::format("one of {}", fmt::join(choices, ", ")));
  return std::nullopt;
}

std::vector<std::string> Params::list(std::string_view name) {
  std::vector<std::string> out;
  const auto given = text(name);
  if (!given) return out;
  std::string_view rest = *given;
  for (;;) {
    const std::size_t comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    if (item.empty()) {
      refuse(name, "holds an empty name", "write names with commas between them");
      return {};
    }
    out.emplace_back(item);
    if (comma == std::string_view::npos) return out;
    rest.remove_prefix(comma + 1);
  }
}

std::vector<Operation> Params::operations(std::string_view name) {
  std::vector<Operation> out;
  const std::vector<std::string> given = list(name);
  for (const std::string& item : given) {
    if (const auto operation = find_operation(item)) {
      out.push_back(*operation);
      continue;
    }
    for (const char letter : item) {
      const std::size_t at = kOperationLetters.find(letter);
      if (at == std::string_view::npos) {
        refuse(name, fmt::format("holds '{}'", item),
               fmt::format("any of {}, or of the letters {}", fmt::join(kOperationNames, ", "),
                           kOperationLetters));
        return {};
      }
      out.push_back(static_cast<Operation>(at));
    }
  }
  return out;
}

}  // namespace pgweir::server
