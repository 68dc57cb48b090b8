package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// A pickle is a program for a machine with a stack. What is here runs the part of it that puts values together, and never a
// function that the pickle names: a call becomes a record of the call.

// pickleDict is a dictionary with the entries whose keys are texts.
type pickleDict struct {
	keys   []string
	values []any
}

// pickleGlobal is a class or function by its name: "torch.nn.modules.linear.Linear".
type pickleGlobal string

// pickleCall is an object: what it was made by, with which arguments, and the state that it got.
type pickleCall struct {
	of    pickleGlobal
	args  []any
	state any
}

type (
	pickleTuple []any
	pickleMark  struct{}
)

// maxPickleSteps bounds the work: a state_dict of a thousand tensors takes 30,000.
const maxPickleSteps = 4_000_000

// maxPickleName bounds the names of classes and the keys of dictionaries, in bytes: one long text, used again at every step,
// would cost its length each time.
const maxPickleName = 1024

// readPickle reads one pickle at the beginning of data, and says where it ends. Text keys, tuples, dictionaries, numbers, and the
// names of classes are kept; lists are empty, and other values nil.
func readPickle(data []byte) (value any, length int, err error) {
	m := newPickleMachine(data)
	value, err = m.run()
	return value, m.at, err
}

func newPickleMachine(data []byte) *pickleMachine {
	return &pickleMachine{data: data, memo: map[uint64]any{}}
}

func (m *pickleMachine) run() (value any, err error) {
	defer func() {
		if recover() != nil { // a stack that is too short, or data that ends: bounds are checked by Go
			value, err = nil, fmt.Errorf("the pickle is damaged at byte %d", m.at)
		}
	}()
	for range maxPickleSteps {
		if m.step() {
			return m.pop(), nil
		}
	}
	return nil, fmt.Errorf("the pickle has more than %d steps", maxPickleSteps)
}

type pickleMachine struct {
	data  []byte
	at    int
	stack []any
	memo  map[uint64]any
}

func (m *pickleMachine) take(n uint64) []byte {
	if n > uint64(len(m.data)-m.at) {
		panic("the data end")
	}
	m.at += int(n)
	return m.data[m.at-int(n) : m.at]
}

func (m *pickleMachine) number(bytes uint64) uint64 {
	var b [8]byte
	copy(b[:], m.take(bytes))
	return binary.LittleEndian.Uint64(b[:])
}

func (m *pickleMachine) line() string {
	end := bytes.IndexByte(m.data[m.at:], '\n')
	return string(m.take(uint64(end + 1))[:end])
}

func (m *pickleMachine) push(v any) { m.stack = append(m.stack, v) }

func (m *pickleMachine) pop() any {
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v
}

// popMark is what lies above the uppermost mark. It is a part of the stack: the next push overwrites it.
func (m *pickleMachine) popMark() []any {
	for i := len(m.stack) - 1; ; i-- {
		if _, is := m.stack[i].(pickleMark); is {
			above := m.stack[i+1:]
			m.stack = m.stack[:i]
			return above
		}
	}
}

func (m *pickleMachine) top() any { return m.stack[len(m.stack)-1] }

func (m *pickleMachine) remember(key uint64) { m.memo[key] = m.top() }

func (m *pickleMachine) setItems(to any, pairs []any) {
	if call, is := to.(*pickleCall); is { // an OrderedDict
		if call.state == nil {
			call.state = &pickleDict{}
		}
		to = call.state
	}
	if d, is := to.(*pickleDict); is {
		for i := 0; i+1 < len(pairs); i += 2 {
			if key, is := pairs[i].(string); is && len(key) <= maxPickleName {
				d.keys, d.values = append(d.keys, key), append(d.values, pairs[i+1])
			}
		}
	}
}

func (m *pickleMachine) global(module, name string) pickleGlobal {
	if len(module)+len(name) > maxPickleName {
		panic("no class has such a long name")
	}
	return pickleGlobal(module + "." + name)
}

func (m *pickleMachine) call(of, args any) {
	name, _ := of.(pickleGlobal)
	list, _ := args.(pickleTuple)
	m.push(&pickleCall{of: name, args: list})
}

// plain does the instructions that every reader takes alike, and reports whether op was one: marks, texts
// and numbers as PyTorch writes them.
func (m *pickleMachine) plain(op byte) bool {
	switch op {
	case '(':
		m.push(pickleMark{})
	case 'X':
		m.push(string(m.take(m.number(4))))
	case 'J':
		m.push(int64(int32(m.number(4))))
	case 'K':
		m.push(int64(m.number(1)))
	case 'M':
		m.push(int64(m.number(2)))
	case 'G':
		m.push(math.Float64frombits(binary.BigEndian.Uint64(m.take(8))))
	default:
		return false
	}
	return true
}

// step does one instruction, and reports whether it was the last.
func (m *pickleMachine) step() (last bool) {
	op := m.take(1)[0]
	if m.plain(op) {
		return false
	}
	switch op {
	case '.':
		return true
	case 0x80: // PROTO
		m.take(1)
	case 0x95: // FRAME
		m.take(8)
	case '0':
		m.pop()
	case '1':
		m.popMark()
	case '2':
		m.push(m.top())
	case 'T':
		m.push(string(m.take(m.number(4))))
	case 0x8c, 'U':
		m.push(string(m.take(m.number(1))))
	case 0x8d:
		m.push(string(m.take(m.number(8))))
	case 'V', 'S':
		m.push(m.line())
	case 'B':
		m.take(m.number(4))
		m.push(nil)
	case 'C':
		m.take(m.number(1))
		m.push(nil)
	case 0x8e, 0x96:
		m.take(m.number(8))
		m.push(nil)
	case 0x8a:
		m.long(m.number(1))
	case 0x8b:
		m.long(m.number(4))
	case 'I', 'L':
		n, _ := strconv.ParseInt(m.line(), 10, 64)
		m.push(n)
	case 'F':
		m.line()
		m.push(nil)
	case 'N', 0x88, 0x89:
		m.push(nil)
	case ')':
		m.push(pickleTuple{})
	case 0x85, 0x86, 0x87:
		n := int(op - 0x84)
		tuple := append(pickleTuple{}, m.stack[len(m.stack)-n:]...)
		m.stack = append(m.stack[:len(m.stack)-n], tuple)
	case 't':
		m.push(append(pickleTuple{}, m.popMark()...))
	case ']', 0x8f:
		m.push([]any{})
	case 'l', 0x91:
		m.popMark()
		m.push([]any{})
	case 'a':
		m.pop()
	case 'e', 0x90:
		m.popMark()
	case '}':
		m.push(&pickleDict{})
	case 'd':
		pairs := m.popMark()
		d := &pickleDict{}
		m.setItems(d, pairs)
		m.push(d)
	case 's':
		value, key := m.pop(), m.pop()
		m.setItems(m.top(), []any{key, value})
	case 'u':
		pairs := m.popMark()
		m.setItems(m.top(), pairs)
	case 'c':
		module := m.line()
		m.push(m.global(module, m.line()))
	case 0x93: // STACK_GLOBAL
		name, _ := m.pop().(string)
		module, _ := m.pop().(string)
		m.push(m.global(module, name))
	case 'R', 0x81: // REDUCE, NEWOBJ
		args := m.pop()
		m.call(m.pop(), args)
	case 0x92: // NEWOBJ_EX
		m.pop()
		args := m.pop()
		m.call(m.pop(), args)
	case 'o', 'i':
		args := slices.Clone(m.popMark())
		if op == 'i' {
			module := m.line()
			m.call(m.global(module, m.line()), pickleTuple(args))
		} else {
			m.call(args[0], pickleTuple(args[1:]))
		}
	case 'b':
		state := m.pop()
		if call, is := m.top().(*pickleCall); is && call.state == nil {
			call.state = state
		}
	case 'q':
		m.remember(m.number(1))
	case 'r':
		m.remember(m.number(4))
	case 'p':
		n, _ := strconv.ParseUint(m.line(), 10, 64)
		m.remember(n)
	case 0x94:
		m.remember(uint64(len(m.memo)))
	case 'h':
		m.push(m.memo[m.number(1)])
	case 'j':
		m.push(m.memo[m.number(4)])
	case 'g':
		n, _ := strconv.ParseUint(m.line(), 10, 64)
		m.push(m.memo[n])
	case 'Q': // a storage
		m.pop()
		m.push(nil)
	case 'P':
		m.line()
		m.push(nil)
	default:
		panic("no such instruction")
	}
	return false
}

// long is a number of n bytes, of which 8 are kept.
func (m *pickleMachine) long(n uint64) {
	var b [8]byte
	copy(b[:], m.take(n))
	m.push(int64(binary.LittleEndian.Uint64(b[:])))
}
