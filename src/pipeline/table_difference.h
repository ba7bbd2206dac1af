// What differs between a mirror and its table in the source at one snapshot, written as changes.
//
// Place:   a resync makes one for each table that it compares.
// How:     1. Both sides give a hash of the key, a hash of the row, and the source where the row
//             lies (engine/row_text.h). They go into scratch files, apart by the key's hash.
//          2. Partition by partition the two lists are compared: what only one side has, differs.
//             (Equal rows of a table without a key are counted by this, too.)
//          3. In passes of so many rows: the mirror's rows of those keys come out of one scan of
//             it, the source's by their places under the same snapshot. A key on both sides is an
//             update with the mirror's row as the old image, else it is an insert or a delete.
//          So the source's table is read once, by hashes, and only differing rows are sent whole.
// Memory:  a partition, and the keys of a pass, whatever the size of the table.
// Exact:   but for equal hashes of 64 bits of two different rows with the same key.
// Threads: run() one thread; it uses some of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "engine/engine.h"
#include "engine/row_text.h"
#include "io/fs.h"
#include "pipeline/difference_log.h"
#include "pipeline/partitioned_file.h"
#include "pipeline/with_room.h"
#include "postgres/snapshot.h"

namespace pgweir::pipeline {

struct DifferenceLimits {
  std::uint64_t partition_rows = 262144;  // a partition has about so many rows ...
  std::uint32_t partitions_max = 1024;    // ... but there are no more of them than this
  std::size_t rows_at_once = 250'000;     // differing ones of a pass, and at most a partition more
  std::size_t places_at_once = 1'000;     // rows asked of the source by their places in one query
};

struct DifferenceOptions {
  engine::TypeOptions types;           // the engine's
  std::string directory;               // for scratch files; it is there
  postgres::SnapshotOptions snapshot;  // of the source
  DifferenceLimits limits;
  std::function<bool()> stopping;  // run() then gives kCancelled soon; any thread
};

class TableDifference {
 public:
  // `source` is in a transaction under the snapshot of the options. All references must outlive it.
  TableDifference(io::Fs& fs, WithRoom with_room, postgres::Connection& source,
                  engine::Reader& reader, const DifferenceOptions& options);

  // Of the same shape on both sides, with all columns in the mirror. When the source fails, its
  // error; kUnavailable when the table changed meanwhile. When the mirror does: mirror_failed(),
  // and what was written so far is true, only not all.
  Status run(const std::shared_ptr<const model::Table>& table, const engine::Mirror& mirror,
             DifferenceLog& out);
  bool mirror_failed() const { return mirror_failed_; }

 private:
  struct SourceRow {
    std::int64_t key = 0;
    std::int64_t row = 0;
    std::uint32_t block = 0;
    std::uint16_t offset = 0;
    std::uint16_t member = 0;                            // of members_
    auto operator<=>(const SourceRow&) const = default;  // NOLINT(modernize-use-nullptr)
  };
  struct MirrorRow {
    std::int64_t key = 0;
    std::int64_t row = 0;
    auto operator<=>(const MirrorRow&) const = default;  // NOLINT(modernize-use-nullptr)
  };
  struct Image {
    std::uint64_t offset = 0;
    std::size_t bytes = 0;
  };
  // Old images of a pass, one behind the other.
  struct ImageFile {
    std::unique_ptr<io::WritableFile> writing;
    std::unique_ptr<io::ReadableFile> reading;
    std::string open;       // not written yet
    std::uint64_t end = 0;  // of what is written
  };

  Status look_at_source();
  Status collect();
  Status collect_source();
  Status take_places(std::string_view lines) EXCLUDES(mutex_);
  Status take_place(std::string_view line) REQUIRES(mutex_);
  Status collect_mirror();
  Status compare(DifferenceLog& out);
  Status pass(DifferenceLog& out);
  Status give_mirror_rows(DifferenceLog& out);
  Status give_mirror_row(const duck::Chunk& chunk, std::size_t row, DifferenceLog& out);
  Status give_source_rows(DifferenceLog& out);
  Status give_places(std::size_t first, std::size_t last, DifferenceLog& out);
  Status give_source_row(std::int64_t key, std::string_view line, DifferenceLog& out);
  Status keep_image(std::int64_t key, std::string_view image);
  Status write_images();
  Status read_image(const Image& image);
  Status from_mirror(Status status);
  Status check_stopped() const;
  std::uint32_t partition_of(std::int64_t key) const;
  std::string select_places(const model::Table& table, bool partitioned,
                            const std::string& condition) const;
  Result<std::unique_ptr<PartitionedFile>> scratch(const char* name) const;

  io::Fs& fs_;
  const WithRoom with_room_;
  postgres::Connection& source_;
  engine::Reader& reader_;
  const DifferenceOptions options_;
  std::atomic<bool> mirror_failed_{false};

  std::shared_ptr<const model::Table> table_;
  std::optional<engine::RowHash> hash_;
  std::string mirror_;
  bool partitioned_ = false;
  std::uint32_t partition_bits_ = 0;

  Mutex mutex_;  // several threads bring the source's rows
  std::vector<std::uint32_t> members_ GUARDED_BY(mutex_);  // OIDs: the table, or its partitions
  std::unique_ptr<PartitionedFile> source_rows_;
  std::unique_ptr<PartitionedFile> mirror_rows_;

  // Of a pass.
  std::vector<SourceRow> only_source_;
  std::vector<MirrorRow> only_mirror_;
  std::unordered_map<std::int64_t, std::size_t> wanted_;  // where a key's rows are in only_mirror_
  std::vector<bool> given_;                               // of only_mirror_
  std::unordered_set<std::int64_t> updated_;              // keys of both
  std::unordered_multimap<std::int64_t, Image> images_;   // the mirror's rows of those, in ...
  ImageFile image_file_;                                  // ... this file
  std::string image_;
};

}  // namespace pgweir::pipeline
