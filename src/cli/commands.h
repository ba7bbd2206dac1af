// The commands that ask a running pgweir or look at its files.
//
// Place:   called by main.cc with parsed options; print through Output and return the exit code.
// Threads: called once, from main().
#pragma once

#include <optional>
#include <string>

#include "base/units.h"
#include "cli/output.h"
#include "config/config.h"
#include "io/fs.h"

namespace pgweir::cli {

// What every command may need.
struct Context {
  Output& output;
  io::Fs& fs;
  config::Environment environment;
  std::string config_file;  // of -c; "" looks at the usual places
  std::string server;       // of --server: host:port in place of the configuration's
};

// The file that -c names, else the first of the usual places that exists.
Result<std::string> find_config(const Context& context);
Result<config::Config> load_config(const Context& context);

int status(Context& context);
int tables(Context& context);
// The status, again every second until SIGINT or SIGTERM.
int top(Context& context);
// Queues readings of the tables that match.
int snapshot(Context& context, const std::string& table);

struct TailOptions {
  std::string table;  // a glob over schema.table; "" is all
  std::string op;     // of the letters i, u, d, t and r; "" is all
  bool json = true;   // else text
};
int tail(Context& context, const TailOptions& options);

struct SqlOptions {
  std::string sql;
  std::optional<Format> format;  // nothing: a table, or JSON under --json
  std::uint64_t limit = 10'000;
  Milliseconds timeout{30'000};
  bool watch = false;  // again whenever the answer may have changed, until SIGINT or SIGTERM
};
int sql(Context& context, const SqlOptions& options);

int views_list(Context& context);
int views_show(Context& context, const std::string& name);
int views_explain(Context& context, const std::string& name);
// Builds a view, and those that read it, anew; 6 when that goes on beyond the server's patience.
int views_rebuild(Context& context, const std::string& name);

struct VerifyOptions {
  std::string table;  // a glob over schema.table; "" is all mirrors
};
// 0 when all are equal; 5 when one differs or has stopped, 6 when rows changed at every look, 1
// when one could not be compared.
int verify(Context& context, const VerifyOptions& options);

// These read the data folder itself; a pipeline may run beside them.

// Of the configuration's data folder; kNotFound when there is none yet.
Result<std::string> log_directory(const Context& context);

struct HistoryOptions {
  std::string table;
  std::string key;
};
int history(Context& context, const HistoryOptions& options);

struct UndoOptions {
  std::string table;
  std::string from;  // LSNs
  std::string to;
};
// Prints; 4 when rows had to be left out.
int undo(Context& context, const UndoOptions& options);

int log_list(Context& context);
int log_verify(Context& context);

int config_show(Context& context);
int config_schema(Context& context);

struct InitOptions {
  std::string url;
  std::string file = "pgweir.yaml";
  bool force = false;  // replace a file that is there
};
int init(Context& context, const InitOptions& options);

int version(Context& context);

}  // namespace pgweir::cli
