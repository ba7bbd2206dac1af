#include "sinks/parquet_sink.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/mutex.h"
#include "sinks/parquet_buffer_internal.h"
#include "sinks/parquet_folder_internal.h"

namespace pgweir::sinks {
namespace {

// Batches wait for each other, so that a stream of small ones does not cost a DuckDB transaction
// each; they hold the memory of their log frames meanwhile.
constexpr std::uint64_t kWaitingBytesMax = 4 * kMiB;  // as PostgreSQL sent them
constexpr std::size_t kWaitingBatchesMax = 64;

// The first change behind `position`.
std::size_t first_change_behind(const model::Batch& batch, const model::Position& position) {
  if (batch.from >= position) return 0;
  const auto behind = [&](const model::Change& change) {
    const model::Transaction& transaction = batch.transactions[change.transaction];
    return model::Position{batch.to.epoch, transaction.commit_lsn, change.sequence} <= position;
  };
  const auto first = std::partition_point(batch.changes.begin(), batch.changes.end(), behind);
  return static_cast<std::size_t>(first - batch.changes.begin());
}

class ParquetSinkImpl final : public Sink {
 public:
  ParquetSinkImpl(const io::Clock& clock, ParquetOptions options,
                  std::unique_ptr<ParquetFolder> folder, std::unique_ptr<ParquetBuffer> buffer)
      : clock_(clock),
        options_(std::move(options)),
        folder_(std::move(folder)),
        buffer_(std::move(buffer)),
        taken_(folder_->position()),
        position_(folder_->position()) {}

  const std::string& name() const override { return options_.name; }
  const char* kind() const override { return "parquet"; }

  model::Position position() const override {
    const MutexLock lock(mutex_);
    return position_;
  }

  SinkStats stats() const override {
    const MutexLock lock(mutex_);
    return stats_;
  }

  Status bind_log(const std::string& log_identity) override {
    return folder_->bind_log(log_identity);
  }

  Status apply(const model::BatchPtr& batch) override;
  Status advance(const model::Position& to) override;
  Status tick() override;
  std::optional<Microseconds> due_in() const override;
  Result<model::Position> flush() override;

 private:
  Status take(const model::BatchPtr& batch);
  void move_to(const model::Position& to, bool ends_transaction);
  Status ingest();
  Status roll();
  Status finish();
  bool due_by_size() const;
  bool due_by_time() const;
  void publish_stats();

  const io::Clock& clock_;
  const ParquetOptions options_;
  const std::unique_ptr<ParquetFolder> folder_;
  const std::unique_ptr<ParquetBuffer> buffer_;

  std::vector<BatchPart> waiting_;  // taken, not yet in the buffer
  std::uint64_t waiting_bytes_ = 0;
  std::uint64_t waiting_rows_ = 0;
  model::Position taken_;  // `to` of the newest batch
  bool taken_ends_transaction_ = true;
  Microseconds range_since_{0};             // when the first batch behind the position came
  std::vector<ParquetFolder::File> files_;  // of the intent being carried out

  mutable Mutex mutex_;
  model::Position position_ GUARDED_BY(mutex_);
  SinkStats stats_ GUARDED_BY(mutex_);
};

Status ParquetSinkImpl::apply(const model::BatchPtr& batch) {
  if (folder_->has_intent()) TRY(finish());
  // A batch that came before, and found the disk full, is not taken again.
  if (batch->to > taken_) TRY(take(batch));
  const bool many = waiting_bytes_ >= kWaitingBytesMax || waiting_.size() >= kWaitingBatchesMax;
  if (many) TRY(ingest());
  if (due_by_size() || due_by_time()) TRY(roll());
  publish_stats();
  return {};
}

Status ParquetSinkImpl::take(const model::BatchPtr& batch) {
  if (batch->from > taken_ && batch->from.epoch == taken_.epoch) {
    return error(Code::kInternal,
                 fmt::format("sink {} was not given the changes between {} and {}", name(),
                             model::to_string(taken_), model::to_string(batch->from)));
  }
  const std::size_t first_change = first_change_behind(*batch, taken_);
  if (first_change < batch->changes.size()) {
    waiting_.push_back({batch, first_change});
    for (const model::Change& change : batch->changes) waiting_bytes_ += change.bytes;
    waiting_rows_ += batch->changes.size() - first_change;
  }
  move_to(batch->to, batch->ends_transaction());
  return {};
}

Status ParquetSinkImpl::advance(const model::Position& to) {
  if (folder_->has_intent()) TRY(finish());
  if (to > taken_) move_to(to, true);
  if (due_by_time()) TRY(roll());
  publish_stats();
  return {};
}

void ParquetSinkImpl::move_to(const model::Position& to, bool ends_transaction) {
  if (taken_ == folder_->position()) range_since_ = clock_.steady();
  taken_ = to;
  taken_ends_transaction_ = ends_transaction;
}

Status ParquetSinkImpl::ingest() {
  if (waiting_.empty()) return {};
  TRY(buffer_->ingest(waiting_));
  waiting_.clear();
  waiting_bytes_ = 0;
  waiting_rows_ = 0;
  return {};
}

bool ParquetSinkImpl::due_by_size() const {
  return buffer_->largest_file_bytes() >= options_.roll_bytes ||
         buffer_->partition_count() >= options_.open_files_max;
}

// A file holds whole transactions unless one is too large, or lasts much too long.
bool ParquetSinkImpl::due_by_time() const {
  if (taken_ == folder_->position()) return false;
  const Microseconds age = clock_.steady() - range_since_;
  return age >= options_.roll_every * (taken_ends_transaction_ ? 1 : 2);
}

Status ParquetSinkImpl::tick() {
  if (due_by_time()) TRY(roll());
  publish_stats();
  return {};
}

std::optional<Microseconds> ParquetSinkImpl::due_in() const {
  if (taken_ == folder_->position()) return {};
  const Microseconds due = range_since_ + options_.roll_every * (taken_ends_transaction_ ? 1 : 2);
  return std::max(Microseconds{0}, due - clock_.steady());
}

Result<model::Position> ParquetSinkImpl::flush() {
  if (folder_->has_intent()) TRY(finish());
  if (taken_ != folder_->position()) TRY(roll());
  publish_stats();
  return folder_->position();
}

// Every step may fail for want of space; the next call then goes on with it.
Status ParquetSinkImpl::roll() {
  if (folder_->has_intent()) return finish();
  TRY(ingest());
  if (buffer_->rows() == 0) {
    TRY(folder_->advance(taken_));
    return buffer_->clear({});
  }
  TRY(folder_->discard_staged());
  TRY_ASSIGN(files_, buffer_->stage(folder_->staging(), {folder_->position(), taken_}));
  TRY(folder_->write_intent(taken_, files_));
  return finish();
}

Status ParquetSinkImpl::finish() {
  TRY(folder_->finish());
  {
    const MutexLock lock(mutex_);
    stats_.files_written += files_.size();
    stats_.rows_written += buffer_->rows();
    for (const auto& file : files_) stats_.bytes_written += file.bytes;
  }
  return buffer_->clear(files_);
}

void ParquetSinkImpl::publish_stats() {
  const MutexLock lock(mutex_);
  position_ = folder_->position();
  stats_.rows_buffered = waiting_rows_ + buffer_->rows();
}

}  // namespace

Result<std::unique_ptr<Sink>> ParquetSink::open(io::Fs& fs, const io::Clock& clock,
                                                ParquetOptions options) {
  TRY_ASSIGN(auto folder, ParquetFolder::open(fs, options.directory));
  TRY_ASSIGN(auto buffer, ParquetBuffer::open(options, folder->spill()));
  return std::unique_ptr<Sink>(std::make_unique<ParquetSinkImpl>(
      clock, std::move(options), std::move(folder), std::move(buffer)));
}

}  // namespace pgweir::sinks
