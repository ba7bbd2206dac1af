// What the files of Pipeline share.
#pragma once

#include <vector>

#include "config/config.h"
#include "views/analysis.h"

namespace pgweir::pipeline {

std::vector<views::ViewSource> view_sources(const config::Config& config);

// kConfig for views without an engine.
Status check_engine_for_views(const config::Config& config);

}  // namespace pgweir::pipeline
