package alertd_test

import (
	"strings"
	"testing"

	"alertd"
)

func TestNearest(t *testing.T) {
	keys := []string{"receivers", "receiver", "group_by", "group_wait", "repeat_interval", "time_intervals", "for"}
	for _, c := range []struct{ word, want string }{
		{"recevier", "receiver"},
		{"recievers", "receivers"},
		{"group_weit", "group_wait"},
		{"Group_By", "group_by"},
		{"repeat", "repeat_interval"},
		{"mute_time_intervals", "time_intervals"},
		{"foo", "for"},
		{"boss", ""},
		{"", ""},
		{strings.Repeat("receiver", 9), ""},
	} {
		if got := alertd.Nearest(c.word, keys); got != c.want {
			t.Errorf("Nearest(%q) = %q, want %q", c.word, got, c.want)
		}
	}
	if got := alertd.Nearest("pod", []string{"pods", "podd"}); got != "podd" {
		t.Errorf("of two that are equally near it is %q, want the first in the alphabet", got)
	}
}
