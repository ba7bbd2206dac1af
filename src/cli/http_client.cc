#include "cli/http_client.h"

#include <curl/curl.h>
#include <fmt/core.h>

#include <cctype>
#include <nlohmann/json.hpp>

namespace pgweir::cli {

struct HttpRequest {
  const std::string* body = nullptr;  // nothing: GET
  Milliseconds timeout{0};            // zero: a stream
  const std::function<Status(const ServerEvent&)>* on_event = nullptr;

  CURL* handle = nullptr;
  std::size_t answer_bytes_max = 0;
  std::string answer;
  EventReader events;
  Status failure;  // why the writer ended the transfer
};

namespace {

constexpr Code kCodes[] = {
    Code::kInvalid,     Code::kUsage,       Code::kConfig,    Code::kNotFound, Code::kCheckFailed,
    Code::kUnavailable, Code::kTimeout,     Code::kIo,        Code::kNoSpace,  Code::kBroken,
    Code::kCorruption,  Code::kUnsupported, Code::kCancelled, Code::kInternal};

Code code_of(const std::string& name, long status) {
  for (const Code code : kCodes) {
    if (name == code_name(code)) return code;
  }
  if (status == 401 || status == 403) return Code::kCheckFailed;
  if (status == 404) return Code::kNotFound;
  if (status == 408 || status == 504) return Code::kTimeout;
  if (status == 503 || status == 429) return Code::kUnavailable;
  return status < 500 ? Code::kInvalid : Code::kInternal;
}

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// {"error":{"code","message","hint"}}, or an answer from something that is not pgweir.
Error error_of(const std::string& address, long status, const std::string& body) {
  const auto parsed = nlohmann::json::parse(body, nullptr, false);
  if (parsed.is_object() && parsed.contains("error") && parsed["error"].is_object()) {
    const auto& failure = parsed["error"];
    std::string hint = text_of(failure, "hint");
    if (status == 401 && hint.empty()) hint = "set server.token in the configuration";
    return error(code_of(text_of(failure, "code"), status), text_of(failure, "message"),
                 text_of(failure, "detail"), hint);
  }
  return error(code_of("", status), fmt::format("{} answered with HTTP status {}", address, status),
               {}, "Is it a pgweir that listens there?");
}

std::size_t on_bytes(char* data, std::size_t size, std::size_t count, void* user) {
  auto& request = *static_cast<HttpRequest*>(user);
  const std::string_view bytes(data, size * count);
  long status = 0;
  curl_easy_getinfo(request.handle, CURLINFO_RESPONSE_CODE, &status);
  if (request.on_event != nullptr && status == 200) {
    request.failure = request.events.feed(bytes, *request.on_event);
    return request.failure.ok() ? bytes.size() : 0;
  }
  if (request.answer.size() + bytes.size() > request.answer_bytes_max) {
    request.failure = error(Code::kInvalid, fmt::format("the answer is larger than {}",
                                                        format_size(request.answer_bytes_max)));
    return 0;
  }
  request.answer.append(bytes);
  return bytes.size();
}

// Another value than 0 ends the transfer.
int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return (*static_cast<const std::function<bool()>*>(user))() ? 1 : 0;
}

Error error_of(CURLcode failure, const HttpClientOptions& options, const char* text, bool stream) {
  switch (failure) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
      return error(
          Code::kUnavailable,
          fmt::format("no pgweir answers at {}: is `pgweir run` running?", options.address));
    case CURLE_ABORTED_BY_CALLBACK:
      return error(Code::kCancelled, "asked to stop");
    case CURLE_OPERATION_TIMEDOUT:
      if (!stream)
        return error(Code::kTimeout, fmt::format("{} did not answer in time", options.address));
      [[fallthrough]];
    default:
      return error(Code::kUnavailable,
                   fmt::format("the connection to {} failed: {}", options.address,
                               *text != '\0' ? text : curl_easy_strerror(failure)));
  }
}

}  // namespace

HttpClient::HttpClient(HttpClientOptions options)
    : options_(std::move(options)), handle_(curl_easy_init()) {
  PGWEIR_ASSERT(handle_ != nullptr, "libcurl gives no handle");
}

HttpClient::~HttpClient() {
  curl_easy_cleanup(handle_);
}

Status HttpClient::perform(const std::string& path, HttpRequest& request) {
  CURL* curl = handle_;
  curl_easy_reset(curl);
  request.handle = curl;
  request.answer_bytes_max = options_.answer_bytes_max;
  const std::string url = (options_.tls ? "https://" : "http://") + options_.address + path;
  char text[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // a local address is never behind one
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(options_.connect_timeout.count()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &request);
  if (is_cancelled_) {
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &is_cancelled_);
  }
  if (request.on_event == nullptr) {
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  } else {
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                     static_cast<long>(options_.silence_max.count() / 1000));
  }
  if (!options_.pinned_file.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, options_.pinned_file.c_str());
    curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }

  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(nullptr, curl_slist_free_all);
  const auto add_header = [&](const std::string& header) {
    headers.reset(curl_slist_append(headers.release(), header.c_str()));
  };
  if (!options_.token.empty()) add_header("Authorization: Bearer " + options_.token.reveal());
  if (request.body != nullptr) {
    add_header("Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body->size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body->data());
  }
  if (request.on_event != nullptr) add_header("Accept: text/event-stream");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());

  const CURLcode done = curl_easy_perform(curl);
  TRY(request.failure);
  if (done != CURLE_OK) return error_of(done, options_, text, request.on_event != nullptr);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (status < 200 || status > 299) return error_of(options_.address, status, request.answer);
  return {};
}

Result<std::string> HttpClient::get(const std::string& path) {
  HttpRequest request;
  request.timeout = options_.answer_timeout;
  TRY(perform(path, request));
  return std::move(request.answer);
}

Result<std::string> HttpClient::post(const std::string& path, const std::string& json,
                                     Milliseconds answer_timeout) {
  HttpRequest request;
  request.body = &json;
  request.timeout = answer_timeout.count() > 0 ? answer_timeout : options_.answer_timeout;
  TRY(perform(path, request));
  return std::move(request.answer);
}

Status HttpClient::stream(const std::string& path,
                          const std::function<Status(const ServerEvent&)>& on_event) {
  HttpRequest request;
  request.on_event = &on_event;
  TRY(perform(path, request));
  return error(Code::kUnavailable, fmt::format("{} ended the stream", options_.address));
}

std::string encode_part(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isalnum(byte) != 0 || letter == '-' || letter == '_' || letter == '.' ||
        letter == '~') {
      out += letter;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned>(byte));
    }
  }
  return out;
}

Status EventReader::feed(std::string_view bytes,
                         const std::function<Status(const ServerEvent&)>& on_event) {
  std::size_t at = 0;
  while (true) {
    const std::size_t end = bytes.find('\n', at);
    if (end == std::string_view::npos) {
      rest_.append(bytes.substr(at));
      if (rest_.size() > kLineBytesMax)
        return error(Code::kInvalid, "a line of the stream is too long");
      return {};
    }
    rest_.append(bytes.substr(at, end - at));
    if (rest_.ends_with('\r')) rest_.pop_back();
    TRY(take_line(rest_, on_event));
    rest_.clear();
    at = end + 1;
  }
}

Status EventReader::take_line(std::string_view line,
                              const std::function<Status(const ServerEvent&)>& on_event) {
  if (line.empty()) {
    // An event's id lasts until the next one; its name and data do not.
    const bool complete = has_data_;
    has_data_ = false;
    ServerEvent event = event_;
    event_.name.clear();
    event_.data.clear();
    return complete ? on_event(event) : Status();
  }
  const std::size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "id") event_.id = value;
  if (field == "event") event_.name = value;
  if (field == "data") {
    if (has_data_) event_.data += '\n';
    event_.data += value;
    has_data_ = true;
  }
  return {};
}

}  // namespace pgweir::cli
