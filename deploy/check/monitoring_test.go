package check

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// inside is set in the copy of this test that has a network of its own, where vidi's ports are free and nothing leads out.
const inside = "VIDI_CHECK_INSIDE"

// TestMonitoring starts vidi and Prometheus as docker-compose.yml does, with the files that it mounts, in one network
// namespace without a way out: there is data behind every panel of the dashboard, and no key was needed.
func TestMonitoring(t *testing.T) {
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMonitoring$", "-test.v", "-test.timeout=2m")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if os.Getuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if !strings.Contains(string(out), "--- PASS: TestMonitoring") {
			t.Fatalf("it did not run:\n%s", out)
		}
		return
	}
	p := project(t)
	ip(t, "link", "set", "lo", "up")

	server := p.Services["vidi"]
	vidi := exec.Command(filepath.Join(root, "bin/vidi"), "serve")
	vidi.Env = append(os.Environ(), "VIDI_ADDR="+dockerfile(t).env["VIDI_ADDR"], "VIDI_MODELS="+filepath.Join(root, "build/models"), "VIDI_MODEL=efficientnet-lite0")
	for name, v := range server.Environment {
		if v != nil {
			vidi.Env = append(vidi.Env, name+"="+*v)
		}
	}
	log := begin(t, vidi)
	base := "http://127.0.0.1:5000"
	until(t, "a ready server", log, func() bool { code, _ := ask(base + "/readyz"); return code == 200 })
	for _, path := range []string{"/livez", "/"} {
		if code, _ := ask(base + path); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
	}

	// Without a route, follow.sh waits for the next start.
	prometheus := prometheusOf(t, p.Services["prometheus"].Entrypoint, p.Services["prometheus"].Command)
	if out, err := prometheus().CombinedOutput(); err == nil || !strings.Contains(string(out), "no network yet") {
		t.Errorf("without a network: %v, %s", err, out)
	}
	ip(t, "route", "add", "192.0.2.0/24", "dev", "lo") // stands for the container's network
	program := prometheus()
	log = begin(t, program)
	until(t, "answer of vidi to Prometheus", log, func() bool { return len(query(t, "vidi_ready == 1")) == 1 })
	post(t, base, "examples/espresso.png", 200, "espresso")
	post(t, base, "README.md", 415, "unsupported_format") // for the panels of what goes wrong
	checkPanels(t, log)
	if code, body := ask("http://127.0.0.1:9090/api/v1/rules"); code != 200 || !strings.Contains(body, "VidiDown") || strings.Contains(body, `"health":"err"`) {
		t.Errorf("the alert rules: %d %s", code, body)
	}

	// vidi's container is started anew: its old network is gone, and Prometheus ends by itself.
	ip(t, "route", "del", "192.0.2.0/24", "dev", "lo")
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()
	select {
	case err := <-ended:
		if err != nil || !strings.Contains(log(), "the network is gone") {
			t.Errorf("it ended with %v\n%s", err, log())
		}
	case <-time.After(20 * time.Second):
		t.Errorf("Prometheus stays in a network that is gone\n%s", log())
	}

	// A signal reaches Prometheus through the script.
	ip(t, "route", "add", "192.0.2.0/24", "dev", "lo")
	program = prometheus()
	log = begin(t, program)
	until(t, "Prometheus again", log, func() bool { code, _ := ask("http://127.0.0.1:9090/-/ready"); return code == 200 })
	if err := program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := program.Wait(); err != nil || !strings.Contains(log(), "See you next time!") {
		t.Errorf("after SIGTERM: %v\n%s", err, log())
	}
}

// prometheusOf gives the service's command, with this machine's paths for the container's, and asking every second.
func prometheusOf(t *testing.T, entrypoint, command []string) func() *exec.Cmd {
	config := filepath.Join(t.TempDir(), "config")
	if err := os.CopyFS(config, os.DirFS(filepath.Join(root, "deploy/prometheus"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(config, "prometheus.yml")
	text := read(t, "deploy/prometheus/prometheus.yml")
	often := strings.ReplaceAll(text, "_interval: 15s", "_interval: 1s")
	if often == text {
		t.Fatal("the interval is not the one that this test makes shorter")
	}
	if err := os.WriteFile(file, []byte(often), 0o600); err != nil {
		t.Fatal(err)
	}
	paths := strings.NewReplacer("/bin/prometheus", filepath.Join(root, "build/prometheus/prometheus"), "/etc/prometheus", config, "=/prometheus", "="+t.TempDir())
	var args []string
	for _, a := range append(slices.Clone(entrypoint), command...) {
		args = append(args, paths.Replace(a))
	}
	return func() *exec.Cmd { return exec.Command(args[0], args[1:]...) }
}

// checkPanels asks Prometheus what each panel of the dashboard would ask, through the data source that Grafana is given.
func checkPanels(t *testing.T, log func() string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title      string
			Datasource struct{ UID string }
			Targets    []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/vidi.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	asked := 0
	variables := strings.NewReplacer("$instance", ".*", "$__rate_interval", "1m", "$__range", "1m", "$__interval", "15s")
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) > 0 && panel.Datasource.UID != "${datasource}" {
			t.Errorf("%s has the data source %q", panel.Title, panel.Datasource.UID)
		}
		for _, target := range panel.Targets {
			asked++
			expression := variables.Replace(target.Expr)
			if strings.Contains(expression, "$") {
				t.Errorf("%s uses a variable that is not known here: %s", panel.Title, expression)
			}
			if strings.Contains(expression, "vidi_shadow_") {
				// There is no shadow here, so there are no figures of one: that Prometheus understands the question must do.
				if found := query(t, expression); len(found) != 0 {
					t.Errorf("%s has data without a shadow: %v", panel.Title, found)
				}
				continue
			}
			until(t, "data for "+panel.Title+": "+expression, log, func() bool { return len(query(t, expression)) > 0 })
		}
	}
	if asked < 10 {
		t.Errorf("the dashboard asks for %d things only", asked)
	}
}

// Grafana's files lead to that Prometheus and to that dashboard.
func TestGrafanaIsProvisioned(t *testing.T) {
	p := project(t)
	prometheus, grafana := p.Services["prometheus"], p.Services["grafana"]
	var sources struct {
		APIVersion  int `json:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault, Editable          bool
			JSONData                     map[string]any
		}
	}
	strict(t, "deploy/grafana/provisioning/datasources/prometheus.yml", &sources)
	if len(sources.Datasources) != 1 {
		t.Fatalf("%+v", sources)
	}
	source := sources.Datasources[0]
	address, err := url.Parse(source.URL)
	if err != nil {
		t.Fatal(err)
	}
	// The dashboard asks the default source; Prometheus answers under the name of the service whose network it shares.
	if source.Type != "prometheus" || source.Access != "proxy" || !source.IsDefault || prometheus.NetworkMode != "service:"+address.Hostname() ||
		!slices.Contains(prometheus.Command, "--web.listen-address=0.0.0.0:"+address.Port()) {
		t.Errorf("%+v does not lead to Prometheus: %s %v", source, prometheus.NetworkMode, prometheus.Command)
	}
	var dashboards struct {
		APIVersion int `json:"apiVersion"`
		Providers  []struct {
			Name, Type                      string
			DisableDeletion, AllowUIUpdates bool
			Options                         struct{ Path string }
		}
	}
	strict(t, "deploy/grafana/provisioning/dashboards/vidi.yml", &dashboards)
	mounts := map[string]string{}
	for _, v := range grafana.Volumes {
		mounts[v.Target] = v.Source
	}
	file := filepath.Join(dashboards.Providers[0].Options.Path, "vidi.json")
	if mounts[file] != filepath.Join(root, "deploy/grafana/vidi.json") || value(grafana, "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH") != file {
		t.Errorf("the dashboard is not at %s: %v", file, mounts)
	}
	for _, folder := range []string{"datasources", "dashboards"} {
		if mounts["/etc/grafana/provisioning/"+folder] != filepath.Join(root, "deploy/grafana/provisioning", folder) {
			t.Errorf("%s: %v", folder, mounts)
		}
	}
	for name := range grafana.Environment {
		if !regexp.MustCompile(`^GF_(ANALYTICS|AUTH|DASHBOARDS|NEWS|PLUGINS|SECURITY)_[A-Z_]+$`).MatchString(name) {
			t.Errorf("%s is no setting of Grafana", name)
		}
	}
}

func strict(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(read(t, file)), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v %s", args, err, out)
	}
}

// begin starts a program, which the end of the test kills, and returns how to see what it has said so far.
func begin(t *testing.T, cmd *exec.Cmd) (log func() string) {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what a script has started goes with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return func() string {
		data, _ := os.ReadFile(file.Name())
		return string(data)
	}
}

func until(t *testing.T, what string, log func() string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("there is no %s\n%s", what, log())
}

func ask(address string) (int, string) {
	response, err := http.Get(address)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

// query is the series that Prometheus has for the expression now.
func query(t *testing.T, expression string) []any {
	t.Helper()
	code, body := ask("http://127.0.0.1:9090/api/v1/query?query=" + url.QueryEscape(expression))
	if code == 0 || code == http.StatusServiceUnavailable {
		return nil // it starts
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []any }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s: %d %s", expression, code, body)
	}
	return answer.Data.Result
}

func post(t *testing.T, base, file string, status int, says string) {
	t.Helper()
	response, err := http.Post(base+"/predict", "application/octet-stream", strings.NewReader(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != status || !strings.Contains(string(body), says) {
		t.Fatalf("%s: %d %s", file, response.StatusCode, body)
	}
}
