// The output folder of a Parquet sink: complete files only, and a position that moves with them.
//
// A range (from, to] of positions becomes visible in four durable steps: its files are written
// aside and synced; an intent that lists them is written; they are renamed into place; the position
// becomes `to`. A crash before the intent leaves nothing, a crash after it is finished at open().
//
// Place:   knows files and positions; nothing of their content.
// Threads: one thread at a time.
// Format:  docs/formats/parquet_folder.md
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/fs.h"
#include "model/position.h"
#include "model/table.h"

namespace pgweir::sinks {

// (from, to]
struct PositionRange {
  model::Position from;
  model::Position to;
  bool operator==(const PositionRange&) const = default;
};

// "0001-00000016B374D848-42_0001-00000016B374E000-7.parquet": sorts by epoch and LSN. `part` tells
// apart the files of one folder and range (a table that changed its columns): "..._1.parquet".
std::string file_name(const PositionRange& range, std::uint32_t part);
// Nothing when it is not a name that file_name() makes.
std::optional<PositionRange> parse_file_name(std::string_view name);

// "table=public.accounts": hive style, with everything but letters, digits, "_-" and UTF-8 as %XX.
std::string table_folder(const model::Table& table);
// "date=2026-03-01", of days since 1970-01-01.
std::string date_folder(std::int64_t day);

class ParquetFolder {
 public:
  struct File {
    std::string staged;  // name in staging()
    std::string path;    // where it belongs, relative to the folder
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;
  };

  // Makes or opens the folder, locks it, finishes an intent, removes what was staged. Errors as
  // ParquetSink::open(). `fs` must outlive it.
  static Result<std::unique_ptr<ParquetFolder>> open(io::Fs& fs, const std::string& directory);

  const model::Position& position() const { return position_; }
  std::string staging() const { return control_ + "/tmp"; }
  // Where DuckDB may put rows that do not fit into memory.
  std::string spill() const { return control_ + "/spill"; }

  Status bind_log(const std::string& identity);

  // Removes staged files and an intent that never came into force. Requires !has_intent().
  Status discard_staged();

  // Syncs the staged files and makes it durable that they are the range (position(), to].
  // After kNoSpace: discard_staged() and again. Sets the files' bytes.
  Status write_intent(const model::Position& to, std::vector<File>& files);
  bool has_intent() const { return intent_.has_value(); }
  // Carries the intent out: may be called again after kNoSpace. Requires has_intent().
  Status finish();

  // Moves the position over a range without files.
  Status advance(const model::Position& to);

 private:
  struct Intent {
    PositionRange range;
    std::vector<File> files;
  };

  ParquetFolder(io::Fs& fs, std::string directory);
  Status recover();
  Status read_position();
  Result<std::optional<Intent>> read_intent();
  Status move_into_place(const File& file);
  Status sync_folders(const Intent& intent);
  Status write_position(const model::Position& position);
  Status remove_files_in(const std::string& directory);
  Status check_files();
  Status check_names(const std::string& directory);
  std::string full(const std::string& relative) const { return directory_ + "/" + relative; }

  io::Fs& fs_;
  const std::string directory_;
  const std::string control_;  // _pgweir in it
  std::unique_ptr<io::FileLock> lock_;
  std::string log_identity_;  // "" until bound
  model::Position position_;
  std::optional<Intent> intent_;
};

}  // namespace pgweir::sinks
