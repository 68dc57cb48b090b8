package openapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"sync"
)

// page is the document laid out for reading: what page.html shows.
type page struct {
	Title, Summary string
	Description    string
	Keys           []securityScheme
	Sections       []section
	Problems       []response
	Schemas        []schema
}

type securityScheme struct{ Name, Description string }

// section is the operations of a tag.
type section struct {
	Name, Description string
	Operations        []operation
}

type operation struct {
	ID, Method, Path     string
	Summary, Description string
	Open                 bool // never asks for a key
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

type example struct{ Name, Summary, Code string }

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

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"prose": prose, "inline": inline}).Parse(pageSource))

// Page is the document as HTML. It needs the page's own style sheets under web/ beside it, and nothing else.
var Page = sync.OnceValue(func() []byte {
	p, err := read(document)
	if err != nil {
		panic(err) // the document is in the binary, and tests read it
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		panic(err)
	}
	return b.Bytes()
})

func read(data []byte) (*page, error) {
	doc, err := parse(data)
	if err != nil {
		return nil, err
	}
	p := &page{
		Title: doc.path("info", "title").text(), Summary: doc.path("info", "summary").text(), Description: doc.path("info", "description").text(),
	}
	for _, e := range doc.path("components", "securitySchemes").entries() {
		p.Keys = append(p.Keys, securityScheme{e.key, e.value.get("description").text()})
	}
	for _, tag := range doc.get("tags").items() {
		s := section{Name: tag.get("name").text(), Description: tag.get("description").text()}
		if s.Operations, err = operations(doc, s.Name); err != nil {
			return nil, err
		}
		p.Sections = append(p.Sections, s)
	}
	for _, e := range doc.path("components", "responses").entries() {
		r, err := readResponse("", e.value)
		if err != nil {
			return nil, err
		}
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

func operations(doc node, tag string) ([]operation, error) {
	var found []operation
	for _, at := range doc.get("paths").entries() {
		for _, method := range at.value.entries() {
			o := method.value
			if tags := o.get("tags").items(); len(tags) != 1 || tags[0].text() != tag {
				continue
			}
			read := operation{
				ID: o.get("operationId").text(), Method: method.key, Path: at.key,
				Summary: o.get("summary").text(), Description: o.get("description").text(),
				Open: o.get("security").at != nil && len(o.get("security").items()) == 0,
			}
			for _, parameter := range o.get("parameters").items() {
				read.Parameters = append(read.Parameters, readParameter(parameter))
			}
			var err error
			if read.Bodies, err = readBodies(o.path("requestBody", "content")); err != nil {
				return nil, err
			}
			for _, answer := range o.get("responses").entries() {
				r, err := readResponse(answer.key, answer.value)
				if err != nil {
					return nil, err
				}
				read.Answers = append(read.Answers, r)
			}
			found = append(found, read)
		}
	}
	return found, nil
}

func readResponse(status string, n node) (response, error) {
	r := response{Status: status, Description: n.get("description").text()}
	for _, header := range n.get("headers").entries() {
		f := readParameter(header.value)
		f.Name = header.key
		r.Headers = append(r.Headers, f)
	}
	content := n.get("content")
	for _, e := range content.path("application/problem+json", "examples").entries() {
		value := e.value.get("value")
		r.Codes = append(r.Codes, problem{e.key, e.value.get("summary").text(), value.get("detail").text()})
		r.Status = value.get("status").text()
	}
	if len(r.Codes) > 0 {
		return r, nil // its body is always a Problem
	}
	var err error
	r.Bodies, err = readBodies(content)
	return r, err
}

func readBodies(content node) ([]body, error) {
	var bodies []body
	for _, media := range content.entries() {
		s := media.value.get("schema")
		b := body{Type: media.key, Description: s.get("description").text(), Schema: s.name}
		add := func(name, summary string, value node) error {
			v, err := value.value()
			if err != nil {
				return err
			}
			text, err := json.MarshalIndent(v, "", "  ")
			b.Examples = append(b.Examples, example{name, summary, string(text)})
			return err
		}
		if value := media.value.get("example"); value.at != nil {
			if err := add("", "", value); err != nil {
				return nil, err
			}
		}
		for _, e := range media.value.get("examples").entries() {
			if err := add(e.key, e.value.get("summary").text(), e.value.get("value")); err != nil {
				return nil, err
			}
		}
		bodies = append(bodies, b)
	}
	return bodies, nil
}
