// Any bytes as a pipeline's file: an answer, never a crash; what is accepted can be shown and read
// back as the same.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"

namespace {

// Knows no file, so that the fuzzer touches nothing.
class NoFiles final : public pgweir::io::Fs {
 public:
  using Writable = std::unique_ptr<pgweir::io::WritableFile>;
  pgweir::Result<Writable> create(const std::string&) override { return none(); }
  pgweir::Result<Writable> open_append(const std::string&) override { return none(); }
  pgweir::Result<std::unique_ptr<pgweir::io::ReadableFile>> open_read(const std::string&) override {
    return none();
  }
  pgweir::Result<std::vector<std::string>> list(const std::string&) override { return none(); }
  bool exists(const std::string&) override { return false; }
  pgweir::Status create_directories(const std::string&) override { return none(); }
  pgweir::Status rename(const std::string&, const std::string&) override { return none(); }
  pgweir::Status remove(const std::string&) override { return none(); }
  pgweir::Status sync_directory(const std::string&) override { return none(); }
  pgweir::Result<std::uint64_t> free_bytes(const std::string&) override { return none(); }
  pgweir::Result<std::unique_ptr<pgweir::io::FileLock>> lock(const std::string&) override {
    return none();
  }

 private:
  static pgweir::Error none() { return pgweir::error(pgweir::Code::kNotFound, "no files here"); }
};

std::optional<std::string> environment(const std::string& name) {
  if (name == "A") return "value";
  if (name == "B") return "x: {y: [z]}\n${A}";
  return std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  NoFiles fs;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = pgweir::config::parse(text, "fuzz.yaml", fs, environment);
  if (!config.ok()) return 0;
  pgweir::config::Config expected = *config;
  // Secrets are not shown, so they cannot be read back.
  expected.source.url = pgweir::config::Secret("u");
  if (!expected.server.token.empty()) expected.server.token = pgweir::config::Secret("***");
  const std::string shown = pgweir::config::show(expected);
  const auto again = pgweir::config::parse(shown, "again.yaml", fs, environment);
  if (!again.ok() || *again != expected) {
    std::fprintf(stderr, "not read back:\n%s\n%s\n", shown.c_str(),
                 again.ok() ? "differs" : again.error().text().c_str());
    std::abort();
  }
  return 0;
}
