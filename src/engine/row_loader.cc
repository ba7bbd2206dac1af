#include "engine/row_loader.h"

#include <vector>

namespace pgweir::engine {

class RowLoader::Maker : public duck::RowMaker {
 public:
  explicit Maker(RowLoader& loader)
      : loader_(loader), cells_(loader.layout_.table.columns.size()) {}

  Status make(duck::SourceRows& out) override {
    room_.clear();
    const model::Table& table = loader_.layout_.table;
    while (!out.is_full() && find_lines()) {
      const std::string_view line = model::next_line(lines_);
      if (!model::split_copy_row(line, cells_.size(), cells_.data(), room_))
        return model::not_a_row_of(table, line);
      const auto misfit = put_row(loader_.layout_, cells_.data(), out);
      if (misfit) {
        loader_.met_misfit_ = true;
        return does_not_fit(loader_.layout_, *misfit, cells_.data(), cells_.data(), loader_.lsn_);
      }
      out.end_row();
    }
    return {};
  }

 private:
  // False at the end of the last block.
  bool find_lines() {
    while (lines_.empty()) {
      const std::size_t block = loader_.next_block_.fetch_add(1);
      if (block >= loader_.blocks_.size()) return false;
      lines_ = loader_.blocks_[block];
    }
    return true;
  }

  RowLoader& loader_;
  std::vector<model::Cell> cells_;  // of one row
  model::TextRoom room_;
  std::string_view lines_;  // of the block that is being taken apart
};

std::unique_ptr<duck::RowMaker> RowLoader::maker() {
  return std::make_unique<Maker>(*this);
}

}  // namespace pgweir::engine
