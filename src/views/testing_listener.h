// A ViewListener that writes down what it is told, for tests.
#pragma once

#include <fmt/core.h>

#include <map>
#include <string>
#include <utility>

#include "views/view_listener.h"

namespace pgweir::views {

class TestingListener final : public ViewListener {
 public:
  // "view column weight;" of the first column of each changed row, sorted; "committed;", "part;",
  // "rolled back;", "replaced view;".
  std::string take() { return std::exchange(told_, {}); }
  void fail_once(const std::string& view, Error failure) { failures_[view] = std::move(failure); }

  bool wants(const std::string&) override { return true; }
  Status changed(duck::Connection& connection, const std::string& view,
                 const std::string& select) override {
    if (const auto failure = failures_.extract(view)) return failure.mapped();
    TRY_ASSIGN(const auto changes,
               connection.query_texts("SELECT * FROM (" + select + ") ORDER BY ALL"));
    for (const auto& row : changes.rows)
      told_ += fmt::format("{} {} {};", view, row[0].value_or("NULL"), row.back().value_or("NULL"));
    return {};
  }
  void committed(const engine::EnginePosition&, std::int64_t, bool whole) override {
    told_ += whole ? "committed;" : "part;";
  }
  void rolled_back() override { told_ += "rolled back;"; }
  void replaced(const std::string& view) override { told_ += "replaced " + view + ";"; }

 private:
  std::string told_;
  std::map<std::string, Error> failures_;
};

}  // namespace pgweir::views
