package gen

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// sqlFiles lists the files that paths mean, as sqlc does: a file, the .sql files
// of a directory, or what a pattern with *, ? or [] matches. Down migrations and
// hidden files are left out of directories and patterns. With migrations, each
// directory is in the order in which its migrations run.
func sqlFiles(paths []string, migrations bool) ([]string, error) {
	var out []string
	add := func(files ...string) {
		for _, f := range files {
			if f = filepath.Clean(f); !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	for _, path := range paths {
		found := []string{path}
		pattern := strings.ContainsAny(path, "*?[]")
		if pattern {
			var err error
			if found, err = filepath.Glob(path); err != nil {
				return nil, fmt.Errorf("pattern %s: %w", path, err)
			}
		}
		var matched []string
		for _, f := range found {
			info, err := os.Stat(f)
			switch {
			case err != nil:
				return nil, err
			case info.IsDir():
				files, err := sqlFilesOf(f)
				if err != nil {
					return nil, err
				}
				matched = append(matched, files...)
			case !pattern || isSQLFile(f):
				matched = append(matched, f)
			}
		}
		if len(matched) == 0 {
			return nil, fmt.Errorf("no .sql files in %s", path)
		}
		if migrations { // 2_b.up.sql runs before 10_a.up.sql
			sort.SliceStable(matched, func(i, j int) bool {
				a, b := matched[i], matched[j]
				return filepath.Dir(a) == filepath.Dir(b) && version(a) < version(b)
			})
		}
		add(matched...)
	}
	return out, nil
}

func sqlFilesOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && isSQLFile(e.Name()) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

func isSQLFile(path string) bool {
	name := filepath.Base(path)
	return strings.HasSuffix(name, ".sql") && !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".down.sql")
}

const byteOrderMark = "\ufeff"

// readSQL reads a file of SQL with its lines ended by \n alone. The finding says
// why a file can't be SQL.
func readSQL(file string) (string, *Finding, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(raw), byteOrderMark), "\r\n", "\n")
	if at := strings.IndexByte(text, 0); at >= 0 {
		return "", &Finding{
			Pos: placeIn(file, text, at, 1), Msg: "the file is not text: it has a zero byte",
			Mend: []string{"move it away, or save it as UTF-8"},
		}, nil
	}
	if at := invalidUTF8(text); at >= 0 {
		return "", &Finding{
			Pos: placeIn(file, text, at, 1), Msg: fmt.Sprintf("the file is not UTF-8: it has the byte 0x%02X", text[at]),
			Mend: []string{"save it as UTF-8"},
		}, nil
	}
	return text, nil, nil
}

func invalidUTF8(text string) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
	return -1
}
