#include "views/isolated_runner.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "engine/database.h"

namespace pgweir::views {
namespace {

// How long it waits for the engine to give a reader, before it looks whether it should end.
constexpr Milliseconds kReaderPatience{200};
// A computation may begin its next statement behind an interrupt: it is told again so often.
constexpr Milliseconds kInterruptAgain{10};
// In which a connection computes, before everybody may see it.
constexpr const char* kComputed = "pgweir_computed";
constexpr Microseconds kLongWait{std::chrono::hours(1)};

}  // namespace

IsolatedRunner::IsolatedRunner(engine::Engine& engine, Logger& logger,
                               const IsolatedOptions& options)
    : engine_(engine), logger_(logger), options_(options) {}

IsolatedRunner::~IsolatedRunner() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    while (threads_running_ > 0) {
      for (const JobPtr& job : jobs_) interrupt(*job);
      for (const JobPtr& job : forgotten_) interrupt(*job);
      changed_.wait_for(mutex_, kInterruptAgain);
    }
  }
  for (std::thread& thread : threads_) thread.join();
}

void IsolatedRunner::interrupt(const Job& job) {
  if (job.running != nullptr) job.running->interrupt();
}

// --- The engine's thread ------------------------------------------------------------------------

void IsolatedRunner::forget_all() {
  MutexLock lock(mutex_);
  held_ = true;
  for (const JobPtr& job : jobs_) {
    stop(*job);
    forgotten_.push_back(job);
  }
  jobs_.clear();
}

// What is computed, or was, does not count.
void IsolatedRunner::stop(Job& job) {
  interrupt(job);
  ++job.generation;
  job.has_table = job.has_table || job.state == State::kReady || job.state == State::kOffered ||
                  job.state == State::kTaken;
  job.state = State::kEnded;
}

// Each has tables of another name: those of the views bound before may still be written.
IsolatedRunner::Id IsolatedRunner::add(const std::string& title) {
  MutexLock lock(mutex_);
  auto job = std::make_shared<Job>();
  job->title = title;
  job->table = fmt::format("{}.main.pgweir_isolated_{}", engine::kScratchCatalog, next_table_++);
  jobs_.push_back(std::move(job));
  if (threads_.size() < std::min(jobs_.size(), options_.parallel_max)) {
    ++threads_running_;
    threads_.emplace_back([this] { run(); });
  }
  return jobs_.size() - 1;
}

void IsolatedRunner::restart(Id id, const std::string& difference) {
  MutexLock lock(mutex_);
  held_ = true;
  Job& job = *jobs_[id];
  stop(job);
  job.difference = difference;
  job.state = State::kIdle;
  job.is_due = true;
  job.changes = false;
  job.not_before = {};
  job.failures = job.short_of_memory = 0;
}

void IsolatedRunner::forget(Id id) {
  MutexLock lock(mutex_);
  stop(*jobs_[id]);
}

void IsolatedRunner::input_changed(Id id) {
  MutexLock lock(mutex_);
  jobs_[id]->changes = true;
}

std::optional<IsolatedRunner::Outcome> IsolatedRunner::take(Id id) {
  MutexLock lock(mutex_);
  if (!std::exchange(offered_, true)) {
    for (const JobPtr& job : jobs_)
      if (job->state == State::kReady) job->state = State::kOffered;
  }
  Job& job = *jobs_[id];
  if (job.state != State::kOffered) return std::nullopt;
  job.state = State::kTaken;
  return job.outcome;
}

void IsolatedRunner::offer_nothing() {
  MutexLock lock(mutex_);
  offered_ = true;
}

void IsolatedRunner::committed() {
  MutexLock lock(mutex_);
  held_ = offered_ = false;
  for (const JobPtr& job : jobs_) {
    job->is_due = std::exchange(job->changes, false) || job->is_due;
    if (job->state == State::kOffered) job->state = State::kReady;
    if (job->state != State::kTaken) continue;
    job->state = State::kIdle;
    job->has_table = true;
    job->not_before = Clock::now() + std::max<Microseconds>(job->took, options_.rest_min);
  }
  changed_.notify_all();
}

void IsolatedRunner::rolled_back() {
  MutexLock lock(mutex_);
  held_ = offered_ = false;
  for (const JobPtr& job : jobs_) {
    job->changes = false;
    if (job->state == State::kTaken || job->state == State::kOffered) job->state = State::kReady;
  }
  changed_.notify_all();
}

bool IsolatedRunner::is_behind(Id id) const {
  MutexLock lock(mutex_);
  const Job& job = *jobs_[id];
  return job.is_due || (job.state != State::kIdle && job.state != State::kEnded);
}

bool IsolatedRunner::has_outcome() {
  MutexLock lock(mutex_);
  for (const auto* jobs : {&forgotten_, &jobs_}) {
    for (const JobPtr& job : *jobs)
      if (job->running_generation != job->generation) interrupt(*job);
  }
  return std::any_of(jobs_.begin(), jobs_.end(),
                     [](const JobPtr& job) { return job->state == State::kReady; });
}

// --- Its own thread -----------------------------------------------------------------------------

void IsolatedRunner::run() {
  while (const std::optional<Work> work = wait_for_work()) {
    const auto start = Clock::now();
    Begun begun = Begun::kNo;
    auto outcome = compute(*work, &begun);
    const auto took = std::chrono::duration_cast<Microseconds>(Clock::now() - start);
    note(*work, std::move(outcome), begun, took);
  }
  MutexLock lock(mutex_);
  --threads_running_;
  changed_.notify_all();
}

// Nothing once it is to stop.
std::optional<IsolatedRunner::Work> IsolatedRunner::wait_for_work() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    Clock::time_point wake_at = Clock::now() + kLongWait;
    if (auto work = next_work(&wake_at)) return work;
    const auto wait = std::chrono::duration_cast<Microseconds>(wake_at - Clock::now());
    changed_.wait_for(mutex_, std::max(wait, Microseconds(0)));
  }
  return std::nullopt;
}

// Tables that nobody needs, then the view that has rested longest; else when the next one will
// have.
std::optional<IsolatedRunner::Work> IsolatedRunner::next_work(Clock::time_point* wake_at) {
  if (held_) return std::nullopt;
  std::erase_if(forgotten_,
                [](const JobPtr& job) { return !job->has_table && !job->is_with_thread; });
  JobPtr next;
  for (const auto* jobs : {&forgotten_, &jobs_}) {
    for (const JobPtr& job : *jobs) {
      if (job->is_with_thread) continue;
      if (job->has_table) {
        job->is_with_thread = true;
        return Work{.job = job, .generation = job->generation, .difference = ""};
      }
      if (job->state != State::kIdle || !job->is_due) continue;
      if (next == nullptr || job->not_before < next->not_before) next = job;
    }
  }
  if (next == nullptr) return std::nullopt;
  if (next->not_before > Clock::now()) {
    *wake_at = next->not_before;
    return std::nullopt;
  }
  next->state = State::kComputing;
  next->is_due = false;
  next->is_with_thread = true;
  return Work{.job = next, .generation = next->generation, .difference = next->difference};
}

Result<IsolatedRunner::Outcome> IsolatedRunner::compute(const Work& work, Begun* begun) {
  TRY_ASSIGN(const auto reader,
             engine_.reader(kReaderPatience, engine::Reader::Purpose::kComputes));
  Outcome outcome{.at = reader->position(), .table = work.job->table, .rows = 0, .failure = {}};
  {
    MutexLock lock(mutex_);
    if (stopping_ || work.job->generation != work.generation)
      return error(Code::kCancelled, "the view is made anew");
    work.job->running = &reader->connection();
    work.job->running_generation = work.generation;
  }
  *begun = Begun::kYes;
  const Status done = run_sql(reader->connection(), work, &outcome);
  {
    MutexLock lock(mutex_);
    work.job->running = nullptr;
  }
  if (!done.ok()) return done.error();
  return outcome;
}

Status IsolatedRunner::run_sql(duck::Connection& connection, const Work& work, Outcome* outcome) {
  if (work.difference.empty()) {
    TRY(connection.execute("COMMIT"));
    return connection.execute("DROP TABLE IF EXISTS " + work.job->table);
  }
  TRY(connection.execute(
      fmt::format("CREATE OR REPLACE TEMP TABLE {} AS {}", kComputed, work.difference)));
  TRY(connection.execute("COMMIT"));
  TRY(connection.execute(
      fmt::format("CREATE OR REPLACE TABLE {} AS FROM temp.main.{}", work.job->table, kComputed)));
  TRY(connection.execute(fmt::format("DROP TABLE temp.main.{}", kComputed)));
  TRY_ASSIGN(const std::int64_t rows,
             connection.query_int("SELECT count(*) FROM " + work.job->table));
  outcome->rows = static_cast<std::uint64_t>(rows);
  return {};
}

void IsolatedRunner::note(const Work& work, Result<Outcome> outcome, Begun begun,
                          Microseconds took) {
  MutexLock lock(mutex_);
  Job& job = *work.job;
  job.is_with_thread = false;
  changed_.notify_all();  // somebody may wait for the job
  if (work.difference.empty()) {
    job.has_table = false;  // or it goes with the database
    return;
  }
  if (job.generation != work.generation) {
    job.has_table = job.has_table || outcome.ok();
    return;
  }
  job.took = took;
  if (outcome.ok()) {
    job.failures = job.short_of_memory = 0;
    job.outcome = std::move(outcome).value();
    job.state = State::kReady;
    return;
  }
  Error failure = outcome.error();
  if (begun == Begun::kYes && fails_for_good(job, failure)) {
    // Not the engine's: nobody would be helped by readers that give way, or a database opened anew.
    if (failure.code == Code::kUnavailable) {
      failure = error(
          Code::kInvalid,
          fmt::format("the view has run out of memory {} times in a row", job.short_of_memory),
          failure.text(), "Raise engine.memory, or make the view smaller");
    }
    job.outcome = {.at = {}, .table = "", .rows = 0, .failure = std::move(failure)};
    job.state = State::kReady;
    return;
  }
  Microseconds rest = std::max<Microseconds>(took, options_.rest_min);
  // Who waits for a place, or for the end of a large transaction, has not failed.
  if (begun == Begun::kYes) {
    logger_.warning("view {} is computed again later: {}", job.title, failure.message);
    for (int i = 0; i < job.failures && rest < options_.rest_max; ++i) rest *= 2;
    rest = std::min<Microseconds>(rest, options_.rest_max);
    ++job.failures;
  }
  job.state = State::kIdle;
  job.is_due = true;
  job.not_before = Clock::now() + rest;
}

// For its SQL, and not for the machine or the moment.
bool IsolatedRunner::fails_for_good(Job& job, const Error& failure) const {
  switch (failure.code) {
    case Code::kUnavailable:
      return ++job.short_of_memory >= options_.failures_max;
    case Code::kTimeout:
    case Code::kCancelled:
    case Code::kBroken:
    case Code::kNoSpace:
    case Code::kIo:
    case Code::kCorruption:
      return false;
    default:
      // What an interrupt between two statements leaves behind; it is the first one that fails.
      return failure.message.find("transaction is aborted") == std::string::npos;
  }
}

}  // namespace pgweir::views
