// Rows of a first snapshot on their way into a mirror: blocks of text that DuckDB's threads take,
// each the next one, and take apart into values.
//
// Place:   used by MirrorWriter alone.
// Life:    of one statement.
// Threads: made and asked on the engine's thread; its RowMakers are DuckDB's threads'.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string_view>

#include "duck/row_source.h"
#include "engine/mirror_layout.h"
#include "model/copy_text.h"

namespace pgweir::engine {

class RowLoader : public duck::RowSource {
 public:
  // Everything must outlive the loader. `lsn` is for messages: the snapshot's.
  RowLoader(const MirrorLayout& layout, std::span<const std::string_view> blocks, model::Lsn lsn)
      : layout_(layout), blocks_(blocks), lsn_(lsn) {}

  std::size_t makers_max() const override { return blocks_.size(); }
  std::unique_ptr<duck::RowMaker> maker() override;

  // Whether what went wrong was a value that does not fit its column.
  bool met_misfit() const { return met_misfit_; }

 private:
  class Maker;

  const MirrorLayout& layout_;
  const std::span<const std::string_view> blocks_;
  const model::Lsn lsn_;
  std::atomic<std::size_t> next_block_{0};
  std::atomic<bool> met_misfit_{false};
};

}  // namespace pgweir::engine
