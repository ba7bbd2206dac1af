// How fast the log takes and gives frames, on the disk under TMPDIR.
//
// The payload is like pgoutput: rows with a small header, numbers as text, and words.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/crc32c.h"
#include "log/log.h"
#include "log/segment.h"

namespace pgweir::log {
namespace {

constexpr std::size_t kPayloadBytes = 256 * kKiB;
constexpr std::uint64_t kLogBytes = 256 * kMiB;

class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pgweir-bench-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Frame rows_frame(std::uint64_t lsn, std::mt19937& random) {
  Frame frame;
  frame.header.first = frame.header.last = {1, model::Lsn{lsn}, 1};
  frame.header.end_lsn = model::Lsn{lsn};
  while (frame.payload.size() < kPayloadBytes) {
    append_record(frame.payload,
                  fmt::format("I\x01\x02N{}t{:x}t{}.{:02}t2026-11-21 12:{:02}:{:02}.{:06}t{}",
                              random() % 100'000'000, random(), random() % 10'000, random() % 100,
                              random() % 60, random() % 60, random() % 1'000'000,
                              random() % 2 == 0 ? "pending transfer" : "settled transfer"));
    ++frame.header.record_count;
  }
  return frame;
}

std::vector<Frame> make_frames() {
  std::mt19937 random(1);
  std::vector<Frame> frames;
  for (int i = 0; i < 16; ++i) frames.push_back(rows_frame(1, random));
  return frames;
}

void fill(Log& log, const std::vector<Frame>& frames, std::uint64_t sync_every) {
  std::uint64_t lsn = 1;
  for (std::uint64_t bytes = 0; bytes < kLogBytes; bytes += kPayloadBytes) {
    Frame frame = frames[lsn % frames.size()];
    frame.header.first.lsn = frame.header.last.lsn = model::Lsn{++lsn};
    log.append(std::move(frame)).value();
    if (lsn % sync_every == 0) log.sync().value();
  }
  log.sync().value();
}

// Arguments: codec; frames between two syncs.
void append_and_sync(benchmark::State& state) {
  const auto frames = make_frames();
  io::RealFs fs;
  io::RealClock clock;
  LogOptions options;
  options.codec = static_cast<Codec>(state.range(0));
  std::uint64_t stored = 0;
  for (auto _ : state) {
    const Scratch scratch;
    auto log = Log::open(fs, clock, scratch.path() + "/wal", options).value();
    fill(*log, frames, static_cast<std::uint64_t>(state.range(1)));
    stored = log->bytes();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kLogBytes));
  state.counters["stored_ratio"] = static_cast<double>(stored) / static_cast<double>(kLogBytes);
}
BENCHMARK(append_and_sync)
    ->ArgsProduct({{0, 1}, {4, 16, 64}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void read_files(benchmark::State& state) {
  io::RealFs fs;
  io::RealClock clock;
  LogOptions options;
  options.codec = static_cast<Codec>(state.range(0));
  options.tip_bytes_max = 0;
  const Scratch scratch;
  auto log = Log::open(fs, clock, scratch.path() + "/wal", options).value();
  fill(*log, make_frames(), 64);
  for (auto _ : state) {
    auto cursor = log->read({}).value();
    while (cursor->next(Microseconds(0)).value()) {
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kLogBytes));
}
BENCHMARK(read_files)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime();

// Small transactions: a frame each, one sync for ten.
void append_small(benchmark::State& state) {
  const Scratch scratch;
  io::RealFs fs;
  io::RealClock clock;
  auto log = Log::open(fs, clock, scratch.path() + "/wal", {}).value();
  std::uint64_t lsn = 0;
  const std::string payload(200, 'x');
  for (auto _ : state) {
    Frame frame;
    frame.header.first = frame.header.last = {1, model::Lsn{++lsn}, 1};
    frame.payload = payload;
    log->append(std::move(frame)).value();
  }
  log->sync().value();
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(append_small);

// What opening costs with so many segments: their headers, and the frames of the last one.
void open_log(benchmark::State& state) {
  const Scratch scratch;
  io::RealFs fs;
  io::RealClock clock;
  LogOptions options;
  options.segment_bytes_max = 1;
  std::uint64_t lsn = 0;
  {
    auto log = Log::open(fs, clock, scratch.path() + "/wal", options).value();
    while (log->segments().size() < static_cast<std::size_t>(state.range(0))) {
      Frame frame;
      frame.header.first = frame.header.last = {1, model::Lsn{++lsn}, 1};
      frame.payload.assign(16 * kKiB, static_cast<char>(lsn));
      log->append(std::move(frame)).value();
    }
    log->sync().value();
  }
  for (auto _ : state) Log::open(fs, clock, scratch.path() + "/wal", options).value();
}
BENCHMARK(open_log)->Arg(1000)->Unit(benchmark::kMillisecond)->UseRealTime();

void open_full_segment(benchmark::State& state) {
  const Scratch scratch;
  io::RealFs fs;
  io::RealClock clock;
  LogOptions options;
  options.codec = Codec::kNone;
  options.segment_bytes_max = 2 * kLogBytes;
  fill(*Log::open(fs, clock, scratch.path() + "/wal", options).value(), make_frames(), 1000);
  for (auto _ : state) Log::open(fs, clock, scratch.path() + "/wal", options).value();
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kLogBytes));
}
BENCHMARK(open_full_segment)->Unit(benchmark::kMillisecond)->UseRealTime();

void encode(benchmark::State& state) {
  const auto frames = make_frames();
  FrameEncoder encoder(static_cast<Codec>(state.range(0)));
  StoredFrame stored;
  std::string out;
  std::size_t i = 0;
  for (auto _ : state) {
    out.clear();
    encoder.encode(stored, frames[i++ % frames.size()].payload, 1, out);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kPayloadBytes));
}
BENCHMARK(encode)->Arg(0)->Arg(1);

void checksum(benchmark::State& state) {
  const std::string bytes(kPayloadBytes, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(bytes));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kPayloadBytes));
}
BENCHMARK(checksum);

}  // namespace
}  // namespace pgweir::log
