#include "pipeline/pipeline.h"

#include <fmt/core.h>

#include <algorithm>

#include "pipeline/pipeline_internal.h"
#include "pipeline/sink_options.h"
#include "pipeline/targets.h"

namespace pgweir::pipeline {

namespace {
constexpr std::uint64_t kUnfollowedTipBytes = kMiB;
}  // namespace

std::vector<views::ViewSource> view_sources(const config::Config& config) {
  std::vector<views::ViewSource> sources;
  for (const config::ViewConfig& view : config.views)
    sources.push_back({view.name, view.sql, static_cast<views::OutputMode>(view.mode),
                       view.late_rows == config::LateRows::kKeep, view.budget, view.isolated});
  return sources;
}

Status check_engine_for_views(const config::Config& config) {
  if (config.views.empty() || config.engine.mirrors != config::MirrorMode::kNone) return {};
  return error(Code::kConfig, "views need the engine, which engine.mirrors: none leaves closed",
               fmt::format("there is a view '{}'", config.views.front().name),
               "Set engine.mirrors to needed, or remove the views");
}

Pipeline::Pipeline(PipelineOptions options, io::Fs& fs, const io::Clock& clock, Logger& logger)
    : options_(std::move(options)),
      fs_(fs),
      clock_(clock),
      logger_(logger),
      started_us_(clock.now_us()) {}

Pipeline::~Pipeline() {
  stop();
  followers_.clear();
  if (views_) views_->close();
}

Result<std::unique_ptr<Pipeline>> Pipeline::open(PipelineOptions options, io::Fs& fs,
                                                 const io::Clock& clock, Logger& logger) {
  std::unique_ptr<Pipeline> out(new Pipeline(std::move(options), fs, clock, logger));
  TRY(out->open_parts());
  return out;
}

Status Pipeline::open_parts() {
  const std::string& data = options_.config.data;
  if (const Status made = fs_.create_directories(data); !made.ok()) {
    return error(Code::kCheckFailed, fmt::format("the data folder '{}' cannot be made", data),
                 made.error().message, "Name a folder in `data` that this user may write");
  }
  auto lock = fs_.lock(data + "/lock");
  if (!lock.ok() && lock.error().code == Code::kCheckFailed) {
    return error(Code::kCheckFailed, fmt::format("the data folder '{}' is in use", data),
                 "another pgweir runs on it", "Stop it, or name another folder in `data`");
  }
  if (!lock.ok()) {
    return error(Code::kCheckFailed, fmt::format("the data folder '{}' is not writable", data),
                 lock.error().message,
                 "Give this user the right to write there, or name another folder");
  }
  lock_ = std::move(lock).value();
  TRY(load_state(fs_, data));  // refuses a newer version before anything is touched

  const config::Config& config = options_.config;
  log::LogOptions log_options;
  // Without an engine or a sink nobody follows the log's tip: only a `tail` reads it now and then.
  const bool followed = config.engine.mirrors != config::MirrorMode::kNone || !config.sinks.empty();
  if (!followed) log_options.tip_bytes_max = kUnfollowedTipBytes;
  TRY_ASSIGN(log_, log::Log::open(fs_, clock_, data + "/log", log_options));
  TRY(open_engine());
  TRY(open_sinks());
  TRY(check_positions());

  CaptureOptions capture;
  capture.url = config.source.url.reveal();
  capture.source = {config.source.slot, config.source.publication, config.source.tables,
                    config.source.exclude, config.source.heartbeat};
  capture.stream_large_transactions = config.source.stream_large_transactions;
  capture.take_snapshot = config.source.snapshot.mode == config::SnapshotMode::kInitial;
  capture.snapshot_parallel = config.source.snapshot.parallel;
  capture.catalog_interval = config.source.catalog_interval;
  capture.data_directory = data;
  capture.resync = options_.resync;
  if (engine_) {
    capture.mirrors.engine = engine_.get();
    capture.mirrors.follower = [this] { return followers_.front()->status(); };
    capture.mirrors.types = {.numeric_precision = static_cast<int>(config.source.numeric.precision),
                             .numeric_scale = static_cast<int>(config.source.numeric.scale)};
  }
  capture.ddl_trigger = config.source.ddl_trigger;
  capture.reads.parallel = config.source.snapshot.parallel;
  capture.retention = {config.log.retain, config.log.max_size};
  capture.followers_min = [this] {
    model::Position least = log_->durable_position();
    for (const auto& follower : followers_) least = std::min(least, follower->status().position);
    return least;
  };
  capture_ = std::make_unique<Capture>(*log_, fs_, clock_, logger_, std::move(capture));
  return {};
}

Status Pipeline::open_engine() {
  const config::Config& config = options_.config;
  TRY(check_engine_for_views(config));
  if (config.engine.mirrors == config::MirrorMode::kNone) return {};
  views::ViewSetOptions view_options;
  view_options.clock = &clock_;
  view_options.budget = config.engine.view_budget;
  if (config.engine.mirrors == config::MirrorMode::kNeededColumns)
    view_options.whole_table_columns_max = 0;
  for (const config::WatermarkConfig& watermark : config.watermarks)
    view_options.watermarks.push_back(
        {watermark.column, watermark.delay, watermark.future, watermark.idle});
  TRY_ASSIGN(views_,
             views::ViewSet::create(view_sources(config), logger_, std::move(view_options)));

  engine::EngineOptions engine_options;
  engine_options.directory = config.data + "/engine";
  engine_options.memory_bytes = config.engine.memory;
  engine_options.threads = static_cast<int>(config.engine.threads);
  engine_options.numeric_precision = static_cast<int>(config.source.numeric.precision);
  engine_options.numeric_scale = static_cast<int>(config.source.numeric.scale);
  engine_options.rows_are_read = true;
  engine_options.releases_mirrors = config.engine.mirrors == config::MirrorMode::kNeededColumns;
  TRY(fs_.create_directories(engine_options.directory));
  const bool all = config.engine.mirrors == config::MirrorMode::kAll;
  const auto wanted = [this, all](const model::Table& table) {
    auto columns = views_->wanted_columns(table);
    if (!all) return columns;
    columns.emplace(table.columns.size());
    for (std::uint32_t i = 0; i < columns->size(); ++i) (*columns)[i] = i;
    return columns;
  };
  TRY_ASSIGN(engine_, engine::Engine::open(engine_options, wanted, logger_));
  TRY(engine_->bind_log(log_->identity()));
  TRY(views_->open(*engine_));
  engine_->set_maintainer(views_.get());
  TRY(engine_->ask_wanted());

  const ReadTable read = [this](const engine::TableToRead& table, const model::Position& at) {
    if (capture_) capture_->read_missing({table.id, table.name, true}, at);
  };
  FollowerOptions follower;
  follower.reader.batch_rows_max = config.engine.batch_rows;
  follower.reader.batch_wait = config.engine.batch_wait;
  follower.reader.packs_snapshot_rows = true;
  auto target = engine_target(*engine_, *views_, read, [this] { run_errand(); });
  followers_.push_back(
      std::make_unique<Follower>(*log_, std::move(target), clock_, logger_, follower));
  return {};
}

Status Pipeline::open_sinks() {
  for (const config::SinkConfig& sink : options_.config.sinks) {
    MakeSink make;
    if (sink.type == config::SinkType::kKafka) {
      TRY_ASSIGN(const sinks::KafkaOptions kafka, kafka_options(options_.config, sink));
      make = [this, kafka]() -> Result<std::unique_ptr<sinks::Sink>> {
        TRY_ASSIGN(std::unique_ptr<sinks::Sink> made, sinks::KafkaSink::open(clock_, kafka));
        TRY(made->bind_log(log_->identity()));
        return made;
      };
    } else {
      make = [this, parquet = parquet_options(options_.config,
                                              sink)]() -> Result<std::unique_ptr<sinks::Sink>> {
        TRY_ASSIGN(auto made, sinks::ParquetSink::open(fs_, clock_, parquet));
        TRY(made->bind_log(log_->identity()));
        return made;
      };
    }
    TRY_ASSIGN(auto target, sink_target(make));
    followers_.push_back(
        std::make_unique<Follower>(*log_, std::move(target), clock_, logger_, FollowerOptions{}));
  }
  return {};
}

Status Pipeline::check_positions() const {
  const model::Position end = log_->durable_position();
  for (const auto& follower : followers_) {
    const FollowerStatus status = follower->status();
    if (status.position <= end) continue;
    return error(
        Code::kCorruption, fmt::format("{} '{}' is ahead of the log", status.kind, status.name),
        fmt::format("it stands at {}, the log in '{}' ends at {}",
                    model::to_string(status.position), options_.config.data, model::to_string(end)),
        "Put the newest log back, or start anew with an empty data folder and output");
  }
  return {};
}

Result<std::vector<std::string>> Pipeline::read_tables(const std::string& pattern) {
  std::vector<std::string> names;
  for (const model::Table& table : capture_->status().tables) {
    TRY_ASSIGN(const bool matches, postgres::pattern_matches(pattern, table.schema, table.name));
    if (!matches) continue;
    names.push_back(table.qualified_name());
    capture_->read_table({table.id, names.back(), false});
  }
  if (names.empty())
    return error(Code::kNotFound, fmt::format("no captured table matches '{}'", pattern), {},
                 "GET /api/v1/tables lists them; a pattern is SCHEMA.TABLE with * and ?");
  return names;
}

void Pipeline::start() {
  for (const auto& follower : followers_) follower->start();
  capture_->start();
}

void Pipeline::stop() {
  if (capture_) capture_->stop();
  for (const auto& follower : followers_) follower->stop();
}

std::optional<Error> Pipeline::failure() const {
  return capture_->status().failure;
}

bool Pipeline::reached(model::Lsn lsn) const {
  if (log_->durable_end_lsn() < lsn) return false;
  const model::Position end = log_->durable_position();
  for (const auto& follower : followers_) {
    const FollowerStatus status = follower->status();
    if (status.state == FollowerState::kFailed || status.state == FollowerState::kLost) continue;
    if (status.taken < end) return false;
  }
  return true;
}

std::vector<FollowerStatus> Pipeline::follower_statuses() const {
  std::vector<FollowerStatus> out;
  for (const auto& follower : followers_) out.push_back(follower->status());
  return out;
}

std::uint64_t Pipeline::free_disk_bytes() const {
  const auto free = fs_.free_bytes(options_.config.data);
  return free.ok() ? *free : 0;
}

}  // namespace pgweir::pipeline
