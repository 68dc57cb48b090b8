// Prints the schema of every operator that libtorch registers, one a line; operators.py builds and runs it.

#include <torch/csrc/jit/runtime/operator.h>
#include <torch/script.h>

#include <iostream>

int main() {
  for (const auto& op : torch::jit::getAllOperators()) std::cout << op->schema() << '\n';
}
