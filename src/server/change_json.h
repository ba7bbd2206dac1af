// One change as JSON, in the form that docs/http_api.md gives under "tail".
#pragma once

#include <string>

#include "model/batch.h"
#include "server/backend.h"

namespace pgweir::server {

Operation operation_of(model::Op op);

// {"op","table","lsn","time","position","before","after"}, and "origin" where there is one.
// Requires a change of `batch`.
std::string change_as_json(const model::Batch& batch, const model::Change& change,
                           const model::Position& position);

}  // namespace pgweir::server
