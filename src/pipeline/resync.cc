#include "pipeline/resync.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "model/table_change.h"

namespace pgweir::pipeline {
namespace {

// Whether rows of the one are rows of the other, and told apart in the same way.
bool same_shape(const model::Table& was, const model::Table& is) {
  const auto same = [](const model::Column& a, const model::Column& b) {
    return a.name == b.name && a.type == b.type && a.type_modifier == b.type_modifier &&
           a.base_type == b.base_type && a.in_key == b.in_key && a.number == b.number;
  };
  if (!std::equal(was.columns.begin(), was.columns.end(), is.columns.begin(), is.columns.end(),
                  same))
    return false;
  if (was.replica_identity != is.replica_identity || was.primary_key != is.primary_key ||
      was.qualified_name() != is.qualified_name())
    return false;
  const model::TableChange change = model::compare(was, is);
  return change.other_rows.empty() &&
         std::all_of(change.unknown.begin(), change.unknown.end(),
                     [](const std::string& why) { return why.empty(); });
}

// What tells that something was missed between the two is as if nothing had been.
model::Table without_gap(const model::Table& was, model::Table is) {
  if (!was.published_by.empty()) {
    std::vector<std::uint64_t> both;
    std::set_union(was.published_by.begin(), was.published_by.end(), is.published_by.begin(),
                   is.published_by.end(), std::back_inserter(both));
    is.published_by = std::move(both);
  }
  for (model::Partition& partition : is.partitions) {
    const auto before =
        std::find_if(was.partitions.begin(), was.partitions.end(),
                     [&](const model::Partition& each) { return each.id == partition.id; });
    if (before != was.partitions.end() && model::came_again(*before, partition))
      partition.attached = 0;
  }
  return is;
}

bool has_all_columns(const engine::Mirror& mirror) {
  if (mirror.kept_columns.size() != mirror.table.columns.size()) return false;
  for (std::uint32_t i = 0; i < mirror.kept_columns.size(); ++i) {
    if (mirror.kept_columns[i] != i) return false;
  }
  return true;
}

}  // namespace

Resync::Resync(log::Log& log, io::Fs& fs, const io::Clock& clock, Logger& logger,
               ResyncMirrors mirrors, std::string directory, Hooks hooks)
    : log_(log),
      fs_(fs),
      clock_(clock),
      logger_(logger),
      mirrors_(std::move(mirrors)),
      directory_(std::move(directory)),
      hooks_(std::move(hooks)) {}

// --- Before the slot -----------------------------------------------------------------------------

Status Resync::await_mirrors() {
  if (mirrors_.engine == nullptr) {
    none_ = "there are no mirrors";
    return {};
  }
  const model::Position end = log_.durable_position();
  model::Position last;
  auto moved = clock_.steady();
  while (true) {
    const FollowerStatus status = mirrors_.follower();
    const bool ended =
        status.state == FollowerState::kFailed || status.state == FollowerState::kLost;
    if (ended) none_ = "the mirrors have stopped: " + (status.error ? status.error->message : "");
    if (ended || status.taken >= end) return {};
    if (status.taken > last) moved = clock_.steady();
    last = std::max(last, status.taken);
    if (clock_.steady() - moved >= mirrors_.stall_max) {
      none_ = fmt::format("the mirrors have stood at {} for {}, the log ends at {}",
                          model::to_string(last.lsn), format_duration(mirrors_.stall_max),
                          model::to_string(end.lsn));
      return {};
    }
    hooks_.say(fmt::format("resync: the mirrors take what the log has: {} of {}",
                           model::to_string(status.taken.lsn), model::to_string(end.lsn)));
    if (!hooks_.wait(mirrors_.look_interval)) return error(Code::kCancelled, "asked to stop");
  }
}

// --- Under its snapshot --------------------------------------------------------------------------

// What an earlier one has left.
void Resync::clear_directory() {
  const auto names = fs_.list(directory_);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const Status ignored = fs_.remove(directory_ + "/" + name);
    (void)ignored;
  }
}

Status Resync::open_reader() {
  constexpr Milliseconds kTry{200};
  const auto deadline = clock_.steady() + mirrors_.reader_wait;
  auto reader = mirrors_.engine->reader(kTry);
  while (!reader.ok() && clock_.steady() < deadline) {
    hooks_.say("resync: waiting for a free reader of the mirrors");
    if (!hooks_.wait(kTry)) return error(Code::kCancelled, "asked to stop");
    reader = mirrors_.engine->reader(kTry);
  }
  if (!reader.ok()) {
    none_ = "the mirrors cannot be read: " + reader.error().text();
    return {};
  }
  reader_ = std::move(reader).value();
  if (!reader_->position().snapshot_complete) none_ = "the mirrors are not complete";
  return {};
}

Status Resync::open(const postgres::SnapshotOptions& snapshot) {
  if (none_.empty()) TRY(open_reader());
  if (!none_.empty()) return {};
  TRY(fs_.create_directories(directory_));
  clear_directory();
  TRY_ASSIGN(source_, postgres::Connection::open(snapshot.connection));
  TRY(begin_transaction(snapshot));
  // Whatever has this id has ended: readers of the source take it for seen.
  TRY_ASSIGN(const auto row,
             source_->query("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8 - 1"));
  TRY(source_->execute("COMMIT"));
  xid_ = model::Xid{static_cast<std::uint32_t>(row.integer(0, 0))};
  differences_ = std::make_unique<DifferenceLog>(log_, clock_, hooks_.with_room, xid_,
                                                 mirrors_.frame_bytes_max);
  return {};
}

// One for each table: its lock goes with it.
Status Resync::begin_transaction(const postgres::SnapshotOptions& snapshot) {
  return source_->execute(
      fmt::format("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {};"
                  "SET LOCAL row_security = off",
                  postgres::quote_literal(snapshot.snapshot)));
}

std::string Resync::obstacle(const model::Table& table, const engine::Mirror* mirror) const {
  if (!none_.empty()) return none_;
  if (mirror == nullptr) return "there is no mirror of it";
  if (mirror->reading) return "its mirror was being read";
  if (!mirror->stopped.empty()) return "its mirror has stopped: " + mirror->stopped;
  if (!mirror->released.empty()) return mirror->released;
  if (!has_all_columns(*mirror)) return "its mirror has not all columns (engine.mirrors: all)";
  if (!same_shape(mirror->table, table)) return "its shape has changed";
  if (mirror->kind == engine::MirrorKind::kAppendOnly)
    return "without a replica identity its updates and deletes are not captured";
  return {};
}

Result<Resync::Compared> Resync::compare(const postgres::SnapshotOptions& snapshot,
                                         const Tables& tables) {
  TRY(open(snapshot));
  Compared out;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    hooks_.say(fmt::format("resync: comparing {}, table {} of {}", tables[i]->qualified_name(),
                           i + 1, tables.size()));
    TRY_ASSIGN(const auto compared, compare_table(tables[i], snapshot));
    if (compared) {
      out.tables.push_back(compared);
    } else {
      out.to_read.push_back(tables[i]);
    }
  }
  reader_.reset();
  source_.reset();
  clear_directory();
  return out;
}

Result<std::shared_ptr<const model::Table>> Resync::compare_table(
    const std::shared_ptr<const model::Table>& described,
    const postgres::SnapshotOptions& snapshot) {
  const auto mirrors = none_.empty() ? mirrors_.engine->mirrors() : std::vector<engine::Mirror>();
  const auto found = std::find_if(mirrors.begin(), mirrors.end(), [&](const auto& mirror) {
    return mirror.table.id == described->id;
  });
  auto table = described;
  if (found != mirrors.end())
    table = std::make_shared<const model::Table>(without_gap(found->table, *described));
  std::string why = obstacle(*table, found == mirrors.end() ? nullptr : &*found);
  if (why.empty()) {
    DifferenceOptions options;
    options.types = mirrors_.types;
    options.directory = directory_;
    options.snapshot = snapshot;
    options.limits = mirrors_.limits;
    options.stopping = hooks_.stopping;
    const DifferenceCounts before = differences_->counts();
    TableDifference difference(fs_, hooks_.with_room, *source_, *reader_, options);
    TRY(begin_transaction(snapshot));
    const Status done = difference.run(table, *found, *differences_);
    if (source_->is_open()) TRY(source_->execute("ROLLBACK"));
    if (done.ok()) {
      const DifferenceCounts& now = differences_->counts();
      logger_.info("resync: {}: {} rows to insert, {} to update, {} to delete",
                   table->qualified_name(), now.inserted - before.inserted,
                   now.updated - before.updated, now.deleted - before.deleted);
      return table;
    }
    const bool stops = done.error().code == Code::kCancelled && hooks_.stopping();
    if (!difference.mirror_failed() || stops) return done.error();
    why = "its mirror cannot be read: " + done.error().text();
    // A query that failed may have ended the reader's transaction.
    reader_.reset();
    TRY(open_reader());
  }
  logger_.warning("resync: {} is read anew, and sinks are given all its rows: {}",
                  table->qualified_name(), why);
  return std::shared_ptr<const model::Table>();
}

// --- Into the log --------------------------------------------------------------------------------

Result<model::Position> Resync::commit(std::uint32_t epoch, const postgres::CreatedSlot& slot) {
  const model::Lsn at = slot.snapshot_lsn();
  if (!differences_) return model::Position{epoch, at, 0};
  return differences_->commit(epoch,
                              {xid_, at, slot.consistent_point, model::Timestamp{clock_.now_us()}});
}

}  // namespace pgweir::pipeline
