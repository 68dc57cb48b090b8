// What the tests of the image library share beside cgo/status/testing.h.
#pragma once

#include <fstream>
#include <vector>

#include "../status/testing.h"
#include "image.h"

namespace vidi::image::testing {

using namespace vidi::testing;

// FNV-1a, 64 bits: short enough to write down as an expected value.
inline uint64_t fnv(const uint8_t* data, size_t size) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; i++) hash = (hash ^ data[i]) * 0x100000001b3;
  return hash;
}

// The lines of a file of expected values beside the tests, without its comment. A missing file is a failure, never a reason to
// write it or to skip: the scripts beside the files make them.
inline std::vector<std::string> testdata(const char* name) {
  std::ifstream in(std::string(VI_TESTDATA) + "/" + name);
  EXPECT_TRUE(in) << "cgo/image/testdata/" << name << " is missing";
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line[0] != '#') lines.push_back(line);
  return lines;
}

}  // namespace vidi::image::testing
