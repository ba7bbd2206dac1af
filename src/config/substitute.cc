#include <fmt/core.h>

#include <cctype>
#include <string_view>

#include "config/substitute_internal.h"

namespace pgweir::config {
namespace {

bool is_variable_name(std::string_view name) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) != 0) return false;
  for (const char letter : name) {
    if (letter != '_' && std::isalnum(static_cast<unsigned char>(letter)) == 0) return false;
  }
  return true;
}

Result<std::string> file_content(const std::string& path, io::Fs& fs, std::size_t bytes_max) {
  const auto failed = [&](const std::string& why) {
    return error(Code::kConfig, fmt::format("${{file:{}}} cannot be read: {}", path, why));
  };
  auto file = fs.open_read(path);
  if (!file.ok()) return failed(file.error().message);
  std::string content;
  // One byte more than allowed tells a large file from one that just fits.
  if (const Status read = (*file)->read_at(0, bytes_max + 1, content); !read.ok())
    return failed(read.error().message);
  if (content.size() > bytes_max)
    return failed(fmt::format("it is larger than {} bytes", bytes_max));
  if (!content.empty() && content.back() == '\n') content.pop_back();
  if (!content.empty() && content.back() == '\r') content.pop_back();
  return content;
}

// What stands between ${ and }.
Result<std::string> replacement(const std::string& inside, io::Fs& fs,
                                const Environment& environment, std::size_t file_bytes_max) {
  constexpr std::string_view kFile = "file:";
  if (inside.starts_with(kFile))
    return file_content(inside.substr(kFile.size()), fs, file_bytes_max);
  const std::size_t colon = inside.find(':');
  const std::string name = inside.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : inside.substr(colon + 1);
  const bool known_form =
      colon == std::string::npos || rest.starts_with('-') || rest.starts_with('?');
  if (!is_variable_name(name) || !known_form || rest.find("${") != std::string::npos) {
    return error(
        Code::kConfig,
        fmt::format("${{{}}} is none of ${{VAR}}, ${{VAR:-default}}, ${{VAR:?message}} and "
                    "${{file:/path}}; write $${{ for a plain ${{",
                    inside));
  }
  const auto value = environment(name);
  if (rest.empty()) {
    if (value) return *value;
    return error(Code::kConfig, fmt::format("the environment variable {} is not set", name));
  }
  if (value && !value->empty()) return *value;
  if (rest[0] == '-') return rest.substr(1);
  return error(Code::kConfig, fmt::format("the environment variable {} is not set: {}", name,
                                          rest.size() > 1 ? rest.substr(1) : "it is required"));
}

}  // namespace

Result<std::string> substitute(const std::string& text, io::Fs& fs, const Environment& environment,
                               const SubstituteLimits& limits) {
  std::string out;
  std::size_t at = 0;
  while (true) {
    const std::size_t open = text.find("${", at);
    out.append(text, at, open == std::string::npos ? open : open - at);
    if (open == std::string::npos) return out;
    if (open > at && text[open - 1] == '$') {
      out += '{';  // the first dollar of $${ is in `out` already
      at = open + 2;
      continue;
    }
    const std::size_t close = text.find('}', open);
    if (close == std::string::npos)
      return error(Code::kConfig, "a ${ has no closing }; write $${ for a plain ${");
    TRY_ASSIGN(const std::string value, replacement(text.substr(open + 2, close - open - 2), fs,
                                                    environment, limits.file_bytes_max));
    out += value;
    if (out.size() > limits.text_bytes_max)
      return error(Code::kConfig,
                   fmt::format("the text is larger than {} bytes", limits.text_bytes_max));
    at = close + 1;
  }
}

}  // namespace pgweir::config
