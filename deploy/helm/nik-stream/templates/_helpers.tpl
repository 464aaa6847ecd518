{{/* The name of all objects. */}}
{{- define "nik-stream.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nik-stream.selector" -}}
app.kubernetes.io/name: nik-stream
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "nik-stream.labels" -}}
{{ include "nik-stream.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "nik-stream.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A value of the settings as text. Helm reads integers as floats and would write 1e+06. */}}
{{- define "nik-stream.text" -}}
{{- if kindIs "slice" . -}}
{{ join "," . }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ int64 . }}
{{- else -}}
{{ toString . }}
{{- end -}}
{{- end -}}

{{/* A table of settings as environment variables: `table`, and `path`, the prefix of their names. */}}
{{- define "nik-stream.variables" -}}
{{- range $key, $value := .table -}}
{{- $name := printf "%s__%s" $.path ($key | upper | replace "." "_") -}}
{{- if kindIs "map" $value }}
{{- include "nik-stream.variables" (dict "table" $value "path" $name) }}
{{- else }}
- name: {{ $name }}
  value: {{ include "nik-stream.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The environment variables of a container of the program. */}}
{{- define "nik-stream.environment" -}}
{{- $kafka := .Values.settings.kafka -}}
{{- if not $kafka.bootstrap_servers -}}
{{- fail "settings.kafka.bootstrap_servers is needed: host:port, several with commas" -}}
{{- end -}}
{{- if hasKey $kafka "instance_id" -}}
{{- fail "settings.kafka.instance_id is the pod's name with members: static, and none with members: dynamic" -}}
{{- end -}}
{{- if hasKey (default dict .Values.settings.http) "listen" -}}
{{- fail "settings.http.listen follows the values listen and port" -}}
{{- end -}}
{{- range $secret := list "password" "key_password" -}}
{{- if hasKey (default dict $kafka.security) $secret -}}
{{- fail (printf "settings.kafka.security.%s does not belong into values: mount a Secret by secretMounts, or take it from one by extraEnv" $secret) -}}
{{- end -}}
{{- end -}}
- name: NIK_STREAM__HTTP__LISTEN
  value: {{ printf "%s:%v" .Values.listen .Values.port | quote }}
{{- include "nik-stream.variables" (dict "table" .Values.settings "path" "NIK_STREAM") }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The pod: an unprivileged user, and no Kubernetes token. `textfile` is the volume of an audit. */}}
{{- define "nik-stream.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.secretMounts .Values.configMapMounts .textfile }}
volumes:
  {{- with .textfile }}
  - name: textfile
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- range $index, $mount := .Values.secretMounts }}
  - name: secret-{{ $index }}
    secret:
      secretName: {{ $mount.name }}
      defaultMode: 0440
  {{- end }}
  {{- range $index, $mount := .Values.configMapMounts }}
  - name: configmap-{{ $index }}
    configMap:
      name: {{ $mount.name }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Each container: the program with a read-only file system. */}}
{{- define "nik-stream.container" -}}
image: {{ include "nik-stream.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- if or .Values.secretMounts .Values.configMapMounts .textfile }}
volumeMounts:
  {{- if .textfile }}
  - name: textfile
    mountPath: /textfile
  {{- end }}
  {{- range $index, $mount := .Values.secretMounts }}
  - name: secret-{{ $index }}
    mountPath: {{ $mount.path }}
    readOnly: true
  {{- end }}
  {{- range $index, $mount := .Values.configMapMounts }}
  - name: configmap-{{ $index }}
    mountPath: {{ $mount.path }}
    readOnly: true
  {{- end }}
{{- end }}
{{- end -}}

{{/* The port of a URL. */}}
{{- define "nik-stream.port" -}}
{{- $url := urlParse . -}}
{{ regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (eq $url.scheme "http" | ternary "80" "443") }}
{{- end -}}

{{/* What pods may reach: DNS, the brokers, the endpoint of tokens, the collector of traces. */}}
{{- define "nik-stream.egress" -}}
{{- $kafka := .Values.settings.kafka -}}
{{- $ports := list -}}
{{- range splitList "," $kafka.bootstrap_servers -}}
{{- /* librdkafka's default */ -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" (trim .) | trimPrefix ":" | default "9092" | int) -}}
{{- end -}}
{{- range .Values.networkPolicy.kafkaPorts -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
- ports:
    {{- range uniq $ports }}
    - port: {{ . }}
    {{- end }}
  {{- with .Values.networkPolicy.kafka }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- range list (default dict $kafka.security).oauth_endpoint (default dict .Values.settings.traces).endpoint }}
{{- with . }}
- ports:
    - port: {{ include "nik-stream.port" . }}
{{- end }}
{{- end }}
{{- end -}}
