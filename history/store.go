package history

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"
)

// Errors that callers may want to tell apart.
var (
	// ErrDamaged means that the file is not a usable history. Deleting it costs nothing: it is rebuilt.
	ErrDamaged = errors.New("the history file is damaged")
	// ErrNewer means that a newer alertd wrote the file.
	ErrNewer = errors.New("the history file was written by a newer alertd")
	// ErrFilter means that a [Filter] holds something that no answer fits: a cursor that nobody handed out,
	// a fingerprint that is none.
	ErrFilter = errors.New("bad filter")
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks our files: "alrt". The first migration writes it.
const applicationID = 0x616c7274

// readers bounds how many queries run at once; further ones wait.
const readers = 4

// Store is the open history. It is safe for concurrent use; calls of Apply and Prune queue for the one writer
// that SQLite allows.
type Store struct {
	path  string
	read  *sql.DB // query-only
	write *sql.DB // one connection

	mu     sync.Mutex // owns writer
	writer *writer    // nil before anything is applied
}

// Open opens the history at path, creates the file (readable by its owner only) and its folder where they are
// missing, and brings the tables up to date. A file that is damaged or that a newer alertd wrote is left as
// it is; the error, [ErrDamaged] or [ErrNewer], says what to do.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	s := &Store{path: path}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(s.explain("open", err), s.Close())
	}
	return s, nil
}

// create makes folder and file with modes that SQLite itself would make wider.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func (s *Store) open(ctx context.Context) (err error) {
	// synchronous=NORMAL may lose the last transactions in a power cut, never half of one; the sequence goes
	// with them, so they are applied again from the journal.
	// The cache, in KiB, is for the pages that appending touches. One connection needs no locks.
	if s.write, err = sql.Open("sqlite3", dsn(s.path, "_journal_mode=WAL", "_synchronous=NORMAL", "_txlock=immediate",
		"_cache_size=-32768", "_mutex=no")); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if err := s.migrate(ctx); err != nil {
		return err
	}
	// A page that many transactions touch is then copied from the WAL once.
	if _, err := s.write.ExecContext(ctx, "PRAGMA wal_autocheckpoint = 8192"); err != nil { // pages: 32 MiB
		return err
	}
	if s.read, err = sql.Open("sqlite3", dsn(s.path, "_query_only=1")); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	_, err = s.LastSeq(ctx)
	return err
}

func dsn(path string, pragmas ...string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	u.RawQuery = strings.Join(append(pragmas, "_busy_timeout=10000"), "&")
	return u.String()
}

func (s *Store) migrate(ctx context.Context) error {
	if err := s.recognise(ctx); err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, files)
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("%w: its tables are version %d, this alertd knows %d", ErrNewer, have, want)
	}
	_, err = p.Up(ctx)
	return err
}

// recognise refuses a database that is somebody else's before anything is written into it.
func (s *Store) recognise(ctx context.Context) error {
	var id, tables int64
	if err := s.write.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	if err := s.write.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'goose_%' AND name NOT LIKE 'sqlite_%'").Scan(&tables); err != nil {
		return err
	}
	if tables > 0 && id != applicationID {
		return fmt.Errorf("%w: it is a database, but not one of alertd", ErrDamaged)
	}
	return nil
}

// LastSeq is the journal sequence that was applied last; 0 means none.
func (s *Store) LastSeq(ctx context.Context) (uint64, error) {
	var seq int64
	err := s.read.QueryRowContext(ctx, "SELECT seq FROM projection").Scan(&seq)
	return uint64(seq), s.explain("read the last sequence", err)
}

// BelongsTo reports whether the history is of the journal that was made at an instant. The first answer is yes, and it is remembered.
func (s *Store) BelongsTo(ctx context.Context, made time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var of int64
	err := s.write.QueryRowContext(ctx, "SELECT journal FROM projection").Scan(&of)
	if err == nil && of == 0 {
		of = made.UnixMicro()
		_, err = s.write.ExecContext(ctx, "UPDATE projection SET journal = ?", of)
	}
	return of == made.UnixMicro(), s.explain("read which journal it is of", err)
}

// Ping reads a row, to find out whether the history can answer.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.LastSeq(ctx)
	return err
}

// Close waits for queries that run and closes the file. The Store answers nothing any more.
func (s *Store) Close() error {
	errs := []error{s.closeWriter()}
	for _, db := range []*sql.DB{s.read, s.write} { // the writer last: it checkpoints the WAL
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// explain says what failed and, where the file itself is the cause, what to do about it.
func (s *Store) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[sqlite3.Error](err); ok {
		switch e.Code {
		case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
			err = fmt.Errorf("%w (%w)", ErrDamaged, err)
		}
	}
	switch {
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("history: %s: %w\n  hint: it is only a copy; stop alertd, delete %s (and -wal, -shm beside it) and start again: it is rebuilt from the journal",
			doing, err, s.path)
	case errors.Is(err, ErrNewer):
		return fmt.Errorf("history: %s: %w\n  hint: run the newer alertd, or delete %s (and -wal, -shm beside it): it is rebuilt from the journal",
			doing, err, s.path)
	case errors.Is(err, ErrFilter):
		return err
	}
	return fmt.Errorf("history: %s: %w", doing, err)
}
