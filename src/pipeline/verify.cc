#include "pipeline/verify.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "pipeline/batch_reader.h"
#include "postgres/table_chunk.h"

namespace pgweir::pipeline {

// --- Visibility --------------------------------------------------------------------------------

Result<VisibleXids> VisibleXids::parse(std::string_view snapshot, std::uint32_t next) {
  const auto malformed = [&] {
    return error(Code::kInternal, fmt::format("'{}' is no snapshot", snapshot));
  };
  std::vector<std::uint64_t> numbers;
  for (std::string_view rest = snapshot; !rest.empty();) {
    const std::size_t end = std::min(rest.find_first_of(":,"), rest.size());
    std::uint64_t number = 0;
    const auto [stop, failure] = std::from_chars(rest.data(), rest.data() + end, number);
    if (failure != std::errc{} || stop != rest.data() + end) return malformed();
    numbers.push_back(number);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (numbers.size() < 2) return malformed();
  VisibleXids out;
  out.end_ = numbers[1];
  out.next_ = out.end_ + (next - static_cast<std::uint32_t>(out.end_));
  out.running_.assign(numbers.begin() + 2, numbers.end());
  std::sort(out.running_.begin(), out.running_.end());
  return out;
}

bool VisibleXids::sees(model::Xid xid) const {
  // The log has the lower half of an xid; those that are about are less than 2^31 apart.
  const auto from_end =
      static_cast<std::int32_t>(static_cast<std::uint32_t>(xid) - static_cast<std::uint32_t>(end_));
  if (from_end >= 0) return false;
  const std::uint64_t whole = end_ - static_cast<std::uint64_t>(-std::int64_t{from_end});
  return !std::binary_search(running_.begin(), running_.end(), whole);
}

std::vector<std::uint64_t> VisibleXids::unseen_before(std::uint64_t next) const {
  constexpr std::size_t kMax = 10;
  std::vector<std::uint64_t> out;
  for (const std::uint64_t xid : running_) {
    if (xid < next && out.size() < kMax) out.push_back(xid);
  }
  for (std::uint64_t xid = end_; xid < next && out.size() < kMax; ++xid) out.push_back(xid);
  return out;
}

// --- A look ------------------------------------------------------------------------------------

Verifier::Verifier(engine::Engine& engine, log::Log& log, VerifyOptions options)
    : engine_(engine), log_(log), options_(std::move(options)) {}

void Verifier::cancel() {
  cancelled_.wake();
  MutexLock lock(mutex_);
  if (reading_ != nullptr) reading_->interrupt();
}

Status Verifier::check_cancelled() const {
  if (!cancelled_.woken()) return {};
  return error(Code::kCancelled, "verify was cancelled");
}

// What stands at the end of the WAL of a quiet server may not be on its disk, and is sent to
// nobody, until a commit behind it. A role that may not write messages waits for somebody else's.
void Verifier::move_source() {
  postgres::ConnectionOptions connection;
  connection.url = options_.url;
  connection.application_name = "pgweir verify";
  connection.cancel = &cancelled_;
  auto mover = postgres::Connection::open(connection);
  if (mover.ok()) (void)postgres::move_wal(*mover);
}

Status Verifier::wait_for_engine(model::Lsn lsn) {
  constexpr Microseconds kLook{2'000};
  constexpr std::chrono::seconds kMove{1};
  const auto deadline = std::chrono::steady_clock::now() + options_.engine_wait;
  auto move_due = std::chrono::steady_clock::now() + kMove;
  while (true) {
    TRY(check_cancelled());
    const engine::EnginePosition position = engine_.position();
    if (position.end_lsn >= lsn && position.snapshot_complete) return {};
    if (std::chrono::steady_clock::now() >= deadline) {
      return error(Code::kTimeout, "the engine does not reach the source's position",
                   fmt::format("it is at {}, the source was at {} {} ago",
                               model::to_string(position.end_lsn), model::to_string(lsn),
                               format_duration(options_.engine_wait)),
                   "`pgweir status` says what holds it back");
    }
    if (std::chrono::steady_clock::now() >= move_due) {
      move_source();
      move_due = std::chrono::steady_clock::now() + kMove;
    }
    TRY(io::wait_socket(-1, io::Interest::kNothing, kLook, &cancelled_));
  }
}

namespace {

// Where a record may end: the position behind the last record may be behind the header of a page on
// which nothing stands yet, and that is a place that nobody reports.
model::Lsn without_page_header(model::Lsn lsn) {
  constexpr std::uint64_t kPageBytes = 8192, kShortHeader = 24, kLongHeader = 40;
  const std::uint64_t offset = model::value(lsn) % kPageBytes;
  return offset == kShortHeader || offset == kLongHeader ? model::Lsn{model::value(lsn) - offset}
                                                         : lsn;
}

}  // namespace

Result<Verifier::Look> Verifier::look() {
  TRY(check_cancelled());
  Look out;
  out.log_before = log_.durable_position();
  TRY(source_->execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
  // The snapshot is made before the functions are called. An xid's age counts from the next one.
  constexpr std::uint32_t kFirstXid = 3;
  TRY_ASSIGN(
      const auto row,
      ask("SELECT pg_current_snapshot()::text, age('3'::xid), CASE WHEN pg_is_in_recovery() THEN "
          "pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END,"
          " current_setting('synchronous_standby_names') <> ''"));
  TRY_ASSIGN(out.visible,
             VisibleXids::parse(row.text(0, 0),
                                static_cast<std::uint32_t>(row.integer(0, 1)) + kFirstXid));
  TRY_ASSIGN(const model::Lsn end, model::parse_lsn(row.text(0, 2)));
  out.lsn = without_page_header(end);
  out.commits_wait = row.text(0, 3) == "t";
  TRY(wait_for_engine(out.lsn));
  TRY_ASSIGN(out.reader, free_reader());
  MutexLock lock(mutex_);
  reading_ = &out.reader->connection();
  return out;
}

// The engine lends none while it takes a huge transaction, or is opened anew.
Result<std::unique_ptr<engine::Reader>> Verifier::free_reader() {
  constexpr Milliseconds kTry{200};
  const auto deadline = std::chrono::steady_clock::now() + options_.engine_wait;
  while (true) {
    TRY(check_cancelled());
    auto reader = engine_.reader(kTry);
    if (reader.ok() || std::chrono::steady_clock::now() >= deadline) return reader;
    const Code code = reader.error().code;
    if (code != Code::kUnavailable && code != Code::kTimeout) return reader;
    TRY(io::wait_socket(-1, io::Interest::kNothing, kTry, &cancelled_));
  }
}

void Verifier::end_look(Look& look) {
  {
    MutexLock lock(mutex_);
    reading_ = nullptr;
  }
  look.reader.reset();
  if (!source_->is_open()) return;
  const Status ignored = source_->execute("ROLLBACK");  // nothing was written
  (void)ignored;
}

Result<engine::Mirror> Verifier::mirror_of(const std::string& table) const {
  for (engine::Mirror& mirror : engine_.mirrors()) {
    if (mirror.table.qualified_name() == table) return std::move(mirror);
  }
  return error(Code::kNotFound, fmt::format("there is no mirror of '{}'", table), {},
               "engine.mirrors: all keeps one of every captured table");
}

// An error about one table is its verdict; the others go on.
Status Verifier::per_table(const std::function<Status()>& body, TableVerdict& verdict) {
  TRY(source_->execute("SAVEPOINT verified_table"));
  const Status status = body();
  if (status.ok()) return {};
  TRY(check_cancelled());
  if (!source_->is_open() || postgres::sqlstate_of(status.error()).empty()) return status;
  verdict.reason = status.error().text();
  return source_->execute("ROLLBACK TO SAVEPOINT verified_table");
}

// --- The run -----------------------------------------------------------------------------------

Result<VerifyReport> Verifier::run(const std::vector<std::string>& tables,
                                   const OnProgress& on_progress) {
  postgres::ConnectionOptions connection;
  connection.url = options_.url;
  connection.application_name = "pgweir verify";
  connection.query_timeout = Milliseconds(0);
  connection.cancel = &cancelled_;
  TRY_ASSIGN(source_, postgres::Connection::open(connection));
  // A policy that hides rows is an error, not a difference.
  TRY(source_->execute("SET row_security = off"));
  // A cancelled run closes the connection: its statement ends soon then, also one that computes or
  // waits for a lock. Servers on some systems cannot look.
  (void)source_->execute("SET client_connection_check_interval = '500ms'");

  VerifyReport out;
  for (const std::string& table : tables) {
    TRY_ASSIGN(const engine::Mirror mirror, mirror_of(table));
    TableVerdict& verdict = out.tables.emplace_back();
    verdict.table = table;
    verdict.stopped = !mirror.stopped.empty();
    verdict.reason = mirror.stopped.empty() ? mirror.released : mirror.stopped;
  }
  std::vector<Suspects> open;
  for (TableVerdict& verdict : out.tables) {
    if (verdict.reason.empty()) open.push_back({.verdict = &verdict});
  }
  TRY_ASSIGN(Look before, look());
  out.lsn = before.lsn;
  Status status;
  for (Suspects& suspects : open) {
    if (status.ok()) status = first_look(before, suspects, on_progress);
  }
  end_look(before);
  if (!status.ok()) return status.error();

  const auto deadline = std::chrono::steady_clock::now() + options_.patience;
  for (out.looks = 1;; ++out.looks) {
    std::erase_if(open, [](const Suspects& each) { return each.keys.empty() && !each.overflown; });
    const bool is_done = std::all_of(open.begin(), open.end(),
                                     [](const Suspects& each) { return each.keys.empty(); });
    if (is_done) break;
    on_progress(fmt::format("looking again at the rows that seem to differ"));
    TRY(io::wait_socket(-1, io::Interest::kNothing, options_.look_interval, &cancelled_));
    const bool is_last = std::chrono::steady_clock::now() >= deadline;
    TRY_ASSIGN(Look now, look());
    status = further_look(before, now, is_last, open);
    end_look(now);
    if (!status.ok()) return status.error();
    before = std::move(now);
  }
  for (const Suspects& suspects : open) {
    TableVerdict& verdict = *suspects.verdict;
    verdict.more = verdict.differing > 0;
    if (verdict.more || !verdict.reason.empty()) continue;
    verdict.reason =
        fmt::format("more than {} rows changed while it was compared", options_.suspects_max);
  }
  return out;
}

Status Verifier::first_look(Look& look, Suspects& suspects, const OnProgress& on_progress) {
  TRY(check_cancelled());
  return per_table(
      [&]() -> Status {
        TRY_ASSIGN(const Side side, sides_of(suspects.verdict->table));
        on_progress(fmt::format("comparing {}", suspects.verdict->table));
        return compare_ranges(look, side, suspects);
      },
      *suspects.verdict);
}

Status Verifier::compare_ranges(Look& look, const Side& side, Suspects& suspects) {
  TRY_ASSIGN(const std::int64_t rows,
             look.reader->connection().query_int("SELECT count(*) FROM " + side.mirror.name));
  std::uint64_t count = 1;
  while (count < options_.ranges_max &&
         count * options_.range_rows < static_cast<std::uint64_t>(rows))
    count *= 2;
  const auto mask = static_cast<std::int64_t>(count - 1);
  Ranges source, mirror;
  TRY(both(
      [&]() -> Status {
        TRY_ASSIGN(source, source_ranges(side, mask));
        return {};
      },
      [&]() -> Status {
        TRY_ASSIGN(mirror, mirror_ranges(look, side, mask));
        return {};
      }));
  TableVerdict& verdict = *suspects.verdict;
  std::map<std::int64_t, std::uint64_t> differing;  // with the rows that both sides have at most
  for (const auto& [number, range] : source) {
    verdict.source_count += range.count;
    const auto other = mirror.find(number);
    if (other == mirror.end() || other->second != range) differing[number] = range.count;
  }
  for (const auto& [number, range] : mirror) {
    verdict.mirror_count += range.count;
    if (!source.contains(number)) differing[number] = range.count;
    if (const auto found = differing.find(number); found != differing.end())
      found->second = std::max(found->second, range.count);
  }
  verdict.ranges = count;
  verdict.ranges_differing = differing.size();

  std::vector<std::int64_t> group;
  std::uint64_t group_rows = 0;
  for (auto next = differing.begin(); next != differing.end();) {
    group.push_back(next->first);
    group_rows += next->second;
    ++next;
    const bool is_full =
        next == differing.end() || group_rows + next->second > options_.rows_at_once_max;
    if (!is_full) continue;
    TRY(check_cancelled());
    TRY(compare_rows(look, side, mask, group, suspects));
    if (suspects.overflown) break;
    group.clear();
    group_rows = 0;
  }
  return {};
}

namespace {

std::string list_of(const std::vector<std::int64_t>& numbers) {
  std::string out;
  for (const std::int64_t number : numbers)
    out += (out.empty() ? "" : ",") + std::to_string(number);
  return out;
}

}  // namespace

Status Verifier::compare_rows(Look& look, const Side& side, std::int64_t mask,
                              const std::vector<std::int64_t>& ranges, Suspects& suspects) {
  TRY_ASSIGN(const auto differing,
             differing_pairs(look, side, fmt::format("(k & {}) IN ({})", mask, list_of(ranges))));
  for (const HashPair& pair : differing) {
    suspects.overflown =
        suspects.keys.size() >= options_.suspects_max && !suspects.keys.contains(pair.key);
    if (suspects.overflown) break;
    suspects.keys.insert(pair.key);
  }
  return {};
}

// --- Further looks -----------------------------------------------------------------------------

// Drops the suspects that are equal now.
Status Verifier::compare_again(Look& look, Suspects& suspects,
                               std::map<std::uint32_t, Side>& sides) {
  TRY_ASSIGN(Side side, sides_of(suspects.verdict->table));
  const std::vector<std::int64_t> keys(suspects.keys.begin(), suspects.keys.end());
  TRY_ASSIGN(const auto differing,
             differing_pairs(look, side, fmt::format("k IN ({})", list_of(keys))));
  suspects.keys.clear();
  for (const HashPair& pair : differing) suspects.keys.insert(pair.key);
  if (suspects.keys.empty()) return {};
  sides.emplace(model::value(side.mirror.table.id), std::move(side));
  return {};
}

Status Verifier::further_look(const Look& before, Look& now, bool is_last,
                              std::vector<Suspects>& open) {
  // Those that ran before the last look already: see the header.
  const auto still_running = now.visible.unseen_before(before.visible.next());
  std::map<std::uint32_t, Side> sides;
  for (Suspects& suspects : open) {
    if (suspects.keys.empty()) continue;
    TableVerdict& verdict = *suspects.verdict;
    TRY(per_table([&] { return compare_again(now, suspects, sides); }, verdict));
    if (!verdict.reason.empty()) suspects.keys.clear();
  }
  if (sides.empty()) return {};
  const bool reads_far = !still_running.empty() && (before.commits_wait || now.commits_wait);
  const model::Position from =
      reads_far ? std::min(far_back(), before.log_before) : before.log_before;
  TRY_ASSIGN(auto touched, touched_since(from, now, sides));
  for (Suspects& suspects : open) {
    if (suspects.keys.empty()) continue;
    TableVerdict& verdict = *suspects.verdict;
    const auto side = std::find_if(sides.begin(), sides.end(), [&](const auto& each) {
      return each.second.mirror.table.qualified_name() == verdict.table;
    });
    if (side == sides.end()) continue;
    const Touched& moving = touched[side->first];
    std::vector<std::int64_t> certain;
    for (const std::int64_t key : suspects.keys) {
      if (!moving.all && !moving.keys.contains(key)) certain.push_back(key);
    }
    for (const std::int64_t key : certain) suspects.keys.erase(key);
    verdict.differing += certain.size();
    if (!certain.empty()) verdict.running_xids = still_running;
    TRY(per_table([&] { return report(now, side->second, certain, verdict); }, verdict));
    if (!is_last) continue;
    verdict.unsettled = suspects.keys.size();
    suspects.keys.clear();
  }
  return {};
}

model::Position Verifier::far_back() const {
  const std::vector<log::SegmentInfo> segments = log_.segments();
  model::Position out = log_.durable_position();
  std::uint64_t bytes = 0;
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    if (bytes > options_.log_back_bytes) break;
    out = segment->first;
    bytes += segment->bytes;
  }
  return out;
}

Result<std::map<std::uint32_t, Verifier::Touched>> Verifier::touched_since(
    const model::Position& from, const Look& look, const std::map<std::uint32_t, Side>& sides) {
  std::map<std::uint32_t, Touched> out;
  const model::Position to = look.reader->position().position;
  TRY_ASSIGN(const auto reader, BatchReader::open(log_, from, BatchReaderOptions{}));
  model::Position at = from;
  const auto touch_all = [&] {
    for (const auto& [table, side] : sides) out[table].all = true;
  };
  while (at < to) {
    TRY(check_cancelled());
    TRY_ASSIGN(const LogEvent event, reader->next(Microseconds(0)));
    if (event.kind == LogEvent::Kind::kNothing) break;
    at = std::max(at, event.position);
    if (event.kind == LogEvent::Kind::kSnapshotBegin) touch_all();
    if (!event.batch) continue;
    const model::Batch& batch = *event.batch;
    for (const model::Change& change : batch.changes) {
      const model::Transaction& transaction = batch.transactions[change.transaction];
      const model::Table& table = batch.table_of(change);
      const auto side = sides.find(model::value(table.id));
      if (side == sides.end()) continue;
      const bool is_streamed = transaction.kind == model::Transaction::Kind::kStream;
      if (is_streamed && look.visible.sees(transaction.xid)) continue;
      Touched& touched = out[side->first];
      const bool is_known = is_streamed && change.op != model::Op::kTruncate &&
                            table.columns == side->second.mirror.table.columns;
      if (!is_known) touched.all = true;
      if (touched.all) continue;
      for (const std::uint32_t row : {change.before, change.after}) {
        if (row == model::kNoRow) continue;
        const auto key = side->second.hash->key_hash(batch.cells.data() + row);
        if (key) touched.keys.insert(*key);
        if (!key) touched.all = true;
      }
    }
  }
  return out;
}

}  // namespace pgweir::pipeline
