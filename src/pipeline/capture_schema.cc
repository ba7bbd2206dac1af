// Capture and the tables' shapes: Relation messages described, and what a look at the catalog found
// put into the log.
#include <fmt/core.h>

#include <algorithm>

#include "pipeline/capture.h"
#include "postgres/ddl_trigger.h"
#include "postgres/pgoutput.h"

namespace pgweir::pipeline {

using postgres::ConnectionKind;

// The Relation message with the catalog's facts. The catalog may already know a later shape of the
// table than the message: the message decides, the catalog only adds.
Result<std::string> Capture::describe_relation(std::string_view relation, Tell tell) {
  TRY_ASSIGN(const model::Table table, postgres::parse_relation(relation));
  for (bool fresh = false;; fresh = true) {
    if (!catalog_ || !catalog_->is_open()) {
      auto opened = connect(ConnectionKind::kOrdinary);
      if (!opened.ok()) return without_catalog(opened.error());
      catalog_.emplace(std::move(opened).value());
      fresh = true;
    }
    const model::Oid ids[] = {table.id};
    auto facts = postgres::read_tables(*catalog_, ids, described_publications_);
    const auto leaf = facts.ok()
                          ? postgres::is_sent_as_root(*catalog_, table.id, described_publications_)
                          : Result<bool>(false);
    if (facts.ok() && leaf.ok() && *leaf) return describe_leaf(relation, facts->front(), tell);
    if (facts.ok()) {
      described_[model::value(table.id)] = schema_watch_.descriptions();
      schema_watch_.count_description();
      // Before 15 only a look at the catalog tells of partitions, when the walsender knows them.
      const model::Table* known = book_.find(table.id);
      const bool early = catalog_->server_version() < postgres::kSendsPartitionsAnew;
      if (early && known != nullptr && !facts->empty())
        facts->front().partitions = known->partitions;
      const model::Table* now = facts->empty() ? nullptr : &facts->front();
      TRY_ASSIGN(const bool wanted, postgres::is_wanted(options_.source, table));
      const auto presence = wanted ? model::Presence::kCaptured : model::Presence::kUnpublished;
      if (tell == Tell::kAlways) return book_.peek(relation, now, presence);
      auto record = book_.describe(relation, now, presence);
      if (record.ok() && !record->empty()) tell_schema_watch();
      return record;
    }
    // The connection may have been lost long ago, and nobody looked.
    if (fresh || catalog_->is_open()) return without_catalog(facts.error());
  }
}

// PostgreSQL describes a partition, too, whose rows it sends as those of the root: it is no table
// to followers. But rows of a time when it was none may still come under its own name.
Result<std::string> Capture::describe_leaf(std::string_view relation, model::Table facts,
                                           Tell tell) {
  if (tell == Tell::kNews) {
    builder_->set_aside(facts.id, relation);
    return std::string();
  }
  facts.presence = model::Presence::kDropped;
  return postgres::encode_schema({std::string(relation), std::move(facts)});
}

void Capture::tell_schema_watch() {
  std::map<std::uint32_t, model::Presence> tables;
  for (const auto& [id, table] : book_.tables()) {
    if (table.presence != model::Presence::kDropped) tables[id] = table.presence;
  }
  schema_watch_.know(std::move(tables));
  if (book_.tables().empty()) return;
  std::vector<model::Table> captured;
  for (const auto& [id, table] : book_.tables()) {
    if (table.presence == model::Presence::kCaptured) captured.push_back(table);
  }
  std::sort(captured.begin(), captured.end(), [](const model::Table& a, const model::Table& b) {
    return a.qualified_name() < b.qualified_name();
  });
  MutexLock lock(mutex_);
  status_.tables = std::move(captured);
}

Status Capture::begin_schemas() {
  TRY(book_.load(log_));
  pending_look_.reset();
  tell_schema_watch();
  return {};
}

// What a look found holds from its LSN on, where no Relation message has told otherwise since: no
// row behind it was decoded with the old shape.
Status Capture::place_look(std::vector<log::Frame>& frames) {
  // One after the other: with every newer one there is more to wait for.
  if (!pending_look_) {
    auto look = schema_watch_.take();
    if (!look || !has_news(*look)) return {};
    pending_look_ = std::move(look);
  }
  const model::Lsn passed = std::max(builder_->end_lsn(), pending_mark_);
  if (passed < pending_look_->catalog.lsn) {
    asks_position_ = true;
    return {};
  }
  if (builder_->in_transaction()) return {};
  const SchemaLook look = *std::exchange(pending_look_, std::nullopt);
  const auto place = [&](const model::Table& table) {
    if (told_since(look, table.id)) return;
    const bool is_new = book_.find(table.id) == nullptr;
    const std::string record = book_.record(table);
    if (record.empty()) return;
    logger_.info("the catalog tells of table {}", table.qualified_name());
    if (is_new && options_.take_snapshot && table.presence == model::Presence::kCaptured)
      read_missing({table.id, table.qualified_name(), true}, {});
    builder_->place_schema(table.id, record, look.catalog.lsn, frames);
  };
  for (const model::Oid id : look.catalog.dropped) {
    if (book_.find(id) == nullptr) continue;
    model::Table gone = *book_.find(id);
    gone.presence = model::Presence::kDropped;
    place(gone);
  }
  for (const model::Table& table : look.catalog.tables) place(table);
  tell_schema_watch();
  return {};
}

// By a Relation message that was described with a newer catalog.
bool Capture::told_since(const SchemaLook& look, model::Oid table) const {
  const auto found = described_.find(model::value(table));
  return found != described_.end() && found->second >= look.described;
}

bool Capture::has_news(const SchemaLook& look) const {
  const auto differs = [&](const model::Table& table) {
    const model::Table* known = book_.find(table.id);
    return known == nullptr || !(*known == table);
  };
  const auto goes = [&](model::Oid id) {
    const model::Table* known = book_.find(id);
    return known != nullptr && known->presence != model::Presence::kDropped;
  };
  return std::any_of(look.catalog.tables.begin(), look.catalog.tables.end(), differs) ||
         std::any_of(look.catalog.dropped.begin(), look.catalog.dropped.end(), goes);
}

// Without it everything goes on, only later.
void Capture::make_ddl_trigger(postgres::Connection& control) {
  const Status made = postgres::ensure_ddl_trigger(control);
  if (made.ok()) return;
  logger_.warning("source.ddl_trigger: {}", made.error().text());
  if (control.is_open()) (void)control.execute("ROLLBACK");
  MutexLock lock(mutex_);
  status_.findings.push_back({postgres::Severity::kWarning, "ddl_trigger",
                              "the event trigger that tells of changed tables cannot be made",
                              made.error().message,
                              "Let a superuser run: " + postgres::ddl_trigger_sql()});
}

Error Capture::publication_missed() const {
  return error(
      Code::kCorruption,
      fmt::format("publication '{}' was dropped while rows changed", options_.source.publication),
      "PostgreSQL decodes a change by the catalog as it was then, and finds no publication "
      "there: what changed in between cannot be had any more",
      postgres::kResyncHint);
}

// Before 18, where such changes end the stream, at every try; from 18 on they are left out.
Error Capture::heed_missing_publication(Error failure) {
  // Undefined object: pgoutput looks for no other.
  if (postgres::sqlstate_of(failure) != "42704") return failure;
  logger_.error("{}", failure.text());
  const auto state = load_state(fs_, options_.data_directory);
  if (!state.ok()) return state.error();
  PipelineState missed = state->value_or(PipelineState());
  missed.publication_missed = true;
  const Status stored = store_state(fs_, options_.data_directory, missed);
  return stored.ok() ? publication_missed() : stored.error();
}

// Before there is anything to lose by it; and a server that was restored may have lost them.
bool Capture::makes_publications() const {
  const bool begun = log_.durable_position() != model::Position{} && log_.snapshot_complete();
  return !begun || resync_due();
}

// The tables that may be put into the publications: all of them at first, then those that the log
// does not know. One that it knows and that is in none was taken out by somebody.
Result<std::vector<postgres::CapturedTable>> Capture::publishable(
    postgres::Connection& control, std::vector<postgres::CapturedTable> tables) {
  if (makes_publications()) return tables;
  if (!had_session_) TRY(book_.load(log_));  // the writer's from the first session on
  std::map<std::uint32_t, model::Presence> known = schema_watch_.known();
  if (!had_session_) {
    for (const auto& [id, table] : book_.tables()) {
      if (table.presence != model::Presence::kDropped) known[id] = table.presence;
    }
  }
  TRY_ASSIGN(const auto published,
             postgres::published_tables(
                 control, {options_.source.publication,
                           postgres::append_publication(options_.source.publication)}));
  std::erase_if(tables, [&](const postgres::CapturedTable& table) {
    const std::uint32_t id = model::value(table.id);
    return known.contains(id) && !published.contains(id);
  });
  return tables;
}

}  // namespace pgweir::pipeline
