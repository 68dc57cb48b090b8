package httpapi

import (
	"strconv"
	"strings"

	"github.com/vidi-vision/vidi/service/api"
)

// serverTiming is where the answer's time went, for browsers' developer tools and proxies' logs (W3C Server Timing). The
// stages between the upload and the total are summed over the pictures, which are worked on at the same time: several can take longer
// than the total.
func serverTiming(total api.TotalMS, results []result) string {
	var sum api.TimingMS
	for _, r := range results {
		sum.Decode += r.timing.Decode
		sum.Preprocess += r.timing.Preprocess
		sum.Queue += r.timing.Queue
		sum.Inference += r.timing.Inference
	}
	var b strings.Builder
	for _, stage := range []struct {
		name string
		ms   float64
	}{
		{"upload", total.Upload}, {"decode", sum.Decode}, {"preprocess", sum.Preprocess}, {"queue", sum.Queue}, {"inference", sum.Inference}, {"total", total.Total},
	} {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(stage.name + ";dur=" + strconv.FormatFloat(stage.ms, 'f', 2, 64))
	}
	return b.String()
}
