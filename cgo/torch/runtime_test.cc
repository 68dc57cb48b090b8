// Start-up, what it reports, and thread counts.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "fusion.h"
#include "testing.h"

namespace {

tb_runtime initialised() {
  tb_runtime runtime;
  EXPECT_OK(tb_runtime_init(&runtime));
  return runtime;
}

TEST(Runtime, DescribesTheLibraryThatIsLinked) {
  tb_runtime r = initialised();
  EXPECT_EQ(r.abi_version, TB_ABI_VERSION);
  EXPECT_STREQ(r.torch_version, "2.7.1");
  EXPECT_EQ(r.has_fuser, tb::has_fuser());
  EXPECT_EQ(r.cpu_capability, at::get_cpu_capability());
}

#ifdef __x86_64__
TEST(Runtime, TheFuserIsInBuildsForX86) { EXPECT_EQ(initialised().has_fuser, 1); }

TEST(Runtime, CpuFlagsAreThoseTheKernelReports) {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string word, vendor;
  std::set<std::string> flags;
  while (cpuinfo >> word && word != "flags")
    if (word == "vendor_id") cpuinfo >> word >> vendor;  // after a colon
  std::getline(cpuinfo, word);
  std::istringstream line(word);
  while (line >> word) flags.insert(word);
  ASSERT_TRUE(flags.count("sse2")) << "/proc/cpuinfo has no flags";
  tb_runtime r = initialised();
  EXPECT_EQ(r.has_amx, flags.count("amx_tile"));
  EXPECT_EQ(r.has_native_bf16, flags.count("avx512_bf16") || flags.count("amx_tile"));
  EXPECT_EQ(r.has_fast_bf16, flags.count("amx_tile") || (flags.count("avx512_bf16") && vendor != "GenuineIntel"));
  EXPECT_EQ(r.has_vnni, flags.count("avx512_vnni"));
}

TEST(Runtime, QuantisedModelsRunInOneDNN) {
  initialised();
  EXPECT_EQ(at::globalContext().qEngine(), at::QEngine::ONEDNN);
}
#endif

TEST(Runtime, OneInteropThread) {
  initialised();
  EXPECT_EQ(at::get_num_interop_threads(), 1);
}

TEST(Runtime, InitIsIdempotentAndMayBeCalledFromAnyThread) {
  tb_runtime first = initialised();
  std::vector<tb_runtime> others(8);
  std::vector<std::thread> threads;
  for (tb_runtime& other : others) threads.emplace_back([&other] { other = initialised(); });
  for (std::thread& t : threads) t.join();
  for (const tb_runtime& other : others) EXPECT_EQ(std::memcmp(&first, &other, sizeof(first)), 0);
}

TEST(Runtime, InitRefusesNull) { EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "out is NULL", tb_runtime_init(nullptr)); }

// In a process of its own, because libtorch takes the number of inter-op threads once.
TEST(RuntimeDeathTest, InitFailsWhenLibtorchIsAlreadySetUpOtherwise) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        at::set_num_interop_threads(3);
        tb_runtime r;
        tb::testing::Status status(tb_runtime_init(&r));
        std::fprintf(stderr, "%s\n", vidi_status_message(status.get()));
        std::exit(vidi_status_code(status.get()));
      },
      ::testing::ExitedWithCode(VIDI_UNAVAILABLE), "cannot set number of interop threads");
}

TEST(ThreadCount, HoldsForTheCallingThread) {
  initialised();
  std::vector<int> seen(3);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; i++)
    threads.emplace_back([&seen, i] {
      EXPECT_OK(tb_thread_set_count(i + 1));  // the first thing this thread asks of libtorch
      seen[i] = at::get_num_threads();
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 3}));
}

TEST(ThreadCount, TheRangeIs1To1024) {
  std::thread([] {
    EXPECT_OK(tb_thread_set_count(1024));
    EXPECT_OK(tb_thread_set_count(1));
    for (int32_t n : {0, -1, 1025, INT32_MAX, INT32_MIN}) EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "1 to 1024", tb_thread_set_count(n));
    EXPECT_EQ(at::get_num_threads(), 1);  // a refusal changes nothing
  }).join();
}

// Where the CPU has no bf16, oneDNN may know no way to compute it, which is an error.
TEST(TimeConvolution, MeasuresThePrecisionsThatTheCpuHas) {
  tb_runtime cpu;
  ASSERT_OK(tb_runtime_init(&cpu));
  for (int32_t dtype : {TB_FLOAT32, TB_BFLOAT16}) {
    double ms = 0;
    vidi_status* failed = tb_runtime_time_convolution(dtype, &ms);
    if (failed != nullptr && dtype == TB_BFLOAT16 && !cpu.has_native_bf16) {
      EXPECT_EQ(ms, 0);
      vidi_status_free(failed);
      continue;
    }
    EXPECT_OK(failed);
    EXPECT_GT(ms, 0.001);  // 231 million products: no core does them in a microsecond
    EXPECT_LT(ms, 10'000);
  }
}

TEST(TimeConvolution, RefusesOtherTypesAndNull) {
  double ms;
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "float32 or bfloat16", tb_runtime_time_convolution(TB_UINT8, &ms));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "milliseconds is NULL", tb_runtime_time_convolution(TB_FLOAT32, nullptr));
}

TEST(Memory, TrimmingMayBeCalledAtAnyTime) {
  tb_memory_trim();
  tb_memory_trim();
}

// How much of libtorch's code and constants is in this process's resident memory, in kilobytes.
long resident_code() {
  std::ifstream maps("/proc/self/smaps");
  long sum = 0;
  bool counts = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("-") < line.find(":"))  // the line of an address range, and not of one of its figures
      counts = line.find("libtorch_cpu.so") != std::string::npos && line.find(" r-xp ") != std::string::npos;
    else if (counts && line.rfind("Rss:", 0) == 0)
      sum += std::stol(line.substr(4));
  }
  return sum;
}

TEST(Memory, TrimmingDropsCodeThatComesBackWhenItIsNeeded) {
  double ms;
  ASSERT_OK(tb_runtime_time_convolution(TB_FLOAT32, &ms));
  const long before = resident_code();
  tb_memory_trim();
  EXPECT_LT(resident_code(), before / 10);
  EXPECT_OK(tb_runtime_time_convolution(TB_FLOAT32, &ms));
}

}  // namespace
