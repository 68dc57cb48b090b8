package model

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/vidi-vision/vidi/service/filetest"
)

// cyclicPickle makes a parameter of itself where the arguments of a call are left on the stack.
const cyclicPickle = "\x80\x02}X\x01\x00\x00\x00a(K\x01itorch._utils\n_rebuild_parameter\n20s."

// hostilePickles cost little to write and would cost much to read.
func hostilePickles() map[string]string {
	text := func(s string) string {
		return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
	}
	const parameter = "ctorch._utils\n_rebuild_parameter\nq\x01"
	// A parameter of a parameter of …: the value is made the argument of the next call.
	chain := "\x80\x02" + parameter + "0N" + strings.Repeat("\x85q\x020h\x01h\x02R", 200_000) + "q\x030}"
	// An object whose state is an object whose state is …
	states := "\x80\x02ccollections\nOrderedDict\nq\x010N" + strings.Repeat("q\x020h\x01)Rh\x02b", 300_000) + "."
	sides := "\x80\x02(" + strings.Repeat("K\x01", 200_000) + "tq\x010ctorch._utils\n_rebuild_tensor_v2\nNK\x00h\x01\x87Rq\x020}"
	const tensor = "\x80\x02ctorch._utils\n_rebuild_tensor_v2\nNK\x00)\x87Rq\x020"
	var keys, members strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&keys, "%sh\x03s", text(fmt.Sprint("k", i)))
		fmt.Fprintf(&members, "%sh\x01)Rh\x02bs", text(fmt.Sprint("k", i)))
	}
	long := strings.Repeat("n", 8<<20)
	return map[string]string{
		"a cycle":               cyclicPickle,
		"one deep chain":        chain + keys.String() + ".",
		"deep states":           states,
		"one shape of many":     sides + strings.ReplaceAll(keys.String(), "h\x03s", "h\x02s") + ".",
		"one state of many":     "\x80\x02cm\nC\nq\x010}" + strings.ReplaceAll(keys.String(), "h\x03s", "Ns") + "q\x020}" + members.String() + ".",
		"one long name of many": "\x80\x02" + text(long) + "q\x010" + strings.Repeat("h\x01h\x01\x93", 10_000) + ".",
		"one long key of many":  tensor + text(long) + "q\x010}" + strings.Repeat("h\x01h\x02s", 100_000) + ".",
	}
}

func TestHostilePicklesCostLittle(t *testing.T) {
	for name, pickle := range hostilePickles() {
		within(t, name, func() {
			if value, _, err := readPickle([]byte(pickle)); err == nil {
				explainPickle("x", "a state_dict", value)
			} else if name != "one long name of many" {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// The arguments of a call stay what they were, whatever is pushed later.
func TestArgumentsOfACallAreKept(t *testing.T) {
	for _, pickle := range []string{"(K\x01im\nC\nK\x020.", "(cm\nC\nK\x01oK\x02K\x0300."} {
		value, _, err := readPickle([]byte(pickle))
		if call, is := value.(*pickleCall); err != nil || !is || call.of != "m.C" || len(call.args) != 1 || call.args[0] != int64(1) {
			t.Errorf("%q: %+v, %v", pickle, value, err)
		}
	}
}

func TestNamesAreStrippedOfFewPrefixes(t *testing.T) {
	name := strings.Repeat("net.", 1<<20) + "fc.weight"
	header, err := json.Marshal(map[string]any{name: map[string]any{"shape": []int{1}}})
	if err != nil {
		t.Fatal(err)
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	within(t, "prefixes", func() {
		w := safetensorsWeights(bytes.NewReader(file), int64(len(file)))
		if w.prefix != strings.Repeat("net.", maxPrefixes) || len(w.shapes) != 1 {
			t.Errorf("the prefix has %d bytes", len(w.prefix))
		}
	})
}

func TestSearchForByteScaleIsBounded(t *testing.T) {
	const forward = "def forward(self, x: Tensor) -> Tensor:\n  x0 = torch.to(x, 6)\n  y = torch.div(x0, 255)\n"
	if !takesBytes([]byte(forward), false) {
		t.Error("a converted input is not recognised")
	}
	other := strings.ReplaceAll(forward, "torch.to(x,", "torch.to(z,")
	within(t, "code", func() {
		if takesBytes([]byte(strings.Repeat(other, 100_000)), false) {
			t.Error("another tensor is taken for the input")
		}
	})
}

// Names in files cannot steer the terminal that a message is printed on.
func TestMessagesHaveNoControlCharacters(t *testing.T) {
	const escape = "\x1b]0;x\x07\u202e\u009b"
	inside := filetest.Zip(t, map[string]string{escape + ".onnx": "x"})
	for _, file := range []string{
		"\x80\x02cm" + escape + "\nC\n)\x81.", "\x80\x02cfastai." + escape + "\nC\n)\x81.", "\x80\x02cultralytics.nn." + escape + "\nC\n)\x81.", inside,
	} {
		value, _, _ := readPickle([]byte(file))
		is, do := explainPickle("x", "a state_dict", value)
		_, err := inspect(strings.NewReader(file), int64(len(file)), "x")
		if err == nil || !strings.Contains(is+err.Error(), `\x1b]0;x\a\u202e\u009b`) {
			t.Errorf("the name is not shown: %q %v", is, err)
		}
		for _, r := range is + do + fmt.Sprint(err) {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%q in %q", r, is+do+fmt.Sprint(err))
			}
		}
	}
}

// within fails where f takes longer than any honest file would: each takes some tenths of a second.
func within(t *testing.T, name string, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%s takes %v", name, took)
	}
}
