#include "base/logger.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace pgweir {

struct Logger::Implementation {
  std::shared_ptr<spdlog::sinks::stderr_color_sink_mt> sink =
      std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  spdlog::logger logger{"pgweir", sink};
};

namespace {
spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}
}  // namespace

Logger::Logger(LogLevel level) : implementation_(std::make_unique<Implementation>()) {
  if (std::getenv("NO_COLOR") != nullptr)
    implementation_->sink->set_color_mode(spdlog::color_mode::never);
  implementation_->logger.set_level(spdlog_level(level));
  implementation_->logger.set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
  implementation_->logger.flush_on(spdlog::level::debug);
}

Logger::~Logger() = default;

void Logger::write(LogLevel level, std::string_view message) {
  implementation_->logger.log(spdlog_level(level), message);
}

}  // namespace pgweir
