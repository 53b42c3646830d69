package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"alertd/rules"
)

// siblings are the files beside the routing file. Names are relative to it, or absolute.
type siblings interface {
	read(name string) ([]byte, error)
	glob(pattern string) ([]rules.File, error) // in the order of the names; what matches nothing is no error
}

// maxGlob bounds the files of one pattern.
const maxGlob = 500

// onDisk is a folder of the system's files.
type onDisk struct {
	dir      string
	readFile func(string) ([]byte, error)
}

func (d onDisk) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(d.dir, name)
}

func (d onDisk) read(name string) ([]byte, error) { return d.readFile(d.path(name)) }

func (d onDisk) glob(pattern string) ([]rules.File, error) {
	names, err := filepath.Glob(d.path(pattern))
	if err != nil {
		return nil, err
	}
	return readAll(names, d.readFile)
}

// inFolder is the folder of rules, from which no name leads out but an absolute one.
type inFolder struct {
	fs.FS
	readFile func(string) ([]byte, error)
}

var errOutside = errors.New("it must be in this folder, or an absolute path")

func (f inFolder) read(name string) ([]byte, error) {
	if filepath.IsAbs(name) {
		return f.readFile(name)
	}
	if name = path.Clean(name); !fs.ValidPath(name) {
		return nil, errOutside
	}
	return fs.ReadFile(f.FS, name)
}

func (f inFolder) glob(pattern string) ([]rules.File, error) {
	if filepath.IsAbs(pattern) {
		return onDisk{readFile: f.readFile}.glob(pattern)
	}
	if pattern = path.Clean(pattern); !fs.ValidPath(pattern) {
		return nil, errOutside
	}
	names, err := fs.Glob(f.FS, pattern)
	if err != nil {
		return nil, err
	}
	return readAll(names, func(name string) ([]byte, error) { return fs.ReadFile(f.FS, name) })
}

func readAll(names []string, read func(string) ([]byte, error)) ([]rules.File, error) {
	if len(names) > maxGlob {
		return nil, fmt.Errorf("it matches %d files; %d are the most", len(names), maxGlob)
	}
	var files []rules.File
	for _, name := range names {
		data, err := read(name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name, rootCause(err))
		case len(data) > maxFile:
			return nil, fmt.Errorf("%s: the file is larger than %d MiB", name, maxFile>>20)
		}
		files = append(files, rules.File{Name: name, Data: data})
	}
	return files, nil
}
