{{/* The release's name, made to hold "vidi" once. */}}
{{- define "vidi.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What a Deployment and its Services find their pods by; it must never change. */}}
{{- define "vidi.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vidi.labels" -}}
{{ include "vidi.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Values that do not fit together end here, with what to do. */}}
{{- define "vidi.check" -}}
{{- if .Values.metrics.enabled }}
{{- if not .Values.keys.secret }}
{{- fail "metrics.enabled needs keys.secret: the admin port asks other machines for a key of role metrics, and refuses them all where there is no key file" }}
{{- end }}
{{- if not .Values.metrics.keySecret.name }}
{{- fail "metrics.enabled needs metrics.keySecret.name: the Secret that holds the key of role metrics for Prometheus" }}
{{- end }}
{{- end }}
{{- if and .Values.autoscaling.enabled .Values.autoscaling.queueLength (not .Values.metrics.enabled) }}
{{- fail "autoscaling.queueLength needs metrics.enabled: Prometheus measures the queue" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.queueLength) (not .Values.autoscaling.cpuPercent) }}
{{- fail "autoscaling.enabled needs cpuPercent or queueLength above 0: there is nothing to scale by" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is more than maxReplicas" }}
{{- end }}
{{- end }}
