// What the log's events mean to the engine and to a sink.
//
// Threads: as FollowerTarget says.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "pipeline/follower.h"
#include "sinks/sink.h"
#include "views/view_set.h"

namespace pgweir::pipeline {

// `engine` and `views` (the engine's maintainer) must outlive the target.
// `read` is called, now and then, for every table whose rows the engine, at `at`, waits for;
// `between`, now and then, between two of its transactions.
using ReadTable = std::function<void(const engine::TableToRead& table, const model::Position& at)>;
std::unique_ptr<FollowerTarget> engine_target(engine::Engine& engine, views::ViewSet& views,
                                              ReadTable read = {},
                                              std::function<void()> between = {});

// `make` gives the sink, opened and bound to the log: called again after an error that left the old
// one of no use.
using MakeSink = std::function<Result<std::unique_ptr<sinks::Sink>>()>;
Result<std::unique_ptr<FollowerTarget>> sink_target(MakeSink make);

}  // namespace pgweir::pipeline
