// The real program: messages and exit codes that people and scripts see.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/logger.h"
#include "harness/cluster.h"
#include "harness/scratch.h"
#include "io/clock.h"
#include "io/process.h"
#include "log/log.h"
#include "server/api.h"
#include "server/fake_backend.h"
#include "server/http_server.h"
#include "server/test_certificate.h"

namespace pgweir::cli {
namespace {
using namespace std::chrono_literals;

constexpr const char* kHint =
    "  hint: `pgweir --help` lists commands, `pgweir COMMAND --help` options\n";
constexpr const char* kUnbuiltHint = "  hint: `pgweir --help` lists what is\n";

std::string file_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Runs the program in a scratch folder of its own.
class Program : public testing::Test {
 protected:
  // "exit N\n" and all that it printed.
  std::string run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), PGWEIR_PROGRAM);
    auto finished = io::run({.arguments = arguments,
                             .environment = {{"DATABASE_URL", "postgresql://ann:hunter2@h/shop"}},
                             .directory = scratch_.path()},
                            60s);
    EXPECT_TRUE(finished.ok()) << finished.error().text();
    return "exit " + std::to_string(finished->exit_code) + "\n" + finished->output;
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(scratch_.file(name)) << text;
  }

  harness::ScratchFolder scratch_;
};

// The program against a server with made-up answers.
class ProgramWithServer : public Program {
 protected:
  ProgramWithServer() {
    server::Router router;
    server::add_api(router, backend_, stats_, clock_, {});
    server_ = server::HttpServer::start({.listen = {"127.0.0.1", 0}, .token = "tok"},
                                        std::move(router), stats_, *logger_)
                  .value();
    write("pgweir.yaml", "source: {url: u}\nserver: {listen: \"" + address() + "\", token: tok}\n");
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }

  server::FakeBackend backend_;
  server::HttpStats stats_;
  io::RealClock clock_;
  std::unique_ptr<Logger> logger_ = std::make_unique<Logger>();
  std::unique_ptr<server::HttpServer> server_;
};

}  // namespace

TEST_F(Program, UsageErrorsAreTwo) {
  EXPECT_EQ(run({}), std::string("exit 2\npgweir: a command is missing\n") + kHint);
  EXPECT_EQ(run({"bogus"}), std::string("exit 2\npgweir: there is no command 'bogus'\n") + kHint);
  EXPECT_EQ(
      run({"status", "--bogus"}),
      std::string("exit 2\npgweir: The following argument was not expected: --bogus\n") + kHint);
  EXPECT_EQ(run({"sql"}), std::string("exit 2\npgweir: sql is required\n") + kHint);
  EXPECT_EQ(run({"sql", "x", "-o", "xml"}),
            "exit 2\npgweir: -o: 'xml' is not one of table, json, jsonl, csv\n");
  EXPECT_EQ(run({"sql", "x", "--timeout", "5"}),
            "exit 2\npgweir: --timeout: '5' has no unit\n"
            "  hint: Write a whole number with a unit, like 500ms, 10s or 7d\n");
  EXPECT_EQ(run({"views", "shw"}),
            "exit 2\npgweir: `views` knows no 'shw'; it knows list, show, explain, rebuild\n");
  EXPECT_EQ(run({"views", "show"}), "exit 2\npgweir: `views show` needs a view's name\n");
  EXPECT_EQ(run({"views", "rebuild"}), "exit 2\npgweir: `views rebuild` needs a view's name\n");
  EXPECT_EQ(run({"log"}), "exit 2\npgweir: `log` needs one of list, verify\n");
  EXPECT_EQ(run({"generate", "payments"}), "exit 2\npgweir: `generate payments` needs --url\n");
  EXPECT_EQ(run({"generate", "payments", "--url", "x", "--updates", "0.7", "--deletes", "0.7"}),
            "exit 2\npgweir: --updates and --deletes add up to more than 1\n");
}

TEST_F(Program, CommandsThatAreNotBuiltSaySo) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"sinks", "list"}, "`sinks`"},
      {{"deadletters"}, "`deadletters`"},
      {{"explore"}, "`explore`"},
      {{"report", "--from", "x"}, "`report`"},
      {{"import", "csv", "x"}, "`import`"},
      {{"connect", "--data", "x", "-c", "y"}, "`connect`"},
      {{"flink"}, "`flink`"},
      {{"completion", "bash"}, "`completion`"},
      {{"log", "export"}, "`log export`"},
      {{"log", "prune"}, "`log prune`"},
      {{"config", "import"}, "`config import`"},
      {{"generate", "taxi"}, "`generate taxi`"},
      {{"generate", "company"}, "`generate company`"},
      {{"tail", "--where", "x"}, "`tail --where`"},
      {{"tail", "--from", "0/1"}, "`tail --from`"},
      {{"tail", "--format", "debezium"}, "`tail --format debezium`"},
      {{"sql", "x", "-o", "parquet"}, "`sql -o parquet`"}};
  const std::string help = run({"--help"});
  for (const auto& [arguments, name] : cases) {
    EXPECT_EQ(run(arguments), "exit 2\npgweir: " + name + " is not built yet\n" + kUnbuiltHint);
    EXPECT_NE(help.find("  " + arguments[0] + " "), std::string::npos) << arguments[0];
  }
}

TEST_F(Program, ConfigurationErrorsAreThree) {
  EXPECT_EQ(run({"status"}),
            "exit 3\npgweir: there is no ./pgweir.yaml and no /etc/pgweir/pgweir.yaml\n"
            "  hint: name a file with -c, or write one with `pgweir init`\n");
  EXPECT_EQ(
      run({"-c", "x.yaml", "status"}),
      "exit 3\npgweir: there is no file x.yaml\n  hint: `pgweir init` writes one to start from\n");
  write("pgweir.yaml", "source:\n  url: u\n  tabels: [a.b]\nalerts: []\nlog: {retain: 7}\n");
  for (const char* command : {"status", "run", "check", "drop"}) {
    EXPECT_EQ(
        run({command}),
        "exit 3\npgweir: ./pgweir.yaml has 3 errors\n"
        "  detail: ./pgweir.yaml:3:3: unknown key 'tabels' in source; did you mean 'tables'?\n"
        "          ./pgweir.yaml:4:1: alerts is not built yet\n"
        "          ./pgweir.yaml:5:15: log.retain: '7' has no unit; Write a whole number with a "
        "unit, like 500ms, 10s or 7d\n");
  }
}

TEST_F(Program, InitWritesAFileThatIsReadBack) {
  EXPECT_EQ(run({"init"}), "exit 0\nwrote pgweir.yaml; next: `pgweir check`, then `pgweir run`\n");
  EXPECT_EQ(run({"init"}),
            "exit 4\npgweir: pgweir.yaml exists already\n  hint: --force replaces it\n");
  const std::string shown = run({"config", "show"});
  EXPECT_TRUE(shown.starts_with("exit 0\nsource:\n  url: \"postgresql://ann:***@h/shop\"\n"))
      << shown;
  const auto json = nlohmann::json::parse(run({"config", "show", "--json"}).substr(7));
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["engine"]["mirrors"], "all");
  const auto schema = nlohmann::json::parse(run({"config", "schema"}).substr(7));
  EXPECT_EQ(schema["properties"]["source"]["required"][0], "url");
}

TEST_F(Program, InitLooksAtTheTablesOfTheSource) {
  harness::Cluster& cluster = harness::shared_cluster();
  const std::string database = cluster.create_database();
  cluster.sql("CREATE SCHEMA audit; CREATE TABLE audit.b (id int); CREATE TABLE a (id int)",
              database);
  EXPECT_TRUE(run({"init", "--url", cluster.url(database)}).starts_with("exit 0\n"));
  const std::string text = file_text(scratch_.file("pgweir.yaml"));
  EXPECT_NE(text.find("  tables: [audit.*, public.*]   # globs over schema.table\n"
                      "  #   \"audit.b\"\n"
                      "  #   \"public.a\"\n"),
            std::string::npos)
      << text;
  const std::string unreachable =
      "postgresql://ann:hunter2@127.0.0.1:" + std::to_string(harness::free_port()) + "/shop";
  const std::string failed = run({"init", "--force", "--url", unreachable});
  EXPECT_TRUE(failed.starts_with("exit 1\npgweir: ")) << failed;
  EXPECT_EQ(file_text(scratch_.file("pgweir.yaml")), text);
}

TEST_F(Program, LogIsListedAndDamageIsFive) {
  write("pgweir.yaml", "source: {url: u}\ndata: data\n");
  EXPECT_EQ(run({"log", "list"}),
            "exit 1\npgweir: there is no log at data/log\n  hint: `pgweir run` makes it\n");
  io::RealFs fs;
  io::RealClock clock;
  const std::string directory = scratch_.file("data/log");
  ASSERT_TRUE(fs.create_directories(directory).ok());
  {
    auto opened = log::Log::open(fs, clock, directory, {}).value();
    auto frame = std::make_shared<log::Frame>();
    frame->header.first = frame->header.last = {1, model::Lsn{0x16B3748}, 1};
    frame->header.end_lsn = model::Lsn{0x16B3750};
    frame->header.record_count = 1;
    frame->payload = std::string("\x03\0\0\0abc", 7);
    ASSERT_TRUE(opened->append(frame).ok());
    ASSERT_TRUE(opened->sync().ok());
  }
  const std::string listed = run({"log", "list"});
  EXPECT_NE(listed.find("0/16B3748"), std::string::npos) << listed;
  EXPECT_EQ(run({"log", "verify"}), "exit 0\n1 segments, 1 frames, 1 records\n");
  const std::string name = fs.list(directory).value()[0];
  std::string bytes = file_text(directory + "/" + name);
  bytes[20] = static_cast<char>(bytes[20] ^ 1);
  write("data/log/" + name, bytes);
  const std::string verified = run({"log", "verify"});
  EXPECT_TRUE(verified.starts_with("exit 5\n")) << verified;
  EXPECT_NE(verified.find("pgweir: the log is damaged in 1 places\n  detail: data/log/" + name +
                          " at offset 0: "),
            std::string::npos)
      << verified;
}

TEST_F(Program, VersionNamesTheLibraries) {
  const std::string text = run({"version"});
  EXPECT_TRUE(text.starts_with("exit 0\npgweir 0.")) << text;
  EXPECT_NE(text.find("\nduckdb v"), std::string::npos) << text;
  EXPECT_NE(text.find("\nlibpq "), std::string::npos) << text;
  EXPECT_EQ(nlohmann::json::parse(run({"version", "--json"}).substr(7))["schema_version"], 1);
}

TEST_F(Program, SaysThatNoPgweirAnswers) {
  const std::string address = "127.0.0.1:" + std::to_string(harness::free_port());
  const std::string expected =
      "exit 1\npgweir: no pgweir answers at " + address + ": is `pgweir run` running?\n";
  EXPECT_EQ(run({"--server", address, "status"}), expected);
  EXPECT_EQ(run({"--server", address, "tail"}), expected);
  EXPECT_EQ(run({"sql", "SELECT 1", "--server", address}), expected);
}

TEST_F(Program, UnreachableDatabaseIsNamed) {
  const int port = harness::free_port();
  const std::string url = "postgresql://ann:hunter2@127.0.0.1:" + std::to_string(port) + "/shop";
  const std::string text = run({"generate", "payments", "--url", url, "--init-only"});
  EXPECT_TRUE(text.starts_with("exit 1\npgweir: ")) << text;
  EXPECT_NE(text.find("127.0.0.1"), std::string::npos) << text;
  EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
}

TEST_F(ProgramWithServer, StatusTablesAndViews) {
  const std::string status = run({"status"});
  EXPECT_TRUE(status.starts_with("exit 0\nstate ")) << status;
  EXPECT_NE(status.find("warning: table public.visits: has no primary key"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(run({"status", "--json"}).substr(7))["state"], "streaming");
  EXPECT_NE(run({"tables"}).find("public"), std::string::npos);
  const std::string views = run({"views"});
  EXPECT_EQ(views, run({"views", "list"}));
  EXPECT_NE(views.find("delta"), std::string::npos) << views;
  const std::string name = backend_.views()[0].name;
  EXPECT_NE(run({"views", "explain", name}).find("strategy  delta"), std::string::npos);
  EXPECT_NE(run({"views", "explain", name})
                .find("batches   3.1 ms of 40 changes; of late at most 12.5 ms of 900 changes; its "
                      "budget is 10000 ms"),
            std::string::npos);
  EXPECT_NE(run({"views", "show", name}).find("sql "), std::string::npos);
  const std::string unknown = run({"views", "show", "nope"});
  EXPECT_TRUE(unknown.starts_with("exit 1\npgweir: there is no view 'nope'\n  hint: ")) << unknown;
}

TEST_F(ProgramWithServer, ViewsRebuildTellsWhatItDid) {
  const std::string told =
      "exit 0\nbalance is built anew\nwith it, as they read it: per/minute\n"
      "per/minute is in append mode: its windows that had left have left anew, of what the tables "
      "hold now, late rows included\n";
  EXPECT_EQ(run({"views", "rebuild", "balance"}), told);
  EXPECT_EQ(run({"views", "rebuild", "\"balance\""}), told);
  const auto json = nlohmann::json::parse(run({"views", "rebuild", "balance", "--json"}).substr(7));
  EXPECT_EQ(json["rebuilt"].dump(), R"(["balance","per/minute"])");
  EXPECT_EQ(run({"views", "rebuild", "\"per/minute\""}),
            "exit 1\npgweir: view per/minute could not be built (a column is gone)\n"
            "  hint: put it right\n");
  EXPECT_EQ(backend_.asked().rebuilt, "per/minute");
  EXPECT_EQ(run({"views", "rebuild", "balanse"}),
            "exit 1\npgweir: there is no view 'balanse'\n  hint: did you mean 'balance'?\n");

  server::RebuildReport report;
  report.rebuilt = {"balance", "a", "b"};
  report.waiting = {{"a", "rows of t"}};
  report.failed = {{"b", "no number"}};
  backend_.set_rebuild(report);
  EXPECT_EQ(run({"views", "rebuild", "balance"}),
            "exit 1\nbalance is built anew\nwith it, as they read it: a, b\na waits: rows of t\n"
            "pgweir: views that read it could not be built\n  detail: b: no number\n");
  report = {};
  report.done = false;
  backend_.set_rebuild(report);
  EXPECT_EQ(run({"views", "rebuild", "balance"}),
            "exit 6\npgweir: view balance is still being built\n"
            "  hint: It goes on: `pgweir views list` shows its state, the log of pgweir its end\n");
}

TEST_F(ProgramWithServer, SqlInEveryFormat) {
  backend_.set_sql([](const server::SqlRequest& request) -> Result<server::SqlAnswer> {
    if (request.sql == "bad") return error(Code::kInvalid, "syntax error", "at 1", "write SQL");
    if (request.sql == "slow") return error(Code::kTimeout, "it took too long");
    server::SqlAnswer answer;
    answer.rows.columns = {{"id", "BIGINT", server::CellKind::kInteger},
                           {"name", "VARCHAR", server::CellKind::kText}};
    answer.rows.cells = {"1", "a,b", "2", std::nullopt};
    answer.truncated = request.limit == 2;
    return answer;
  });
  EXPECT_EQ(run({"sql", "x"}), "exit 0\nid  name\n 1  a,b\n 2\n");
  EXPECT_EQ(run({"sql", "x", "-o", "csv"}), "exit 0\nid,name\r\n1,\"a,b\"\r\n2,\r\n");
  EXPECT_EQ(run({"sql", "x", "-o", "jsonl"}),
            "exit 0\n{\"id\":1,\"name\":\"a,b\"}\n{\"id\":2,\"name\":null}\n");
  const auto json = nlohmann::json::parse(run({"sql", "x", "--json"}).substr(7));
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["rows"][0][1], "a,b");
  EXPECT_EQ(run({"sql", "x", "--limit", "2"}),
            "exit 0\nid  name\n 1  a,b\n 2\n"
            "pgweir: only the first 2 rows are shown; --limit takes more\n");
  EXPECT_EQ(run({"sql", "bad"}), "exit 1\npgweir: syntax error (at 1)\n  hint: write SQL\n");
  EXPECT_EQ(run({"sql", "slow"}), "exit 6\npgweir: it took too long\n");
}

TEST_F(ProgramWithServer, TailPrintsChangesUntilTheServerStops) {
  const std::string output = scratch_.file("tail.txt");
  auto process = io::Process::start({.arguments = {PGWEIR_PROGRAM, "tail", "--format", "text",
                                                   "--op", "iu", "--table", "public.*"},
                                     .directory = scratch_.path(),
                                     .output = output});
  ASSERT_TRUE(process.ok());
  while (!backend_.asked().sink) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(backend_.asked().tail.operations.size(), 2u);
  const auto sink = backend_.asked().sink;
  sink->send(
      {"1:0/1:1", R"({"op":"insert","table":"public.a","lsn":"0/1","time":"T","after":{"id":1}})"});
  while (file_text(output).empty()) std::this_thread::sleep_for(5ms);
  server_->stop();
  EXPECT_EQ(process->wait(30s).value(), 1);
  EXPECT_EQ(file_text(output), "0/1 T insert   public.a id=1\npgweir: the server stops\n");
}

TEST_F(ProgramWithServer, ReachesAServerBehindTlsByItsOwnCertificate) {
  const std::string certificate = scratch_.file("c.pem");
  const std::string key = scratch_.file("k.pem");
  server::make_certificate(certificate, key, "pgweir.example.org");
  server::Router router;
  server::add_api(router, backend_, stats_, clock_, {});
  const auto tls = server::HttpServer::start(
      {.listen = {"0.0.0.0", 0}, .token = "tok", .certificate_file = certificate, .key_file = key},
      std::move(router), stats_, *logger_);
  ASSERT_TRUE(tls.ok()) << tls.error().text();
  const std::string port = std::to_string(tls.value()->port());
  const auto config = [&](const std::string& trusted) {
    write("pgweir.yaml", "source: {url: u}\nserver: {listen: \"0.0.0.0:" + port +
                             "\", token: tok, tls: {certificate: " + trusted + ", key: k}}\n");
  };
  config(certificate);
  EXPECT_TRUE(run({"status"}).starts_with("exit 0\nstate "));
  server::make_certificate(scratch_.file("other.pem"), key);
  config(scratch_.file("other.pem"));
  EXPECT_TRUE(
      run({"status"})
          .starts_with("exit 1\npgweir: the connection to 127.0.0.1:" + port + " failed: SSL"));
  EXPECT_TRUE(run({"status", "--server", "https://127.0.0.1:" + port}).starts_with("exit 1\n"));
}

TEST_F(ProgramWithServer, NamedServerTakesItsTokenFromTheEnvironment) {
  const auto finished = io::run({.arguments = {PGWEIR_PROGRAM, "--server", address(), "views"},
                                 .environment = {{"PGWEIR_TOKEN", "tok"}},
                                 .directory = "/"},
                                60s);
  EXPECT_EQ(finished->exit_code, 0) << finished->output;
}

TEST_F(ProgramWithServer, WrongTokenIsACheckThatFailed) {
  write("pgweir.yaml", "source: {url: u}\nserver: {listen: \"" + address() + "\", token: other}\n");
  const std::string text = run({"status"});
  EXPECT_TRUE(text.starts_with("exit 4\npgweir: ")) << text;
}

}  // namespace pgweir::cli
