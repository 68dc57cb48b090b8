// Package torchbind runs TorchScript models on libtorch's CPU build from Go. It can be used on its own, without vidi's service.
// Package service/codec beside it decodes and resizes pictures for them.
//
// # Lifetimes
//
// A [Tensor] and a [Module] hold C++ memory. Whoever gets one from a function must Close it; Close may be called twice, and
// on nil. Use after Close is [ErrClosed], never a crash. Nothing is freed by the garbage collector as a matter of course: an
// object that is collected unclosed is freed late and reported through [OnLeak]. [Live] counts what is alive.
//
// Elements are copied in and out. Slices given to a function may be reused when it returns; slices returned
// belong to the caller.
//
// # Goroutines and threads
//
//   - Errors and [Live] may be used from any goroutine.
//   - libtorch keeps a pool of OpenMP threads for every OS thread it was ever called from, and goroutines move between OS
//     threads. So load and compile models inside [Worker.Do] and run them by [Worker.Run]: a [Worker] is one goroutine on one OS
//     thread for life, for the former, and a C thread that computes, for the latter. Workers × threads should not exceed the cores that
//     the process may use (runtime.GOMAXPROCS knows a container's quota).
//   - One [Module] may run on several workers at once after [Worker.Warm] has returned; they share the weights.
//   - One [Tensor] must not be used by two goroutines at a time.
//   - Lock order: a Worker's, which Run holds, then a Module's, which it holds shared and Close exclusively, so Close waits.
//
// # Memory
//
// A program that imports this package gets few of glibc's heaps (two, or a quarter of more than eight cores; MALLOC_ARENA_MAX says
// otherwise), and libtorch takes the elements of its tensors from blocks that are used again. What inferences have used stays for the
// next; closing a Module, and [TrimMemory], give it back.
//
// # The shim
//
// The C++ side, libtorchbind.so, is opened at run time, when the first function needs it; [Open] says where it is looked
// for. Programs that import torchbind therefore build without it, start without its cost, and can print their help on a
// machine that has no libtorch. In another module, build the shim once in a checkout of vidi (make shim), and either put
// bin/lib beside your program as lib, or set VIDI_TORCHBIND_LIBRARY to the file. With a replace line that names the
// checkout, it is found there:
//
//	require github.com/vidi-vision/vidi v0.1.0
//	replace github.com/vidi-vision/vidi => ../vidi
//
// # Errors
//
// Failures of the C++ side are [*Error] with a [Code]: errors.Is(err, torchbind.BadModel). The message is one line for
// people; Detail has libtorch's full text, for logs.
//
// # Trust
//
// A TorchScript file is a program: it can write and read files. Nothing here looks at what it does; package service/operators does, and
// service/engine loads no file that it has not passed. Load only files from people you trust.
//
// # Tensors of other libraries
//
// [Tensor.Handle] and [FromHandle] pass at::Tensor pointers, which is how github.com/wangkuiyi/gotorch and others hold
// theirs. Both sides must be linked with the same libtorch, loaded once in the process.
package torchbind
