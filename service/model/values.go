package model

import (
	"fmt"

	"github.com/vidi-vision/vidi/service/operators"
	"github.com/vidi-vision/vidi/service/userfile"
)

// nested is what a value holds: how many values, each in the one before, and how many in all, where
// shared ones count each time.
type nested struct {
	deep, many int
	parts      bool // functions or storages, as arguments of calls have: it is no value
}

const (
	deepestValue = 100        // a deeper value would take libtorch's stack when it is freed
	mostValues   = 50_000_000 // of a value that is held in many places
)

// A value is nil, a bool, int64, float64, complex128 or string, or one of these.
type (
	networkTuple struct {
		nested
		items []any
	}
	// networkList and networkDict say of which type they are, List[int], or nil.
	networkList struct {
		nested
		items    []any
		of       *operators.Type
		complete bool
	}
	networkDict struct {
		nested
		keys, values []any
		of           *operators.Type
		complete     bool
	}
	networkObject struct {
		nested
		class string
		state any
	}
	networkEnum struct {
		class string
		value any
	}
	networkDevice struct{}
	absent        struct{} // what an object does not have
)

// kindOf is what a value is, in words.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case absent:
		return "nothing"
	case bool:
		return "a bool"
	case int64:
		return "an int"
	case float64:
		return "a float"
	case complex128:
		return "a complex"
	case string:
		return "a str"
	case networkDevice:
		return "a device"
	case *networkTensor:
		return "a tensor"
	case *networkTuple:
		return fmt.Sprintf("a tuple of %d", len(v.items))
	case *networkList:
		if v.of != nil {
			return "a " + userfile.Printable(v.of.String())
		}
		return "a list"
	case *networkDict:
		if v.of != nil {
			return "a " + userfile.Printable(v.of.String())
		}
		return "a dictionary"
	case *networkEnum:
		return fmt.Sprintf("%.40q of %s", fmt.Sprint(v.value), v.class)
	case *networkObject:
		return "an object of " + v.class
	}
	return "something else"
}
