package operators

import (
	"fmt"
	"strings"
)

// setState is the method that libtorch calls while it reads an object from the archive. No budget
// of time holds there, since the module that would be changed to keep it does not exist yet.
const setState = "__setstate__"

// mostCalls bounds the calls of one __setstate__: without loops only functions that call others
// twice, which call others twice, make many.
const mostCalls = 1000

// implicit are methods that no name in the code calls, and that exporters write.
var implicit = map[string]bool{setState: true, "__getstate__": true, "__init__": true, "__len__": true}

// unsteady are operators whose result is another one in another process, so that a trial proves
// nothing, and those whose result has memory that nobody has filled.
var unsteady = map[string]bool{
	"_no_grad_normal_": true, "_no_grad_uniform_": true, "alpha_dropout": true, "alpha_dropout_": true,
	"bernoulli": true, "bernoulli_": true, "binomial": true, "cauchy": true, "cauchy_": true,
	"dropout": true, "dropout_": true, "exponential": true, "exponential_": true,
	"feature_alpha_dropout": true, "feature_alpha_dropout_": true, "feature_dropout": true,
	"feature_dropout_": true, "geometric": true, "geometric_": true, "log_normal": true,
	"log_normal_": true, "multinomial": true, "native_dropout": true, "normal": true, "normal_": true,
	"normal_functional": true, "poisson": true, "rand": true, "rand_like": true, "randint": true,
	"randint_like": true, "randn": true, "randn_like": true, "random": true, "random_": true,
	"randperm": true, "rrelu": true, "rrelu_": true, "rrelu_with_noise": true,
	"rrelu_with_noise_": true, "rrelu_with_noise_functional": true, "uniform": true, "uniform_": true,
	"empty": true, "empty_like": true, "empty_permuted": true, "empty_strided": true,
	"new_empty": true, "new_empty_strided": true,
}

// function is the tokens of one function or method, from its name on.
type function struct {
	record string
	tokens []token
}

// loading finds what could take for ever, or do something else than in the trial, of what runs
// while the archive is loaded. Functions are known by their last name alone, so that it does not
// matter how one is called: each of that name is looked at.
type loading struct {
	functions map[string][]function
	classes   map[string]bool
	calls     map[string]int // that a function makes, itself included; 0 while that is being counted
	add       func(name, record string, line int, why string)
}

func (k *checker) checkLoading(records []string, lists map[string][]token) {
	l := loading{functions: map[string][]function{}, classes: map[string]bool{}, calls: map[string]int{}, add: k.add}
	for _, record := range records {
		list := lists[record]
		for i, start := 0, -1; i <= len(list); i++ {
			if i < len(list) && !list[i].is("def") && !list[i].is("class") {
				continue
			}
			if start >= 0 {
				name := list[start].text
				l.functions[name] = append(l.functions[name], function{record, list[start:i]})
			}
			start = -1
			if i+1 < len(list) && list[i].is("def") {
				start = i + 1
			} else if i+1 < len(list) {
				l.classes[list[i+1].text] = true
			}
		}
	}
	if l.functions[setState] == nil {
		return
	}
	for _, name := range sortedKeys(l.functions) {
		if !implicit[name] && strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__") {
			f := l.functions[name][0]
			l.add(name, f.record, f.tokens[0].line, "could run while the file is loaded, without being called by its name")
		}
	}
	for _, name := range []string{setState, "__init__", "__len__"} {
		l.count(name)
	}
}

// body is what follows the parameters, whose types name classes.
func (f function) body() []token {
	depth := 0
	for i, t := range f.tokens {
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			if depth--; depth == 0 {
				return f.tokens[i+1:]
			}
		}
	}
	return f.tokens[1:]
}

// count is how many calls the function makes, at most, and looks at each function the first time.
func (l *loading) count(name string) int {
	if n, known := l.calls[name]; known {
		if n == 0 {
			f := l.functions[name][0]
			l.add(name, f.record, f.tokens[0].line, "calls itself, and runs while the file is loaded")
			return 1
		}
		return n
	}
	l.calls[name] = 0
	most := 1
	for _, f := range l.functions[name] {
		calls := 1
		for _, t := range f.body() {
			called := t.text
			switch {
			case called == "len":
				called = "__len__"
			case l.classes[called]:
				called = "__init__"
			}
			switch {
			case t.is("for"), t.is("while"):
				l.add(t.text, f.record, t.line, "is a loop that runs while the file is loaded, when nothing could end it")
			case t.is("fork"):
				l.add(t.text, f.record, t.line, "starts a thread while the file is loaded")
			case t.kind == word && unsteady[t.text]:
				l.add(t.text, f.record, t.line, "runs while the file is loaded, and has another result each time")
			case (t.kind == word || t.kind == textKind) && l.functions[called] != nil:
				calls += l.count(called)
			}
		}
		if calls > mostCalls {
			l.add(f.tokens[0].text, f.record, f.tokens[0].line, fmt.Sprintf("makes more than %d calls while the file is loaded", mostCalls))
			calls = mostCalls
		}
		most = max(most, calls)
	}
	l.calls[name] = most
	return most
}
