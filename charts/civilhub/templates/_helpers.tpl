{{/* Names, labels, image: what every resource has. */}}

{{- define "civilhub.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "civilhub.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "civilhub.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "civilhub.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* A name of the release with something behind it, at most 63 characters; long ends keep a hash that tells them apart. */}}
{{- define "civilhub.named" -}}
{{- $name := printf "%s-%s" (include "civilhub.fullname" .root) .suffix -}}
{{- if gt (len $name) 63 -}}
{{- printf "%s-%s" (trunc 54 $name | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "civilhub.selector" -}}
app.kubernetes.io/name: {{ include "civilhub.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "civilhub.labels" -}}
{{ include "civilhub.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}

{{/* The metadata of a resource. Arguments: root, name, component (may be left out), labels, annotations. */}}
{{- define "civilhub.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "civilhub.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "civilhub.image" -}}
{{- $registry := default .Values.image.registry (dig "imageRegistry" "" .Values.global) -}}
{{- $path := ternary (printf "%s/%s" $registry .Values.image.repository) .Values.image.repository (ne $registry "") -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $path .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $path (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "civilhub.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "civilhub.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The RabbitmqCluster that the chart makes. */}}
{{- define "civilhub.broker" -}}
{{- include "civilhub.named" (dict "root" . "suffix" "rabbitmq") -}}
{{- end -}}

{{- define "civilhub.configText" -}}
{{- default (.Files.Get "files/civilhub.toml") .Values.configuration.file -}}
{{- end -}}

{{/* Pods of a role that run at once at least: 1 means that it must not be counted on while it is replaced. */}}
{{- define "civilhub.fewest" -}}
{{- $values := index .root.Values .role -}}
{{- if has .role (list "adapters" "exchange") -}}1
{{- else if ne (dig "autoscaling" "kind" "none" $values) "none" -}}{{ $values.autoscaling.minReplicas }}
{{- else -}}{{ $values.replicas }}
{{- end -}}
{{- end -}}

{{/* A selector of pods of this release: all of them, of one component, or of several (`components`). */}}
{{- define "civilhub.pods" -}}
matchLabels:
  {{- include "civilhub.selector" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
{{- with .components }}
matchExpressions:
  - {key: app.kubernetes.io/component, operator: In, values: {{ toJson . }}}
{{- end }}
{{- end -}}
