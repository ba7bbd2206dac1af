#include "differential/source.h"

#include <fmt/core.h>

#include <algorithm>

#include "postgres/catalog.h"
#include "postgres/setup.h"

namespace pgweir::differential {
namespace {

constexpr const char* kSlot = "differential";
constexpr const char* kPublication = "differential";
constexpr const char* kStatementTimeout = "20s";
constexpr Microseconds kPatience{20'000};  // for messages, before the server is asked where it is

template <typename T>
T must(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  fmt::print(stderr, "differential: {}\n", result.error().text());
  std::abort();
}

}  // namespace

Source::Source(harness::Cluster& cluster)
    : cluster_(cluster), database_(cluster.create_database()) {
  control_ = std::make_unique<postgres::Connection>(
      must(postgres::Connection::open({.url = cluster_.url(database_)})));
  must(
      control_->execute(fmt::format("SET search_path = public; SET statement_timeout = '{}'; "
                                    "CREATE PUBLICATION {} FOR ALL TABLES",
                                    kStatementTimeout, kPublication)));
  (void)must(postgres::create_slot(*control_, {.name = kSlot, .export_snapshot = false}));
  auto connection = must(postgres::Connection::open(
      {.url = cluster_.url(database_), .kind = postgres::ConnectionKind::kReplication}));
  stream_ = std::make_unique<postgres::ReplicationStream>(must(postgres::ReplicationStream::start(
      std::move(connection), {.slot = kSlot, .publications = {kPublication}})));
}

Source::~Source() {
  stream_.reset();
  (void)postgres::drop_slot(*control_, kSlot, Milliseconds(10'000));
}

void Source::reset() {
  decoder_.reset();
  tables_.clear();
  must(control_->execute("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public"));
}

Result<std::vector<std::shared_ptr<const model::Table>>> Source::make_tables(
    const std::vector<std::string>& statements) {
  for (const std::string& statement : statements) TRY(control_->execute(statement));
  TRY_ASSIGN(const postgres::QueryResult found,
             control_->query("SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = "
                             "'public'::regnamespace ORDER BY relname"));
  std::vector<model::Oid> ids;
  for (int row = 0; row < found.row_count(); ++row)
    ids.push_back(model::Oid{static_cast<std::uint32_t>(found.integer(row, 0))});
  TRY_ASSIGN(std::vector<model::Table> tables, postgres::read_tables(*control_, ids));
  for (model::Table& table : tables)
    tables_.push_back(std::make_shared<const model::Table>(std::move(table)));
  return tables_;
}

Status Source::begin_changes() {
  TRY_ASSIGN(const model::Lsn now, postgres::current_lsn(*control_));
  TRY(read_up_to(now, 0, nullptr));
  decoder_.emplace(model::Position{0, now, 0});
  for (const auto& table : tables_) decoder_->add_table(table);
  return {};
}

Result<SourceRows> Source::rows(const std::string& select) {
  TRY_ASSIGN(const postgres::QueryResult result, control_->query(select));
  SourceRows out;
  for (int column = 0; column < result.column_count(); ++column)
    out.types.push_back(result.column_type(column));
  for (int row = 0; row < result.row_count(); ++row) {
    auto& cells = out.rows.emplace_back();
    for (int column = 0; column < result.column_count(); ++column) {
      cells.push_back(result.is_null(row, column)
                          ? std::nullopt
                          : std::optional(std::string(result.text(row, column))));
    }
  }
  return out;
}

Result<std::vector<model::Batch>> Source::changes(std::size_t changes_max) {
  std::vector<model::Batch> batches;
  TRY_ASSIGN(const model::Lsn now, postgres::current_lsn(*control_));
  TRY(read_up_to(now, changes_max, &batches));
  if (!decoder_->batch_empty()) batches.push_back(decoder_->take());
  return batches;
}

Status Source::read_up_to(model::Lsn end, std::size_t changes_max,
                          std::vector<model::Batch>* batches) {
  postgres::Gulp gulp;
  while (seen_ < end) {
    TRY(stream_->read(gulp, kPatience, nullptr));
    auto arena = std::make_shared<std::string>(std::move(gulp.arena));
    if (decoder_) decoder_->keep_alive(arena);
    for (const auto& message : gulp.messages) {
      if (!decoder_) break;
      TRY(decoder_->feed(std::string_view(*arena).substr(message.offset, message.size)));
      if (changes_max == 0 || batches == nullptr || decoder_->change_count() < changes_max)
        continue;
      batches->push_back(decoder_->take());
    }
    seen_ = std::max(seen_, gulp.keepalive_lsn);
    // What has been read is done with, and the server says where it is now.
    if (gulp.empty() || gulp.reply_requested)
      TRY(stream_->send_feedback(seen_, seen_, seen_,
                                 postgres::ReplicationStream::Reply::kRequested, 0));
  }
  return {};
}

Source& shared_source() {
  // Nothing happens in it by itself.
  static harness::Cluster cluster({.settings = {{"autovacuum", "off"},
                                                {"wal_sender_timeout", "0"},
                                                {"logical_decoding_work_mem", "256MB"}}});
  static Source source(cluster);
  return source;
}

}  // namespace pgweir::differential
