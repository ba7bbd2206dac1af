// What every benchmark prints and keeps.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pgweir::bench {

double median(std::vector<double> values);

enum class Goal { kAtLeast, kAtMost };

// Prints "figure NAME VALUE UNIT goal GOAL ok|short  (values ...)" and remembers it.
class Figures {
 public:
  void add(const std::string& name, const std::vector<double>& values, const std::string& unit,
           Goal kind, double goal);
  // A value without a goal: what the ratios are made of.
  void note(const std::string& name, const std::vector<double>& values, const std::string& unit);

  // Writes everything with machine, versions and commit to `path`.
  void store(const std::string& path, const std::string& what) const;

 private:
  nlohmann::ordered_json figures_ = nlohmann::ordered_json::array();
};

}  // namespace pgweir::bench
