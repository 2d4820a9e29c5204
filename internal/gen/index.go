package gen

// schemaIndex answers what is asked for every table that a statement names. It
// is made when something is asked first, and again after more DDL.
type schemaIndex struct {
	byName   map[string][]*table // by name without schema, in the order of sortedTables
	children map[*table][]*foreignKey
}

func (s *schema) indexed() *schemaIndex {
	if s.index != nil {
		return s.index
	}
	x := &schemaIndex{byName: map[string][]*table{}, children: map[*table][]*foreignKey{}}
	for _, t := range s.sortedTables() {
		x.byName[t.name] = append(x.byName[t.name], t)
		for _, fk := range t.fks {
			x.children[fk.refTable] = append(x.children[fk.refTable], fk)
		}
	}
	s.index = x
	return x
}
