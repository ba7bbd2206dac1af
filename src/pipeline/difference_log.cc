#include "pipeline/difference_log.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "log/frame.h"
#include "postgres/pgoutput.h"

namespace pgweir::pipeline {

DifferenceLog::DifferenceLog(log::Log& log, const io::Clock& clock, WithRoom with_room,
                             model::Xid xid, std::size_t frame_bytes_max)
    : log_(log),
      clock_(clock),
      with_room_(std::move(with_room)),
      xid_(xid),
      frame_bytes_max_(frame_bytes_max) {}

// --- Records, as in a block of a streamed transaction --------------------------------------------

std::string& DifferenceLog::begin_record(char kind, model::Oid table) {
  record_.assign(1, kind);
  append_network(record_, static_cast<std::uint32_t>(xid_));
  append_network(record_, model::value(table));
  return record_;
}

Status DifferenceLog::end_record() {
  log::append_record(buffer_, record_);
  ++buffer_records_;
  return buffer_.size() >= frame_bytes_max_ ? spill() : Status();
}

Status DifferenceLog::insert(model::Oid table, std::string_view row) {
  ++counts_.inserted;
  (begin_record('I', table) += 'N') += row;
  return end_record();
}

Status DifferenceLog::update(model::Oid table, std::string_view before, std::string_view after) {
  ++counts_.updated;
  std::string& record = begin_record('U', table);
  (record += 'O') += before;
  (record += 'N') += after;
  return end_record();
}

Status DifferenceLog::remove(model::Oid table, std::string_view before) {
  ++counts_.deleted;
  (begin_record('D', table) += 'O') += before;
  return end_record();
}

Status DifferenceLog::spill() {
  if (buffer_.empty()) return {};
  if (!spool_ && spare_) spool_ = std::move(spare_);
  if (!spool_) {
    TRY(with_room_([&]() -> Status {
      TRY_ASSIGN(spool_, log_.begin_spool());
      return {};
    }));
  }
  log::FrameHeader header;
  header.kind = log::FrameKind::kChanges;
  header.xid = static_cast<std::uint32_t>(xid_);
  header.record_count = buffer_records_;
  header.time_us = clock_.now_us();
  header.first.sequence = spooled_ + 1;
  header.last.sequence = spooled_ += buffer_records_;
  TRY(with_room_([&] { return spool_->append(header, buffer_); }));
  buffer_.clear();
  buffer_records_ = 0;
  return {};
}

// --- The end -------------------------------------------------------------------------------------

Result<model::Position> DifferenceLog::commit(std::uint32_t epoch,
                                              const postgres::StreamCommit& commit) {
  if (counts_.all() == 0) return model::Position{epoch, commit.commit_lsn, 0};
  return spool_ ? adopt(epoch, commit) : append(epoch, commit);
}

Result<model::Position> DifferenceLog::append(std::uint32_t epoch,
                                              const postgres::StreamCommit& commit) {
  log::Frame frame;
  frame.header.kind = log::FrameKind::kChanges;
  frame.header.first = {epoch, commit.commit_lsn, 1};
  frame.header.last = {epoch, commit.commit_lsn, counts_.all() + 1};
  frame.header.start_lsn = commit.commit_lsn;
  frame.header.end_lsn = commit.end_lsn;
  frame.header.time_us = clock_.now_us();
  frame.header.record_count = buffer_records_ + 2;
  log::append_record(frame.payload, postgres::begin_message(commit));
  log::RecordReader records(buffer_);
  std::string_view record;
  while (records.next(record)) {
    record_.clear();
    record_ += record[0];
    record_ += record.substr(postgres::kStreamedHeaderBytes);
    log::append_record(frame.payload, record_);
  }
  log::append_record(frame.payload, postgres::commit_message(commit));
  const model::Position last = frame.header.last;
  const auto shared = std::make_shared<const log::Frame>(std::move(frame));
  TRY(with_room_([&] { return log_.append(shared); }));
  return last;
}

namespace {

std::string stream_commit_message(const postgres::StreamCommit& commit) {
  std::string out = "c";
  append_network(out, static_cast<std::uint32_t>(commit.xid));
  append_network(out, std::uint8_t{0});
  append_network(out, model::value(commit.commit_lsn));
  append_network(out, model::value(commit.end_lsn));
  append_network(out, model::value(commit.commit_time) - postgres::kPostgresEpochUs);
  return out;
}

}  // namespace

Result<model::Position> DifferenceLog::adopt(std::uint32_t epoch,
                                             const postgres::StreamCommit& commit) {
  TRY(spill());
  const auto frame_at = [&](log::FrameKind kind, std::uint64_t sequence) {
    log::Frame frame;
    frame.header.kind = kind;
    frame.header.first = frame.header.last = {epoch, commit.commit_lsn, sequence};
    frame.header.start_lsn = commit.commit_lsn;
    frame.header.time_us = clock_.now_us();
    frame.header.xid = static_cast<std::uint32_t>(xid_);
    return frame;
  };
  log::Adoption adoption;
  adoption.transaction = frame_at(log::FrameKind::kTransaction, 0);
  adoption.transaction.header.record_count = 2;
  log::append_record(adoption.transaction.payload, postgres::begin_message(commit));
  log::append_record(adoption.transaction.payload, postgres::XidSet().encode());
  log::Frame end = frame_at(log::FrameKind::kChanges, counts_.all() + 1);
  end.header.end_lsn = commit.end_lsn;
  end.header.record_count = 1;
  log::append_record(end.payload, stream_commit_message(commit));
  const model::Position last = end.header.last;
  adoption.tail.push_back(std::move(end));
  const Status adopted = with_room_([&] { return log_.adopt(*spool_, adoption); });
  if (adopted.ok()) return last;
  Error failure = adopted.error();
  if (failure.code == Code::kUnsupported) failure.code = Code::kUnavailable;
  return failure;
}

// --- Rows ----------------------------------------------------------------------------------------

namespace {

void put_count(std::string& out, std::size_t at, std::uint16_t count) {
  out[at] = static_cast<char>(count >> 8);
  out[at + 1] = static_cast<char>(count & 0xff);
}

void put_length(std::string& out, std::size_t at, std::size_t length) {
  for (std::size_t i = 0; i < 4; ++i)
    out[at + i] = static_cast<char>(length >> (8 * (3 - i)) & 0xff);
}

char unescaped(char c) {
  constexpr std::string_view kLetters = "bfnrtv", kBytes = "\b\f\n\r\t\v";
  const std::size_t at = kLetters.find(c);
  return at == std::string_view::npos ? c : kBytes[at];
}

}  // namespace

void append_cell(std::string& out, const std::string_view* text) {
  out += text == nullptr ? 'n' : 't';
  if (text == nullptr) return;
  append_network(out, static_cast<std::uint32_t>(text->size()));
  out += *text;
}

void copy_tuple(std::string_view line, std::size_t skipped, std::string& out) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  const std::size_t begin = out.size();
  out.append(2, '\0');
  std::uint16_t count = 0;
  for (std::size_t at = 0, field = 0; at <= line.size(); ++field) {
    const std::size_t end = std::min(line.find('\t', at), line.size());
    const std::string_view text = line.substr(at, end - at);
    at = end + 1;
    if (field < skipped) continue;
    ++count;
    if (text == "\\N") {
      append_cell(out, nullptr);
      continue;
    }
    out += 't';
    const std::size_t length_at = out.size();
    out.append(4, '\0');
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool escape = text[i] == '\\' && i + 1 < text.size();
      out += escape ? unescaped(text[++i]) : text[i];
    }
    put_length(out, length_at, out.size() - length_at - 4);
  }
  put_count(out, begin, count);
}

}  // namespace pgweir::pipeline
