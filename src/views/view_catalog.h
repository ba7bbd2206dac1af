// What the database remembers of the views between runs: which states it holds, made of what.
//
// Place:   two tables in the engine's internal schema, written in the transactions that change
// states. Threads: the engine's write connection only.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "duck/duck.h"

namespace pgweir::views {

struct StoredView {
  std::string fingerprint;  // everything that the state depends on
  std::string error;        // why the view failed; "" while it is live
};

class ViewCatalog {
 public:
  static Status create(duck::Connection& connection);
  static Result<std::map<std::string, StoredView>> read(duck::Connection& connection);
  static Status save(duck::Connection& connection, const std::string& view,
                     const StoredView& stored);
  static Status forget(duck::Connection& connection, const std::string& view);
};

}  // namespace pgweir::views
