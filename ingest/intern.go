package ingest

import "alertd"

// maxGeneration is how many bytes of keys and labels one generation of the table may hold. At 300 bytes a
// series it is room for 200,000 series.
const maxGeneration = 64 << 20

// intern remembers label sets by the bytes that they came as. It has two generations: when the young one is
// full it becomes the old one, and what is not asked for until then is forgotten. So the table is bounded and
// costs one lookup per sample, without a list to keep in order.
type intern struct {
	young, old map[string]alertd.Labels
	size       int // bytes in young
}

func newIntern() intern { return intern{young: map[string]alertd.Labels{}} }

// get does not allocate, except when it saves a series of the old generation.
func (t *intern) get(key []byte) (alertd.Labels, bool) {
	ls, ok := t.young[string(key)]
	if ok {
		return ls, true
	}
	if ls, ok = t.old[string(key)]; ok {
		t.put(key, ls)
	}
	return ls, ok
}

func (t *intern) put(key []byte, ls alertd.Labels) {
	const overhead = 64 // of a map entry, roughly
	t.size += 2*len(key) + overhead
	if t.size > maxGeneration {
		t.young, t.old = map[string]alertd.Labels{}, t.young
		t.size = 2*len(key) + overhead
	}
	t.young[string(key)] = ls
}
