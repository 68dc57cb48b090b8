package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const chart = "deploy/helm/vidi"

// everything turns on all that the chart can do.
const everything = `
image: {repository: registry.example/vidi, tag: 0.1.0, pullSecrets: [{name: registry}]}
env: {VIDI_PRECISION: bf16, VIDI_QUEUE: 64, VIDI_MAX_PIXELS: 100000000, VIDI_NO_EXIF: true, VIDI_LOG_FORMAT: text}
models: {name: pets, volume: {persistentVolumeClaim: {claimName: models, readOnly: true}}}
keys: {secret: vidi-keys}
service: {type: LoadBalancer, port: 80, annotations: {example.org/internal: "true"}}
drainSeconds: 15
graceSeconds: 60
autoscaling: {queueLength: 2}
metrics: {enabled: true, keySecret: {name: vidi-metrics}, labels: {release: prometheus}}
networkPolicy:
  clients: [{podSelector: {matchLabels: {app: shop}}}]
  egress: [{to: [{namespaceSelector: {matchLabels: {name: traces}}}], ports: [{port: 4318}]}]
podAnnotations: {example.org/a: b}
podLabels: {team: pictures}
nodeSelector: {kubernetes.io/arch: amd64}
tolerations: [{key: pictures, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: high
`

const fixed = `
replicas: 3
autoscaling: {enabled: false}
disruptionBudget: {enabled: false}
networkPolicy: {enabled: false}
`

// manifests are the documents that the chart makes of the values, by kind and name.
func manifests(t testing.TB, values string) map[string]string {
	t.Helper()
	made := map[string]string{}
	for _, document := range strings.Split(run(t, "build/helm", "template", "pictures", chart, "--namespace", "shop", "--values", valuesFile(t, values)), "\n---\n") {
		var head struct {
			Kind     string
			Metadata meta.ObjectMeta
		}
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatal(err)
		}
		if head.Kind == "" {
			continue
		}
		key := head.Kind + "/" + head.Metadata.Name
		if made[key] != "" || head.Metadata.Namespace != "shop" {
			t.Errorf("%s is there twice, or in the namespace %q", key, head.Metadata.Namespace)
		}
		made[key] = document
	}
	return made
}

func valuesFile(t testing.TB, values string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// object reads a manifest as the Go type that Kubernetes itself reads it into; a field that it does not have is an error.
func object[T any](t testing.TB, made map[string]string, key string) T {
	t.Helper()
	var o T
	if made[key] == "" {
		t.Fatalf("there is no %s", key)
	}
	if err := yaml.UnmarshalStrict([]byte(made[key]), &o); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return o
}

var settings = map[string]string{"defaults": "", "everything": everything, "fixed": fixed}

func TestChartLints(t *testing.T) {
	for name, values := range settings {
		if out := run(t, "build/helm", "lint", "--strict", chart, "--values", valuesFile(t, values)); strings.Contains(out, "[WARNING]") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
}

// Kubernetes' own schemas, of the oldest version that the chart says it is for and of a new one.
func TestManifestsFitKubernetes(t *testing.T) {
	folder, files := t.TempDir(), []string{}
	for name, values := range settings {
		for key, document := range manifests(t, values) {
			if strings.HasPrefix(key, "ServiceMonitor/") {
				continue // not Kubernetes' own; TestMetricsNeedAKey reads it into the operator's type
			}
			file := filepath.Join(folder, name+"-"+strings.ReplaceAll(key, "/", "-")+".yaml")
			if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
	}
	if len(files) < 12 {
		t.Fatalf("only %d manifests: %v", len(files), files)
	}
	for _, version := range []string{"1.25", "1.37"} {
		run(t, "build/deploy-venv/bin/kubernetes-validate", append([]string{"--strict", "-k", version}, files...)...)
	}
	wrong := filepath.Join(folder, "wrong.yaml")
	deployment := manifests(t, "")["Deployment/pictures-vidi"]
	if err := os.WriteFile(wrong, []byte(strings.Replace(deployment, "containers:", "container:", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if exec.Command(filepath.Join(root, "build/deploy-venv/bin/kubernetes-validate"), "--strict", "-k", "1.37", wrong).Run() == nil {
		t.Error("a wrong manifest is accepted, so that the right ones prove nothing")
	}
}

func TestPods(t *testing.T) {
	i := dockerfile(t)
	for name, values := range settings {
		t.Run(name, func(t *testing.T) {
			d := object[apps.Deployment](t, manifests(t, values), "Deployment/pictures-vidi")
			pod := d.Spec.Template.Spec
			if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 {
				t.Fatalf("containers: %+v", pod.Containers)
			}
			c := pod.Containers[0]
			env := map[string]string{}
			for _, v := range c.Env {
				if _, twice := env[v.Name]; twice {
					t.Errorf("%s is set twice", v.Name)
				}
				env[v.Name] = v.Value
				areFlags(t, "the chart", v.Name)
			}
			if name == "everything" && env["VIDI_MAX_PIXELS"] != "100000000" { // Helm reads numbers as floats
				t.Errorf("VIDI_MAX_PIXELS is %q", env["VIDI_MAX_PIXELS"])
			}
			if user, _, _ := strings.Cut(i.user, ":"); pod.SecurityContext.RunAsUser == nil || user != fmt.Sprint(*pod.SecurityContext.RunAsUser) || !*pod.SecurityContext.RunAsNonRoot {
				t.Errorf("the image's user is %s, the pod's security context %+v", i.user, pod.SecurityContext)
			}
			if pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault || *pod.AutomountServiceAccountToken || *pod.EnableServiceLinks {
				t.Errorf("%+v", pod)
			}
			if s := c.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
				t.Errorf("%+v", s)
			}
			if needed := duration(t, env["VIDI_DRAIN_DELAY"]) + duration(t, env["VIDI_GRACE"]); time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second < needed+5*time.Second {
				t.Errorf("a stop may take %v, and gets %d s", needed, *pod.TerminationGracePeriodSeconds)
			}
			ports := map[string]int32{}
			for _, p := range c.Ports {
				ports[p.Name] = p.ContainerPort
			}
			if env["VIDI_ADDR"] != i.env["VIDI_ADDR"] || !strings.HasSuffix(env["VIDI_ADDR"], ":"+fmt.Sprint(ports["http"])) {
				t.Errorf("ports %v, VIDI_ADDR %s", ports, env["VIDI_ADDR"])
			}
			if open := strings.HasPrefix(env["VIDI_ADMIN_ADDR"], "0.0.0.0:"); open != (ports["admin"] != 0) || open != (name == "everything") {
				t.Errorf("ports %v, VIDI_ADMIN_ADDR %s", ports, env["VIDI_ADMIN_ADDR"])
			}
			for path, probe := range map[string]*core.Probe{"/readyz": c.StartupProbe, "/readyz ": c.ReadinessProbe, "/livez": c.LivenessProbe} {
				if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != strings.TrimSpace(path) || probe.HTTPGet.Port.StrVal != "http" {
					t.Errorf("%s: %+v", path, probe)
				}
			}
			if cpu := c.Resources.Limits.Cpu(); cpu.MilliValue()%1000 != 0 || !c.Resources.Requests.Cpu().Equal(*cpu) || c.Resources.Limits.Memory().Value() < 1<<30+256<<20+400<<20 {
				t.Errorf("%+v", c.Resources)
			}
			mounts := map[string]string{}
			for _, m := range c.VolumeMounts {
				mounts[m.MountPath] = m.Name
				if !m.ReadOnly || m.SubPath != "" {
					t.Errorf("%+v", m)
				}
			}
			if name == "everything" {
				if mounts[modelsFolder(t, i)] != "models" || mounts[filepath.Dir(env["VIDI_KEYS"])] != "keys" || len(pod.Volumes) != 2 || env["VIDI_MODEL"] != "pets" {
					t.Errorf("mounts %v, environment %v", mounts, env)
				}
			} else if len(mounts) > 0 {
				t.Errorf("mounts %v", mounts)
			}
			if replicas := d.Spec.Replicas; (replicas != nil) != (name == "fixed") || replicas != nil && *replicas != 3 {
				t.Errorf("replicas: %v", replicas)
			}
			labels := d.Spec.Template.Labels
			for key, value := range d.Spec.Selector.MatchLabels {
				if labels[key] != value {
					t.Errorf("the Deployment does not select its own pods: %v", labels)
				}
			}
		})
	}
}

func TestServicesScaleAndPolicy(t *testing.T) {
	made := manifests(t, everything)
	labels := object[apps.Deployment](t, made, "Deployment/pictures-vidi").Spec.Template.Labels
	selects := func(selector map[string]string) bool {
		for key, value := range selector {
			if labels[key] != value {
				return false
			}
		}
		return len(selector) > 0
	}
	public := object[core.Service](t, made, "Service/pictures-vidi")
	if len(public.Spec.Ports) != 1 || public.Spec.Ports[0].TargetPort.StrVal != "http" || !selects(public.Spec.Selector) {
		t.Errorf("%+v", public.Spec)
	}
	if admin := object[core.Service](t, made, "Service/pictures-vidi-admin"); admin.Spec.ClusterIP != core.ClusterIPNone || !selects(admin.Spec.Selector) {
		t.Errorf("%+v", admin.Spec)
	}
	hpa := object[autoscaling.HorizontalPodAutoscaler](t, made, "HorizontalPodAutoscaler/pictures-vidi")
	if m := hpa.Spec.Metrics; hpa.Spec.ScaleTargetRef.Name != "pictures-vidi" || len(m) != 2 || m[0].Resource.Name != core.ResourceCPU || m[1].Pods.Metric.Name != "vidi_queue_length" {
		t.Errorf("%+v", hpa.Spec)
	}
	if pdb := object[policy.PodDisruptionBudget](t, made, "PodDisruptionBudget/pictures-vidi"); !selects(pdb.Spec.Selector.MatchLabels) || pdb.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%+v", pdb.Spec)
	}
	policies := []networking.PolicyType{networking.PolicyTypeIngress, networking.PolicyTypeEgress}
	for values, want := range map[string]struct{ in, out int }{"": {1, 0}, everything: {2, 1}} {
		np := object[networking.NetworkPolicy](t, manifests(t, values), "NetworkPolicy/pictures-vidi")
		if !slices.Equal(np.Spec.PolicyTypes, policies) || len(np.Spec.Egress) != want.out || len(np.Spec.Ingress) != want.in || !selects(np.Spec.PodSelector.MatchLabels) {
			t.Errorf("%+v", np.Spec)
		}
		for _, in := range np.Spec.Ingress[1:] {
			if in.Ports[0].Port.StrVal != "admin" || len(in.From) == 0 {
				t.Errorf("the admin port lets in everybody: %+v", in)
			}
		}
	}
	for _, absent := range []string{"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"} {
		if manifests(t, fixed)[absent+"/pictures-vidi"] != "" {
			t.Errorf("%s was not turned off", absent)
		}
	}
}

func TestMetricsNeedAKey(t *testing.T) {
	made := manifests(t, everything)
	monitor := object[monitoring.ServiceMonitor](t, made, "ServiceMonitor/pictures-vidi")
	service := object[core.Service](t, made, "Service/pictures-vidi-admin")
	for key, value := range monitor.Spec.Selector.MatchLabels {
		if service.Labels[key] != value {
			t.Errorf("the ServiceMonitor does not select the Service of the admin port: %v", service.Labels)
		}
	}
	if e := monitor.Spec.Endpoints; len(e) != 1 || e[0].Port != service.Spec.Ports[0].Name || e[0].Path != "/metrics" || e[0].Authorization.Credentials.Name != "vidi-metrics" {
		t.Errorf("%+v", e)
	}
	if manifests(t, "")["ServiceMonitor/pictures-vidi"] != "" {
		t.Error("metrics are on by default, but they need keys")
	}
}

// Values that cannot work are refused with what to do.
func TestChartRefuses(t *testing.T) {
	for values, want := range map[string]string{
		"metrics: {enabled: true}":                      "metrics.enabled needs keys.secret",
		"{metrics: {enabled: true}, keys: {secret: a}}": "metrics.enabled needs metrics.keySecret.name",
		"autoscaling: {queueLength: 3}":                 "autoscaling.queueLength needs metrics.enabled",
		"autoscaling: {cpuPercent: 0}":                  "nothing to scale by",
		"autoscaling: {minReplicas: 5, maxReplicas: 4}": "minReplicas is more than maxReplicas",
		"env: {VIDI_ADDR: 0.0.0.0:80}":                  "VIDI_ADDR",
		"env: {DEBUG: 1}":                               "DEBUG",
		"replica: 3":                                    "replica",
		"disruptionBudget: {maxUnavailable: some}":      "maxUnavailable",
		"networkPolicy: {prometheus: monitoring}":       "prometheus",
		"metrics: {interval: often}":                    "interval",
		"image: {repository: ''}":                       "repository",
		"service: {port: 0}":                            "port",
	} {
		out, err := exec.Command(filepath.Join(root, "build/helm"), "template", "pictures", filepath.Join(root, chart), "--values", valuesFile(t, values)).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, %s", values, err, out)
		}
	}
}
