// Folds the events of a followed view into its rows, as a client would, for tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pgweir::server {

class ViewFolder {
 public:
  // Bytes of a text/event-stream, in any pieces.
  void feed(const std::string& bytes) {
    rest_ += bytes;
    std::size_t end;
    while ((end = rest_.find("\n\n")) != std::string::npos) {
      take_event(rest_.substr(0, end));
      rest_.erase(0, end + 2);
    }
  }

  // What follows comes on another connection.
  void reconnected() {
    rest_.clear();
    open_.clear();
  }

  // Called after every whole event.
  void on_whole(std::function<void()> callback) { on_whole_ = std::move(callback); }
  const std::map<std::string, int>& counted_rows() const { return rows_; }

  // The rows as "a|b;c|NULL", sorted as texts, as often as each is there.
  std::string rows() const {
    std::vector<std::string> lines;
    for (const auto& [row, count] : rows_) {
      for (int i = 0; i < count; ++i) lines.push_back(row);
    }
    std::sort(lines.begin(), lines.end());
    std::string out;
    for (const std::string& line : lines) out += (out.empty() ? "" : ";") + line;
    return out;
  }
  // Whole ones: with all their parts.
  const std::string& last_id() const { return last_id_; }
  // What came: "snapshot ", "changes ", "reset ", "error: MESSAGE ", "dropped: MESSAGE ".
  const std::string& log() const { return log_; }
  int parts() const { return parts_; }

 private:
  using Json = nlohmann::json;

  void take_event(const std::string& event) {
    std::string id, name, data;
    std::size_t at = 0;
    while (at < event.size()) {
      const std::size_t end = std::min(event.find('\n', at), event.size());
      const std::string line = event.substr(at, end - at);
      at = end + 1;
      if (line.starts_with("id: ")) id = line.substr(4);
      if (line.starts_with("event: ")) name = line.substr(7);
      if (line.starts_with("data: ")) data += line.substr(6);
    }
    if (data.empty()) return;  // a comment
    const Json json = Json::parse(data);
    if (json.contains("error")) {
      log_ += name + ": " + json["error"]["message"].get<std::string>() + " ";
      return;
    }
    if (name == "reset") {
      log_ += "reset ";
      return;
    }
    ++parts_;
    open_.push_back(json);
    EXPECT_EQ(json["part"], open_.size());
    EXPECT_EQ(id.empty(), json["last"] == false) << event;
    if (id.empty()) return;
    for (const Json& part : open_) take_part(name, part);
    open_.clear();
    last_id_ = id;
    log_ += name + " ";
    if (on_whole_) on_whole_();
  }

  void take_part(const std::string& name, const Json& part) {
    if (name == "snapshot") {
      if (part["part"] == 1) rows_.clear();
      for (const Json& row : part["rows"]) ++rows_[text_of(row)];
      return;
    }
    for (const Json& change : part["changes"]) {
      int& count = rows_[text_of(change["row"])];
      count += change["weight"].get<int>();
      EXPECT_GE(count, 0) << text_of(change["row"]);
      if (count == 0) rows_.erase(text_of(change["row"]));
    }
  }

  static std::string text_of(const Json& row) {
    std::string out;
    for (const Json& cell : row) {
      out += out.empty() ? "" : "|";
      out += cell.is_null() ? "NULL" : cell.is_string() ? cell.get<std::string>() : cell.dump();
    }
    return out;
  }

  std::string rest_;
  std::vector<Json> open_;  // parts of an event that is not whole
  std::map<std::string, int> rows_;
  std::string last_id_, log_;
  std::function<void()> on_whole_;
  int parts_ = 0;
};

}  // namespace pgweir::server
