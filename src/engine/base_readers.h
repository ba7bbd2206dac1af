// Connections that read bases of large stores beside each other, so that what one batch looks up is
// found by several processors.
//
// Place:   private to engine/; stores read through BaseLookup.
// Life:    open() and close() in turn, as the database is. Connections and threads are made at the
//          first use, and kept: a new thread's memory would have to be asked for again.
// Threads: the engine's; each reader but the first has a thread of its own, which uses its
//          connection while read() runs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "duck/duck.h"
#include "engine/prepared_sql.h"

namespace pgweir::engine {

// What one reader is to find.
struct BasePart {
  const std::string* select = nullptr;  // joins kWantedTable
  std::span<const std::uint64_t> hashes;
  // Of the connection that changes the tables: plans are made anew when it is another.
  std::uint64_t catalog_changes = 0;
};

class BaseReader {
 public:
  explicit BaseReader(std::unique_ptr<duck::Connection> connection)
      : connection_(std::move(connection)) {}
  ~BaseReader();
  BaseReader(const BaseReader&) = delete;
  BaseReader& operator=(const BaseReader&) = delete;

  Status prepare();
  Result<duck::Rows> read(const BasePart& part);

  // The same in its thread: what `part` points to must live until finish(), which is called once
  // after each begin().
  void begin(const BasePart& part) EXCLUDES(mutex_);
  Result<duck::Rows> finish() EXCLUDES(mutex_);

 private:
  void work() EXCLUDES(mutex_);
  Result<duck::Rows> select_rows(const BasePart& part);

  // What stands on the connection is destroyed before it.
  const std::unique_ptr<duck::Connection> connection_;
  std::unique_ptr<duck::Appender> wanted_;
  std::map<std::string, PreparedSql> selects_;
  std::uint64_t catalog_changes_ = 0;

  Mutex mutex_;
  Condition changed_;
  std::optional<BasePart> part_ GUARDED_BY(mutex_);
  std::optional<Result<duck::Rows>> rows_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

class BaseReaders {
 public:
  using Connect = std::function<Result<std::unique_ptr<duck::Connection>>()>;
  // The table, on each reader's connection, with the hashes of its part in a column kHashColumn,
  // and zeros in a column n.
  static constexpr const char* kWantedTable = "temp.main.pgweir_wanted";

  explicit BaseReaders(int readers_max) : readers_max_(readers_max) {}

  void open(Connect connect) { connect_ = std::move(connect); }
  void close();

  // How many may read at a time; 0 while closed.
  std::size_t size() const { return connect_ ? static_cast<std::size_t>(readers_max_) : 0; }

  // Runs part.select once for each of `parts` equal parts of part.hashes, so many at a time as
  // there are readers, and gives the rows to `out`, until there are `rows_max` or more. It sees
  // what is committed. Returns the number of rows. Requires 1 <= parts, and size() > 0.
  Result<std::uint64_t> read(const BasePart& part, std::size_t parts, std::uint64_t rows_max,
                             duck::Appender& out);

 private:
  Status add_reader();
  // The parts from `first` to `end`, of so many, each by a reader of its own.
  std::vector<Result<duck::Rows>> read_beside(const BasePart& part, std::size_t first,
                                              std::size_t end, std::size_t parts);

  const int readers_max_;
  Connect connect_;
  std::vector<std::unique_ptr<BaseReader>> readers_;
};

}  // namespace pgweir::engine
