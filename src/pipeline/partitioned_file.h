// Records of one size, set apart by a number: what does not fit into memory as a whole is read back
// partition by partition.
//
// Place:   a scratch file of a resync. One file for all partitions, so that there may be many.
// Memory:  a block for each partition while it is written, and a few bytes for each block written.
// Life:    open(), add() ..., finish(), read(). The destructor removes the file.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/fs.h"
#include "pipeline/with_room.h"

namespace pgweir::pipeline {

struct PartitionedFileOptions {
  std::uint32_t partitions = 1;
  std::size_t block_bytes = 16 * 1024;  // of one partition, written at once
};

class PartitionedFile {
 public:
  // `fs` must outlive it.
  static Result<std::unique_ptr<PartitionedFile>> open(io::Fs& fs, std::string path,
                                                       WithRoom with_room,
                                                       const PartitionedFileOptions& options);
  ~PartitionedFile();
  PartitionedFile(const PartitionedFile&) = delete;
  PartitionedFile& operator=(const PartitionedFile&) = delete;

  Status add(std::uint32_t partition, std::string_view record);
  // Everything is in the file: read() may follow.
  Status finish();
  // All that was added to the partition, in order.
  Result<std::string> read(std::uint32_t partition) const;

 private:
  struct Block {
    std::uint64_t offset = 0;
    std::size_t bytes = 0;
  };
  struct Partition {
    std::string open;
    std::vector<Block> blocks;
  };

  PartitionedFile(io::Fs& fs, std::string path, WithRoom with_room,
                  const PartitionedFileOptions& options);
  Status write(Partition& partition);

  io::Fs& fs_;
  const std::string path_;
  const WithRoom with_room_;
  const PartitionedFileOptions options_;
  std::vector<Partition> partitions_;
  std::unique_ptr<io::WritableFile> file_;
  std::unique_ptr<io::ReadableFile> reading_;
  std::uint64_t end_ = 0;
};

}  // namespace pgweir::pipeline
