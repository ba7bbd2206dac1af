#include "pipeline/table_difference.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <future>
#include <tuple>

#include "postgres/table_chunk.h"

namespace pgweir::pipeline {
namespace {

constexpr std::size_t kImageBytesOpen = 256 * 1024;

template <typename Row>
std::string_view bytes_of(const Row& row) {
  static_assert(std::has_unique_object_representations_v<Row>);
  return {reinterpret_cast<const char*>(&row), sizeof row};
}

template <typename Row>
Result<std::vector<Row>> rows_of(const PartitionedFile& file, std::uint32_t partition) {
  TRY_ASSIGN(const std::string bytes, file.read(partition));
  std::vector<Row> out(bytes.size() / sizeof(Row));
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  std::sort(out.begin(), out.end());
  return out;
}

// Takes a number off the front of a line, and what stands behind it.
template <typename Number>
bool take_number(std::string_view& line, Number& number) {
  const auto [end, failure] = std::from_chars(line.data(), line.data() + line.size(), number);
  if (failure != std::errc{}) return false;
  line.remove_prefix(std::min(static_cast<std::size_t>(end - line.data()) + 1, line.size()));
  return true;
}

// "(block,offset)" and what stands behind it.
bool take_place(std::string_view& line, std::uint32_t& block, std::uint16_t& offset) {
  if (line.empty()) return false;
  line.remove_prefix(1);
  if (!take_number(line, block) || !take_number(line, offset)) return false;
  if (!line.empty()) line.remove_prefix(1);
  return true;
}

std::uint64_t place_of(std::uint32_t block, std::uint16_t offset) {
  return std::uint64_t{block} << 16 | offset;
}

Error malformed(const model::Table& table) {
  return error(Code::kInternal, fmt::format("a row of {} cannot be read", table.qualified_name()));
}

}  // namespace

TableDifference::TableDifference(io::Fs& fs, WithRoom with_room, postgres::Connection& source,
                                 engine::Reader& reader, const DifferenceOptions& options)
    : fs_(fs),
      with_room_(std::move(with_room)),
      source_(source),
      reader_(reader),
      options_(options) {}

Status TableDifference::run(const std::shared_ptr<const model::Table>& table,
                            const engine::Mirror& mirror, DifferenceLog& out) {
  table_ = table;
  mirror_ = mirror.name;
  auto hash = engine::RowHash::make(mirror, options_.types);
  if (!hash.ok()) return from_mirror(hash.error());
  hash_ = std::move(hash).value();
  TRY(look_at_source());
  TRY(collect());
  const Status compared = compare(out);
  source_rows_.reset();
  mirror_rows_.reset();
  return compared;
}

Status TableDifference::check_stopped() const {
  return options_.stopping && options_.stopping() ? Status(error(Code::kCancelled, "asked to stop"))
                                                  : Status();
}

Status TableDifference::from_mirror(Status status) {
  if (!status.ok()) mirror_failed_ = true;
  return status;
}

// --- Both sides' hashes --------------------------------------------------------------------------

// From here on a lock keeps the table's rows where they are, until the transaction's end.
Status TableDifference::look_at_source() {
  // Rows by the statistics, and by the size, since statistics may be old: rarely are rows smaller.
  TRY_ASSIGN(
      const auto rows,
      source_.query("SELECT c.relkind = 'p', sum(greatest(l.reltuples, 0))::int8,"
                    " (sum(pg_relation_size(l.oid)) / 100)::int8 FROM pg_class c CROSS JOIN LATERAL"
                    " (SELECT t.relid FROM pg_partition_tree(c.oid) t WHERE t.isleaf"
                    "  UNION SELECT c.oid WHERE c.relkind <> 'p') m"
                    " JOIN pg_class l ON l.oid = m.relid WHERE c.oid = $1 GROUP BY 1",
                    {std::to_string(model::value(table_->id))}));
  if (rows.row_count() == 0) {
    return error(Code::kUnavailable,
                 fmt::format("table {} was dropped meanwhile", table_->qualified_name()));
  }
  partitioned_ = rows.boolean(0, 0);
  TRY(postgres::check_columns(source_, *table_, partitioned_));
  const auto mirrored = reader_.connection().query_int("SELECT count(*) FROM " + mirror_);
  if (!mirrored.ok()) return from_mirror(mirrored.error());
  const auto count =
      static_cast<std::uint64_t>(std::max({rows.integer(0, 1), *mirrored, std::int64_t{1}}));
  const std::uint64_t partitions = std::bit_ceil(count / options_.limits.partition_rows + 1);
  partition_bits_ = static_cast<std::uint32_t>(std::countr_zero(
      std::min<std::uint64_t>(partitions, std::bit_floor(options_.limits.partitions_max))));
  TRY_ASSIGN(source_rows_, scratch("source"));
  TRY_ASSIGN(mirror_rows_, scratch("mirror"));
  return {};
}

Result<std::unique_ptr<PartitionedFile>> TableDifference::scratch(const char* name) const {
  return PartitionedFile::open(fs_, options_.directory + "/" + name, with_room_,
                               {.partitions = 1u << partition_bits_});
}

std::uint32_t TableDifference::partition_of(std::int64_t key) const {
  if (partition_bits_ == 0) return 0;
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(key) >> (64 - partition_bits_));
}

Status TableDifference::collect() {
  auto source = std::async(std::launch::async, [this] { return collect_source(); });
  TRY(from_mirror(collect_mirror()));  // an error waits for the source all the same
  TRY(source.get());
  TRY(source_rows_->finish());
  return mirror_rows_->finish();
}

std::string TableDifference::select_places(const model::Table& table, bool partitioned,
                                           const std::string& condition) const {
  constexpr std::string_view kSelect = "SELECT ";
  const std::string rows = postgres::select_rows(table, partitioned);
  std::string out = "SELECT tableoid, ctid, " + rows.substr(kSelect.size());
  if (!condition.empty()) out += " WHERE " + condition;
  return out;
}

Status TableDifference::collect_source() {
  postgres::SnapshotOptions options = options_.snapshot;
  options.select = [this](const model::Table& table, bool partitioned,
                          const std::string& condition) {
    return hash_->source_places(
        fmt::format("({}) AS part", select_places(table, partitioned, condition)));
  };
  TRY_ASSIGN(const auto snapshot, postgres::Snapshot::begin(options, {table_}));
  return snapshot->run([this](postgres::SnapshotChunk chunk) -> Status {
    TRY(check_stopped());
    if (mirror_failed_) return error(Code::kCancelled, "the mirror cannot be read");
    return take_places(chunk.lines);
  });
}

// Lines of key, row, table and place.
Status TableDifference::take_places(std::string_view lines) {
  MutexLock lock(mutex_);
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size() - 1);
    TRY(take_place(lines.substr(0, end)));
    lines.remove_prefix(end + 1);
  }
  return {};
}

Status TableDifference::take_place(std::string_view line) {
  SourceRow row;
  std::uint32_t member = 0;
  if (!take_number(line, row.key) || !take_number(line, row.row) || !take_number(line, member) ||
      !pipeline::take_place(line, row.block, row.offset))
    return malformed(*table_);
  const auto found = std::find(members_.rbegin(), members_.rend(), member);
  if (found == members_.rend()) {
    row.member = static_cast<std::uint16_t>(members_.size());
    members_.push_back(member);
  } else {
    row.member = static_cast<std::uint16_t>(members_.rend() - found - 1);
  }
  return source_rows_->add(partition_of(row.key), bytes_of(row));
}

Status TableDifference::collect_mirror() {
  TRY_ASSIGN(duck::Rows rows, reader_.connection().stream(hash_->mirror_hashes()));
  while (const duck::Chunk* chunk = rows.next()) {
    TRY(check_stopped());
    for (std::size_t i = 0; i < chunk->row_count(); ++i) {
      const MirrorRow row{chunk->data<std::int64_t>(0)[i], chunk->data<std::int64_t>(1)[i]};
      TRY(mirror_rows_->add(partition_of(row.key), bytes_of(row)));
    }
  }
  return rows.ended();
}

// --- What only one side has ----------------------------------------------------------------------

Status TableDifference::compare(DifferenceLog& out) {
  const auto same = [](const auto& a, const auto& b) { return a.key == b.key && a.row == b.row; };
  for (std::uint32_t partition = 0; partition < 1u << partition_bits_; ++partition) {
    TRY(check_stopped());
    TRY_ASSIGN(const auto source, rows_of<SourceRow>(*source_rows_, partition));
    TRY_ASSIGN(const auto mirror, rows_of<MirrorRow>(*mirror_rows_, partition));
    auto left = source.begin();
    auto right = mirror.begin();
    while (left != source.end() || right != mirror.end()) {
      if (left != source.end() && right != mirror.end() && same(*left, *right)) {
        ++left, ++right;
      } else if (right == mirror.end() ||
                 (left != source.end() && MirrorRow{left->key, left->row} < *right)) {
        only_source_.push_back(*left++);
      } else {
        only_mirror_.push_back(*right++);
      }
    }
    if (only_source_.size() + only_mirror_.size() >= options_.limits.rows_at_once) TRY(pass(out));
  }
  return pass(out);
}

Status TableDifference::pass(DifferenceLog& out) {
  wanted_.clear();
  updated_.clear();
  images_.clear();
  given_.assign(only_mirror_.size(), false);
  for (std::size_t i = 0; i < only_mirror_.size(); ++i) wanted_.emplace(only_mirror_[i].key, i);
  for (const SourceRow& row : only_source_) {
    if (wanted_.contains(row.key)) updated_.insert(row.key);
  }
  image_file_ = {};
  TRY(give_mirror_rows(out));
  TRY(give_source_rows(out));
  // Only where two keys have one hash.
  for (const auto& [key, image] : images_) {
    TRY(read_image(image));
    TRY(out.remove(table_->id, image_));
  }
  only_source_.clear();
  only_mirror_.clear();
  return {};
}

// --- The mirror's rows: deleted, or old images ---------------------------------------------------

Status TableDifference::give_mirror_rows(DifferenceLog& out) {
  if (only_mirror_.empty()) return {};
  std::string keys;
  for (const auto& [key, place] : wanted_) keys += (keys.empty() ? "" : ",") + std::to_string(key);
  // One text that DuckDB takes apart: a list of so many constants would cost it far more.
  const std::string select =
      fmt::format("{} WHERE k IN (SELECT CAST(unnest(string_split('{}', ',')) AS BIGINT))",
                  hash_->mirror_images(), keys);
  auto rows = reader_.connection().stream(select);
  if (!rows.ok()) return from_mirror(rows.error());
  while (const duck::Chunk* chunk = rows->next()) {
    TRY(check_stopped());
    for (std::size_t row = 0; row < chunk->row_count(); ++row)
      TRY(give_mirror_row(*chunk, row, out));
  }
  TRY(from_mirror(rows->ended()));
  if (std::find(given_.begin(), given_.end(), false) != given_.end())
    return from_mirror(malformed(*table_));
  return write_images();
}

Status TableDifference::give_mirror_row(const duck::Chunk& chunk, std::size_t row,
                                        DifferenceLog& out) {
  const std::int64_t key = chunk.data<std::int64_t>(0)[row];
  const std::int64_t hash = chunk.data<std::int64_t>(1)[row];
  const auto found = wanted_.find(key);
  if (found == wanted_.end()) return {};
  std::size_t at = found->second;
  const auto of_key = [&] { return at < only_mirror_.size() && only_mirror_[at].key == key; };
  while (of_key() && (only_mirror_[at].row != hash || given_[at])) ++at;
  if (!of_key()) return {};  // an equal row, or another with this hash of its key
  given_[at] = true;
  constexpr std::size_t kHashes = 2;
  image_.assign(2, '\0');
  const std::size_t columns = chunk.column_count() - kHashes;
  image_[0] = static_cast<char>(columns >> 8);
  image_[1] = static_cast<char>(columns & 0xff);
  for (std::size_t column = kHashes; column < chunk.column_count(); ++column) {
    if (chunk.is_null(column, row)) {
      append_cell(image_, nullptr);
      continue;
    }
    const std::string_view text = chunk.string(column, row);
    append_cell(image_, &text);
  }
  return updated_.contains(key) ? keep_image(key, image_) : out.remove(table_->id, image_);
}

Status TableDifference::keep_image(std::int64_t key, std::string_view image) {
  images_.emplace(key, Image{image_file_.end + image_file_.open.size(), image.size()});
  image_file_.open += image;
  return image_file_.open.size() >= kImageBytesOpen ? write_images() : Status();
}

Status TableDifference::write_images() {
  ImageFile& file = image_file_;
  if (file.open.empty()) return {};
  const std::string path = options_.directory + "/images";
  TRY(with_room_([&]() -> Status {
    if (!file.writing) {
      TRY_ASSIGN(file.writing, fs_.create(path));
    }
    Status status = file.writing->size() == file.end ? Status() : file.writing->truncate(file.end);
    if (status.ok()) status = file.writing->append(file.open);
    return status;
  }));
  file.end += file.open.size();
  file.open.clear();
  if (!file.reading) {
    TRY_ASSIGN(file.reading, fs_.open_read(path));
  }
  return {};
}

Status TableDifference::read_image(const Image& image) {
  TRY(image_file_.reading->read_at(image.offset, image.bytes, image_));
  return image_.size() == image.bytes ? Status() : malformed(*table_);
}

// --- The source's rows: inserted or updated ------------------------------------------------------

Status TableDifference::give_source_rows(DifferenceLog& out) {
  const auto by_place = [](const SourceRow& a, const SourceRow& b) {
    return std::tie(a.member, a.block, a.offset) < std::tie(b.member, b.block, b.offset);
  };
  std::sort(only_source_.begin(), only_source_.end(), by_place);
  for (std::size_t first = 0; first < only_source_.size();) {
    TRY(check_stopped());
    std::size_t last = first;
    while (last < only_source_.size() && last - first < options_.limits.places_at_once &&
           only_source_[last].member == only_source_[first].member)
      ++last;
    TRY(give_places(first, last, out));
    first = last;
  }
  return {};
}

Status TableDifference::give_places(std::size_t first, std::size_t last, DifferenceLog& out) {
  std::unordered_map<std::uint64_t, std::int64_t> key_at;
  std::string places;
  for (std::size_t i = first; i < last; ++i) {
    const SourceRow& row = only_source_[i];
    key_at[place_of(row.block, row.offset)] = row.key;
    places += fmt::format("{}\"({},{})\"", places.empty() ? "" : ",", row.block, row.offset);
  }
  std::string condition = fmt::format("ctid = ANY ('{{{}}}'::tid[])", places);
  if (partitioned_) {
    MutexLock lock(mutex_);
    condition += fmt::format(" AND tableoid = {}", members_[only_source_[first].member]);
  }
  const std::string select = select_places(*table_, partitioned_, condition);
  TRY(postgres::copy_rows(source_, *table_, select, [&](std::string_view line) -> Status {
    std::string_view rest = line;
    std::uint32_t member = 0, block = 0;
    std::uint16_t offset = 0;
    if (!take_number(rest, member) || !pipeline::take_place(rest, block, offset))
      return malformed(*table_);
    const auto found = key_at.find(place_of(block, offset));
    if (found == key_at.end()) return malformed(*table_);
    const std::int64_t key = found->second;
    key_at.erase(found);
    return give_source_row(key, line, out);
  }));
  if (key_at.empty()) return {};
  return error(Code::kUnavailable,
               fmt::format("table {} changed while it was read", table_->qualified_name()),
               "rows are not where they were", "It is read again");
}

Status TableDifference::give_source_row(std::int64_t key, std::string_view line,
                                        DifferenceLog& out) {
  constexpr std::size_t kPlaceFields = 2;
  std::string row;
  copy_tuple(line, kPlaceFields, row);
  const auto image = images_.find(key);
  if (image == images_.end()) return out.insert(table_->id, row);
  TRY(read_image(image->second));
  images_.erase(image);
  return out.update(table_->id, image_, row);
}

}  // namespace pgweir::pipeline
