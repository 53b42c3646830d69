package app

import "syscall"

const (
	// mostConnections is how many HTTP clients may be connected at once. Each that does nothing costs some 30 KB.
	mostConnections = 4096
	// ownFiles are those that alertd wants for itself whatever clients do: for pages that go out, the streams and the history.
	ownFiles = 256
)

// connections is how many clients may be connected where the process may open so many files: with all of them taken by clients, nothing
// could be stored or sent. Who comes later waits until another one goes, which takes the idle two minutes at most.
func connections(files uint64) int {
	if files <= 2*ownFiles {
		return int(max(files/2, 1))
	}
	return int(min(files-ownFiles, 2*mostConnections) / 2)
}

// openFiles is how many files this process may open.
func openFiles() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024 // what systems begin with
	}
	return l.Cur
}
