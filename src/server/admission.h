// Whether a request is let in, and by which route it is answered: decided from its header alone,
// before its body is read.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/http_message.h"
#include "server/router.h"

namespace pgweir::server {

struct AdmissionRules {
  const std::string& token;  // empty: none is asked for
  bool loopback = true;      // bound to loopback: only its names are accepted as Host
  bool tls = false;
};

struct Admission {
  const Route* route = nullptr;     // set when there is no refusal
  std::optional<Response> refusal;  // what to answer instead
};

// Takes the target apart into the request's path, query and placeholders, and checks in this order:
// target, Host, path and method, token, Origin.
Admission admit(Request& request, std::string_view target, const Router& router,
                const AdmissionRules& rules);

}  // namespace pgweir::server
