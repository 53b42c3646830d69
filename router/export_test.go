package router

// Filed counts what in holds: places and the alerts in them. It is 0 if nothing fires and nothing was left behind.
func (in *Inhibitor) Filed() int {
	n := len(in.labels) + len(in.down)
	for _, r := range in.rules {
		n += len(r.by)
		for _, s := range r.by {
			n += len(s.oneSided) + len(s.twoSided)
		}
	}
	for _, p := range in.down {
		n += len(p)
	}
	return n
}
