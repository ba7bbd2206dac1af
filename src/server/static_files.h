// A folder of files, read once at start: the dashboard.
//
// What is asked for is looked up among the names that were read, so no path can lead out of the
// folder.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "io/fs.h"
#include "server/http_message.h"

namespace pgweir::server {

struct StaticFilesOptions {
  std::uint64_t bytes_max = 64 * kMiB;  // of all files together
};

class StaticFiles {
 public:
  // kNotFound when the folder is not there, kConfig when it is larger than the limit.
  static Result<StaticFiles> load(io::Fs& fs, const std::string& folder,
                                  StaticFilesOptions options = {});

  // "/" is index.html. Files under /assets/ have their content's hash in their names and may be
  // kept for ever; all others are asked for again, with an ETag.
  Response serve(const Request& request) const;

 private:
  struct File {
    std::string content;
    std::string content_type;
    std::string etag;
  };
  std::map<std::string, File> files_;  // by path, "/assets/index-1a2b.js"
};

}  // namespace pgweir::server
