// How a step that writes is made when the disk may be full.
#pragma once

#include <functional>

#include "base/result.h"

namespace pgweir::pipeline {

// Makes the step, and makes it again while the disk is full; gives its failure otherwise.
using WithRoom = std::function<Status(const std::function<Status()>& step)>;

}  // namespace pgweir::pipeline
