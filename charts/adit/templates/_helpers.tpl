{{- define "adit.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for the suffix "-metrics" in a Service name. */}}
{{- define "adit.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 55 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 55 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "adit.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* Cluster-scoped names carry the namespace, so that releases of one name in two namespaces do not meet. */}}
{{- define "adit.clusterName" -}}
{{- printf "%s:%s" (include "adit.namespace" .) (include "adit.fullname" .) }}
{{- end }}

{{- define "adit.selectorLabels" -}}
app.kubernetes.io/name: {{ include "adit.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "adit.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_")
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "adit" }}
{{- $own = mergeOverwrite $own (include "adit.selectorLabels" . | fromYaml) }}
{{- toYaml (mergeOverwrite (dict) .Values.commonLabels $own) }}
{{- end }}

{{/* Metadata of an object: (dict "ctx" $ "name" .. "namespace" .. "labels" .. "annotations" ..), all but ctx and name optional. */}}
{{- define "adit.metadata" -}}
name: {{ .name | quote }}
{{- with .namespace }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- $own := include "adit.labels" .ctx | fromYaml }}
  {{- toYaml (mergeOverwrite (dict) (default dict .labels) $own) | nindent 2 }}
{{- with mergeOverwrite (dict) .ctx.Values.commonAnnotations (default dict .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "adit.serviceAccountName" -}}
{{- default (include "adit.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "adit.image" -}}
{{- $registry := default .Values.image.registry (.Values.global).imageRegistry }}
{{- $name := .Values.image.repository }}
{{- if $registry }}
{{- $name = printf "%s/%s" (trimSuffix "/" $registry) $name }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "adit.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat (default list (.Values.global).imagePullSecrets) .Values.imagePullSecrets }}
{{- if kindIs "map" . }}
{{- $secrets = append $secrets (dict "name" .name) }}
{{- else }}
{{- $secrets = append $secrets (dict "name" .) }}
{{- end }}
{{- end }}
{{- with $secrets | uniq }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}

{{/* The pod may be killed only after the delay and the drain have had their time. */}}
{{- define "adit.leastGracePeriod" -}}
{{- add (int .Values.drain.shutdownDelaySeconds) (int .Values.drain.timeoutSeconds) 10 }}
{{- end }}

{{- define "adit.gracePeriod" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}
{{- include "adit.leastGracePeriod" . }}
{{- else }}
{{- int .Values.terminationGracePeriodSeconds }}
{{- end }}
{{- end }}

{{/*
How many replicas there are, as far as it is known: where the count is left to others, more than one.
*/}}
{{- define "adit.replicas" -}}
{{- if kindIs "invalid" .Values.replicaCount }}2{{ else }}{{ int .Values.replicaCount }}{{ end }}
{{- end }}
