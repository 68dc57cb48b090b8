package openapi

import (
	"bytes"
	_ "embed"
	"html/template"
	"sync"
)

// page is the document laid out for reading: what page.html shows.
type page struct {
	Title, Description string
	Keys               []string // the ways to send one
	Sections           []section
	Problems           []response
	Schemas            []schema
}

// section is the operations of a tag.
type section struct{ Operations []operation }

type operation struct {
	ID, Method, Path     string
	Summary, Description string
	SameAs               string // the path that it answers like; its own parameters and answers are then not told again
	Open                 bool   // never asks for a key
	Parameters           []field
	Bodies               []body
	Answers              []response
}

// body is one Content-Type of a request or an answer.
type body struct {
	Type, Description string
	Schema            string // its name in Schemas; "" for a plain one
	Examples          []example
}

type example struct{ Summary, Code string }

// response is an answer with one status.
type response struct {
	Status, Description string
	Headers             []field
	Bodies              []body
	Codes               []problem // of an error: what its Problem can say
}

type problem struct{ Code, When, Detail string }

//go:embed page.html
var pageSource string

// Page is the document as HTML in one of Languages; "" in any other. It needs the style sheets under web/ beside it, and
// nothing else.
func Page(language string) []byte {
	if make, known := pages[language]; known {
		return make()
	}
	return nil
}

// pages makes each page when it is first asked for.
var pages = map[string]func() []byte{
	English: sync.OnceValue(func() []byte { return mustRender(English, inEnglish) }),
	Chinese: sync.OnceValue(func() []byte { return mustRender(Chinese, inChinese()) }),
}

func mustRender(language string, t translate) []byte {
	p, err := read(document)
	if err != nil {
		panic(err) // the document is in the binary, and tests read it
	}
	b, err := render(p, language, t)
	if err != nil {
		panic(err)
	}
	return b
}

// render lays the page out. Everything that is to be read in a language goes through t; names, codes, JSON and the
// server's own sentences do not.
func render(p *page, language string, t translate) ([]byte, error) {
	layout, err := template.New("page").Funcs(template.FuncMap{
		"language": func() string { return language },
		"t":        t,
		"inline":   func(text string) template.HTML { return inline(t(text)) },
		"prose":    func(text string) template.HTML { return prose(text, t) },
		"kind":     func(k kind) template.HTML { return template.HTML(k.html(t)) },
	}).Parse(pageSource)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = layout.Execute(&b, p)
	return b.Bytes(), err
}

func read(data []byte) (*page, error) {
	doc, err := parse(data)
	if err != nil {
		return nil, err
	}
	p := &page{
		Title: doc.path("info", "title").text(), Description: doc.path("info", "description").text(),
	}
	for _, e := range doc.path("components", "securitySchemes").entries() {
		p.Keys = append(p.Keys, e.value.get("description").text())
	}
	for _, tag := range doc.get("tags").items() {
		p.Sections = append(p.Sections, section{operations(doc, tag.get("name").text())})
	}
	for _, e := range doc.path("components", "responses").entries() {
		r := readResponse("", e.value)
		if len(r.Codes) > 0 {
			p.Problems = append(p.Problems, r)
		}
	}
	for _, e := range doc.path("components", "schemas").entries() {
		if fields := properties(e.value); len(fields) > 0 {
			p.Schemas = append(p.Schemas, schema{e.key, e.value.get("description").text(), fields})
		}
	}
	return p, nil
}

func operations(doc node, tag string) []operation {
	var found []operation
	for _, at := range doc.get("paths").entries() {
		for _, method := range at.value.entries() {
			o := method.value
			if tags := o.get("tags").items(); len(tags) != 1 || tags[0].text() != tag {
				continue
			}
			known := operation{
				ID: o.get("operationId").text(), Method: method.key, Path: at.key,
				Summary: o.get("summary").text(), Description: o.get("description").text(),
				SameAs: o.get("x-same-as").text(),
				Open:   o.get("security").at != nil && len(o.get("security").items()) == 0,
			}
			for _, parameter := range o.get("parameters").items() {
				known.Parameters = append(known.Parameters, readParameter(parameter))
			}
			known.Bodies = readBodies(o.path("requestBody", "content"))
			for _, answer := range o.get("responses").entries() {
				known.Answers = append(known.Answers, readResponse(answer.key, answer.value))
			}
			found = append(found, known)
		}
	}
	return found
}

// everyAnswers is the header that no answer lacks.
const everyAnswers = "X-Request-Id"

func readResponse(status string, n node) response {
	r := response{Status: status, Description: n.get("description").text()}
	content := n.get("content")
	for _, e := range content.path("application/problem+json", "examples").entries() {
		value := e.value.get("value")
		r.Codes = append(r.Codes, problem{e.key, e.value.get("summary").text(), value.get("detail").text()})
		r.Status = value.get("status").text()
	}
	for _, header := range n.get("headers").entries() {
		if header.key == everyAnswers && len(r.Codes) > 0 {
			continue // told with the good answers; a dozen times more would only be in the way
		}
		f := readParameter(header.value)
		f.Name = header.key
		r.Headers = append(r.Headers, f)
	}
	if len(r.Codes) == 0 { // otherwise it is a Problem
		r.Bodies = readBodies(content)
	}
	return r
}

func readBodies(content node) []body {
	var bodies []body
	for _, media := range content.entries() {
		s := media.value.get("schema")
		b := body{Type: media.key, Description: s.get("description").text(), Schema: s.name}
		if value := media.value.get("example"); value.at != nil {
			b.Examples = append(b.Examples, example{Code: asJSON(value)})
		}
		for _, e := range media.value.get("examples").entries() {
			b.Examples = append(b.Examples, example{e.value.get("summary").text(), asJSON(e.value.get("value"))})
		}
		bodies = append(bodies, b)
	}
	return bodies
}
