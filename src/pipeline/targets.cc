#include "pipeline/targets.h"

#include <fmt/core.h>

namespace pgweir::pipeline {
namespace {

class EngineTarget final : public FollowerTarget {
 public:
  EngineTarget(engine::Engine& engine, views::ViewSet& views, ReadTable read,
               std::function<void()> between)
      : engine_(engine), views_(views), read_(std::move(read)), between_(std::move(between)) {}

  const std::string& name() const override { return name_; }
  const char* kind() const override { return "engine"; }
  model::Position position() const override { return engine_.position().position; }

  Status take(const LogEvent& event) override { return without_failed(give(event)); }

  Status idle() override {
    if (read_) {
      for (const engine::TableToRead& table : engine_.tables_to_read()) read_(table, position());
    }
    if (between_ && !engine_.is_in_transaction()) between_();
    if (engine_.needs_recovery())
      return error(Code::kBroken, "a query has found the engine's database given up");
    return views_.is_time_due() ? without_failed(engine_.let_time_pass()) : Status{};
  }

  Status recover() override { return engine_.recover(); }
  void stop_soon() override { engine_.stop_loading(); }

 private:
  // A view that failed is set aside, and the follower goes on from the engine's position without
  // it.
  Status without_failed(const Status& status) {
    if (status.ok()) return status;
    TRY_ASSIGN(const bool by_view, views_.set_aside_failed());
    if (!by_view) return status;
    return error(Code::kUnavailable, "a view was set aside", status.error().text());
  }

  Status give(const LogEvent& event) {
    switch (event.kind) {
      case LogEvent::Kind::kNothing:
        return {};
      case LogEvent::Kind::kBatch:
        return engine_.apply(*event.batch);
      case LogEvent::Kind::kRows:
        return engine_.load(*event.rows);
      case LogEvent::Kind::kTable:
        return engine_.define_table(*event.table);
      case LogEvent::Kind::kSnapshotBegin:
        return engine_.begin_snapshot(event.position);
      case LogEvent::Kind::kSnapshotEnd:
        return engine_.end_snapshot(event.position, event.end_lsn);
      case LogEvent::Kind::kReadBegin:
        return engine_.begin_read(*event.table,
                                  event.read.replaces ? engine::Engine::Reading::kReplaces
                                                      : engine::Engine::Reading::kCompares,
                                  event.position, event.end_lsn);
      case LogEvent::Kind::kReadEnd:
        return engine_.end_read(event.table->id, event.position, event.end_lsn);
      case LogEvent::Kind::kMark:
        return engine_.advance(event.position, event.end_lsn);
    }
    return {};
  }

  const std::string name_ = "engine";
  engine::Engine& engine_;
  views::ViewSet& views_;
  const ReadTable read_;
  const std::function<void()> between_;
};

class SinkTarget final : public FollowerTarget {
 public:
  SinkTarget(MakeSink make, std::unique_ptr<sinks::Sink> sink)
      : make_(std::move(make)),
        sink_(std::move(sink)),
        name_(sink_->name()),
        kind_(sink_->kind()),
        position_(sink_->position()) {}

  const std::string& name() const override { return name_; }
  const char* kind() const override { return kind_; }
  model::Position position() const override { return position_.get(); }

  Status take(const LogEvent& event) override {
    if (event.kind == LogEvent::Kind::kSnapshotBegin) TRY(sink_->begin_snapshot());
    if (event.batch) TRY(sink_->apply(event.batch));
    if (event.kind == LogEvent::Kind::kSnapshotEnd) TRY(sink_->end_snapshot());
    const bool moves = event.kind == LogEvent::Kind::kMark ||
                       event.kind == LogEvent::Kind::kReadBegin ||
                       event.kind == LogEvent::Kind::kReadEnd;
    if (moves) TRY(sink_->advance(event.position));
    position_.set(sink_->position());
    return {};
  }

  Status idle() override {
    TRY(sink_->tick());
    position_.set(sink_->position());
    return {};
  }

  Status finish() override {
    TRY_ASSIGN(const model::Position position, sink_->flush());
    position_.set(position);
    return {};
  }

  Status recover() override {
    sink_.reset();
    TRY_ASSIGN(sink_, make_());
    position_.set(sink_->position());
    return {};
  }

 private:
  // The sink is replaced after an error while others ask for its position.
  class SharedPosition {
   public:
    explicit SharedPosition(model::Position position) : position_(position) {}
    model::Position get() const {
      MutexLock lock(mutex_);
      return position_;
    }
    void set(model::Position position) {
      MutexLock lock(mutex_);
      position_ = position;
    }

   private:
    mutable Mutex mutex_;
    model::Position position_ GUARDED_BY(mutex_);
  };

  const MakeSink make_;
  std::unique_ptr<sinks::Sink> sink_;
  const std::string name_;
  const char* const kind_;
  SharedPosition position_;
};

}  // namespace

std::unique_ptr<FollowerTarget> engine_target(engine::Engine& engine, views::ViewSet& views,
                                              ReadTable read, std::function<void()> between) {
  return std::make_unique<EngineTarget>(engine, views, std::move(read), std::move(between));
}

Result<std::unique_ptr<FollowerTarget>> sink_target(MakeSink make) {
  TRY_ASSIGN(auto sink, make());
  return std::unique_ptr<FollowerTarget>(
      std::make_unique<SinkTarget>(std::move(make), std::move(sink)));
}

}  // namespace pgweir::pipeline
