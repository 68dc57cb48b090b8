package httpapi

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
)

// askAs sends a picture to addr under a Host, with headers, which are pairs, and answers with the status and the problem's code.
func askAs(t *testing.T, addr, method, path, host string, headers ...string) (int, api.Code) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader("picture"))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var problem api.Problem
	_ = json.NewDecoder(response.Body).Decode(&problem) // other answers have no code
	return response.StatusCode, problem.Code
}

// Row R11: on loopback the server answers to names that always lead here, and to its own and other programs' requests, not to those
// that another web site has a browser send.
func TestLoopbackIsKeptToThisMachine(t *testing.T) {
	local, _ := ready(&fake{}, nil)
	named, _ := ready(&fake{}, func(c *Config) { c.CORSOrigins = []string{"https://shop.example", "http://localhost:3000"} })
	all, _ := ready(&fake{}, func(c *Config) { c.CORSOrigins = []string{"*"} })
	atLocal, atNamed, atAll := listen(t, local), listen(t, named), listen(t, all)
	port := atLocal[strings.LastIndexByte(atLocal, ':'):]
	const post, get = http.MethodPost, http.MethodGet
	for name, c := range map[string]struct {
		addr, method, path, host string
		headers                  []string
		refused                  bool
	}{
		"curl":                         {atLocal, post, "/predict", atLocal, nil, false},
		"localhost":                    {atLocal, post, "/predict", "localhost" + port, nil, false},
		"LOCALHOST.":                   {atLocal, post, "/predict", "LOCALHOST." + port, nil, false},
		"IPv6":                         {atLocal, post, "/predict", "[::1]" + port, nil, false},
		"without a port":               {atLocal, get, "/", "127.0.0.1", nil, false},
		"DNS rebinding":                {atLocal, post, "/predict", "evil.example" + port, nil, true},
		"DNS rebinding, a look":        {atLocal, get, "/api/v1/models", "evil.example" + port, nil, true},
		"DNS rebinding, a probe":       {atLocal, get, "/livez", "evil.example", nil, true},
		"DNS rebinding, the page":      {atLocal, get, "/", "evil.example", nil, true},
		"a name of one word":           {atLocal, get, "/", "evil", nil, true},
		"looks like here":              {atLocal, get, "/", "localhost.evil.example", nil, true},
		"another address":              {atLocal, get, "/", "192.0.2.7", nil, true},
		"rebinding, its own origin":    {atLocal, post, "/predict", "evil.example" + port, []string{"Origin", "http://evil.example" + port}, true},
		"the page":                     {atLocal, post, "/predict", atLocal, []string{"Origin", "http://" + atLocal, "Sec-Fetch-Site", "same-origin"}, false},
		"the page, old browser":        {atLocal, post, "/predict", atLocal, []string{"Origin", "http://" + atLocal}, false},
		"typed":                        {atLocal, get, "/", atLocal, []string{"Sec-Fetch-Site", "none"}, false},
		"a link elsewhere":             {atLocal, get, "/", atLocal, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, false},
		"another site":                 {atLocal, post, "/predict", atLocal, []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, true},
		"another site, old browser":    {atLocal, post, "/predict", atLocal, []string{"Origin", "https://evil.example"}, true},
		"another site, no CORS":        {atLocal, post, "/predict", atLocal, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, true},
		"a file's page":                {atLocal, post, "/predict", atLocal, []string{"Origin", "null"}, true},
		"another port's page":          {atLocal, post, "/predict", "localhost" + port, []string{"Origin", "http://localhost:1", "Sec-Fetch-Site", "same-site"}, true},
		"a proxy, hidden, https":       {atLocal, post, "/predict", atLocal, []string{"Origin", "https://vidi.example", "Sec-Fetch-Site", "same-origin"}, false},
		"allowed site":                 {atNamed, post, "/predict", atNamed, []string{"Origin", "https://shop.example", "Sec-Fetch-Site", "cross-site"}, false},
		"allowed page of another port": {atNamed, post, "/predict", "localhost", []string{"Origin", "http://localhost:3000", "Sec-Fetch-Site", "same-site"}, false},
		"a proxy with that name":       {atNamed, post, "/predict", "shop.example", []string{"Origin", "https://shop.example", "Sec-Fetch-Site", "same-origin"}, false},
		"a program through it":         {atNamed, post, "/predict", "Shop.Example:443", nil, false},
		"a site that is not allowed":   {atNamed, post, "/predict", atNamed, []string{"Origin", "https://evil.example"}, true},
		"any site":                     {atAll, post, "/predict", "evil.example", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, false},
	} {
		status, code := askAs(t, c.addr, c.method, c.path, c.host, c.headers...)
		if refused := status == http.StatusForbidden && code == api.ForeignSite; refused != c.refused || !refused && status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
}

// Beyond loopback nobody knows what the server is called, and anybody may ask.
func TestOtherAddressesHaveAnyName(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	defer s.http.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if status, code := askAs(t, "127.0.0.1:"+port, http.MethodPost, "/predict", "vidi.example", "Origin", "https://evil.example"); status != 200 {
		t.Errorf("%d %s", status, code)
	}
}
