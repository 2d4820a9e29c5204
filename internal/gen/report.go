package gen

// Report is what a run hands to programs: one JSON document.
type Report struct {
	Findings Findings     `json:"findings"`
	Files    []Difference `json:"files"`
	LeftOut  []Skipped    `json:"left_out"`
}

// JSON returns the document; empty lists are written as such.
func (r Report) JSON() (string, error) {
	if r.Findings == nil {
		r.Findings = Findings{}
	}
	if r.Files == nil {
		r.Files = []Difference{}
	}
	if r.LeftOut == nil {
		r.LeftOut = []Skipped{}
	}
	return encode(r)
}

// MarshalJSON writes a finding with its place flat, as editors want it.
func (f *Finding) MarshalJSON() ([]byte, error) {
	out := struct {
		Position
		Query   string    `json:"query,omitempty"`
		Group   string    `json:"group,omitempty"`
		Read    string    `json:"read,omitempty"`
		ReadAt  *Position `json:"read_at,omitempty"`
		Path    []string  `json:"path"`
		Message string    `json:"message"`
		Why     string    `json:"why,omitempty"`
		Mend    []string  `json:"mend"`
	}{
		Position: f.Pos, Query: f.Query, Group: f.Group, Read: f.Read, Path: append([]string{}, f.Path...), Message: f.Msg, Why: f.Why,
		Mend: append([]string{}, f.Mend...),
	}
	if f.ReadAt.File != "" {
		out.ReadAt = &f.ReadAt
	}
	text, err := encode(out)
	return []byte(text), err
}
