// The page's files: what is in the folder is served, what is outside never.
#include "server/static_files.h"

#include <gmock/gmock.h>

#include "harness/scratch.h"

namespace pgweir::server {
namespace {

using testing::HasSubstr;

struct Fixture {
  harness::ScratchFolder scratch;
  io::RealFs fs;

  Fixture() {
    write("secret", "secret");
    write("web/index.html", "<html>");
    write("web/theme.js", "js");
    write("web/.hidden", "hidden");
    write("web/assets/index-1a.css", "css");
    write("web/assets/deep/data.bin", "bin");
  }
  void write(const std::string& name, const std::string& content) {
    const std::string path = scratch.file(name);
    ASSERT_TRUE(fs.create_directories(io::parent_path(path)).ok());
    ASSERT_TRUE(io::write_file_durably(fs, path, content).ok());
  }
  Result<StaticFiles> load(StaticFilesOptions options = {}) {
    return StaticFiles::load(fs, scratch.file("web"), options);
  }
};

Request get(const std::string& target, NameValues headers = {}) {
  Request request;
  request.method = "GET";
  request.path = parse_target(target)->path;
  request.headers = std::move(headers);
  return request;
}

TEST(StaticFiles, ServesTheFolderWithTypesAndCaching) {
  Fixture f;
  const StaticFiles files = f.load().value();
  const auto check = [&](const char* path, const char* body, const char* type,
                         const char* caching) {
    const Response response = files.serve(get(path));
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_EQ(response.body, body);
    EXPECT_EQ(response.content_type, type);
    EXPECT_EQ(*find_value(response.headers, "Cache-Control"), caching);
    EXPECT_THAT(*find_value(response.headers, "Content-Security-Policy"),
                HasSubstr("default-src 'self'"));
  };
  check("/", "<html>", "text/html; charset=utf-8", "no-cache");
  check("/index.html", "<html>", "text/html; charset=utf-8", "no-cache");
  check("/theme.js", "js", "text/javascript; charset=utf-8", "no-cache");
  check("/assets/index-1a.css", "css", "text/css; charset=utf-8",
        "public, max-age=31536000, immutable");
  check("/assets/deep/data.bin", "bin", "application/octet-stream",
        "public, max-age=31536000, immutable");
}

TEST(StaticFiles, KnownContentIsNotSentAgain) {
  Fixture f;
  const StaticFiles files = f.load().value();
  const std::string etag = *find_value(files.serve(get("/")).headers, "ETag");
  const Response again = files.serve(get("/", {{"if-none-match", "W/\"x\", " + etag}}));
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
  EXPECT_EQ(files.serve(get("/", {{"if-none-match", "\"other\""}})).status, 200);
}

TEST(StaticFiles, NoPathLeadsOutOfTheFolder) {
  Fixture f;
  const StaticFiles files = f.load().value();
  for (const char* path :
       {"/../secret", "/%2e%2e/secret", "/..%2fsecret", "/assets/../../secret", "//secret",
        "/assets/%2e%2e/%2e%2e/secret", "/..\\secret", "/.hidden", "/assets", "/assets/", "/web",
        "/%2fetc/passwd", "//etc/passwd", "/index.html/", "/./index.html", "/INDEX.HTML"})
    EXPECT_EQ(files.serve(get(path)).status, 404) << path;
}

TEST(StaticFiles, MissingOrLargeFolderIsAnError) {
  Fixture f;
  EXPECT_EQ(StaticFiles::load(f.fs, f.scratch.file("none")).error().code, Code::kNotFound);
  EXPECT_EQ(f.load({5}).error().code, Code::kConfig);
  const auto empty = f.scratch.file("empty");
  ASSERT_TRUE(f.fs.create_directories(empty).ok());
  EXPECT_THAT(StaticFiles::load(f.fs, empty)->serve(get("/")).body,
              HasSubstr("the dashboard's files are not in the web folder"));
}

}  // namespace
}  // namespace pgweir::server
