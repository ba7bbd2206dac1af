// Who is told what becomes of the views' rows, batch by batch.
//
// Place:   a ViewSet tells one listener; those who follow views from outside stand behind it.
// Threads: the engine's. A listener holds the engine up: it waits for nobody.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "duck/duck.h"
#include "engine/engine.h"

namespace pgweir::views {

class ViewListener {
 public:
  virtual ~ViewListener() = default;

  // The view changes in the batch that is being applied: whether changed() is to be called. Without
  // it nothing is computed.
  virtual bool wants(const std::string& view) = 0;
  // Inside the batch's transaction: `select` gives the view's columns and kWeightColumn (how often
  // the row came, or went when negative). After an error the batch is rolled back, and comes again.
  virtual Status changed(duck::Connection& connection, const std::string& view,
                         const std::string& select) = 0;
  // What changed() told since the last commit or rollback is true at `position`, and at this step
  // of the views' clock, by which alone they may change, too; with `whole` as false only together
  // with what is told up to the next commit.
  virtual void committed(const engine::EnginePosition& position, std::int64_t clock_step,
                         bool whole) = 0;
  virtual void rolled_back() = 0;
  // It is committed that the view's rows became others without changed(): it was built anew or set
  // aside, its definition changed, or it is gone. Before committed() of the same commit.
  virtual void replaced(const std::string& view) = 0;
};

}  // namespace pgweir::views
