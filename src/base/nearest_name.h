// "Did you mean ...?": the known name that a person most likely meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgweir {

// Empty when none is near: more than a third of it, or all of it, would have to change. Upper and
// lower case are alike. Names of more than 200 bytes are not compared.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace pgweir
