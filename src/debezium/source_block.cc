#include "debezium/source_block.h"

#include <charconv>

#include "debezium/json_text.h"

namespace pgweir::debezium {
namespace {

constexpr std::int64_t kMicrosecondsOfMs = 1000;

std::int64_t lsn_number(model::Lsn lsn) {
  return static_cast<std::int64_t>(model::value(lsn));
}

// JSON within JSON.
void append_sequence_part(model::Lsn lsn, std::string& out) {
  if (model::value(lsn) == 0) {
    out += "null";
    return;
  }
  out += R"(\")";
  append_integer(lsn_number(lsn), out);
  out += R"(\")";
}

}  // namespace

void append_integer(std::int64_t value, std::string& out) {
  constexpr std::size_t kDigitsMax = 20;
  char digits[kDigitsMax];
  const auto end = std::to_chars(digits, digits + kDigitsMax, value).ptr;
  out.append(digits, static_cast<std::size_t>(end - digits));
}

SourceBlock::SourceBlock(std::string_view version, std::string_view topic_prefix,
                         std::string_view database) {
  head_ = R"("source":{"version":)";
  append_json_string(version, head_);
  head_ += R"(,"connector":"postgresql","name":)";
  append_json_string(topic_prefix, head_);
  head_ += R"(,"ts_ms":)";
  database_ = R"("db":)";
  append_json_string(database, database_);
}

std::string SourceBlock::table(std::string_view schema, std::string_view name) {
  std::string out = R"("schema":)";
  append_json_string(schema, out);
  out += R"(,"table":)";
  append_json_string(name, out);
  return out;
}

void SourceBlock::begin(const model::Transaction& transaction, model::Lsn last_commit_lsn,
                        std::string_view snapshot) {
  const std::int64_t time_us = model::value(transaction.commit_time);
  last_commit_.clear();
  append_sequence_part(last_commit_lsn, last_commit_);

  before_sequence_ = head_;
  append_integer(time_us / kMicrosecondsOfMs, before_sequence_);
  before_sequence_ += R"(,"snapshot":")";
  before_sequence_ += snapshot;
  before_sequence_ += "\",";
  before_sequence_ += database_;
  before_sequence_ += R"(,"sequence":"[)";
  before_sequence_ += last_commit_;
  before_sequence_ += ',';

  before_table_ = R"(]","ts_us":)";
  append_integer(time_us, before_table_);
  before_table_ += R"(,"ts_ns":)";
  append_integer(time_us, before_table_);
  before_table_ += "000,";

  before_lsn_ = R"(,"txId":)";
  const auto xid = static_cast<std::uint32_t>(transaction.xid);
  if (xid == 0)
    before_lsn_ += "null";
  else
    append_integer(xid, before_lsn_);
  before_lsn_ += R"(,"lsn":)";

  behind_lsn_ = R"(,"xmin":null,"origin":)";
  if (transaction.origin)
    append_json_string(*transaction.origin, behind_lsn_);
  else
    behind_lsn_ += "null";
  behind_lsn_ += R"(,"origin_lsn":null})";
}

void SourceBlock::append(std::string_view table, model::Lsn lsn, std::string& out) const {
  out += before_sequence_;
  out += R"(\")";
  const std::size_t from = out.size();
  append_integer(lsn_number(lsn), out);
  const std::size_t size = out.size() - from;
  out += R"(\")";
  out += before_table_;
  out += table;
  out += before_lsn_;
  out.append(out, from, size);
  out += behind_lsn_;
}

void SourceBlock::append_without_lsn(std::string_view table, std::string& out) const {
  out += before_sequence_;
  out += last_commit_;
  out += before_table_;
  out += table;
  out += before_lsn_;
  out += "null";
  out += behind_lsn_;
}

}  // namespace pgweir::debezium
