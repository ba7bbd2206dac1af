// The commands that look at files: the configuration, and the log in the data folder.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/version.h"
#include "duck/duck.h"
#include "log/log.h"
#include "log/recovery.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"

namespace pgweir::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kUsualPlaces[] = {"./pgweir.yaml", "/etc/pgweir/pgweir.yaml"};

std::string time_text(std::int64_t time_us) {
  if (time_us == 0) return "";
  const std::time_t seconds = time_us / 1'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Json segment_json(const log::SegmentInfo& segment) {
  return {{"file", segment.file},
          {"epoch", segment.first.epoch},
          {"first_lsn", model::to_string(segment.first.lsn)},
          {"last_lsn", model::to_string(segment.last.lsn)},
          {"bytes", segment.bytes},
          {"created", time_text(segment.created_us)},
          {"newest", time_text(segment.last_frame_us)}};
}

Table segment_table(const std::vector<log::SegmentInfo>& segments) {
  Table table{{"file", "epoch", "first", "last", "size", "created", "newest"}, {}};
  for (const log::SegmentInfo& segment : segments) {
    table.rows.push_back({segment.file, std::to_string(segment.first.epoch),
                          model::to_string(segment.first.lsn), model::to_string(segment.last.lsn),
                          format_size(segment.bytes), time_text(segment.created_us),
                          time_text(segment.last_frame_us)});
  }
  return table;
}

Json segments_json(const std::vector<log::SegmentInfo>& segments) {
  Json out = Json::array();
  for (const log::SegmentInfo& segment : segments) out.push_back(segment_json(segment));
  return out;
}

// Reads the frames' headers of a segment of which its own header and the next one's tell too
// little.
void read_frames(log::SegmentReader& reader, log::SegmentInfo& info) {
  const bool first_is_known = info.first.lsn != model::Lsn{};
  log::StoredFrame frame;
  bool seen = false;
  while (true) {
    const auto more = reader.next(frame);
    // A tail being written, or damage: `log verify` tells them apart.
    if (!more.ok() || !*more) return;
    if (frame.repeated) continue;
    if (!seen && !first_is_known) info.first = frame.header.first;
    seen = true;
    info.last = frame.header.last;
    info.last_frame_us = frame.header.time_us;
  }
}

// Reads the segments' headers, and the frames' headers of the first and the last one.
Result<std::vector<log::SegmentInfo>> list_log(const Context& context) {
  TRY_ASSIGN(const std::string directory, log_directory(context));
  TRY_ASSIGN(const auto files, log::list_segments(context.fs, directory));
  std::vector<log::Segment> segments;
  for (const log::SegmentFile& file : files) {
    TRY_ASSIGN(const auto reader,
               log::SegmentReader::open(context.fs, file.path, log::LogOptions().frame_bytes_max));
    if (!segments.empty()) log::end_segment(segments.back(), reader->header());
    log::Segment& segment = segments.emplace_back(log::describe(file, reader->header()));
    TRY_ASSIGN(segment.info.bytes, reader->bytes());
    if (segments.size() == 1 || segments.size() == files.size()) read_frames(*reader, segment.info);
  }
  std::vector<log::SegmentInfo> out;
  for (const log::Segment& segment : segments) out.push_back(segment.info);
  return out;
}

Result<log::VerifyReport> verify_log(const Context& context) {
  TRY_ASSIGN(const std::string directory, log_directory(context));
  return log::verify(context.fs, directory);
}

Json verify_json(const log::VerifyReport& report) {
  Json damages = Json::array();
  for (const log::Damage& damage : report.damages)
    damages.push_back({{"file", damage.file}, {"offset", damage.offset}, {"what", damage.what}});
  return {{"segments", segments_json(report.segments)},
          {"frames", report.frames},
          {"records", report.records},
          {"torn_tail_bytes", report.torn_tail_bytes},
          {"damages", damages}};
}

std::string verify_text(const log::VerifyReport& report) {
  std::string out = fmt::format("{} segments, {} frames, {} records\n", report.segments.size(),
                                report.frames, report.records);
  if (report.torn_tail_bytes > 0)
    out += fmt::format("torn tail: {} bytes, cut at the next start\n", report.torn_tail_bytes);
  return out;
}

// "schema.table" of every table that could be captured.
Result<std::vector<std::string>> find_tables(const std::string& url) {
  TRY_ASSIGN(auto connection, postgres::Connection::open({.url = url}));
  const std::vector<std::string> everything = {"*.*"};
  TRY_ASSIGN(const auto expanded, postgres::expand_tables(connection, everything, {}));
  std::vector<std::string> out;
  for (const postgres::CapturedTable& table : expanded.tables)
    out.push_back(table.qualified_name());
  return out;
}

}  // namespace

Result<std::string> log_directory(const Context& context) {
  TRY_ASSIGN(const config::Config config, load_config(context));
  const std::string directory = config.data + "/log";
  if (!context.fs.exists(directory))
    return error(Code::kNotFound, fmt::format("there is no log at {}", directory), {},
                 "`pgweir run` makes it");
  return directory;
}

Result<std::string> find_config(const Context& context) {
  if (!context.config_file.empty()) return context.config_file;
  for (const char* place : kUsualPlaces) {
    if (context.fs.exists(place)) return std::string(place);
  }
  return error(Code::kConfig, "there is no ./pgweir.yaml and no /etc/pgweir/pgweir.yaml", {},
               "name a file with -c, or write one with `pgweir init`");
}

Result<config::Config> load_config(const Context& context) {
  TRY_ASSIGN(const std::string path, find_config(context));
  context.output.detail("pgweir: configuration " + path);
  auto config = config::load(context.fs, path, context.environment);
  if (!config.ok() && config.error().code == Code::kNotFound)
    return error(Code::kConfig, fmt::format("there is no file {}", path), {},
                 "`pgweir init` writes one to start from");
  return config;
}

int log_list(Context& context) {
  const auto segments = list_log(context);
  if (!segments.ok()) return context.output.fail(segments.error());
  if (context.output.json()) {
    context.output.json({{"segments", segments_json(*segments)}});
  } else {
    context.output.table(segment_table(*segments));
  }
  return 0;
}

int log_verify(Context& context) {
  const auto report = verify_log(context);
  if (!report.ok()) return context.output.fail(report.error());
  if (context.output.json()) {
    context.output.json(verify_json(*report));
  } else {
    context.output.out() << verify_text(*report) << std::flush;
  }
  if (report->damages.empty()) return 0;
  std::string lines;
  for (const log::Damage& damage : report->damages)
    lines += fmt::format("{}{} at offset {}: {}", lines.empty() ? "" : "\n", damage.file,
                         damage.offset, damage.what);
  return context.output.fail(error(
      Code::kCorruption, fmt::format("the log is damaged in {} places", report->damages.size()),
      lines, "bring the data folder back from a copy, or start anew with an empty one"));
}

int config_show(Context& context) {
  const auto config = load_config(context);
  if (!config.ok()) return context.output.fail(config.error());
  if (context.output.json()) {
    context.output.json(Json::parse(config::show_json(*config)));
  } else {
    context.output.out() << config::show(*config) << std::flush;
  }
  return 0;
}

int config_schema(Context& context) {
  context.output.out() << config::json_schema() << std::flush;
  return 0;
}

int init(Context& context, const InitOptions& options) {
  if (!options.force && context.fs.exists(options.file))
    return context.output.fail(error(Code::kCheckFailed,
                                     fmt::format("{} exists already", options.file), {},
                                     "--force replaces it"));
  std::vector<std::string> tables;
  if (!options.url.empty()) {
    auto found = find_tables(options.url);
    if (!found.ok()) return context.output.fail(found.error());
    tables = std::move(found).value();
  }
  const Status written =
      io::write_file_durably(context.fs, options.file, config::starter_file(options.url, tables));
  if (!written.ok()) return context.output.fail(written.error());
  context.output.message(
      fmt::format("wrote {}; next: `pgweir check`, then `pgweir run`", options.file));
  return 0;
}

int version(Context& context) {
  const Json versions = {{"pgweir", kVersion},
                         {"duckdb", duck::library_version()},
                         {"libpq", postgres::library_version()}};
  if (context.output.json()) {
    context.output.json(versions);
    return 0;
  }
  for (const auto& [name, text] : versions.items())
    context.output.line(fmt::format("{} {}", name, text.get<std::string>()));
  return 0;
}

}  // namespace pgweir::cli
