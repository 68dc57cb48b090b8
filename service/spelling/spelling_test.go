package spelling

import "testing"

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b        string
		limit, want int
	}{
		{"", "", 1, 0}, {"cat", "cat", 1, 0}, {"cat", "cart", 1, 1}, {"cat", "at", 1, 1}, {"cat", "cot", 1, 1},
		{"kitten", "sitting", 5, 3}, {"kitten", "sitting", 2, 3}, {"kitten", "sitting", 1, 2},
		{"abcdef", "a", 3, 4}, {"虎斑猫", "虎猫", 1, 1}, {"猫", "狗", 0, 1},
	} {
		if got, back := Distance(c.a, c.b, c.limit), Distance(c.b, c.a, c.limit); got != c.want || back != c.want {
			t.Errorf("%q and %q, up to %d: %d, and %d back; want %d", c.a, c.b, c.limit, got, back, c.want)
		}
	}
}

func TestTolerance(t *testing.T) {
	for name, want := range map[string]int{"": 1, "cat": 1, "espresso": 2, "虎斑猫": 1} {
		if got := Tolerance(name); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
}
