package natsbus

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxStoreDefault is what the embedded server may use of a large disk, in bytes.
const maxStoreDefault = 10 << 30

// lockStore takes the data folder for this process. The kernel gives it back when the process ends, however it
// ends, so nobody ever has to delete the file.
func lockStore(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		_ = f.Truncate(0)
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // for the message below only
		return f, nil
	}
	defer f.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("data folder: lock %s: %w", name, err)
	}
	who := "another alertd"
	if b, _ := io.ReadAll(io.LimitReader(f, 20)); len(b) > 0 {
		who += " (process " + strings.TrimSpace(string(b)) + ")"
	}
	return nil, fmt.Errorf("data folder %s is in use by %s\n  hint: stop it, or start this one with another --data DIR", dir, who)
}

// storeLimit is how many bytes the server may use below dir: three quarters of what the disk has for us, counting
// what we hold already, and 10 GiB at most. A server that fills its disk stops accepting publishes until it is
// restarted, so the limit has to stay below the disk.
func storeLimit(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("data folder: free space of %s: %w", dir, err)
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // the types differ between systems
	var used int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // an unreadable corner only makes the estimate smaller
		}
		if info, err := d.Info(); err == nil {
			used += info.Size()
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	// What is stored stays usable, even where the disk is nearly full by now or the default was raised by hand once.
	return used + min(free/4*3, max(maxStoreDefault-used, 0)), nil
}
