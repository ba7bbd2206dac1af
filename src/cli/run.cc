#include "cli/run.h"

#include <fmt/core.h>

#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/logger.h"
#include "cli/exit_code.h"
#include "cli/stop_signals.h"
#include "cli/version.h"
#include "io/clock.h"
#include "io/fs.h"
#include "io/waker.h"
#include "pipeline/pipeline.h"
#include "postgres/ddl_trigger.h"
#include "postgres/setup.h"
#include "server/api.h"
#include "server/http_server.h"
#include "server/pipeline_backend.h"
#include "server/static_files.h"

namespace pgweir::cli {
namespace {

// The dashboard stands beside the program.
std::string page_folder() {
  std::error_code failure;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failure);
  return failure ? "web" : (program.parent_path() / "web").string();
}

// Everything a running pipeline has, in the order in which it is taken down again (backwards).
struct Running {
  io::RealFs fs;
  io::RealClock clock;
  Logger logger;
  std::unique_ptr<pipeline::Pipeline> pipeline;
  std::unique_ptr<server::PipelineBackend> backend;
  server::HttpStats http_stats;
  std::shared_ptr<server::StaticFiles> page;
  std::unique_ptr<server::HttpServer> http;

  explicit Running(LogLevel level) : logger(level) {}

  ~Running() {
    if (http) http->stop();
    if (pipeline) pipeline->stop();
  }
};

Result<config::Config> load_again(Running& running, const std::string& file) {
  return config::load(running.fs, file, config::process_environment());
}

Status start_http(Running& running, const config::Config& config, const std::string& file) {
  running.backend = std::make_unique<server::PipelineBackend>(
      *running.pipeline,
      server::PipelineBackendOptions{.version = kVersion, .load_config = [&running, file] {
                                       return load_again(running, file);
                                     }});
  server::Router router;
  server::add_api(router, *running.backend, running.http_stats, running.clock);
  if (auto page = server::StaticFiles::load(running.fs, page_folder()); page.ok()) {
    running.page = std::make_shared<server::StaticFiles>(std::move(page).value());
    router.set_fallback(
        [files = running.page](const server::Request& request) { return files->serve(request); });
  } else {
    running.logger.warning("the dashboard is not there: {}", page.error().text());
  }
  server::HttpServerOptions options;
  TRY_ASSIGN(options.listen, server::parse_listen(config.server.listen));
  options.token = config.server.token.reveal();
  options.certificate_file = config.server.tls.certificate;
  options.key_file = config.server.tls.key;
  TRY_ASSIGN(running.http, server::HttpServer::start(std::move(options), std::move(router),
                                                     running.http_stats, running.logger));
  running.logger.info("listening on {}://{}:{}", running.http->has_tls() ? "https" : "http",
                      config.server.listen.substr(0, config.server.listen.rfind(':')),
                      running.http->port());
  return {};
}

postgres::SourceOptions source_options(const config::Config& config) {
  return {config.source.slot, config.source.publication, config.source.tables,
          config.source.exclude, config.source.heartbeat};
}

Result<postgres::Connection> connect(const config::Config& config) {
  postgres::ConnectionOptions options;
  options.url = config.source.url.reveal();
  return postgres::Connection::open(options);
}

// Where --until-lsn or --once end; nothing when the pipeline runs on.
Result<std::optional<model::Lsn>> end_of_run(const config::Config& config,
                                             const RunOptions& options) {
  if (!options.until_lsn.empty()) {
    auto lsn = model::parse_lsn(options.until_lsn);
    if (!lsn.ok()) return error(Code::kUsage, lsn.error().message, {}, lsn.error().hint);
    return std::optional<model::Lsn>(*lsn);
  }
  if (!options.once) return std::optional<model::Lsn>();
  TRY_ASSIGN(auto connection, connect(config));
  TRY_ASSIGN(const model::Lsn lsn, postgres::current_lsn(connection));
  return std::optional<model::Lsn>(lsn);
}

// Its end is in the log.
void reload(Running& running, const std::string& file) {
  running.logger.info("SIGHUP: {} is loaded again", file);
  const auto done = [&]() -> Status {
    TRY_ASSIGN(const config::Config config, load_again(running, file));
    TRY(running.pipeline->reload(config, Milliseconds(0)));
    return {};
  }();
  if (!done.ok() && done.error().code != Code::kTimeout)
    running.logger.error("nothing was changed: {}", done.error().text());
}

// Until a signal, a failure (which wakes `waker`), or the position `until`.
Status run_until_stopped(Running& running, StopSignals& signals, const io::Waker& waker,
                         std::optional<model::Lsn> until, const std::string& file) {
  // What followers have reached must be asked for.
  const Microseconds wait = until ? Microseconds(50'000) : Microseconds(-1);
  while (true) {
    TRY_ASSIGN(const int number, signals.wait(wait, &waker));
    if (number == SIGINT || number == SIGTERM) {
      running.logger.info("stopping");
      return {};
    }
    if (number == SIGHUP) reload(running, file);
    if (const auto failure = running.pipeline->failure()) return *failure;
    if (until && running.pipeline->reached(*until)) return {};
  }
}

std::string severity_text(postgres::Severity severity) {
  switch (severity) {
    case postgres::Severity::kNote:
      return "note";
    case postgres::Severity::kWarning:
      return "warning";
    case postgres::Severity::kError:
      return "error";
  }
  return "error";
}

// The pipeline that the configuration describes runs at this moment: its data folder is locked.
bool is_running(const config::Config& config) {
  io::RealFs fs;
  const std::string path = config.data + "/lock";
  if (!fs.exists(path)) return false;
  const auto lock = fs.lock(path);
  return !lock.ok() && lock.error().code == Code::kCheckFailed;
}

// A slot that our own pipeline holds is as it should be.
void accept_own_use(std::vector<postgres::Finding>& findings, const config::Config& config) {
  for (postgres::Finding& finding : findings) {
    if (finding.code != "slot_in_use" || !is_running(config)) continue;
    finding.severity = postgres::Severity::kNote;
    finding.detail += fmt::format(": the pipeline of data folder '{}', which runs", config.data);
    finding.fix.clear();
  }
}

postgres::Finding ddl_trigger_note(const config::Config& config) {
  return {
      postgres::Severity::kNote, "ddl_trigger",
      fmt::format("changes of tables are looked for every {}",
                  format_duration(config.source.catalog_interval)),
      "an event trigger would tell of them at once; a superuser makes it, or source.ddl_trigger",
      postgres::ddl_trigger_sql()};
}

}  // namespace

int run(const config::Config& config, const RunOptions& options, Output& output) {
  StopSignals signals({SIGHUP});
  // A peer that went away is an error of write(), not our end.
  std::signal(SIGPIPE, SIG_IGN);
  const auto until = end_of_run(config, options);
  if (!until.ok()) return output.fail(until.error());

  Status status;
  io::Waker failed;
  {
    Running running(LogLevel::kInfo);
    auto opened = pipeline::Pipeline::open({config, options.resync}, running.fs, running.clock,
                                           running.logger);
    if (!opened.ok()) return output.fail(opened.error());
    running.pipeline = std::move(opened).value();
    running.pipeline->on_failure([&failed] { failed.wake(); });
    status = start_http(running, config, options.config_file);
    if (status.ok()) {
      running.pipeline->start();
      status = run_until_stopped(running, signals, failed, *until, options.config_file);
    }
  }
  return status.ok() ? static_cast<int>(Exit::kOk) : output.fail(status.error());
}

int check(const config::Config& config, Output& output) {
  auto connection = connect(config);
  if (!connection.ok()) return output.fail(connection.error());
  auto findings = postgres::preflight(*connection, source_options(config));
  if (!findings.ok()) return output.fail(findings.error());
  accept_own_use(*findings, config);
  if (const auto trigger = postgres::has_ddl_trigger(*connection); trigger.ok() && !*trigger)
    findings->push_back(ddl_trigger_note(config));

  bool stops = false;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const postgres::Finding& finding : *findings) {
    stops = stops || finding.severity == postgres::Severity::kError;
    list.push_back({{"severity", severity_text(finding.severity)},
                    {"code", finding.code},
                    {"message", finding.message},
                    {"detail", finding.detail},
                    {"fix", finding.fix}});
  }
  if (output.json()) {
    output.json({{"ok", !stops}, {"findings", list}});
  } else {
    for (const postgres::Finding& finding : *findings) {
      output.line(severity_text(finding.severity) + ": " + finding.message);
      if (!finding.detail.empty()) output.line("  " + finding.detail);
      if (!finding.fix.empty()) output.line("  fix: " + finding.fix);
    }
    output.line(stops ? "check: failed" : "check: ok");
  }
  return static_cast<int>(stops ? Exit::kCheckFailed : Exit::kOk);
}

int drop(const config::Config& config, const DropOptions& options, Output& output) {
  if (!options.yes) {
    output.message("This removes slot '" + config.source.slot + "' and publication '" +
                   config.source.publication +
                   "' from the source; changes since then can never be had again.");
    output.message("Type the slot's name to go on:");
    std::string answer;
    if (!std::getline(std::cin, answer) || answer != config.source.slot)
      return output.fail(error(Code::kCancelled, "nothing was removed"));
  }
  auto connection = connect(config);
  if (!connection.ok()) return output.fail(connection.error());
  constexpr Milliseconds kSlotWait{5'000};
  if (const Status dropped = postgres::drop_slot(*connection, config.source.slot, kSlotWait);
      !dropped.ok())
    return output.fail(dropped.error());
  if (const Status dropped = postgres::drop_publications(*connection, config.source.publication);
      !dropped.ok())
    return output.fail(dropped.error());
  if (const Status dropped = postgres::drop_ddl_trigger(*connection); !dropped.ok())
    output.message("the event trigger stays: " + dropped.error().text());
  output.line("removed slot '" + config.source.slot + "' and publication '" +
              config.source.publication + "'");
  return static_cast<int>(Exit::kOk);
}

}  // namespace pgweir::cli
