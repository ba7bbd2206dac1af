#include "figures.h"

#include <fmt/core.h>
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <thread>

#include "io/process.h"

namespace pgweir::bench {
namespace {

std::string spread(const std::vector<double>& values) {
  std::string out;
  for (const double value : values) out += fmt::format("{}{:.4g}", out.empty() ? "" : " ", value);
  return out;
}

std::string first_line(const std::vector<std::string>& command) {
  const auto finished = io::run({.arguments = command}, std::chrono::seconds(10));
  if (!finished.ok() || finished->exit_code != 0) return "unknown";
  return finished->output.substr(0, finished->output.find('\n'));
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void Figures::add(const std::string& name, const std::vector<double>& values,
                  const std::string& unit, Goal kind, double goal) {
  const double value = median(values);
  const bool ok = kind == Goal::kAtLeast ? value >= goal : value <= goal;
  const char* sign = kind == Goal::kAtLeast ? ">=" : "<=";
  fmt::print("figure {} {:.4g} {} goal {}{:.4g} {}  (of {}: {})\n", name, value, unit, sign, goal,
             ok ? "ok" : "short", values.size(), spread(values));
  std::fflush(stdout);
  figures_.push_back({{"name", name},
                      {"value", value},
                      {"unit", unit},
                      {"goal", fmt::format("{}{:.4g}", sign, goal)},
                      {"ok", ok},
                      {"runs", values}});
}

void Figures::note(const std::string& name, const std::vector<double>& values,
                   const std::string& unit) {
  fmt::print("figure {} {:.4g} {}  (of {}: {})\n", name, median(values), unit, values.size(),
             spread(values));
  std::fflush(stdout);
  figures_.push_back({{"name", name}, {"value", median(values)}, {"unit", unit}, {"runs", values}});
}

void Figures::store(const std::string& path, const std::string& what) const {
  utsname system{};
  ::uname(&system);
  const std::time_t now = std::time(nullptr);
  char date[32];
  std::strftime(date, sizeof(date), "%Y-%m-%d", std::gmtime(&now));
  const nlohmann::ordered_json out = {
      {"benchmark", what},
      {"date", date},
      {"commit", first_line({"git", "describe", "--always", "--dirty"})},
      {"machine",
       {{"processor", processor()},
        {"cores", std::thread::hardware_concurrency()},
        {"kernel", system.release}}},
      {"figures", figures_}};
  std::ofstream(path) << out.dump(2) << "\n";
}

}  // namespace pgweir::bench
