#include "queries/nexmark.h"

#include <fmt/core.h>

#include <algorithm>

#include "queries/insert_rows.h"

namespace pgweir::queries {
namespace {

using differential::Dice;
using differential::leaf;
using differential::Step;
using differential::TestCase;
using std::chrono::days;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::chrono::sys_days kFirstDay = std::chrono::year(2026) / 1 / 1;
constexpr int kFirstId = 1'000;
constexpr int kCycle = 50;  // events: a person, three auctions, bids
constexpr int kAuctionsOfCycle = 3;
constexpr int kFirstCycles = 45;
constexpr int kLaterCycles = 3;
constexpr int kUpdatesInStep = 14;
constexpr int kSideKeys = 600;
constexpr int kSelectedAuction = 9 * 123;  // one that Q2 selects

const std::vector<std::string>& table_definitions() {
  static const std::vector<std::string> kTables = {
      "CREATE TABLE person (id bigint PRIMARY KEY, name text, email_address text, "
      "credit_card text, city text, state text, date_time timestamp(3), extra text)",
      "CREATE TABLE auction (id bigint PRIMARY KEY, item_name text, description text, "
      "initial_bid bigint, reserve bigint, date_time timestamp(3), expires timestamp(3), "
      "seller bigint, category bigint, extra text)",
      "CREATE TABLE bid (id bigint PRIMARY KEY, auction bigint, bidder bigint, price bigint, "
      "channel text, url text, date_time timestamp(3), extra text);"
      "CREATE INDEX ON bid (auction)",
      "CREATE TABLE side_input (key bigint PRIMARY KEY, value text)"};
  return kTables;
}

class Nexmark {
 public:
  Nexmark(Dice& dice, const NexmarkOptions& options) : dice_(dice), options_(options) {}

  TestCase make() {
    TestCase out;
    out.title = "Nexmark";
    out.tables = table_definitions();
    Step first = events(std::max(4, static_cast<int>(kFirstCycles * options_.scale)));
    InsertRows side("side_input");
    for (int i = 0; i < kSideKeys; ++i)
      side.add(fmt::format("{}, '{}'", kFirstId + i, words(1, 2)));
    side.move_to(first);
    first.statements.push_back(leaf("", "ANALYZE"));
    out.steps.push_back(std::move(first));
    for (int round = 0; round < options_.rounds; ++round) {
      // The next half day: some windows are far from those before.
      now_ += hours(round % 2 == 0 ? 7 : 9);
      out.steps.push_back(events(kLaterCycles));
      out.steps.push_back(changes());
      out.steps.push_back(events(1));
      if (round == options_.rounds / 2) out.steps.push_back({.kind = Step::Kind::kRestart});
      if (round == options_.rounds / 3) out.steps.push_back({.kind = Step::Kind::kRebuild});
    }
    return out;
  }

 private:
  // --- Values ---

  std::string time_text(milliseconds at) const {
    const auto in_day = at % hours(24);
    return fmt::format(
        "{} {:02}:{:02}:{:02}.{:03}", date_text(kFirstDay + std::chrono::duration_cast<days>(at)),
        in_day / hours(1), in_day % hours(1) / std::chrono::minutes(1),
        in_day % std::chrono::minutes(1) / seconds(1), (in_day % seconds(1)).count());
  }
  std::string words(int least, int most) {
    std::string text;
    for (int i = dice_.between(least, most); i > 0; --i) {
      text += text.empty() ? "" : " ";
      text += dice_.pick({"cactus", "basic", "lamp", "old", "accent", "car", "clock", "rare"});
    }
    return text;
  }
  const char* state() { return dice_.pick({"OR", "ID", "CA", "AZ", "WA", "WY"}); }
  int category() { return dice_.between(10, 14); }
  // From 100 to 100 million, each power of ten as often.
  int price() {
    int power = 100;
    for (int i = dice_.up_to(5); i > 0; --i) power *= 10;
    return dice_.one_in(5) ? power * dice_.between(1, 9) : power + dice_.up_to(9 * power);
  }
  // One of the newest, so that there is something to win; now and then any.
  int recent(int newest, int count) {
    const int first = std::max(kFirstId, dice_.one_in(5) ? kFirstId : newest - count);
    return dice_.between(first, std::max(first, newest));
  }
  int any_bid() { return dice_.between(1, bids_); }
  int any_auction() { return dice_.between(kFirstId, auctions_); }
  int any_person() { return dice_.between(kFirstId, persons_); }

  // --- Rows ---

  std::string person_row(int id) {
    return fmt::format("{}, '{} {}', '{}@{}.com', '{}', '{}', '{}', '{}', '{}'", id,
                       dice_.pick({"Peter", "Paul", "Luke", "Vicky", "Kate", "Sarah"}),
                       dice_.pick({"Jones", "Smith", "Walton", "Abrams", "White"}), words(1, 1),
                       words(1, 1), dice_.between(1'000, 9'999),
                       dice_.pick({"Phoenix", "Portland", "Boise", "Seattle", "Bend"}), state(),
                       time_text(now_), words(0, 3));
  }
  std::string auction_row(int id) {
    return fmt::format("{}, '{}', '{}', {}, {}, '{}', '{}', {}, {}, '{}'", id, words(1, 2),
                       words(2, 5), price(), price(), time_text(now_),
                       time_text(now_ + seconds(dice_.between(10, 120))), recent(persons_, 2),
                       category(), words(0, 3));
  }
  std::string bid_row(int id) {
    static constexpr const char* kChannels[] = {"Google", "Facebook", "Baidu", "Apple"};
    std::string channel, url = "https://www.nexmark.example/";
    for (int i = 0; i < 3; ++i) url += dice_.pick({"abo/", "bay/", "cot/", "dim/"});
    url += "item.htm?query=1";
    if (dice_.one_in(2)) {
      channel = kChannels[dice_.up_to(3)];
    } else {
      channel = fmt::format("channel-{}", dice_.between(1, 20));
      if (!dice_.one_in(6)) url += fmt::format("&channel_id={}", dice_.between(1, 1'000'000));
    }
    return fmt::format("{}, {}, {}, {}, '{}', '{}', '{}', '{}'", id, recent(auctions_, 12),
                       recent(persons_, 8), price(), channel, url, time_text(now_), words(0, 3));
  }

  // --- Steps ---

  Step events(int cycles) {
    InsertRows persons("person"), auctions("auction"), bids("bid");
    for (int i = 0; i < cycles * kCycle; ++i) {
      now_ += milliseconds(dice_.between(20, 900));
      if (i % kCycle == 0) {
        persons.add(person_row(++persons_));
      } else if (i % kCycle <= kAuctionsOfCycle) {
        auctions.add(auction_row(++auctions_));
      } else {
        bids.add(bid_row(++bids_));
      }
    }
    Step step;
    for (InsertRows* rows : {&persons, &auctions, &bids}) rows->move_to(step);
    return step;
  }

  Step changes() {
    Step step;
    for (int kind = 0; kind < kUpdatesInStep; ++kind)
      step.statements.push_back(leaf("", change(kind)));
    return step;
  }

  std::string change(int kind) {
    switch (kind) {
      case 0:
        return fmt::format("UPDATE bid SET price = {} WHERE id = {}", price(), any_bid());
      case 1:
        // Into other windows, and out of the times of auctions.
        return fmt::format(
            "UPDATE bid SET date_time = date_time + interval '{} seconds' "
            "WHERE id % 97 = {}",
            dice_.between(-30, 30), dice_.up_to(96));
      case 2:
        return fmt::format("UPDATE bid SET auction = {} WHERE id = {}",
                           dice_.one_in(2) ? kSelectedAuction : any_auction(), any_bid());
      case 3:
        return fmt::format("UPDATE bid SET channel = '{}', bidder = {} WHERE id = {}",
                           dice_.pick({"Google", "channel-1"}), any_person(), any_bid());
      case 4:
        return fmt::format("DELETE FROM bid WHERE id % 61 = {}", dice_.up_to(60));
      case 5:
        return fmt::format("DELETE FROM bid WHERE auction = {}", any_auction());
      case 6:
        // The winning bids of a category go down.
        return fmt::format(
            "UPDATE bid SET price = price / 2 WHERE auction IN (SELECT id FROM "
            "auction WHERE category = {} AND id % 5 = {})",
            category(), dice_.up_to(4));
      case 7:
        return fmt::format("UPDATE auction SET category = {}, seller = {} WHERE id % 17 = {}",
                           category(), any_person(), dice_.up_to(16));
      case 8:
        return fmt::format(
            "UPDATE auction SET expires = expires + interval '{} seconds' "
            "WHERE id % 7 = {}",
            dice_.between(-20, 20), dice_.up_to(6));
      case 9:
        return fmt::format("UPDATE auction SET id = id + 100000 WHERE id = {}", any_auction());
      case 10:
        return fmt::format("UPDATE person SET state = '{}', city = '{}' WHERE id % 9 = {}", state(),
                           words(1, 1), dice_.up_to(8));
      case 11:
        return fmt::format("DELETE FROM person WHERE id = {}", any_person());
      case 12:
        return fmt::format("UPDATE side_input SET value = '{}' WHERE key % 11 = {}", words(1, 2),
                           dice_.up_to(10));
      default:
        return fmt::format("DELETE FROM side_input WHERE key = {}", any_auction());
    }
  }

  Dice& dice_;
  const NexmarkOptions options_;
  milliseconds now_{hours(5)};  // since the first day
  int persons_ = kFirstId - 1;  // the newest ids
  int auctions_ = kFirstId - 1;
  int bids_ = 0;
};

}  // namespace

TestCase nexmark_case(Dice& dice, const NexmarkOptions& options) {
  return Nexmark(dice, options).make();
}

}  // namespace pgweir::queries
