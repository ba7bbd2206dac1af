// An engine with views over it, for tests: tables, transactions, and the comparison of every view
// with its SELECT. Implemented in view_fixture_test.cc.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "harness/scratch.h"
#include "views/view_set.h"

namespace pgweir::views {

using TablePtr = std::shared_ptr<const model::Table>;

TablePtr make_table(std::uint32_t oid, const std::string& name, std::vector<model::Column> columns,
                    model::ReplicaIdentity identity = model::ReplicaIdentity::kDefault,
                    const std::string& schema = "public");
model::Column key_column(model::Column column);

class ViewFixture : public testing::Test {
 protected:
  // Opens the engine, makes the tables known, binds the views. Again: a restart.
  void open(const std::vector<TablePtr>& tables, const std::vector<ViewSource>& views);
  void close();
  void TearDown() override { close(); }

  // One transaction: begin(); builder().insert() ...; commit(). "" or the error's text.
  void begin();
  engine::BatchBuilder& builder() { return *builder_; }
  std::string commit(bool ends = true);
  // Applies, and sets aside the views that fail, until it works.
  std::string commit_setting_aside();

  // Rows of a SELECT, sorted, as "a|b;c|NULL".
  std::string rows(const std::string& select);
  // "" when the view has exactly the rows of the SELECT, else what differs.
  std::string difference(const std::string& view, const std::string& select);
  std::string strategy(const std::string& view);
  std::string error_of(const std::string& view);

  ViewSetOptions view_options_;
  // Of every store; tiny ones make few rows large.
  std::optional<engine::StoreOptions> store_options_;
  // Of an unfinished transaction, in one commit of the engine.
  std::optional<std::uint64_t> part_changes_max_;
  // Tables wait for their rows where they are not known; mirrors that nobody looks into have none.
  bool releases_mirrors_ = false;
  harness::ScratchFolder scratch_;
  Logger logger_{LogLevel::kOff};
  std::unique_ptr<ViewSet> views_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<engine::BatchBuilder> builder_;
  model::Position next_;
  std::uint64_t lsn_ = 10;
};

}  // namespace pgweir::views
