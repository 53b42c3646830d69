package alertd_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocuments holds what is written for people against what is there: links lead somewhere, and the tests and
// stories that docs/architecture.md and docs/lessons.md name exist.
func TestDocuments(t *testing.T) {
	tests := map[string]bool{}
	var documents []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			documents = append(documents, path)
		case strings.HasSuffix(path, "_test.go"):
			src, err := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(src, -1) {
				tests[filepath.Dir(path)+" "+string(m[1])] = true
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, doc := range documents {
		src, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(src, -1) {
			target, _, _ := strings.Cut(string(m[1]), "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", doc, target)
			}
		}
	}

	for _, doc := range []string{"docs/architecture.md", "docs/lessons.md"} {
		if named := namedTests(t, doc, tests); named < 10 {
			t.Errorf("%s names %d tests: who breaks the promises?", doc, named)
		}
	}
}

// namedTests checks what a document says of tests, "`TestA` and `b.txt` in `engine`", and counts them. The names between
// two "in `room`" belong to the second room.
func namedTests(t *testing.T, doc string, tests map[string]bool) (named int) {
	src, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.Lines(string(src)) {
		rest := row
		for {
			loc := regexp.MustCompile("in (`([\\w/]+)`|the root)").FindStringSubmatchIndex(rest)
			if loc == nil {
				break
			}
			room := "."
			if loc[4] >= 0 {
				room = rest[loc[4]:loc[5]]
			}
			for _, m := range regexp.MustCompile("`(Test\\w+|\\w+\\.txt)`").FindAllStringSubmatch(rest[:loc[0]], -1) {
				named++
				if strings.HasSuffix(m[1], ".txt") {
					if _, err := os.Stat(filepath.Join(room, "testdata", m[1])); err != nil {
						t.Errorf("%s names the story %s in %s, which is not there", doc, m[1], room)
					}
				} else if !tests[room+" "+m[1]] {
					t.Errorf("%s names %s in %s, which is not there", doc, m[1], room)
				}
			}
			rest = rest[loc[1]:]
		}
	}
	return named
}
