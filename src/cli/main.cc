#include <iostream>

#include "cli/command_line.h"

int main(int argc, char** argv) {
  return pgweir::cli::run_command_line(argc, argv, std::cout, std::cerr);
}
