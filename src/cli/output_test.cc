// What people and scripts see: errors, tables, CSV, JSON.
#include "cli/output.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/exit_code.h"
#include "cli/render.h"

namespace pgweir::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Printed {
  std::string out;
  std::string messages;
  int exit_code = 0;
};

template <typename Print>
Printed printed(OutputOptions options, Print print) {
  std::ostringstream out;
  std::ostringstream messages;
  Output output(out, messages, options);
  Printed result;
  if constexpr (std::is_same_v<decltype(print(output)), int>) {
    result.exit_code = print(output);
  } else {
    print(output);
  }
  result.out = out.str();
  result.messages = messages.str();
  return result;
}

}  // namespace

TEST(ExitCode, EveryCodeHasItsExit) {
  const std::pair<Code, int> cases[] = {
      {Code::kInvalid, 1},     {Code::kUsage, 2},   {Code::kConfig, 3},      {Code::kNotFound, 1},
      {Code::kCheckFailed, 4}, {Code::kIo, 1},      {Code::kUnavailable, 1}, {Code::kTimeout, 6},
      {Code::kCorruption, 5},  {Code::kNoSpace, 1}, {Code::kUnsupported, 1}, {Code::kCancelled, 1},
      {Code::kInternal, 1}};
  for (const auto& [code, exit] : cases) EXPECT_EQ(exit_code(code), exit) << code_name(code);
}

TEST(Output, ErrorsAreMessageDetailHintOnStderr) {
  const Printed result = printed({.verbosity = Verbosity::kQuiet}, [](Output& output) {
    return output.fail(error(Code::kConfig, "it is wrong", "line 1\nline 2", "write it right"));
  });
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.messages,
            "pgweir: it is wrong\n"
            "  detail: line 1\n"
            "          line 2\n"
            "  hint: write it right\n");
  EXPECT_EQ(error_text(error(Code::kIo, "short")), "pgweir: short\n");
}

TEST(Output, VerbosityChoosesMessages) {
  const auto messages = [](Verbosity verbosity) {
    return printed({.verbosity = verbosity},
                   [](Output& output) {
                     output.message("m");
                     output.detail("d");
                     output.line("data");
                   })
        .messages;
  };
  EXPECT_EQ(messages(Verbosity::kQuiet), "");
  EXPECT_EQ(messages(Verbosity::kNormal), "m\n");
  EXPECT_EQ(messages(Verbosity::kVerbose), "m\nd\n");
}

TEST(Output, TablesAlignNumbersToTheRight) {
  const Table table{
      {"name", "rows", "note"},
      {{"a", "1", std::nullopt}, {"größe", "-12.5", "x\ny\x1b[0m"}, {"", std::nullopt, "12"}}};
  EXPECT_EQ(table_text(table, false),
            "name    rows  note\n"
            "a          1\n"
            "größe  -12.5  x\\ny\\x1b[0m\n"
            "              12\n");
  EXPECT_EQ(table_text({{"a", "b"}, {}}, false), "a  b\n");
  EXPECT_EQ(table_text({{"a"}, {{"1"}}}, true), "\x1b[1ma\x1b[0m\n1\n");
  EXPECT_EQ(table_text({}, false), "\n");
  // Neither dates nor addresses are numbers.
  EXPECT_EQ(table_text({{"when"}, {{"2026-01-01"}, {"5"}}}, false), "when\n2026-01-01\n5\n");
}

TEST(Output, CsvQuotesWhatNeedsIt) {
  const Table table{{"a", "b,c"}, {{"x", "say \"hi\""}, {std::nullopt, ""}, {"1\n2", "ü"}}};
  EXPECT_EQ(csv_text(table), "a,\"b,c\"\r\nx,\"say \"\"hi\"\"\"\r\n,\"\"\r\n\"1\n2\",ü\r\n");
}

TEST(Output, JsonBeginsWithTheSchemaVersion) {
  const Printed result = printed({.json = true}, [](Output& output) { output.json({{"a", 1}}); });
  EXPECT_EQ(result.out, "{\n  \"schema_version\": 1,\n  \"a\": 1\n}\n");
  EXPECT_EQ(json_line({{"a", "\xff"}}), "{\"a\":\"\xef\xbf\xbd\"}");
}

TEST(Render, RowsBecomeTablesAndObjects) {
  const Json answer = Json::parse(R"({"columns":[{"name":"id"},{"name":"n"},{"name":"n"}],
      "rows":[[1,"x",null],["9007199254740993",true,[1,2]]]})");
  EXPECT_EQ(table_text(rows_table(answer), false),
            "              id  n     n\n"
            "               1  x\n"
            "9007199254740993  true  [1,2]\n");
  const std::vector<Json> objects = rows_objects(answer);
  ASSERT_EQ(objects.size(), 2u);
  EXPECT_EQ(json_line(objects[0]), R"({"id":1,"n":"x","n_2":null})");
  EXPECT_EQ(json_line(objects[1]), R"({"id":"9007199254740993","n":true,"n_2":[1,2]})");
}

TEST(Render, AnswersOfAnotherShapeAreShownAsFarAsTheyGo) {
  for (const char* text : {"{}", R"({"columns":1,"rows":2})", R"({"columns":[1],"rows":[1,[2,3]]})",
                           R"({"rows":[[1]],"findings":[3],"views":[1]})"}) {
    const Json answer = Json::parse(text);
    (void)table_text(rows_table(answer), false);
    (void)rows_objects(answer);
    (void)status_text(answer);
    (void)change_text(answer);
    (void)pick_table(list_of(answer, "views"), {"name"});
  }
}

TEST(Render, StatusIsLinesTablesAndFindings) {
  const Json status = Json::parse(R"({"state":"streaming","message":"","source":{"slot":"pgweir",
      "retained_wal_bytes":2048,"wal_status":null,"snapshot":{"state":"done"}},
      "followers":[{"name":"engine","lag_ms":3,"error":null},{"name":"lake","lag_ms":40,"error":null}],
      "findings":[{"severity":"warning","subject":"table public.v","message":"has no key","hint":"add one"}]})");
  EXPECT_EQ(status_text(status),
            "state                      streaming\n"
            "source.slot                pgweir\n"
            "source.retained_wal_bytes  2.0 KiB\n"
            "source.snapshot.state      done\n"
            "\n"
            "followers\n"
            "name    lag_ms\n"
            "engine       3\n"
            "lake        40\n"
            "\n"
            "warning: table public.v: has no key\n"
            "  hint: add one\n");
}

TEST(Render, LongTextsAreIndented) {
  EXPECT_EQ(lines_text(Json{{"name", "v"}, {"sql", "SELECT 1\nFROM x\n"}}),
            "name  v\n"
            "sql   SELECT 1\n"
            "      FROM x\n");
}

TEST(Render, ChangesAreOneLine) {
  EXPECT_EQ(change_text(Json::parse(R"({"op":"update","table":"public.a","lsn":"0/1","time":"T",
                                        "before":null,"after":{"id":1,"t":"x y","n":null}})")),
            "0/1 T update   public.a id=1 t=\"x y\" n=null");
  EXPECT_EQ(change_text(Json::parse(R"({"op":"delete","table":"public.a","lsn":"0/1","time":"T",
                                        "before":{"id":1},"after":null})")),
            "0/1 T delete   public.a id=1");
  EXPECT_EQ(
      change_text(Json::parse(R"({"op":"truncate","table":"public.a","lsn":"0/1","time":"T"})")),
      "0/1 T truncate public.a");
}

}  // namespace pgweir::cli
