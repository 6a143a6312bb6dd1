{{- define "ipms.name" -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}

{{- define "ipms.labels" -}}
app.kubernetes.io/name: ipms-token
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ipms
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "ipms.selector" -}}
app.kubernetes.io/name: ipms-token
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "ipms.image" -}}
{{- $tag := .image.tag | default .root.Chart.AppVersion -}}
{{ .image.repository }}:{{ $tag }}{{ with .image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{/* Who a caller is: the one SPIFFE id of its certificate. */}}
{{- define "ipms.identity" -}}
spiffe://{{ .root.Values.trustDomain }}/{{ .root.Release.Namespace }}/{{ .role }}
{{- end -}}

{{/* The secret with tls.crt, tls.key and ca.crt: an existing one, or the one that cert-manager writes. */}}
{{- define "ipms.tlsSecret" -}}
{{- $own := .existing -}}
{{- if $own -}}{{ $own }}{{- else -}}{{ include "ipms.name" .root }}-{{ .role }}-tls{{- end -}}
{{- end -}}

{{- define "ipms.certManager" -}}
{{- if or .Values.certificates.issuerRef.name (eq .Values.profile "dev") }}yes{{ end -}}
{{- end -}}

{{/* The restricted Pod Security Standard, and more: nothing is written outside of the volumes. */}}
{{- define "ipms.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "ipms.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "ipms.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "ipms.selector" . | nindent 6 }}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "ipms.selector" . | nindent 6 }}
{{- end -}}

{{/* Endpoints forget a pod some time after it was told to end; until then it takes calls. From Kubernetes 1.30 on, where the
     gate is open by itself. */}}
{{- define "ipms.lifecycle" -}}
{{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version }}
lifecycle:
  preStop: {sleep: {seconds: 5}}
{{- end }}
{{- end -}}

{{/* [callers] of the settings. */}}
{{- define "ipms.callers" -}}
{{- range $identity, $grant := . }}
[callers.'{{ $identity }}']
{{- range $field, $list := $grant }}
{{ $field }} = [{{ range $index, $one := $list }}{{ if $index }}, {{ end }}{{ $one | quote }}{{ end }}]
{{- end }}
{{- end }}
{{- end -}}

{{- define "ipms.tlsSettings" -}}
[tls]
certificate = "/etc/ipms/tls/tls.crt"
key = "/etc/ipms/tls/tls.key"
client_ca = "/etc/ipms/tls/ca.crt"
{{- end -}}

{{/* What the schema cannot say. */}}
{{- define "ipms.check" -}}
{{- $v := .Values -}}
{{- if not $v.issuer.keys.existingSecret }}{{ fail "issuer.keys.existingSecret: make the keys with `issuer keys generate` and put them into a secret; this chart makes none" }}{{ end -}}
{{- if and $v.verifier.enabled (not $v.verifier.logKeys.existingConfigMap) }}{{ fail "verifier.logKeys.existingConfigMap: a config map with log.public.pem, which verifiers pin" }}{{ end -}}
{{- if not $v.trustDomain }}{{ fail "trustDomain: callers are known by spiffe://<trustDomain>/…" }}{{ end -}}
{{- if and (gt (int $v.issuer.replicas) 1) (ne $v.issuer.store.kind "redis") }}{{ fail "issuer.replicas: an embedded store has one issuer; more need issuer.store.kind redis" }}{{ end -}}
{{- if and (eq $v.issuer.store.kind "redis") (not $v.issuer.store.url) }}{{ fail "issuer.store.url: where Redis is" }}{{ end -}}
{{- if eq $v.profile "production" }}
{{- range $what, $name := dict "issuer.keys.existingSecret" $v.issuer.keys.existingSecret "verifier.logKeys.existingConfigMap" $v.verifier.logKeys.existingConfigMap }}
{{- if regexMatch "(^|[-.])(dev|example|test|sample)([-.]|$)" $name }}{{ fail (printf "%s: keys of a trial (%s) are not for production" $what $name) }}{{ end -}}
{{- end }}
{{- if regexMatch "(^|\\.)(test|example|invalid|local|localhost)$" $v.trustDomain }}{{ fail (printf "trustDomain: %s is a name for trials" $v.trustDomain) }}{{ end -}}
{{- if not $v.certificates.issuerRef.name }}
{{- if not $v.issuer.tls.existingSecret }}{{ fail "certificates.issuerRef.name or issuer.tls.existingSecret: callers are known by certificates" }}{{ end -}}
{{- if and $v.verifier.enabled (not $v.verifier.tls.existingSecret) }}{{ fail "certificates.issuerRef.name or verifier.tls.existingSecret: callers are known by certificates" }}{{ end -}}
{{- end }}
{{- if and (eq $v.issuer.store.kind "redis") (not (regexMatch "^rediss" $v.issuer.store.url)) }}{{ fail "issuer.store.url: rediss in production; the store holds who may do what" }}{{ end -}}
{{- end }}
{{- if and $v.test.enabled (not (include "ipms.certManager" .)) }}{{ fail "test.enabled: the test's certificate comes from cert-manager" }}{{ end -}}
{{- end -}}
