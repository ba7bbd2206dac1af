#include "pipeline/schema_watch.h"

#include <fmt/core.h>

#include <utility>

namespace pgweir::pipeline {

namespace {
constexpr Microseconds kBurst{50'000};
}  // namespace

void SchemaWatch::start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void SchemaWatch::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_waker_.wake();
  waker_.wake();
  if (thread_.joinable()) thread_.join();
}

bool SchemaWatch::stopping() const {
  MutexLock lock(mutex_);
  return stopping_;
}

void SchemaWatch::know(std::map<std::uint32_t, model::Presence> tables) {
  MutexLock lock(mutex_);
  if (!known_) waker_.wake();
  known_ = std::move(tables);
}

std::map<std::uint32_t, model::Presence> SchemaWatch::known() const {
  MutexLock lock(mutex_);
  return known_.value_or(std::map<std::uint32_t, model::Presence>());
}

void SchemaWatch::count_description() {
  MutexLock lock(mutex_);
  ++described_;
}

std::uint64_t SchemaWatch::descriptions() const {
  MutexLock lock(mutex_);
  return described_;
}

void SchemaWatch::look_now() {
  waker_.wake();
}

std::optional<SchemaLook> SchemaWatch::take() {
  MutexLock lock(mutex_);
  return std::exchange(look_, std::nullopt);
}

SchemaWatchStatus SchemaWatch::status() const {
  MutexLock lock(mutex_);
  return status_;
}

void SchemaWatch::run() {
  while (!stopping()) {
    waker_.clear();
    const Status looked = look();
    if (!looked.ok() && !stopping()) {
      MutexLock lock(mutex_);
      status_.failure = looked.error();
    }
    if (stopping()) return;
    const auto woken =
        io::wait_socket(-1, io::Interest::kNothing, options_.interval, &waker_, &stop_waker_);
    if (!woken.ok()) return;
    // What comes in a burst shares one look.
    if (woken->woken && !io::wait_socket(-1, io::Interest::kNothing, kBurst, &stop_waker_).ok())
      return;
  }
}

Status SchemaWatch::connect() {
  if (connection_ && connection_->is_open()) return {};
  postgres::ConnectionOptions options;
  options.url = options_.url;
  options.query_timeout = options_.query_timeout;
  options.cancel = &stop_waker_;
  TRY_ASSIGN(connection_, postgres::Connection::open(options));
  return {};
}

// What the walsender sends wrongly meanwhile is read again: from behind the position that the look
// has then.
Status SchemaWatch::heed_partitions(postgres::CatalogLook& catalog) {
  if (connection_->server_version() >= postgres::kSendsPartitionsAnew) return {};
  std::map<std::uint32_t, std::uint32_t> attached;
  for (const model::Table& table : catalog.tables) {
    for (const model::Partition& each : table.partitions)
      attached[model::value(each.id)] = each.attached;
  }
  if (attached == attached_) return {};
  const auto lsn = postgres::send_partitions_anew(*connection_, options_.source.publication);
  if (!lsn.ok()) {
    if (!connection_->is_open()) return lsn.error();
    if (!catalog.publications_failure) {
      catalog.publications_failure = lsn.error();
      catalog.publications_failure->hint =
          "Rows of partitions that were attached or detached are sent wrongly: make the user of "
          "source.url the publication's owner, or use PostgreSQL 15 or later";
    }
    return {};
  }
  attached_ = std::move(attached);
  catalog.lsn = *lsn;
  return {};
}

Status SchemaWatch::look() {
  SchemaLook found;
  std::map<std::uint32_t, model::Presence> known;
  {
    MutexLock lock(mutex_);
    if (!known_) return {};
    known = *known_;
    found.described = described_;
  }
  const std::int64_t began_us = clock_.now_us();
  TRY(connect());
  TRY_ASSIGN(found.catalog, postgres::look_at_catalog(*connection_, options_.source, known));
  TRY(heed_partitions(found.catalog));
  for (const std::string& table : found.catalog.added)
    logger_.info("table {} is new: it is in the publication from now on", table);
  const std::optional<Error> failure = found.catalog.publications_failure;
  const std::string text = failure ? failure->text() : "";
  if (text != told_ && failure) logger_.warning("schema changes: {}", text);
  told_ = text;
  MutexLock lock(mutex_);
  status_ = {began_us, found.catalog.ddl_trigger, failure};
  look_ = std::move(found);
  return {};
}

}  // namespace pgweir::pipeline
