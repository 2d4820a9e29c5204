package gen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Write makes the output directory what Compare would find nothing in. Files
// that are right already are not touched, nor is any file without pgaside's
// header. What can't be written entirely is not written at all.
func (r *Result) Write() ([]Difference, error) { return Results{r}.Write() }

// Write is Result.Write for several packages: all of them are written, or none.
func (rs Results) Write() ([]Difference, error) {
	var all []Difference
	var files fileSet
	for _, r := range rs {
		diffs, err := r.Compare()
		if err != nil {
			return nil, err
		}
		for _, d := range diffs {
			if d.What == "stale" {
				files.remove(d.File)
			} else {
				files.put(d.File, r.Files[filepath.Base(d.File)], 0o644)
			}
		}
		all = append(all, diffs...)
	}
	if err := files.commit(); err != nil {
		return nil, err
	}
	return all, nil
}

// fileSet is a change of several files that happens entirely or not at all, as far
// as a file system allows: every new text is on disk beside its place before the
// first one is renamed into it, and a rename that fails takes back those before.
type fileSet struct{ changes []fileChange }

type fileChange struct {
	name string
	text []byte // nil to remove the file
	mode fs.FileMode
	temp string
	old  []byte // nil when there was none
}

func (s *fileSet) put(name string, text []byte, mode fs.FileMode) {
	s.changes = append(s.changes, fileChange{name: name, text: text, mode: mode})
}

func (s *fileSet) remove(name string) { s.changes = append(s.changes, fileChange{name: name}) }

func (s *fileSet) commit() (err error) {
	var made []string // directories, outermost first
	defer func() {
		for _, c := range s.changes {
			if c.temp != "" {
				_ = os.Remove(c.temp) // gone already where all went well
			}
		}
		if err != nil {
			for _, dir := range slices.Backward(made) {
				_ = os.Remove(dir) // empty now, or not ours alone
			}
		}
	}()
	for i := range s.changes {
		c := &s.changes[i]
		if c.old, err = os.ReadFile(c.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write %s: %w", c.name, err)
		}
		if c.text == nil {
			continue
		}
		dirs, err := makeDirs(filepath.Dir(c.name))
		made = append(made, dirs...)
		if err != nil {
			return fmt.Errorf("write %s: %w", c.name, err)
		}
		if c.temp, err = writeTemp(c.name, c.text, c.mode); err != nil {
			return fmt.Errorf("write %s: %w", c.name, err)
		}
	}
	for i := range s.changes {
		if err := s.changes[i].apply(); err != nil {
			for j := range slices.Backward(s.changes[:i]) {
				err = errors.Join(err, s.changes[j].takeBack())
			}
			return err
		}
	}
	return nil
}

func (c *fileChange) apply() error {
	if c.text == nil {
		if err := os.Remove(c.name); err != nil {
			return fmt.Errorf("remove what is no longer generated: %w", err)
		}
		return nil
	}
	if err := os.Rename(c.temp, c.name); err != nil {
		return fmt.Errorf("write %s: %w", c.name, err)
	}
	return nil
}

func (c *fileChange) takeBack() error {
	if c.old == nil {
		return os.Remove(c.name)
	}
	temp, err := writeTemp(c.name, c.old, 0o644)
	if err != nil {
		return err
	}
	return os.Rename(temp, c.name)
}

// makeDirs is os.MkdirAll that tells which directories it made.
func makeDirs(dir string) ([]string, error) {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil, nil
	}
	var made []string
	if parent := filepath.Dir(dir); parent != dir {
		var err error
		if made, err = makeDirs(parent); err != nil {
			return made, err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return made, err
	}
	return append(made, dir), nil
}

// writeTemp writes a file beside the place where it is to stand.
func writeTemp(name string, text []byte, mode fs.FileMode) (string, error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".pgaside-*")
	if err != nil {
		return "", err
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Close()); err != nil {
		return "", errors.Join(err, os.Remove(tmp.Name()))
	}
	return tmp.Name(), nil
}
