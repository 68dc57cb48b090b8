package sandbox

import (
	"debug/elf"
	"io"
	"io/fs"
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

// Resolving are the files that looking up a host's name and checking its certificate read, and the
// folders of those that are links.
func Resolving() []string {
	paths := []string{
		"/etc/host.conf", "/etc/gai.conf", "/etc/ssl", "/etc/pki/tls", "/etc/pki/ca-trust",
		"/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
		os.Getenv("SSL_CERT_FILE"), os.Getenv("SSL_CERT_DIR"),
	}
	for _, file := range []string{
		"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/protocols",
	} {
		paths = append(paths, file)
		if target, err := filepath.EvalSymlinks(file); err == nil && target != file {
			paths = append(paths, filepath.Dir(target))
		}
	}
	return paths
}

// Watched are the folders in which a file can be replaced by another of its name: its own and, for
// a link, that of what it points to. The root is left out, since all of the machine is below it.
func Watched(file string) []string {
	paths := []string{file}
	for _, at := range []func(string) (string, error){filepath.Abs, filepath.EvalSymlinks} {
		if path, err := at(file); err == nil && filepath.Dir(path) != "/" {
			paths = append(paths, filepath.Dir(path))
		}
	}
	return paths
}

// Switched are the folders that another folder, if it is a symbolic link, may lead to later: all
// beside the one that it leads to now. Those beside the link itself do not count, because anything
// may lie there, and the root is left out.
func Switched(folder string) []string {
	info, err := os.Lstat(folder)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil
	}
	target, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return nil
	}
	own, err := filepath.Abs(filepath.Dir(folder))
	if err != nil {
		return nil
	}
	if own, err = filepath.EvalSymlinks(own); err != nil {
		return nil
	}
	around := filepath.Dir(target)
	// A folder that the link's own lies in holds that as well.
	if within, err := filepath.Rel(around, own); err != nil || !strings.HasPrefix(within, "..") {
		return nil
	}
	return []string{around}
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
