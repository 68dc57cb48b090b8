package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/api"
)

// result is one picture's result, as it is sent. A picture's names can be 170 KB of JSON, and a request can have many: so each result
// takes room from when it is made until it is written.
type result struct {
	json   []byte
	taken  int64 // of the room
	timing api.TimingMS
}

// encode makes a result of what a picture's is, for which there may be no room.
func (s *Server) encode(wire *api.Result, visit *admission.Visit) (result, error) {
	data, err := json.Marshal(wire)
	if err != nil {
		return result{}, err
	}
	if reason := visit.Take(int64(len(data))); reason != "" {
		return result{}, s.refuse(reason)
	}
	return result{json: data, taken: int64(len(data)), timing: wire.Timing}, nil
}

const (
	// answerStep is how much of an answer must be taken in one go; at the least pace that is less than admission.PaceTime.
	answerStep = 16 << 10
	// smallAnswer is what a connection's buffers take at once.
	smallAnswer = answerStep
)

// send writes the answer, whose results are given apart and let go of one by one. A large answer must be read at a pace; end is by when
// all of it must be out, zero is never.
func (s *Server) send(c echo.Context, answer *api.PredictResponse, results []result, visit *admission.Visit, end time.Time) error {
	answer.Results = []api.Result{}
	frame, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	head, tail, _ := bytes.Cut(frame, []byte(`"results":[]`))
	head = append(bytes.Clone(head), `"results":[`...)
	tail = append(append([]byte("]"), tail...), '\n')
	length := len(head) + len(tail) + len(results) - 1
	for _, r := range results {
		length += len(r.json)
	}
	res := c.Response()
	res.Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	res.Header().Set(echo.HeaderContentLength, strconv.Itoa(length))
	res.WriteHeader(http.StatusOK)
	// Not by echo's response, which is another request's once this one has ended.
	connection := http.NewResponseController(res.Writer)
	w := &reader{response: res, visit: visit, large: length > smallAnswer, wait: patience{set: connection.SetWriteDeadline, end: end}}
	switch {
	case w.large:
		w.wait.extend(visit.Begin(w.wait.stop))
		defer visit.End()
	case end.IsZero() && s.cfg.WriteTimeout > 0: // small answers have no pace
		_ = connection.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout))
	}
	w.write(head)
	for i, r := range results {
		if i > 0 {
			w.write([]byte(","))
		}
		w.write(r.json)
		results[i].json = nil
		visit.Give(r.taken)
	}
	w.write(tail)
	return s.unread(w)
}

// unread is why an answer was not read to its end; nil if it was.
func (s *Server) unread(w *reader) error {
	switch {
	case w.err == nil:
		return nil
	case w.visit.Ended():
		s.cfg.Telemetry.Refused(admission.GaveWay)
	case w.large && errors.Is(w.err, os.ErrDeadlineExceeded):
		s.cfg.Telemetry.Refused(admission.SlowReader)
	}
	f := fail(api.RequestTimeout, "the answer was not read to its end, or not in time").because(w.err)
	f.gone = true
	return f
}

// reader is who reads an answer; err is why no more can be written.
type reader struct {
	response *echo.Response
	visit    *admission.Visit
	large    bool
	wait     patience
	err      error
}

func (w *reader) write(data []byte) {
	for len(data) > 0 && w.err == nil {
		step := data[:min(len(data), answerStep)]
		if _, w.err = w.response.Write(step); w.err != nil || !w.large {
			data = data[len(step):]
			continue
		}
		data = data[len(step):]
		w.wait.extend(w.visit.Moved(int64(len(step))))
		if w.visit.Ended() { // perhaps before the connection was told to wait on
			w.err = os.ErrDeadlineExceeded
		}
	}
}
