// The file's sinks as the options of the sinks themselves.
//
// Place:   beneath pipeline.cc. Threads: pure functions, but for the id of a run.
#pragma once

#include "base/result.h"
#include "config/config.h"
#include "sinks/kafka_sink.h"
#include "sinks/parquet_sink.h"

namespace pgweir::pipeline {

sinks::ParquetOptions parquet_options(const config::Config& config, const config::SinkConfig& sink);

// kConfig: a property that nobody knows, or with a value that is none of its own; or a URL that is
// none.
Result<sinks::KafkaOptions> kafka_options(const config::Config& config,
                                          const config::SinkConfig& sink);

}  // namespace pgweir::pipeline
