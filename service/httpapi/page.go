package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/text/language"

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

// The contract, as it was written and for people. Each is made once, on the first request.
var (
	contractFile = sync.OnceValue(func() web.File { return web.NewFile("openapi.yaml", openapi.Type, openapi.Document()) })
	docsFiles    = map[string]func() web.File{openapi.English: docsFile(openapi.English), openapi.Chinese: docsFile(openapi.Chinese)}
)

func docsFile(language string) func() web.File {
	return sync.OnceValue(func() web.File { return web.NewFile("docs", "text/html; charset=utf-8", openapi.Page(language)) })
}

func (s *Server) openapi(c echo.Context) error { return sendFile(c, contractFile()) }

func (s *Server) docs(c echo.Context) error {
	tag := docsLanguage(c.QueryParam("lang"), c.Request().Header.Get("Accept-Language"))
	h := c.Response().Header()
	h.Set("Content-Language", tag)
	h.Add(echo.HeaderVary, "Accept-Language")
	return sendFile(c, docsFiles[tag]())
}

// docsLanguage is what to show /docs in: what was chosen on it or on the page (lang, as in a prediction), or else what the
// browser likes best of what there is.
func docsLanguage(chosen, accepted string) string {
	switch tag, _ := answerLanguage(chosen); tag {
	case "zh":
		return openapi.Chinese
	case "en":
		return openapi.English
	}
	liked, _, err := language.ParseAcceptLanguage(accepted)
	if err != nil {
		return openapi.English
	}
	if _, best, _ := docsLanguages.Match(liked...); best == 0 {
		return openapi.English
	}
	return openapi.Chinese
}

// docsLanguages has English first: it is the answer where nothing fits. Who reads one Chinese script reads the other.
var docsLanguages = language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese, language.TraditionalChinese})

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
