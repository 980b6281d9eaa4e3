{{- define "strongroom.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "strongroom.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "strongroom.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "strongroom.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "strongroom.namespace" -}}
{{- .Values.global.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "strongroom.selectorLabels" -}}
app.kubernetes.io/name: {{ include "strongroom.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
component: server
{{- end -}}

{{- define "strongroom.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "strongroom.labels" -}}
{{ include "strongroom.commonLabels" . }}
{{ include "strongroom.selectorLabels" . }}
{{- end -}}

{{- define "strongroom.serviceAccountName" -}}
{{- if .Values.server.serviceAccount.create -}}
{{- .Values.server.serviceAccount.name | default (include "strongroom.fullname" .) -}}
{{- else -}}
{{- .Values.server.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "strongroom.image" -}}
{{- $image := .Values.server.image -}}
{{- with $image.registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- define "strongroom.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ ternary . (get (ternary (dict) . (kindIs "string" .)) "name") (kindIs "string" .) }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* Values that are text are templates, as in the charts of Vault and OpenBao. */ -}}
{{- define "strongroom.yaml" -}}
{{- $value := index . 0 -}}
{{- if kindIs "string" $value -}}{{ tpl $value (index . 1) }}{{- else -}}{{ toYaml $value }}{{- end -}}
{{- end -}}

{{- define "strongroom.podSecurityContext" -}}
{{- with .Values.server.deployment.securityContext.pod -}}
{{ toYaml . }}
{{- else -}}
runAsNonRoot: true
runAsUser: {{ .Values.server.uid }}
runAsGroup: {{ .Values.server.gid }}
fsGroup: {{ .Values.server.gid }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}
{{- end -}}

{{- define "strongroom.containerSecurityContext" -}}
privileged: false
readOnlyRootFilesystem: true
{{- if .lock }}
# The capability of the program's file counts only if the process may gain it.
allowPrivilegeEscalation: true
{{- else }}
allowPrivilegeEscalation: false
{{- end }}
capabilities:
  drop: [ALL]
  {{- if .lock }}
  add: [IPC_LOCK]
  {{- end }}
{{- end -}}

{{- define "strongroom.probe" -}}
{{- with .probe -}}
{{- if .execCommand }}
exec:
  command: {{ toYaml .execCommand | nindent 4 }}
{{- else }}
httpGet:
  path: {{ .path | quote }}
  port: {{ .port }}
  scheme: HTTPS
{{- end }}
failureThreshold: {{ .failureThreshold }}
initialDelaySeconds: {{ .initialDelaySeconds }}
periodSeconds: {{ .periodSeconds }}
successThreshold: {{ .successThreshold }}
timeoutSeconds: {{ .timeoutSeconds }}
{{- end -}}
{{- end -}}
