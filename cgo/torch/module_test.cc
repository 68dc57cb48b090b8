// Loading TorchScript files: from disk and memory, with extra files, and all the ways it can fail.
#include <caffe2/serialize/inline_container.h>
#include <unistd.h>

#include "testing_module.h"

namespace {

using namespace tb::testing;

const char* kIdentity = "def forward(self, x):\n    return x\n";

vidi_status* load_path(const char* path, int32_t engine, int32_t precision, Module* out, const char* extra = nullptr) {
  tb_module_options options{engine, precision, 0};
  auto* module = reinterpret_cast<tb_module*>(1);
  vidi_status* status = tb_module_load(path, extra, &options, &module);
  if (status != nullptr) {
    EXPECT_EQ(module, nullptr);
    return status;
  }
  out->reset(module);
  return nullptr;
}

vidi_status* load_plainly(const std::string& bytes) {
  Module module;
  return load(bytes, TB_ENGINE_PLAIN, TB_FLOAT32, &module);
}

std::string extra_of(const Module& module) {
  const char* data = nullptr;
  size_t size = 99;
  tb_module_extra(module.get(), &data, &size);
  EXPECT_NE(data, nullptr);
  return std::string(data, size);
}

TEST(Load, FromAFileAndFromTheSameBytesTheAnswersAreTheSame) {
  std::string bytes = archive(classifier());
  Module from_file;
  {
    TemporaryFile file(bytes);
    ASSERT_OK(load_path(file.path(), TB_ENGINE_PLAIN, TB_FLOAT32, &from_file));
  }  // the file is not needed after loading
  at::Tensor x = some_input();
  EXPECT_TRUE(at::equal(answer(from_file, x), answer(loaded(bytes, TB_ENGINE_PLAIN), x)));
}

TEST(Load, ManyTimesOver) {  // the fuser's pass may be registered once only
  std::string bytes = archive(classifier());
  at::Tensor x = some_input(), first;
  for (int i = 0; i < 3; i++) {
    Module one = loaded(bytes, TB_ENGINE_AUTO), other = loaded(bytes, TB_ENGINE_AUTO);
    at::Tensor y = warmed_answer(one, x);
    EXPECT_TRUE(at::equal(y, warmed_answer(other, x)));
    if (!first.defined()) first = y;
    EXPECT_TRUE(at::equal(first, y));
  }
}

TEST(Load, ExtraFilesComeBackByteForByte) {
  std::string with_nuls("a\0b\0\xFF\n", 6), large(300'000, 'x');
  std::string bytes = archive(classifier(), {{"vidi.json", "{\"format\": 1}"}, {"nuls", with_nuls}, {"large", large}, {"empty", ""}});
  for (int32_t engine : {TB_ENGINE_PLAIN, TB_ENGINE_OPTIMIZED, TB_ENGINE_AUTO}) {
    EXPECT_EQ(extra_of(loaded(bytes, engine, TB_FLOAT32, "vidi.json")), "{\"format\": 1}");
    EXPECT_EQ(extra_of(loaded(bytes, engine, TB_FLOAT32, "nuls")), with_nuls);
    EXPECT_EQ(extra_of(loaded(bytes, engine, TB_FLOAT32, "large")), large);
    EXPECT_EQ(extra_of(loaded(bytes, engine, TB_FLOAT32, "empty")), "");
    EXPECT_EQ(extra_of(loaded(bytes, engine, TB_FLOAT32, "missing")), "");
    EXPECT_EQ(extra_of(loaded(bytes, engine, TB_FLOAT32, "")), "");
    EXPECT_EQ(extra_of(loaded(bytes, engine, TB_FLOAT32, nullptr)), "");
  }
  TemporaryFile file(bytes);
  Module module;
  ASSERT_OK(load_path(file.path(), TB_ENGINE_PLAIN, TB_FLOAT32, &module, "nuls"));
  EXPECT_EQ(extra_of(module), with_nuls);
}

TEST(Load, TheExtraFileLivesAsLongAsTheModule) {
  Module module = loaded(archive(classifier(), {{"card", "text"}}), TB_ENGINE_AUTO, TB_FLOAT32, "card");
  const char *before = nullptr, *after = nullptr;
  size_t size = 0;
  tb_module_extra(module.get(), &before, &size);
  warmed_answer(module, some_input());
  tb_module_extra(module.get(), &after, &size);
  EXPECT_EQ(before, after);
  EXPECT_EQ(std::string(after, size), "text");
}

TEST(Load, ExtraOfNothing) {
  const char* data = "x";
  size_t size = 1;
  tb_module_extra(nullptr, &data, &size);
  EXPECT_EQ(data, nullptr);
  EXPECT_EQ(size, 0u);
  Module module = loaded(archive(kIdentity), TB_ENGINE_PLAIN);
  tb_module_extra(module.get(), nullptr, &size);
  tb_module_extra(module.get(), &data, nullptr);
  tb_module_free(nullptr);
}

TEST(Load, AModuleThatNeverHeardOfTraining) {
  torch::jit::Module bare("Bare");
  bare.define(kIdentity);
  for (int32_t engine : {TB_ENGINE_PLAIN, TB_ENGINE_OPTIMIZED, TB_ENGINE_AUTO}) {
    Module module = loaded(archive(bare), engine);
    EXPECT_TRUE(at::equal(warmed_answer(module, at::ones({2})), at::ones({2})));
  }
}

TEST(LoadFails, NoSuchFileOrNoneThatCanBeRead) {
  Module module;
  EXPECT_FAILS(VIDI_NOT_FOUND, "No such file", load_path("/nonexistent/model.pt", TB_ENGINE_PLAIN, TB_FLOAT32, &module));
  EXPECT_FAILS(VIDI_NOT_FOUND, "No such file", load_path("", TB_ENGINE_PLAIN, TB_FLOAT32, &module));
  EXPECT_FAILS(VIDI_NOT_FOUND, "Is a directory", load_path("/", TB_ENGINE_PLAIN, TB_FLOAT32, &module));
  TemporaryFile file("x");
  EXPECT_FAILS(VIDI_NOT_FOUND, "Not a directory", load_path((file.path() + std::string("/x")).c_str(), 3, TB_FLOAT32, &module));
  std::filesystem::permissions(file.path(), std::filesystem::perms::none);
  bool root = geteuid() == 0;  // who may read every file
  ASSERT_EQ(root ? seteuid(65534) : 0, 0);
  EXPECT_FAILS(VIDI_NOT_FOUND, "Permission denied", load_path(file.path(), TB_ENGINE_PLAIN, TB_FLOAT32, &module));
  ASSERT_EQ(root ? seteuid(0) : 0, 0);
}

TEST(LoadFails, FilesThatAreNoModels) {
  for (const std::string& content : {std::string("x"), std::string("not a model\n"), std::string(100'000, '\0'),
                                     std::string("PK\x03\x04") + std::string(500, 'x'), std::string("\x80\x02}q\x00.", 6)}) {
    EXPECT_FAILS(VIDI_BAD_MODEL, "", load_plainly(content));
    Module module;
    EXPECT_FAILS(VIDI_BAD_MODEL, "", load_path(TemporaryFile(content).path(), TB_ENGINE_PLAIN, TB_FLOAT32, &module));
  }
  Module module;
  EXPECT_FAILS(VIDI_BAD_MODEL, "", load_path(TemporaryFile("").path(), TB_ENGINE_PLAIN, TB_FLOAT32, &module));
}

// Only early ends: other damage to an archive can end the process inside libtorch, as the header says.
TEST(LoadFails, AFileThatEndsEarly) {
  std::string bytes = archive(classifier(), {{"card", std::string(5000, 'c')}});
  for (size_t percent = 1; percent < 100; percent += 7)
    EXPECT_FAILS(VIDI_BAD_MODEL, "", load_plainly(bytes.substr(0, bytes.size() * percent / 100)));
  for (size_t less : {1, 10, 22, 100}) EXPECT_FAILS(VIDI_BAD_MODEL, "", load_plainly(bytes.substr(0, bytes.size() - less)));
}

TEST(LoadFails, AnArchiveThatPointsOutsideItself) {
  std::string bytes = archive(classifier());
  size_t entry = bytes.find("PK\x01\x02");  // the directory's first entry; where its content lies is written at 42
  ASSERT_NE(entry, std::string::npos);
  for (uint32_t offset : {static_cast<uint32_t>(bytes.size()) - 1, static_cast<uint32_t>(bytes.size()), 0x7FFFFFFFu, 0xFFFFFFFEu}) {
    for (size_t at = entry; at != std::string::npos; at = bytes.find("PK\x01\x02", at + 1)) std::memcpy(&bytes[at + 42], &offset, 4);
    EXPECT_FAILS(VIDI_BAD_MODEL, "", load_plainly(bytes));
  }
}

TEST(LoadFails, WeightsWithoutAProgram) {  // what torch.save(model.state_dict()) writes: a zip archive of another kind
  std::string bytes;
  {
    caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t n) {
      bytes.append(static_cast<const char*>(data), n);
      return n;
    });
    const char pickle[] = "\x80\x02}q\x00.";
    writer.writeRecord("data.pkl", pickle, sizeof(pickle) - 1);
    std::string weights(4096, 'w');
    writer.writeRecord("data/0", weights.data(), weights.size());
    writer.writeEndOfFile();
  }
  EXPECT_FAILS(VIDI_BAD_MODEL, "", load_plainly(bytes));
}

TEST(LoadFails, AProgramThatThisLibtorchDoesNotUnderstand) {
  std::string bytes = archive("def forward(self, x):\n    return torch.relu(x)\n");
  size_t at = bytes.find("torch.relu(x)");
  ASSERT_NE(at, std::string::npos);
  EXPECT_FAILS(VIDI_BAD_MODEL, "aten::relx", load_plainly(std::string(bytes).replace(at, 10, "torch.relx")));  // no such operator
  EXPECT_FAILS(VIDI_BAD_MODEL, "", load_plainly(std::string(bytes).replace(at, 10, "torch.conv")));            // none such in torch
  EXPECT_FAILS(VIDI_BAD_MODEL, "", load_plainly(std::string(bytes).replace(at, 13, "torch.relu(((")));         // no syntax
  EXPECT_FAILS(VIDI_BAD_MODEL, "", load_plainly(std::string(bytes).replace(at, 13, "torch.fmod(x)")));         // another signature
}

TEST(LoadFails, AModuleWithoutForward) {
  EXPECT_FAILS(VIDI_BAD_MODEL, "no forward method", load_plainly(archive("def predict(self, x):\n    return x\n")));
  EXPECT_FAILS(VIDI_BAD_MODEL, "no forward method", load_plainly(archive(torch::jit::Module("Empty"))));
}

TEST(LoadFails, AModuleThatCannotBeFrozen) {
  std::string bytes = archive("def forward(self, x):\n    return self\n");
  Module module;
  for (int32_t engine : {TB_ENGINE_OPTIMIZED, TB_ENGINE_AUTO})
    EXPECT_FAILS(VIDI_BAD_MODEL, "return itself", load(bytes, engine, 6, &module));
}

TEST(LoadFails, UnknownOptions) {
  std::string bytes = archive(kIdentity);
  Module module;
  for (int32_t engine : {-1, 5, INT32_MAX}) EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "unknown engine", load(bytes, engine, TB_FLOAT32, &module));
  for (int32_t precision : {-1, 0, 99, int{TB_FLOAT16}, int{TB_FLOAT64}, int{TB_INT8}})
    EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "float32 or bfloat16", load(bytes, TB_ENGINE_AUTO, precision, &module));
}

TEST(LoadFails, Nulls) {
  std::string bytes = archive(kIdentity);
  tb_module_options options{TB_ENGINE_PLAIN, TB_FLOAT32, 0};
  auto* out = reinterpret_cast<tb_module*>(1);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "out is NULL", tb_module_load_bytes(bytes.data(), bytes.size(), nullptr, &options, nullptr));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "out is NULL", tb_module_load("x", nullptr, &options, nullptr));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "options is NULL", tb_module_load_bytes(bytes.data(), bytes.size(), nullptr, nullptr, &out));
  EXPECT_EQ(out, nullptr);
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "options is NULL", tb_module_load("x", nullptr, nullptr, &out));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "path is NULL", tb_module_load(nullptr, nullptr, &options, &out));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "no bytes", tb_module_load_bytes(nullptr, 5, nullptr, &options, &out));
  EXPECT_FAILS(VIDI_INVALID_ARGUMENT, "no bytes", tb_module_load_bytes(bytes.data(), 0, nullptr, &options, &out));
}

}  // namespace
