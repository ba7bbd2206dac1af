#include "postgres/logical_message.h"

#include "base/bytes.h"
#include "postgres/heartbeat.h"
#include "postgres/pgoutput.h"

namespace pgweir::postgres {
namespace {

// PostgreSQL's flags, and one of ours for a message without its content.
constexpr std::uint8_t kTransactional = 1;
constexpr std::uint8_t kLeftOut = 0x80;

std::size_t header_bytes(MessagePlace place) {
  return place == MessagePlace::kInBlock ? kStreamedHeaderBytes : 1;
}

bool is_own(std::string_view prefix) {
  return prefix == kMessagePrefix ||
         (prefix.starts_with(kMessagePrefix) && prefix[kMessagePrefix.size()] == '.');
}

// As PostgreSQL prints a bytea.
std::size_t write_hex(std::string_view bytes, char* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  *out++ = '\\';
  *out++ = 'x';
  for (const char c : bytes) {
    *out++ = kDigits[static_cast<unsigned char>(c) >> 4];
    *out++ = kDigits[static_cast<unsigned char>(c) & 0xf];
  }
  return 2 + 2 * bytes.size();
}

}  // namespace

std::optional<LogicalMessage> parse_logical_message(std::string_view message, MessagePlace place) {
  if (message.size() < header_bytes(place) || message[0] != 'M') return std::nullopt;
  NetworkReader in(message.substr(header_bytes(place)));
  LogicalMessage out;
  const auto flags = in.read<std::uint8_t>();
  out.transactional = (flags & kTransactional) != 0;
  out.left_out = (flags & kLeftOut) != 0;
  out.lsn = model::Lsn{in.read<std::uint64_t>()};
  out.prefix = in.c_string();
  out.content = in.bytes(in.read<std::uint32_t>());
  if (!in.ok() || !in.at_end()) return std::nullopt;
  out.content_bytes = out.content.size();
  if (!out.left_out) return out;
  NetworkReader size(out.content);
  out.content_bytes = size.read<std::uint64_t>();
  out.content = {};
  return size.ok() && size.at_end() ? std::optional(out) : std::nullopt;
}

bool is_users_message(std::string_view message, MessagePlace place) {
  const auto parsed = parse_logical_message(message, place);
  return parsed && !is_own(parsed->prefix);
}

std::string_view limit_content(std::string_view message, MessagePlace place,
                               std::size_t content_bytes_max, std::string& storage) {
  if (message.size() <= content_bytes_max) return message;
  const auto parsed = parse_logical_message(message, place);
  if (!parsed || parsed->left_out || parsed->content.size() <= content_bytes_max) return message;
  const std::size_t flags_at = header_bytes(place);
  storage.assign(
      message.substr(0, message.size() - parsed->content.size() - sizeof(std::uint32_t)));
  storage[flags_at] =
      static_cast<char>(static_cast<unsigned char>(storage[flags_at]) | unsigned{kLeftOut});
  append_network(storage, static_cast<std::uint32_t>(sizeof(std::uint64_t)));
  append_network(storage, static_cast<std::uint64_t>(parsed->content.size()));
  return storage;
}

Status PgoutputDecoder::logical_message(std::string_view message, MessagePlace place) {
  const auto parsed = parse_logical_message(message, place);
  if (!parsed) {
    return error(Code::kCorruption, "a pgoutput message is damaged",
                 "a logical message of " + std::to_string(message.size()) + " bytes");
  }
  // The log has every one within a transaction, also those that PostgreSQL sends between two.
  if (is_own(parsed->prefix) || !open_ || !count_record()) return {};
  const auto& table = model::messages_table();
  const std::uint32_t id = model::value(table->id);
  if (find_entry(id) == nullptr) add_table(table);

  const auto arena_text = [this](std::size_t size) {
    char* const out = arena_space(size);
    arena_ += size;
    arena_left_ -= size;
    return out;
  };
  const auto text = [](const char* data, std::size_t size) {
    return model::Cell{data, static_cast<std::uint32_t>(size), model::CellKind::kText};
  };
  model::Change change;
  change.op = model::Op::kMessage;
  change.bytes = static_cast<std::uint32_t>(message.size());
  change.after = static_cast<std::uint32_t>(batch_.cells.size());
  batch_.cells.push_back(text(parsed->prefix.data(), parsed->prefix.size()));
  if (parsed->left_out) {
    batch_.cells.emplace_back();
  } else {
    const std::size_t size = 2 + 2 * parsed->content.size();
    char* const hex = arena_text(size);
    write_hex(parsed->content, hex);
    batch_.cells.push_back(text(hex, size));
  }
  const std::string count = std::to_string(parsed->content_bytes);
  char* const digits = arena_text(count.size());
  count.copy(digits, count.size());
  batch_.cells.push_back(text(digits, count.size()));
  batch_.cells.push_back(text(parsed->transactional ? "t" : "f", 1));
  push(change, *find_entry(id));
  return {};
}

}  // namespace pgweir::postgres
