#include "cli/command_line.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <vector>

#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/generate_payments.h"
#include "cli/output.h"
#include "cli/run.h"
#include "cli/version.h"

namespace pgweir::cli {
namespace {

constexpr const char* kUnbuiltGroup = "Not built yet";

struct Unbuilt {
  const char* command;
  const char* what;
};
constexpr Unbuilt kUnbuiltCommands[] = {
    {"sinks", "list, pause, resume or rewind sinks"},
    {"deadletters", "records that a sink refused"},
    {"explore", "activity, peaks and waste in the terminal"},
    {"report", "a report on a period"},
    {"import", "CSV files into tables"},
    {"connect", "a Kafka Connect-compatible worker"},
    {"flink", "the views as Flink SQL"},
    {"completion", "completion for the shell"},
};

// What the command line asked for.
struct Arguments {
  std::string config_file;
  std::string server;
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  std::string snapshot_table;
  TailOptions tail;
  std::string tail_format = "json";
  SqlOptions sql;
  VerifyOptions verify;
  HistoryOptions history;
  UndoOptions undo;
  std::string sql_format;
  std::string sql_timeout = "30s";
  std::string views_action = "list";
  std::string view;
  std::string log_action;
  std::string config_action;
  RunOptions run;
  DropOptions drop;
  InitOptions init;
  GeneratePaymentsOptions payments;
  std::string payments_duration;
  std::string workload;
  std::function<int(Context&)> command;
};

Error not_built(const std::string& what) {
  return error(Code::kUsage, fmt::format("{} is not built yet", what), {},
               "`pgweir --help` lists what is");
}

// An action out of `built`, or the error that says why not.
Status check_action(const std::string& command, const std::string& action,
                    const std::vector<std::string>& built,
                    const std::vector<std::string>& unbuilt) {
  const auto is_in = [&](const std::vector<std::string>& list) {
    return std::find(list.begin(), list.end(), action) != list.end();
  };
  if (is_in(built)) return {};
  if (is_in(unbuilt)) return not_built(fmt::format("`{} {}`", command, action));
  return error(Code::kUsage,
               action.empty() ? fmt::format("`{}` needs one of {}", command, fmt::join(built, ", "))
                              : fmt::format("`{}` knows no '{}'; it knows {}", command, action,
                                            fmt::join(built, ", ")));
}

// An option that is known but not built.
void refuse_option(CLI::App* command, const std::string& option) {
  command
      ->add_option_function<std::string>(
          option, [](const std::string&) {}, "not built yet")
      ->group(kUnbuiltGroup);
}
// The first option that was given though it is not built.
std::optional<std::string> refused_option(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group() == kUnbuiltGroup && option->count() > 0) return option->get_name();
  }
  return std::nullopt;
}

template <typename Run>
void with_config(Arguments& arguments, CLI::App* command, Run run) {
  command->callback([&arguments, run] {
    arguments.command = [&arguments, run](Context& context) {
      const auto file = find_config(context);
      if (!file.ok()) return context.output.fail(file.error());
      arguments.run.config_file = *file;
      const auto config = load_config(context);
      return config.ok() ? run(*config, context.output) : context.output.fail(config.error());
    };
  });
}

void add_pipeline_commands(CLI::App& app, Arguments& arguments) {
  auto* check_command = app.add_subcommand("check", "what is missing on the source and here");
  check_command->alias("doctor");
  with_config(arguments, check_command,
              [](const config::Config& config, Output& output) { return check(config, output); });

  auto* run_command = app.add_subcommand("run", "the pipeline, in the foreground");
  run_command->add_option("--until-lsn", arguments.run.until_lsn, "end at this LSN");
  run_command->add_flag("--once", arguments.run.once, "end at the server's LSN of the start");
  run_command->add_flag("--resync", arguments.run.resync,
                        "go on after a lost slot or a restored server");
  with_config(arguments, run_command, [&](const config::Config& config, Output& output) {
    return run(config, arguments.run, output);
  });

  auto* drop_command = app.add_subcommand("drop", "remove slot and publications from the source");
  drop_command->add_flag("--yes", arguments.drop.yes, "do not ask");
  with_config(arguments, drop_command, [&](const config::Config& config, Output& output) {
    return drop(config, arguments.drop, output);
  });
}

int run_sql(Arguments& arguments, Context& context) {
  const auto timeout = parse_duration(arguments.sql_timeout);
  if (!timeout.ok()) {
    return context.output.fail(
        error(Code::kUsage, "--timeout: " + timeout.error().message, {}, timeout.error().hint));
  }
  arguments.sql.timeout = *timeout;
  const std::string& format = arguments.sql_format;
  if (format == "parquet") return context.output.fail(not_built("`sql -o parquet`"));
  const std::vector<std::string> formats = {"table", "json", "jsonl", "csv"};
  const auto found = std::find(formats.begin(), formats.end(), format);
  if (found != formats.end()) {
    arguments.sql.format = static_cast<Format>(found - formats.begin());
  } else if (!format.empty()) {
    return context.output.fail(error(
        Code::kUsage, fmt::format("-o: '{}' is not one of {}", format, fmt::join(formats, ", "))));
  }
  return sql(context, arguments.sql);
}

int run_tail(Arguments& arguments, Context& context) {
  if (arguments.tail_format == "debezium")
    return context.output.fail(not_built("`tail --format debezium`"));
  if (arguments.tail_format != "json" && arguments.tail_format != "text")
    return context.output.fail(
        error(Code::kUsage,
              fmt::format("--format: '{}' is not one of json, text", arguments.tail_format)));
  arguments.tail.json = arguments.tail_format == "json" || context.output.json();
  return tail(context, arguments.tail);
}

// A name as SQL has it, "per ""x""", or plain.
std::string without_quotes(const std::string& name) {
  if (name.size() < 3 || !name.starts_with('"') || !name.ends_with('"')) return name;
  std::string out;
  for (std::size_t i = 1; i + 1 < name.size(); ++i) {
    out += name[i];
    if (name[i] == '"' && i + 2 < name.size() && name[i + 1] == '"') ++i;
  }
  return out;
}

int run_views(Arguments& arguments, Context& context) {
  const std::string& action = arguments.views_action;
  const Status known = check_action("views", action, {"list", "show", "explain", "rebuild"}, {});
  if (!known.ok()) return context.output.fail(known.error());
  if (action == "list") return views_list(context);
  if (arguments.view.empty())
    return context.output.fail(
        error(Code::kUsage, fmt::format("`views {}` needs a view's name", action)));
  const std::string name = without_quotes(arguments.view);
  if (action == "rebuild") return views_rebuild(context, name);
  return action == "show" ? views_show(context, name) : views_explain(context, name);
}

void add_client_commands(CLI::App& app, Arguments& arguments) {
  app.add_subcommand("status", "state, positions, lags of a running pgweir")->callback([&] {
    arguments.command = status;
  });
  app.add_subcommand("tables", "the captured tables")->callback([&] {
    arguments.command = tables;
  });

  app.add_subcommand("top", "status, redrawn every second")->callback([&] {
    arguments.command = top;
  });

  auto* snapshot_command = app.add_subcommand("snapshot", "read tables again beside the stream");
  snapshot_command->add_option("--table", arguments.snapshot_table, "SCHEMA.TABLE, a glob")
      ->required();
  snapshot_command->callback([&] {
    arguments.command = [&](Context& context) {
      return snapshot(context, arguments.snapshot_table);
    };
  });

  auto* tail_command = app.add_subcommand("tail", "changes as they come");
  tail_command->add_option("--table", arguments.tail.table, "only these tables, a glob");
  tail_command->add_option("--op", arguments.tail.op,
                           "only these operations, letters out of iudtm");
  tail_command->add_option("--format", arguments.tail_format, "json or text");
  refuse_option(tail_command, "--from");
  refuse_option(tail_command, "--where");
  tail_command->callback(
      [&] { arguments.command = [&](Context& context) { return run_tail(arguments, context); }; });

  auto* sql_command = app.add_subcommand("sql", "SQL over mirrors, views and activity");
  sql_command->add_option("sql", arguments.sql.sql, "one SELECT")->required();
  sql_command->add_option("-o", arguments.sql_format, "table, json, jsonl or csv");
  sql_command->add_option("--limit", arguments.sql.limit, "rows at the most")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{100'000}));
  sql_command->add_option("--timeout", arguments.sql_timeout, "as 500ms or 30s");
  sql_command->add_flag("--watch", arguments.sql.watch, "again when the answer changes");
  sql_command->callback(
      [&] { arguments.command = [&](Context& context) { return run_sql(arguments, context); }; });

  auto* verify_command =
      app.add_subcommand("verify", "compare the mirrors with the source at one LSN");
  verify_command->add_option("--table", arguments.verify.table, "only these tables, a glob");
  verify_command->callback([&] {
    arguments.command = [&](Context& context) { return verify(context, arguments.verify); };
  });

  auto* views_command = app.add_subcommand("views", "definition, strategy, size and position");
  views_command->add_option("action", arguments.views_action, "list, show, explain or rebuild");
  views_command->add_option("name", arguments.view, "of the view");
  views_command->callback(
      [&] { arguments.command = [&](Context& context) { return run_views(arguments, context); }; });
}

void add_local_commands(CLI::App& app, Arguments& arguments) {
  auto* log_command = app.add_subcommand("log", "the durable log in the data folder");
  log_command->add_option("action", arguments.log_action, "list or verify");
  log_command->callback([&] {
    arguments.command = [&](Context& context) {
      const Status known =
          check_action("log", arguments.log_action, {"list", "verify"}, {"export", "prune"});
      if (!known.ok()) return context.output.fail(known.error());
      return arguments.log_action == "list" ? log_list(context) : log_verify(context);
    };
  });

  auto* history_command = app.add_subcommand("history", "every version of a row, out of the log");
  history_command->add_option("table", arguments.history.table, "of the row")->required();
  history_command
      ->add_option("key", arguments.history.key, "its key: 5, or a,b or column=value,column=value")
      ->required();
  history_command->callback([&] {
    arguments.command = [&](Context& context) { return history(context, arguments.history); };
  });

  auto* undo_command =
      app.add_subcommand("undo", "print the SQL that takes a table's changes back");
  undo_command->add_option("--table", arguments.undo.table, "whose changes")->required();
  undo_command->add_option("--from", arguments.undo.from, "those after this LSN ...")->required();
  undo_command->add_option("--to", arguments.undo.to, "... up to this one")->required();
  undo_command->callback(
      [&] { arguments.command = [&](Context& context) { return undo(context, arguments.undo); }; });

  auto* config_command = app.add_subcommand("config", "the configuration");
  config_command->add_option("action", arguments.config_action, "show or schema");
  config_command->callback([&] {
    arguments.command = [&](Context& context) {
      const Status known =
          check_action("config", arguments.config_action, {"show", "schema"}, {"import"});
      if (!known.ok()) return context.output.fail(known.error());
      return arguments.config_action == "show" ? config_show(context) : config_schema(context);
    };
  });

  auto* init_command = app.add_subcommand("init", "write a commented configuration");
  init_command->add_option("--url", arguments.init.url, "of the source");
  init_command->add_option("--file", arguments.init.file, "where to")->capture_default_str();
  init_command->add_flag("--force", arguments.init.force, "replace a file that is there");
  init_command->callback(
      [&] { arguments.command = [&](Context& context) { return init(context, arguments.init); }; });

  app.add_subcommand("version", "of pgweir and its libraries")->callback([&] {
    arguments.command = version;
  });
}

int run_generate(Arguments& arguments, Context& context) {
  const Status known =
      check_action("generate", arguments.workload, {"payments"}, {"taxi", "company"});
  if (!known.ok()) return context.output.fail(known.error());
  GeneratePaymentsOptions& options = arguments.payments;
  if (options.url.empty())
    return context.output.fail(error(Code::kUsage, "`generate payments` needs --url"));
  if (!arguments.payments_duration.empty()) {
    const auto duration = parse_duration(arguments.payments_duration);
    if (!duration.ok())
      return context.output.fail(
          error(Code::kUsage, "--for: " + duration.error().message, {}, duration.error().hint));
    options.duration = *duration;
  }
  if (options.plan.updates + options.plan.deletes > 1)
    return context.output.fail(
        error(Code::kUsage, "--updates and --deletes add up to more than 1"));
  if (options.plan.accounts < 2ull * options.connections)
    return context.output.fail(
        error(Code::kUsage, fmt::format("--accounts must be at least {}: two for each connection",
                                        2ull * options.connections)));
  return generate_payments(options, context.output);
}

void add_generate(CLI::App& app, Arguments& arguments) {
  auto* command = app.add_subcommand("generate", "a workload for a PostgreSQL");
  GeneratePaymentsOptions& options = arguments.payments;
  command->add_option("workload", arguments.workload, "payments");
  command->add_option("--url", options.url, "the PostgreSQL to write into");
  command->add_option("--rate", options.rate, "transactions a second; 0 is as fast as possible")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  command->add_option("--for", arguments.payments_duration, "how long, as 10s; without it: no end");
  command->add_option("--transactions", options.transactions, "end after so many");
  command->add_option("--seed", options.plan.seed, "same seed, same statements")
      ->capture_default_str();
  command->add_option("--accounts", options.plan.accounts, "how many")
      ->check(CLI::Range(std::uint64_t{2}, std::uint64_t{1'000'000'000}))
      ->capture_default_str();
  command->add_option("--updates", options.plan.updates, "share that changes a transfer")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--deletes", options.plan.deletes, "share that takes a transfer back")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--large-transaction", options.plan.large_transfers,
                      "transfers in a large transaction");
  command->add_option("--large-every", options.plan.large_every, "one in so many is a large one")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}))
      ->capture_default_str();
  command->add_option("--connections", options.connections, "that write at the same time")
      ->check(CLI::Range(1u, 64u))
      ->capture_default_str();
  command->add_flag("--init-only", options.init_only, "make tables and accounts, then end");
  command->add_flag("--real-time", options.real_time, "created_at is the wall clock's");
  command->add_flag("--asynchronous-commit", options.asynchronous_commit,
                    "do not wait for the server's disk");
  command->callback([&] {
    arguments.command = [&](Context& context) { return run_generate(arguments, context); };
  });
}

void add_unbuilt(CLI::App& app, Arguments& arguments) {
  for (const Unbuilt& unbuilt : kUnbuiltCommands) {
    auto* command = app.add_subcommand(unbuilt.command, unbuilt.what);
    command->group(kUnbuiltGroup)->fallthrough(false)->allow_extras();
    command->set_help_flag();
    command->callback([&arguments, name = unbuilt.command] {
      arguments.command = [name](Context& context) {
        return context.output.fail(not_built(fmt::format("`{}`", name)));
      };
    });
  }
}

void add_global_options(CLI::App& app, Arguments& arguments) {
  app.fallthrough();
  app.require_subcommand(1);
  app.get_formatter()->column_width(28);
  app.add_option("-c,--config", arguments.config_file,
                 "the pipeline's file; ./pgweir.yaml, then /etc/pgweir/pgweir.yaml");
  app.add_option("--server", arguments.server,
                 "another pgweir: [https://]host:port, its token in PGWEIR_TOKEN");
  app.add_flag("--json", arguments.json, "data as JSON");
  app.add_flag("--quiet", arguments.quiet, "no messages but errors");
  app.add_flag("--verbose", arguments.verbose, "more messages");
}

// Without a command CLI11 misses one; what stands in its place says more.
Error usage_error(const CLI::App& app, const CLI::ParseError& failure) {
  constexpr const char* kHint = "`pgweir --help` lists commands, `pgweir COMMAND --help` options";
  const std::vector<std::string> rest = app.remaining();
  if (app.get_subcommands().empty() && !rest.empty() && !rest[0].starts_with("-"))
    return error(Code::kUsage, fmt::format("there is no command '{}'", rest[0]), {}, kHint);
  if (app.get_subcommands().empty() && rest.empty() && failure.get_name() == "RequiredError")
    return error(Code::kUsage, "a command is missing", {}, kHint);
  return error(Code::kUsage, failure.what(), {}, kHint);
}

}  // namespace

int run_command_line(int argc, char** argv, std::ostream& out, std::ostream& messages) {
  CLI::App app("PostgreSQL's changes as a durable log, live SQL views and files.", "pgweir");
  Arguments arguments;
  add_global_options(app, arguments);
  add_pipeline_commands(app, arguments);
  add_client_commands(app, arguments);
  add_local_commands(app, arguments);
  add_generate(app, arguments);
  add_unbuilt(app, arguments);

  std::optional<Error> usage;
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    app.exit(help, out, messages);
    return 0;
  } catch (const CLI::ParseError& failure) {
    usage = usage_error(app, failure);
  }
  OutputOptions options;
  options.json = arguments.json;
  options.color = stdout_takes_color();
  options.verbosity = arguments.quiet     ? Verbosity::kQuiet
                      : arguments.verbose ? Verbosity::kVerbose
                                          : Verbosity::kNormal;
  Output output(out, messages, options);
  if (usage) return output.fail(*usage);
  for (const CLI::App* command : app.get_subcommands()) {
    if (const auto option = refused_option(*command))
      return output.fail(not_built(fmt::format("`{} {}`", command->get_name(), *option)));
  }
  io::RealFs fs;
  Context context{output, fs, config::process_environment(), arguments.config_file,
                  arguments.server};
  // What escapes a library of ours or of others is our mistake, but still a message.
  try {
    return arguments.command(context);
  } catch (const std::exception& failure) {
    return output.fail(error(Code::kInternal, "unexpected failure", failure.what()));
  }
}

}  // namespace pgweir::cli
