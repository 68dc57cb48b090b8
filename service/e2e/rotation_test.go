package e2e

import "time"

// today is which of that many shares of a slow test runs now: another one each day, so that all run
// in as many days. The test prints what it leaves out, and how to run it.
func today(shares int) int { return int(time.Now().Unix()/(24*60*60)) % shares }
