// Package spelling tells how far a name that somebody wrote is from one that there is.
package spelling

import "unicode/utf8"

// Tolerance is how many letters of the name may be wrong for it to be a slip: a quarter, and at least one.
func Tolerance(name string) int { return max(1, utf8.RuneCountInString(name)/4) }

// Distance is how many letters must be put in, taken out or changed to make b of a (Levenshtein); more than limit is limit + 1.
func Distance(a, b string, limit int) int {
	from, to := []rune(a), []rune(b)
	if len(from)-len(to) > limit || len(to)-len(from) > limit {
		return limit + 1
	}
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range to {
			cost := diagonal
			if x != y {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(to)], limit+1)
}
