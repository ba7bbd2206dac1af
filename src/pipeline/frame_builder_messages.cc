// What the frame builder does with logical messages that stand outside of transactions.
#include "base/bytes.h"
#include "pipeline/frame_builder.h"
#include "postgres/logical_message.h"
#include "postgres/streamed.h"

namespace pgweir::pipeline {

// False when it is none of the users': there is no record that it could go with.
Result<bool> FrameBuilder::add_lone_message(const postgres::Gulp& from, std::string_view message,
                                            std::vector<log::Frame>& out) {
  const auto parsed = postgres::parse_logical_message(message);
  const bool is_ours = !postgres::is_users_message(message) || model::value(parsed->lsn) == 0;
  if (is_ours) return false;
  postgres::StreamCommit commit;
  commit.commit_lsn = model::Lsn{model::value(parsed->lsn) - 1};
  commit.end_lsn = parsed->lsn;
  // The message has no time: it is the one at which the server sent it.
  commit.commit_time = from.server_time;
  postgres::Gulp gulp;
  gulp.server_time = from.server_time;
  const auto add_one = [&](std::string_view bytes) {
    const auto size = static_cast<std::uint32_t>(bytes.size());
    append_file(gulp.arena, size);
    gulp.messages.push_back(
        {commit.commit_lsn, static_cast<std::uint32_t>(gulp.arena.size()), size});
    gulp.arena += bytes;
  };
  add_one(postgres::begin_message(commit));
  add_one(message);
  add_one(postgres::commit_message(commit));
  TRY(add(gulp, out));
  return true;
}

}  // namespace pgweir::pipeline
