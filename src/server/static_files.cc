#include "server/static_files.h"

#include <fmt/core.h>

#include <array>
#include <functional>
#include <utility>

#include "base/crc32c.h"

namespace pgweir::server {
namespace {

constexpr int kFolderDepthMax = 8;

std::string content_type_of(const std::string& path) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kTypes{{
      {"html", "text/html; charset=utf-8"},
      {"js", "text/javascript; charset=utf-8"},
      {"mjs", "text/javascript; charset=utf-8"},
      {"css", "text/css; charset=utf-8"},
      {"json", "application/json"},
      {"map", "application/json"},
      {"svg", "image/svg+xml"},
      {"png", "image/png"},
      {"jpg", "image/jpeg"},
      {"ico", "image/x-icon"},
      {"woff2", "font/woff2"},
      {"txt", "text/plain; charset=utf-8"},
      {"wasm", "application/wasm"},
      {"webmanifest", "application/manifest+json"},
  }};
  const std::string_view extension = std::string_view(path).substr(path.rfind('.') + 1);
  for (const auto& [known, type] : kTypes) {
    if (known == extension) return std::string(type);
  }
  return "application/octet-stream";
}

Response with_page_headers(Response response) {
  response.headers.emplace_back(
      "Content-Security-Policy",
      "default-src 'self'; style-src 'self'; img-src 'self' data:; "
      "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'");
  return response;
}

}  // namespace

Result<StaticFiles> StaticFiles::load(io::Fs& fs, const std::string& folder,
                                      StaticFilesOptions options) {
  StaticFiles out;
  std::uint64_t bytes = 0;
  const std::function<Status(const std::string&, int)> walk = [&](const std::string& prefix,
                                                                  int depth) -> Status {
    TRY_ASSIGN(const auto names, fs.list(folder + prefix));
    for (const std::string& name : names) {
      const std::string path = prefix + "/" + name;
      if (name.front() == '.') continue;
      if (depth < kFolderDepthMax && fs.list(folder + path).ok()) {
        TRY(walk(path, depth + 1));
        continue;
      }
      TRY_ASSIGN(auto content, io::read_file(fs, folder + path));
      bytes += content.size();
      if (bytes > options.bytes_max)
        return error(Code::kConfig,
                     fmt::format("the folder '{}' holds more than {} of files", folder,
                                 format_size(options.bytes_max)),
                     {}, "serve only the built page");
      const auto etag = fmt::format("\"{:08x}-{:x}\"", crc32c(content), content.size());
      out.files_[path] = {std::move(content), content_type_of(path), etag};
    }
    return {};
  };
  TRY(walk("", 0));
  return out;
}

Response StaticFiles::serve(const Request& request) const {
  const auto found = files_.find(request.path == "/" ? "/index.html" : request.path);
  if (found == files_.end())
    return error_response(404, "not_found", "there is nothing at " + request.path,
                          request.path == "/" ? "the dashboard's files are not in the web folder"
                                              : "the calls are listed in docs/http_api.md");
  const auto& [path, file] = *found;
  Response response;
  response.content_type = file.content_type;
  response.headers.emplace_back("ETag", file.etag);
  response.headers.emplace_back("Cache-Control", path.rfind("/assets/", 0) == 0
                                                     ? "public, max-age=31536000, immutable"
                                                     : "no-cache");
  const std::string* known = request.header("if-none-match");
  if (known != nullptr && known->find(file.etag) != std::string::npos) {
    response.status = 304;
  } else {
    response.body = file.content;
  }
  return with_page_headers(std::move(response));
}

}  // namespace pgweir::server
