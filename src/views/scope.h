// The names of a SELECT: what it reads in FROM, and which column of it each name means.
//
// Place:   used by the planner (plan.cc) and by what takes SELECTs apart (outline.cc).
// Life:    add_from() or add_join() first; then everything else.
// Threads: plain data.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "views/plan.h"

namespace pgweir::views {

class Scope {
 public:
  struct Input {
    const Relation* relation = nullptr;
    std::optional<Window> window;
    std::string name;    // by which the SQL calls it
    std::string schema;  // that may stand before it; "" with an alias
    std::uint64_t offset = kNoOffset;
  };
  struct Place {
    std::size_t input = 0;
    std::string column;
    bool operator==(const Place&) const = default;
  };
  // A column that stands in two inputs of a join. Its name alone means the left one, the right one
  // of a RIGHT join, and of a FULL join whichever is not NULL.
  struct Using {
    std::string column;
    std::size_t left = 0, right = 0;
    std::string join;  // "INNER", "LEFT", "RIGHT", "FULL"
  };

  // What of a SELECT can be followed.
  enum class Windows { kRefused, kAllowed };

  // `relations` and `windows` are those of view.refs; all must outlive this.
  Scope(const ViewDefinition& view, const std::vector<const Relation*>& relations,
        const std::vector<std::optional<Window>>& windows);

  // Adds the inputs of a FROM in the order of the text. Inner joins alone: false, with a reason,
  // for anything else.
  bool add_from(const Json& from);
  // The same with outer joins, too.
  bool add_any_from(const Json& from);
  // False when two inputs have one name.
  bool names_differ();

  const std::vector<Input>& inputs() const { return inputs_; }
  const std::vector<Using>& usings() const { return usings_; }
  // The conditions of ON, as they stand.
  const std::vector<Json>& conditions() const { return conditions_; }
  // The input's columns in the order of SELECT *.
  std::vector<std::string> columns_of(std::size_t input) const;
  // The column's type; of a window's columns, too.
  std::string type_of(const Place& place) const;
  std::optional<std::string> find_column(std::size_t input, const std::string& name) const;

  // References: "i0"."column"; flat: "i0.column".
  void make_flat() { flat_ = true; }
  bool flat() const { return flat_; }
  Json reference(std::size_t input, const std::string& column) const;
  // What such a reference means; nothing for any other expression.
  std::optional<Place> place_of_reference(const Json& node) const;
  // The column of a relation that it is; nullptr for a window's, and for any other expression.
  const engine::StoreColumn* plain_column(const Json& node, std::size_t* input) const;

  // The one input of which a canonical expression names columns.
  std::optional<std::size_t> only_input_of(const Json& expression) const;
  // Whether a canonical condition is an equality of two inputs that could be looked up, were it not
  // for an expression on one side.
  bool is_expression_key(const Json& conjunct) const;

  // The column that a name means, or nothing when it means no column of an input.
  std::optional<Place> find(const std::vector<std::string>& names) const;
  const Json* select_alias(const std::string& name) const;

  // Replaces every column by its reference and every alias of the SELECT list by what it stands
  // for. False, with a reason, for what cannot be followed.
  bool canonicalise(Json& node, Windows windows = Windows::kRefused, int depth = 0);
  // The SELECT list: canonical, stars expanded, without offsets.
  bool select_list(std::vector<Json>* items, Windows windows = Windows::kRefused);

  const std::string& reason() const { return reason_; }
  // Sets the first reason; always false.
  bool no(std::string reason, std::uint64_t offset = kNoOffset);

 private:
  bool add_input(const Json& item);
  bool add_using(const std::string& column, std::size_t left, std::size_t right,
                 const std::string& join);
  bool add_shared(std::size_t left, std::size_t right, const std::string& join);
  bool outer_allowed_ = false;
  std::optional<std::size_t> only_input_with(const std::string& column, std::size_t first,
                                             std::size_t last) const;
  bool is_merged(std::size_t input, const std::string& name) const;
  // The FULL join's pair that a name alone means, if it is one.
  const Using* either_of(const std::string& name) const;
  Json value_of(const Using& pair) const;
  bool canonicalise_column(Json& node, Windows windows, int depth);
  bool expand_star(const Json& star, std::vector<Json>* items);

  const ViewDefinition& view_;
  const std::vector<const Relation*>& relations_;
  const std::vector<std::optional<Window>>& windows_;
  std::vector<Input> inputs_;
  std::vector<Using> usings_;
  std::vector<Json> conditions_;
  bool flat_ = false;
  std::string reason_;
};

// The conjuncts of a condition, one by one.
void split_conjuncts(const Json& condition, std::vector<Json>* conjuncts);

}  // namespace pgweir::views
