// Package openapi is the contract of the HTTP API as a document, openapi.yaml, and as a page for people. Tests hold the
// server's answers to it; see service/httpapi/contract_test.go and `make test-schema`.
package openapi

import _ "embed"

//go:embed openapi.yaml
var document []byte

// Document is openapi.yaml as it was written: OpenAPI 3.1, complete in itself.
func Document() []byte { return document }

// Type is the document's Content-Type (RFC 9512).
const Type = "application/yaml"
