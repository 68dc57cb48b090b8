package model

import (
	"fmt"
	"regexp"
	"slices"
)

// storageType is the type of the numbers in a storage.
type storageType struct {
	bytes     int64 // of each number
	quantised bool
	complex   bool
}

// storageTypes are those that PyTorch writes into networks and libtorch reads.
var storageTypes = map[string]storageType{
	"torch.BoolStorage":          {bytes: 1},
	"torch.ByteStorage":          {bytes: 1},
	"torch.CharStorage":          {bytes: 1},
	"torch.ShortStorage":         {bytes: 2},
	"torch.IntStorage":           {bytes: 4},
	"torch.LongStorage":          {bytes: 8},
	"torch.HalfStorage":          {bytes: 2},
	"torch.BFloat16Storage":      {bytes: 2},
	"torch.FloatStorage":         {bytes: 4},
	"torch.DoubleStorage":        {bytes: 8},
	"torch.ComplexHalfStorage":   {bytes: 4, complex: true},
	"torch.ComplexFloatStorage":  {bytes: 8, complex: true},
	"torch.ComplexDoubleStorage": {bytes: 16, complex: true},
	"torch.QInt8Storage":         {bytes: 1, quantised: true},
	"torch.QUInt8Storage":        {bytes: 1, quantised: true},
	"torch.QInt32Storage":        {bytes: 4, quantised: true},
}

// pickledStorage is a storage that a pickle names.
type pickledStorage struct {
	record   string
	typeName string
	numbers  int64
}

// networkTensor is a tensor that lies within its storage.
type networkTensor struct {
	typeName string // torch.FloatStorage
	sizes    []int64
}

// tensorReader holds the tensors of a pickle against the archive.
type tensorReader struct {
	archive archive
	folder  string
	bytes   uint64 // of the storages so far: libtorch reads each one as often as it is named
}

const (
	mostDimensions = 64
	mostNumbers    = 1 << 48 // of one tensor, where a number that is repeated counts each time
)

// A tensor of a GPU is read into memory; "meta" would be one without numbers.
var deviceNames = regexp.MustCompile(`^(cpu|cuda|xpu|hpu|mps)(:(0|[1-9][0-9]?))?$`)

func isDevice(v any) bool {
	name, is := v.(string)
	return is && deviceNames.MatchString(name)
}

// storage reads ('storage', torch.FloatStorage, '0', 'cpu', 9).
func (r *tensorReader) storage(args *networkTuple) pickledStorage {
	var kind, key string
	var typeName pickleFunction
	var numbers int64
	if args == nil || !scan(args.items, &kind, &typeName, &key, nil, &numbers) ||
		kind != "storage" || !isDevice(args.items[3]) {
		odd("names a storage in another way than PyTorch, or on another device")
	}
	t, is := storageTypes[string(typeName)]
	if !is || numbers < 0 || numbers > mostNumbers {
		odd("has a storage of %d numbers of the type %s", numbers, typeName)
	}
	s := pickledStorage{r.folder + "/" + key, string(typeName), numbers}
	var has uint64
	if record := r.archive.records[s.record]; record != nil {
		has = record.UncompressedSize64
	} else if numbers > 0 {
		odd("has a storage of %d numbers in the record %.100q, which the archive does not have",
			numbers, s.record)
	}
	// Where tensors of two types share a storage, a rest smaller than one number may remain.
	if wants := uint64(numbers * t.bytes); wants > has || has-wants >= uint64(t.bytes) {
		odd("has a storage of %d bytes in the record %.100q, which has %d", wants, s.record, has)
	}
	if r.bytes += has; r.bytes > uint64(r.archive.size)*bombRatio+bombSlack {
		odd("names its storages so often that they take more than %d times the archive's size",
			bombRatio)
	}
	return s
}

// scan takes items apart into pointers to the types that they must have; nil passes over one.
func scan(items []any, into ...any) bool {
	if len(items) != len(into) {
		return false
	}
	ok := true
	for i, to := range into {
		is := false
		switch to := to.(type) {
		case nil:
			is = true
		case *string:
			*to, is = items[i].(string)
		case *int64:
			*to, is = items[i].(int64)
		case *float64:
			*to, is = items[i].(float64)
		case *pickleFunction:
			*to, is = items[i].(pickleFunction)
		case *pickledStorage:
			*to, is = items[i].(pickledStorage)
		case **networkTensor:
			*to, is = items[i].(*networkTensor)
		case **networkList:
			*to, is = items[i].(*networkList)
		case **networkTuple:
			*to, is = items[i].(*networkTuple)
		case *bool:
			*to, is = items[i].(bool)
		case *pickleHooks:
			*to, is = items[i].(pickleHooks)
		}
		ok = ok && is
	}
	return ok
}

// tensor reads (storage, offset, sizes, strides, requires_grad, hooks), and a dictionary of marks.
func (r *tensorReader) tensor(args []any) *networkTensor {
	var s pickledStorage
	var offset int64
	var sizes, strides *networkTuple
	var grad bool
	var hooks pickleHooks
	if !scan(args[:min(6, len(args))], &s, &offset, &sizes, &strides, &grad, &hooks) ||
		storageTypes[s.typeName].quantised || len(args) > 7 ||
		len(args) == 7 && !areMarks(args[6], s) {
		odd("makes a tensor in another way than PyTorch")
	}
	return s.within(offset, sizes, strides)
}

// areMarks reports whether v says of a tensor of complex numbers that it is conjugated or negated.
func areMarks(v any, s pickledStorage) bool {
	marks, is := v.(*networkDict)
	for i := 0; is && i < len(marks.keys); i++ {
		set, isBool := marks.values[i].(bool)
		is = isBool && (marks.keys[i] == "conj" || marks.keys[i] == "neg") &&
			(!set || storageTypes[s.typeName].complex)
	}
	return is
}

// quantised reads (storage, offset, sizes, strides, quantiser, requires_grad, hooks).
func (r *tensorReader) quantised(args []any) *networkTensor {
	var s pickledStorage
	var offset int64
	var sizes, strides, quantiser *networkTuple
	var grad bool
	var hooks pickleHooks
	if !scan(args, &s, &offset, &sizes, &strides, &quantiser, &grad, &hooks) ||
		!storageTypes[s.typeName].quantised {
		odd("makes a quantised tensor in another way than PyTorch")
	}
	t := s.within(offset, sizes, strides)
	var scheme pickleFunction
	var scale float64
	var zero, axis int64
	var scales, zeros *networkTensor
	switch {
	case scan(quantiser.items, &scheme, &scale, &zero) && scheme == "torch.per_tensor_affine":
		lowest, highest := zeroPoints(s.typeName)
		if !(scale > 0 && scale < 1e30) || zero < lowest || zero > highest {
			odd("has a tensor of %s that is quantised with the scale %g and the zero point %d",
				s.typeName, scale, zero)
		}
	case scan(quantiser.items, &scheme, &scales, &zeros, &axis) && byChannel[scheme]:
		if axis < 0 || axis >= int64(len(t.sizes)) ||
			!scales.isRow(t.sizes[axis], scaleTypes...) ||
			!zeros.isRow(t.sizes[axis], zeroTypes...) {
			odd("has a tensor of sizes %s that is quantised along dimension %d, "+
				"with scales of sizes %d and zero points of sizes %d",
				numbersText(sizes), axis, scales.sizes, zeros.sizes)
		}
	default:
		odd("has a tensor that is quantised in another way than this version knows")
	}
	return t
}

var (
	scaleTypes = []string{"torch.DoubleStorage", "torch.FloatStorage"}
	zeroTypes  = []string{"torch.LongStorage", "torch.IntStorage", "torch.FloatStorage"}
)

var byChannel = map[pickleFunction]bool{
	"torch.per_channel_affine": true, "torch.per_channel_affine_float_qparams": true,
}

// isRow reports whether the tensor has one dimension, of that size, and one of the types.
func (t *networkTensor) isRow(size int64, types ...string) bool {
	return len(t.sizes) == 1 && t.sizes[0] == size && slices.Contains(types, t.typeName)
}

// zeroPoints are the numbers that a quantised type has.
func zeroPoints(typeName string) (lowest, highest int64) {
	switch typeName {
	case "torch.QInt8Storage":
		return -128, 127
	case "torch.QUInt8Storage":
		return 0, 255
	}
	return -1 << 31, 1<<31 - 1
}

// within is the tensor of these sizes, which must lie in the storage as a whole.
func (s pickledStorage) within(offset int64, sizes, strides *networkTuple) *networkTensor {
	if len(sizes.items) != len(strides.items) || len(sizes.items) > mostDimensions {
		odd("has a tensor of %d sizes and %d strides", len(sizes.items), len(strides.items))
	}
	t := &networkTensor{typeName: s.typeName, sizes: make([]int64, len(sizes.items))}
	last, numbers, empty := offset, int64(1), false
	good := 0 <= offset && offset <= s.numbers
	for i := 0; good && i < len(sizes.items); i++ {
		size, isSize := sizes.items[i].(int64)
		stride, isStride := strides.items[i].(int64)
		if good = isSize && isStride && 0 <= size && size <= mostNumbers &&
			0 <= stride && stride <= mostNumbers; !good {
			break
		}
		t.sizes[i], empty = size, empty || size == 0
		size = max(size, 1)
		// The products are not computed where they would be too large.
		good = size <= mostNumbers/numbers && (stride == 0 || size-1 <= (mostNumbers-last)/stride)
		numbers *= size
		last += (size - 1) * stride
	}
	if !good || !empty && last >= s.numbers {
		odd("has a tensor of sizes %s and strides %s from number %d on, which is not within "+
			"the %d numbers of its record %.100q",
			numbersText(sizes), numbersText(strides), offset, s.numbers, s.record)
	}
	return t
}

// numbersText is a tuple of numbers for a message.
func numbersText(t *networkTuple) string { return fmt.Sprintf("%.100s", fmt.Sprint(t.items)) }
