#include <unistd.h>

#include <iostream>
#include <streambuf>

#include "failures.h"

namespace {

// Writes to a descriptor that takes what it has room for. It has no buffer, so that threads need not wait for each other; what does
// not fit is lost, and the stream stays good.
class Lossy : public std::streambuf {
 public:
  explicit Lossy(int fd) : fd_(fd) {}

 protected:
  std::streamsize xsputn(const char* text, std::streamsize size) override {
    [[maybe_unused]] const ssize_t taken = write(fd_, text, static_cast<size_t>(size));
    return size;
  }
  int_type overflow(int_type c) override {
    const char one = traits_type::to_char_type(c);
    if (!traits_type::eq_int_type(c, traits_type::eof())) xsputn(&one, 1);
    return traits_type::not_eof(c);
  }

 private:
  const int fd_;
};

}  // namespace

extern "C" vidi_status* tb_output_to(int32_t fd) {
  return tb::guarded(VIDI_INTERNAL, [&] {
    tb::require(fd >= 0, VIDI_INVALID_ARGUMENT, "the descriptor is negative");
    auto* lossy = new Lossy(fd);  // for ever: threads may be writing to it whenever another one takes its place
    for (std::ostream* stream : {&std::cout, &std::cerr, &std::clog}) stream->rdbuf(lossy);
  });
}
