// Transactions that PostgreSQL sends before they commit, kept until they do: small ones in memory,
// large ones in files that become segments of the log.
//
// Place:   between frame_builder.h, which meets the messages, and the log's spools.
// Memory:  bounded by the options, whatever the size of the transactions and the number of their
//          sub-transactions; each that is open has a little beside its messages.
// Life:    one session: what a lost connection leaves goes with it, since the server sends it
//          again. Nothing here is ever confirmed to PostgreSQL.
// Threads: the log-writing thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/clock.h"
#include "log/log.h"
#include "log/spool.h"
#include "pipeline/with_room.h"
#include "postgres/replication_stream.h"
#include "postgres/streamed.h"

namespace pgweir::pipeline {

struct StreamedOptions {
  std::size_t frame_bytes_max = kMiB;        // of one transaction in memory: then into its file
  std::size_t memory_bytes_max = 16 * kMiB;  // of all together: then the largest into its file
  std::size_t open_files_max = 16;           // the others are opened again when they go on
  // A larger file becomes a segment; of a smaller one the messages are appended to the log.
  std::uint64_t adopt_bytes_min = 8 * kMiB;
  std::size_t relation_bytes_max = 64 * 1024;  // of Relation messages; with more: appended
  // Ranges of rolled back sub-transactions (8 bytes each) of all together; with more, the rows of
  // the transaction that has most are taken out of its file, which is written anew.
  std::size_t rolled_back_ranges_max = 256 * 1024;
};

// One transaction, as far as it has come. Messages are as they came, with their xids.
struct StreamedTransaction {
  struct Relation {
    std::string message;  // without the xid
    model::Xid xid{};
  };

  model::Xid xid{};
  std::string buffer;  // records that are not in the file
  std::uint32_t buffer_records = 0;
  std::uint64_t rows = 0;          // records with a sequence, rolled back ones among them ...
  std::uint64_t spooled_rows = 0;  // ... and how many of them are in the file
  std::unique_ptr<log::Spool> spool;
  postgres::XidSet rolled_back;
  std::vector<Relation> relations;  // each once, the newest of a table last
  std::size_t relation_bytes = 0;   // above the limit `relations` is not kept
  bool has_messages = false;        // of the users, of whatever sub-transaction
  bool has_rolled_back = false;     // sub-transactions, also when `rolled_back` has let them go

  // Calls `take` with the payload of every frame, then with the buffer.
  Status each_payload(const std::function<Status(std::string_view payload)>& take) const;
};

class StreamedTransactions {
 public:
  using DescribeTable = std::function<Result<std::string>(std::string_view relation)>;

  // `log` and `clock` must outlive it.
  StreamedTransactions(log::Log& log, const io::Clock& clock, WithRoom with_room,
                       StreamedOptions options = {});

  // Whether the message belongs here: it stands in a block, or begins or ends something.
  bool takes(std::string_view message) const {
    return in_block() ||
           (!message.empty() && (message[0] == 'S' || message[0] == 'c' || message[0] == 'A'));
  }
  bool in_block() const { return current_ != nullptr; }

  // Every such message but a Stream Commit. kCorruption for one that does not fit here.
  Status take(std::string_view message);

  // The transaction that commits, to be appended to the log; it is forgotten here.
  Result<StreamedTransaction> release(model::Xid xid);

  // Whether it cannot be told what of it was rolled back: PostgreSQL gives logical messages in a
  // block the xid of the transaction, also those of its sub-transactions.
  bool is_unclear(model::Xid xid) const;
  // Whether the transaction is for adopt(), by its size.
  bool is_large(model::Xid xid) const;
  // Makes its file a segment of the log, which must have nothing of it, and forgets it. Gives the
  // number of its rows; nothing when it has to be appended instead: then it is as it was.
  // Requires is_large().
  Result<std::optional<std::uint64_t>> adopt(const postgres::StreamCommit& commit,
                                             std::string_view commit_message, std::uint32_t epoch,
                                             const DescribeTable& describe);

  std::size_t count() const { return transactions_.size(); }
  std::size_t memory_bytes() const { return memory_bytes_; }

 private:
  Status start(std::string_view message);
  Status abort(std::string_view message);
  Status add_record(std::string_view message);
  void add_relation(StreamedTransaction& transaction, model::Xid xid, std::string message) const;
  Status spill_largest();
  Status spill(StreamedTransaction& transaction);
  Status limit_open_files(const StreamedTransaction& used);
  void forget_open(const StreamedTransaction& transaction);
  Status roll_back(StreamedTransaction& transaction, model::Xid subxid);
  Status take_out_rolled_back(StreamedTransaction& transaction);
  Status write_buffer(StreamedTransaction& transaction);

  log::Log& log_;
  const io::Clock& clock_;
  const WithRoom with_room_;
  const StreamedOptions options_;
  std::map<model::Xid, StreamedTransaction> transactions_;
  StreamedTransaction* current_ = nullptr;  // of the block that is open
  std::size_t memory_bytes_ = 0;            // of all buffers
  std::size_t rolled_back_ranges_ = 0;      // of all transactions
  std::vector<StreamedTransaction*> open_;  // with open files, the last used last
};

}  // namespace pgweir::pipeline
