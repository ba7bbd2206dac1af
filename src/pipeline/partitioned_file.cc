#include "pipeline/partitioned_file.h"

#include <utility>

namespace pgweir::pipeline {

PartitionedFile::PartitionedFile(io::Fs& fs, std::string path, WithRoom with_room,
                                 const PartitionedFileOptions& options)
    : fs_(fs),
      path_(std::move(path)),
      with_room_(std::move(with_room)),
      options_(options),
      partitions_(options.partitions) {}

PartitionedFile::~PartitionedFile() {
  file_.reset();
  reading_.reset();
  const Status ignored = fs_.remove(path_);  // what is left goes with the next resync
  (void)ignored;
}

Result<std::unique_ptr<PartitionedFile>> PartitionedFile::open(
    io::Fs& fs, std::string path, WithRoom with_room, const PartitionedFileOptions& options) {
  std::unique_ptr<PartitionedFile> out(
      new PartitionedFile(fs, std::move(path), std::move(with_room), options));
  TRY(out->with_room_([&]() -> Status {
    TRY_ASSIGN(out->file_, fs.create(out->path_));
    return {};
  }));
  return out;
}

Status PartitionedFile::add(std::uint32_t partition, std::string_view record) {
  Partition& into = partitions_[partition];
  into.open += record;
  return into.open.size() >= options_.block_bytes ? write(into) : Status();
}

Status PartitionedFile::write(Partition& partition) {
  if (partition.open.empty()) return {};
  TRY(with_room_([&]() -> Status {
    // What a full disk has left of the last try goes first.
    Status status = file_->size() == end_ ? Status() : file_->truncate(end_);
    if (status.ok()) status = file_->append(partition.open);
    return status;
  }));
  partition.blocks.push_back({end_, partition.open.size()});
  end_ += partition.open.size();
  partition.open.clear();
  return {};
}

Status PartitionedFile::finish() {
  for (Partition& partition : partitions_) {
    TRY(write(partition));
    std::string().swap(partition.open);
  }
  TRY_ASSIGN(reading_, fs_.open_read(path_));
  return {};
}

Result<std::string> PartitionedFile::read(std::uint32_t partition) const {
  std::string out, block;
  for (const Block& at : partitions_[partition].blocks) {
    TRY(reading_->read_at(at.offset, at.bytes, block));
    if (block.size() != at.bytes)
      return error(Code::kCorruption, "a scratch file of the resync is cut off", path_);
    out += block;
  }
  return out;
}

}  // namespace pgweir::pipeline
