// Scratch folders and free ports.
#pragma once

#include <string>

namespace pgweir::harness {

// A folder of its own under the system's temporary folder; removed at the end, kept when the test
// failed (the path is then printed).
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A TCP port on loopback that nobody listens on, and that no other test process takes while this
// one lives.
int free_port();

// Prints the seed, so that a failing random test can be repeated with PGWEIR_SEED=N.
unsigned test_seed();

// How often a random test does what it does: a third of `wanted` times, but not fewer than
// `at_least`, where a sanitizer watches. That build takes ten times as long for each, and looks at
// how the code does it; all others look at the answers.
int random_rounds(int wanted, int at_least = 1);

}  // namespace pgweir::harness
