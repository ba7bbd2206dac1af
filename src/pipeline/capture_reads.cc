// What the reading of tables beside the stream asks of the source.
#include "pipeline/capture.h"

namespace pgweir::pipeline {

TableReadOptions Capture::reads_options() const {
  TableReadOptions out = options_.reads;
  out.data_directory = options_.data_directory;
  return out;
}

TableReads::Source Capture::reads_source() {
  using Described = std::optional<TableReads::Described>;
  TableReads::Source out;
  out.connect = [this] { return connect(postgres::ConnectionKind::kOrdinary); };
  out.describe = [this](postgres::Connection& connection, model::Oid id) -> Result<Described> {
    const model::Oid ids[] = {id};
    const std::string& name = options_.source.publication;
    const std::vector<std::string> names = {name, postgres::append_publication(name)};
    TRY_ASSIGN(auto tables, postgres::read_tables(connection, ids, names));
    if (tables.empty()) return Described();
    TRY_ASSIGN(const postgres::QueryResult kind,
               connection.query("SELECT relkind = 'p' FROM pg_class WHERE oid = $1",
                                {std::to_string(model::value(id))}));
    if (kind.row_count() == 0) return Described();
    return Described({std::move(tables.front()), kind.boolean(0, 0)});
  };
  out.publish = [this](postgres::Connection& connection, model::Oid id) -> Status {
    TRY_ASSIGN(auto all, postgres::expand_tables(connection, options_.source.tables,
                                                 options_.source.exclude));
    std::erase_if(all.tables, [id](const auto& table) { return table.id != id; });
    TRY(postgres::ensure_publications(connection, options_.source.publication, all.tables,
                                      postgres::MissingPublication::kRefuse));
    return {};
  };
  out.record = [this](const model::Table& table) {
    std::string record = book_.record(table);
    if (!record.empty()) tell_schema_watch();
    return record;
  };
  return out;
}

}  // namespace pgweir::pipeline
