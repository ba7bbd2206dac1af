#include <iostream>

#include "cli/command_line.h"

#ifdef PGWEIR_MIMALLOC
#include <mimalloc.h>
#endif

namespace {

// Batch after batch frees what the next one takes again: 25 ms, the allocator's own time until it
// gives pages back, is most of a batch (docs/decisions/0003-memory-allocator-and-threads.md).
// MIMALLOC_DECOMMIT_DELAY overrides it.
void give_memory_back_soon() {
#ifdef PGWEIR_MIMALLOC
  constexpr long kDecommitDelayMs = 5;
#if MI_MALLOC_VERSION < 210
  mi_option_set_default(mi_option_decommit_delay, kDecommitDelayMs);
#else
  mi_option_set_default(mi_option_purge_delay, kDecommitDelayMs);
#endif
#endif
}

}  // namespace

int main(int argc, char** argv) {
  give_memory_back_soon();
  return pgweir::cli::run_command_line(argc, argv, std::cout, std::cerr);
}
