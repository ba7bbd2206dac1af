// A SELECT with every name resolved: its inputs are called i0, i1 ..., a column is a reference to
// one of them, and a position or an alias is what it stands for. Parts are made of it, and the rest
// is printed.
//
// Place:   shared by the layers of canonical_layers.h. Private to views/.
// Life:    read(); then one layer may change it as it likes, up to print_rest().
// Threads: as the parser.
#pragma once

#include <string>
#include <vector>

#include "views/outline_builder.h"
#include "views/scope.h"

namespace pgweir::views {

class CanonicalSelect {
 public:
  // All must outlive it.
  CanonicalSelect(SqlParser& parser, const FunctionCatalog& catalog, const BoundSelect& select,
                  const NamePart& name_part)
      : functions(catalog),
        bound(select),
        scope(select.definition, select.relations, select.windows),
        builder(parser, name_part) {}

  // False for a SELECT that cannot be followed.
  bool read(const Json& node);

  const FunctionCatalog& functions;
  const BoundSelect& bound;
  Scope scope;
  OutlineBuilder builder;

  // Null, or empty, where the SELECT has none.
  Json from, where, having, qualify;
  std::vector<Json> items, groups;
  std::vector<std::vector<std::size_t>> sets;  // of groups; empty for one of all
  bool grouped = false;
  bool has_windows = false;  // in items or qualify

  bool is_plain(const Json& expression) const;  // a relation's column
  bool is_aggregate(const Json& node) const;

  // The inputs below a part of FROM.
  static void leaves_of(const Json& table, std::vector<std::size_t>* leaves);
  // The columns of some leaves that the expressions name, each once.
  std::vector<Scope::Place> places_in(const std::vector<const Json*>& expressions,
                                      const std::vector<std::size_t>& leaves) const;
  // Everything but the conditions of FROM.
  std::vector<Json*> all_expressions();
  // As columns stand in canonical expressions.
  Json stripped_reference(const Scope::Place& place) const;
  static Json stripped_reference(const std::string& alias, const std::string& column);

  // A part with these columns of a FROM, and with `computed` expressions over it; then they stand
  // in all `expressions` (the computed ones in `computed_in`, when given) as columns of a table
  // called `alias`. Returns the part's name.
  std::string part_of(const Json& table, const Json& condition,
                      const std::vector<Scope::Place>& places, const std::vector<Json>& computed,
                      const std::string& alias, const std::vector<Json*>& expressions,
                      const std::vector<Json*>* computed_in = nullptr);
  // GROUP BY of groups and sets.
  void put_groups(Json& select) const;
  std::string print_canonical(Json node);
  // The outline's rest: items, and all that is behind FROM, over `table`.
  void print_rest(const Json& table);

 private:
  bool read_groups(const Json& node);
  bool canonical(const Json& expression, Json* out);
  bool name_leaves(Json& table, std::size_t* next);
};

}  // namespace pgweir::views
