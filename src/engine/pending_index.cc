#include "engine/pending_index.h"

#include <utility>

namespace pgweir::engine {

void PendingIndex::add(std::uint64_t hash, std::uint32_t run) {
  // Three quarters full, searches begin to be long.
  if ((size_ + 1) * 4 > runs_.size() * 3) grow();
  put(hash, run);
  ++size_;
}

bool PendingIndex::erase(std::uint64_t hash, std::uint32_t run) {
  if (size_ == 0) return false;
  for (std::size_t place = home_of(hash); runs_[place] != kFree; place = next(place)) {
    if (hashes_[place] != hash || runs_[place] != run) continue;
    take_out(place);
    --size_;
    return true;
  }
  return false;
}

void PendingIndex::find(std::uint64_t hash, std::vector<std::uint32_t>& runs) const {
  if (size_ == 0) return;
  for (std::size_t place = home_of(hash); runs_[place] != kFree; place = next(place)) {
    if (hashes_[place] == hash) runs.push_back(runs_[place]);
  }
}

void PendingIndex::put(std::uint64_t hash, std::uint32_t run) {
  std::size_t place = home_of(hash);
  while (runs_[place] != kFree) place = next(place);
  hashes_[place] = hash;
  runs_[place] = run;
}

// Rows behind the hole move up, unless that would be in front of their home.
void PendingIndex::take_out(std::size_t hole) {
  const std::size_t mask = runs_.size() - 1;
  for (std::size_t place = next(hole); runs_[place] != kFree; place = next(place)) {
    const std::size_t from_home = (place - home_of(hashes_[place])) & mask;
    if (from_home < ((place - hole) & mask)) continue;
    hashes_[hole] = hashes_[place];
    runs_[hole] = runs_[place];
    hole = place;
  }
  runs_[hole] = kFree;
}

void PendingIndex::grow() {
  constexpr std::size_t kPlacesMin = 64;
  const std::size_t places = runs_.empty() ? kPlacesMin : runs_.size() * 2;
  const auto hashes = std::exchange(hashes_, std::vector<std::uint64_t>(places));
  const auto runs = std::exchange(runs_, std::vector<std::uint32_t>(places, kFree));
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i] != kFree) put(hashes[i], runs[i]);
  }
}

}  // namespace pgweir::engine
