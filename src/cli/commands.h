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
};
int sql(Context& context, const SqlOptions& options);

int views_list(Context& context);
int views_show(Context& context, const std::string& name);
int views_explain(Context& context, const std::string& name);

// These read the data folder itself; a pipeline may run beside them.
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
