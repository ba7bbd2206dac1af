// A text/event-stream as it comes from a running program.
//
// Threads: one of its own, which calls on_bytes. Ended and waited for when destroyed.
#pragma once

#include <curl/curl.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace pgweir::harness {

class EventClient {
 public:
  EventClient(std::string url, const std::string& last_event_id,
              std::function<void(const std::string&)> on_bytes)
      : on_bytes_(std::move(on_bytes)),
        thread_([this, url = std::move(url), last_event_id] { run(url, last_event_id); }) {}
  ~EventClient() {
    stopping_ = true;
    thread_.join();
  }
  EventClient(const EventClient&) = delete;
  EventClient& operator=(const EventClient&) = delete;

  // The connection is over: the program ended it, or was killed.
  bool ended() const { return ended_; }

 private:
  void run(const std::string& url, const std::string& last_event_id) {
    CURL* curl = curl_easy_init();
    curl_slist* headers = nullptr;
    if (!last_event_id.empty())
      headers = curl_slist_append(headers, ("Last-Event-ID: " + last_event_id).c_str());
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_over);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);
    curl_easy_perform(curl);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    ended_ = true;
  }
  static std::size_t take(char* data, std::size_t size, std::size_t count, void* self) {
    static_cast<EventClient*>(self)->on_bytes_(std::string(data, size * count));
    return size * count;
  }
  static int is_over(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<EventClient*>(self)->stopping_ ? 1 : 0;
  }

  const std::function<void(const std::string&)> on_bytes_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace pgweir::harness
