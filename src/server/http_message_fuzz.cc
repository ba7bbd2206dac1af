// The decoding of targets, the routes and the parameters never crash, and what is decoded encodes
// back to the same.
#include <cstdlib>

#include "server/admission.h"
#include "server/params.h"
#include "server/rows.h"

namespace pgweir::server {
namespace {

const Router& routes() {
  static const Router router = [] {
    Router out;
    out.add({"GET", "/a", {}, Lane::kQuick, Access::kOpen});
    out.add({"GET", "/a/{name}", {}});
    out.add({"POST", "/a/{name}/b", {}});
    out.set_fallback({[](const Request&) { return Response(); }});
    return out;
  }();
  return router;
}

void require(bool condition) {
  if (!condition) std::abort();
}

void check_target(std::string_view text) {
  const auto target = parse_target(text);
  if (!target.ok()) return;
  std::string again;
  for (const std::string& segment : target->segments) again += "/" + percent_encode(segment);
  char separator = '?';
  for (const auto& [name, value] : target->query) {
    again += separator + percent_encode(name) + "=" + percent_encode(value);
    separator = '&';
  }
  const auto second = parse_target(again);
  require(second.ok() && second->segments == target->segments && second->query == target->query);
}

void check_parameters(const Request& request) {
  Params params(request, {"limit", "from", "op", "table", "a"});
  params.integer("limit", 1, 0, 100);
  if (const auto time = params.time("from")) {
    const auto again = parse_time(format_time(*time));
    require(!again.ok() || *again == *time);
  }
  params.operations("op");
  for (const std::string& glob : params.list("table")) glob_matches(glob, "public.accounts");
  if (const auto text = params.text("a")) nearest_name(*text, {"accounts", "entries"});
}

}  // namespace
}  // namespace pgweir::server

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace pgweir::server;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_target(text);
  const std::size_t line = text.find('\n');
  Request request;
  request.method = size % 2 == 0 ? "GET" : "POST";
  if (line != std::string_view::npos) {
    const std::string rest(text.substr(line + 1));
    request.headers = {{"host", rest}, {"cookie", rest}, {"authorization", rest}, {"origin", rest}};
  }
  static const std::string token = "secret";
  for (const bool loopback : {true, false}) {
    Request copy = request;
    const Admission admission =
        admit(copy, text.substr(0, line), routes(), {token, loopback, false});
    if ((admission.route == nullptr) != admission.refusal.has_value()) std::abort();
    check_parameters(copy);
  }
  return 0;
}
