// The words that the API uses for enums of backend.h.
#pragma once

#include <string_view>

#include "server/backend.h"

namespace pgweir::server {

std::string_view name_of(PipelineState state);
std::string_view name_of(SnapshotState state);
std::string_view name_of(FollowerState state);
std::string_view name_of(ViewState state);
std::string_view name_of(Severity severity);
std::string_view name_of(TimeBucket bucket);
std::string_view name_of(Operation operation);

}  // namespace pgweir::server
