#include "differential/shrink.h"

#include <algorithm>
#include <set>

namespace pgweir::differential {
namespace {

class Shrinker {
 public:
  Shrinker(Runner& runner, const TestCase& test_case, const Outcome& outcome,
           std::chrono::seconds patience)
      : runner_(runner),
        best_{test_case, outcome, 0},
        deadline_(std::chrono::steady_clock::now() + patience) {}

  Shrunk run() {
    leave_out_later_steps();
    bool smaller = true;
    while (smaller && !over()) {
      smaller = fewer_views();
      smaller = fewer_steps() || smaller;
      smaller = smaller_views() || smaller;
      smaller = fewer_tables() || smaller;
      smaller = smaller_statements() || smaller;
      smaller = plainer_options() || smaller;
    }
    note_rows();
    return best_;
  }

 private:
  bool over() const { return std::chrono::steady_clock::now() >= deadline_; }

  // Takes the case when it fails as well, be it in another way.
  bool take(const TestCase& smaller) {
    if (over()) return false;
    ++best_.runs;
    Outcome outcome = runner_.run(smaller);
    if (outcome.failure.empty() || outcome.view.empty() != best_.outcome.view.empty()) return false;
    // The same kind of failure, and not a statement that no longer makes sense.
    if (kind_of(outcome) != kind_of(best_.outcome)) return false;
    best_.test_case = smaller;
    best_.outcome = std::move(outcome);
    leave_out_later_steps();
    return true;
  }

  // "is refused", "is failed", or a difference.
  static std::string kind_of(const Outcome& outcome) {
    if (!outcome.failure.starts_with("is ")) return "";
    return outcome.failure.substr(0, outcome.failure.find(':'));
  }

  void leave_out_later_steps() {
    if (best_.outcome.step + 1 < best_.test_case.steps.size())
      best_.test_case.steps.resize(best_.outcome.step + 1);
  }

  // Leaves out parts of a vector: halves, quarters ..., then one by one.
  template <typename Items>
  bool fewer(Items TestCase::*items) {
    bool any = false;
    for (std::size_t part = std::max<std::size_t>(1, (best_.test_case.*items).size() / 2);;
         part /= 2) {
      for (std::size_t at = 0; at < (best_.test_case.*items).size() && !over();) {
        TestCase smaller = best_.test_case;
        Items& list = smaller.*items;
        const auto first = list.begin() + static_cast<std::ptrdiff_t>(at);
        list.erase(first, first + static_cast<std::ptrdiff_t>(std::min(part, list.size() - at)));
        if (take(smaller)) {
          any = true;
        } else {
          at += part;
        }
      }
      if (part <= 1) break;
    }
    return any;
  }

  bool fewer_steps() { return fewer(&TestCase::steps); }
  bool fewer_tables() { return fewer(&TestCase::tables); }

  // The views that the one which fails reads may be needed; all others go at once.
  bool fewer_views() {
    const std::string failing = best_.outcome.view;
    if (!failing.empty() && best_.test_case.views.size() > 1) {
      std::set<std::string> needed = {failing};
      TestCase smaller = best_.test_case;
      for (auto view = smaller.views.rbegin(); view != smaller.views.rend(); ++view) {
        if (!needed.contains(view->name)) continue;
        const std::string text = print(view->sql, Dialect::kPostgres);
        for (const CaseView& other : smaller.views)
          if (text.find(other.name + " ") != std::string::npos) needed.insert(other.name);
      }
      std::erase_if(smaller.views, [&](const CaseView& v) { return !needed.contains(v.name); });
      if (smaller.views.size() < best_.test_case.views.size()) take(smaller);
    }
    return fewer(&TestCase::views);
  }

  bool smaller_views() {
    bool any = false;
    for (std::size_t i = 0; i < best_.test_case.views.size(); ++i) {
      bool smaller = true;
      while (smaller && !over()) {
        const Tree sql = best_.test_case.views[i].sql;
        smaller = each_smaller(sql, [&](const Tree& instead) {
          if (over()) return true;
          TestCase attempt = best_.test_case;
          attempt.views[i].sql = instead;
          return take(attempt);
        });
        smaller = smaller && !over();
        any = any || smaller;
      }
    }
    return any;
  }

  bool smaller_statements() {
    bool any = false;
    for (std::size_t i = 0; i < best_.test_case.steps.size(); ++i) {
      for (std::size_t j = 0; j < best_.test_case.steps[i].statements.size() && !over();) {
        TestCase attempt = best_.test_case;
        auto& statements = attempt.steps[i].statements;
        statements.erase(statements.begin() + static_cast<std::ptrdiff_t>(j));
        if (take(attempt)) {
          any = true;
          if (i >= best_.test_case.steps.size()) return true;
          continue;
        }
        any = smaller_statement(i, j) || any;
        if (i >= best_.test_case.steps.size()) return true;
        ++j;
      }
    }
    return any;
  }

  bool smaller_statement(std::size_t i, std::size_t j) {
    bool any = false;
    bool smaller = true;
    while (smaller && !over()) {
      const Tree statement = best_.test_case.steps[i].statements[j];
      smaller = each_smaller(statement, [&](const Tree& instead) {
        if (over()) return true;
        TestCase attempt = best_.test_case;
        attempt.steps[i].statements[j] = instead;
        return take(attempt);
      });
      smaller = smaller && !over() && i < best_.test_case.steps.size();
      any = any || smaller;
    }
    return any;
  }

  bool plainer_options() {
    bool any = false;
    TestCase plain = best_.test_case;
    plain.small_stores = false;
    if (best_.test_case.small_stores && take(plain)) any = true;
    plain = best_.test_case;
    plain.part_changes = 0;
    if (best_.test_case.part_changes > 0 && take(plain)) any = true;
    return any;
  }

  void note_rows() {
    const Outcome& outcome = best_.outcome;
    if (outcome.view.empty() || outcome.step >= best_.test_case.steps.size()) return;
    best_.test_case.steps[outcome.step].rows[outcome.view] = outcome.rows;
  }

  Runner& runner_;
  Shrunk best_;
  const std::chrono::steady_clock::time_point deadline_;
};

}  // namespace

Shrunk shrink(Runner& runner, const TestCase& test_case, const Outcome& outcome,
              std::chrono::seconds patience) {
  return Shrinker(runner, test_case, outcome, patience).run();
}

}  // namespace pgweir::differential
