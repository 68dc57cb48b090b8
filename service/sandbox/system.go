package sandbox

import (
	"debug/elf"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Libraries are the files and folders that a program reads to start and to load libraries: the
// system's, those that the environment names, and those beside the files given, with what their
// folders' symbolic links point to.
func Libraries(files ...string) []string {
	paths := []string{
		"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache",
		"/etc/ld.so.preload",
		"/etc/localtime", "/usr/share/zoneinfo",
	}
	split := func(r rune) bool { return r == ':' || r == ' ' }
	paths = append(paths, strings.FieldsFunc(os.Getenv("LD_LIBRARY_PATH"), split)...)
	paths = append(paths, strings.FieldsFunc(os.Getenv("LD_PRELOAD"), split)...)
	for _, file := range files {
		if resolved, err := filepath.EvalSymlinks(file); err == nil {
			file = resolved
		}
		folder := filepath.Dir(file)
		// A folder named libtorch may be a link to where libtorch lies.
		paths = append(paths, file, folder, filepath.Join(folder, "libtorch"))
	}
	return paths
}

// Kernel is what the kernel tells in files: of CPUs, memory, control groups and this process.
// Landlock itself keeps from a process what is told of processes outside its restrictions.
func Kernel() []string {
	return []string{
		"/proc", "/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm", "/dev/urandom",
	}
}

// Program is the rules' Execute for starting this program: itself, and the loader that the kernel
// starts for it.
func Program() ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	file, err := elf.Open(program)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	programs := []string{program}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			name, err := io.ReadAll(segment.Open())
			if err != nil {
				return nil, err
			}
			programs = append(programs, strings.TrimRight(string(name), "\x00"))
		}
	}
	return programs, nil
}
