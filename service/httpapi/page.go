package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/vidi-vision/vidi/service/openapi"
	"github.com/vidi-vision/vidi/service/web"
)

const welcomeText = `vidi tells what is in a picture.

    curl -F file=@picture.jpg http://%s/predict

In a browser, this address is a page to drop pictures on.
GET /api/v1/models lists what is served, GET /readyz says whether it is ready. GET /docs is a page that describes it all,
GET /openapi.yaml the same for programs.
`

// welcome answers who opens the server's address: a browser with the page, curl with a line that can be tried at once.
func (s *Server) welcome(c echo.Context) error {
	req := c.Request()
	c.Response().Header().Set(echo.HeaderVary, echo.HeaderAccept)
	if !strings.Contains(req.Header.Get(echo.HeaderAccept), "text/html") {
		return c.String(http.StatusOK, fmt.Sprintf(welcomeText, req.Host))
	}
	return sendNamed(c, web.Index)
}

// pageFile answers with one of the files that the page is made of.
func (s *Server) pageFile(c echo.Context) error { return sendNamed(c, c.Param("*")) }

func sendNamed(c echo.Context, name string) error {
	file, ok := web.Find(name)
	if !ok {
		return echo.ErrNotFound
	}
	return sendFile(c, file)
}

// The contract, as it was written and for people. Both are made once, on the first request.
var (
	contractFile = sync.OnceValue(func() web.File { return web.NewFile("openapi.yaml", openapi.Type, openapi.Document()) })
	docsFile     = sync.OnceValue(func() web.File { return web.NewFile("docs", "text/html; charset=utf-8", openapi.Page()) })
)

func (s *Server) openapi(c echo.Context) error { return sendFile(c, contractFile()) }

func (s *Server) docs(c echo.Context) error { return sendFile(c, docsFile()) }

// sendFile answers with a file of the page, or with 304 where the browser has the same. It must ask each time (no-cache):
// the files' names stay the same from one release to the next, and modules of two releases must not meet in one page.
func sendFile(c echo.Context, file web.File) error {
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, file.Type)
	h.Set(echo.HeaderContentSecurityPolicy, web.Policy)
	h.Set(echo.HeaderCacheControl, "no-cache")
	h.Set("ETag", file.ETag)
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, bytes.NewReader(file.Data))
	return nil
}
