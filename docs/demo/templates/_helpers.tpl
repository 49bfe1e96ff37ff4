{{/*
Returns a value of the Secret `name` that exists already, as `key` names it. Empty if there is none. Without it, each
upgrade would make new keys.
*/}}
{{- define "demo.kept" -}}
{{- $secret := lookup "v1" "Secret" .root.Release.Namespace .name -}}
{{- if $secret -}}{{- index $secret.data .key | default "" -}}{{- end -}}
{{- end -}}

{{/*
A Secret with a certificate for `names`. An existing certificate for the same names is kept.
*/}}
{{- define "demo.certificate" -}}
{{- $secret := lookup "v1" "Secret" .root.Release.Namespace .name -}}
{{- $names := join "," .names -}}
{{- $certificate := "" -}}
{{- $key := "" -}}
{{- if and $secret (eq (index $secret.metadata.annotations "uploads-demo/names") $names) -}}
{{- $certificate = index $secret.data "tls.crt" | b64dec -}}
{{- $key = index $secret.data "tls.key" | b64dec -}}
{{- else -}}
{{- $made := genSignedCert (first .names) nil .names 90 .authority -}}
{{- $certificate = $made.Cert -}}
{{- $key = $made.Key -}}
{{- end -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .name }}
  annotations: { uploads-demo/names: {{ $names | quote }} }
type: kubernetes.io/tls
data:
  ca.crt: {{ .authority.Cert | b64enc }}
  tls.crt: {{ $certificate | b64enc }}
  tls.key: {{ $key | b64enc }}
  # HAProxy reads certificate and key from one file.
  tls.pem: {{ printf "%s\n%s" $certificate $key | b64enc }}
{{- end -}}

{{- define "demo.endpoint" -}}
{{- .Values.app.endpoint | default (printf "https://%s" .Values.host) -}}
{{- end -}}

{{/*
The variables by which each AWS SDK finds the store and its credentials. `trust` is the file of the authorities.
*/}}
{{- define "demo.variables" -}}
- { name: AWS_ENDPOINT_URL_S3, value: {{ include "demo.endpoint" . | quote }} }
{{- if .Values.app.stsEndpoint }}
- { name: AWS_ENDPOINT_URL_STS, value: {{ include "demo.endpoint" . | quote }} }
{{- end }}
- { name: AWS_REGION, value: {{ .Values.region | quote }} }
- { name: AWS_ROLE_ARN, value: {{ .Values.identity.role | quote }} }
- { name: AWS_WEB_IDENTITY_TOKEN_FILE, value: /var/run/secrets/eks.amazonaws.com/serviceaccount/token }
{{- end -}}
