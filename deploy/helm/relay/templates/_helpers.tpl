{{- define "relay.name" -}}
{{- if contains "relay" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-relay" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "relay.selector" -}}
app.kubernetes.io/name: relay
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "relay.labels" -}}
{{ include "relay.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "relay.secret" -}}
{{ .Values.servers.existingSecret | default (printf "%s-servers" (include "relay.name" .)) }}
{{- end }}

{{- /* Every role's environment: where the servers are, how it is called, then the settings for all and for the role. */ -}}
{{- define "relay.environment" -}}
- name: RELAY_STORE__URL
  valueFrom: {secretKeyRef: {name: {{ include "relay.secret" .root }}, key: store-url}}
- name: RELAY_BROKER__URL
  valueFrom: {secretKeyRef: {name: {{ include "relay.secret" .root }}, key: broker-url}}
- name: RELAY_SMTP__HOSTNAME
  value: {{ .root.Values.hostname | quote }}
- name: RELAY_DELIVERY__EHLO_NAME
  value: {{ .root.Values.hostname | quote }}
{{- range $name, $value := merge (dict) (.own | default dict) (.settings | default dict) .root.Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- /* A role: its pods are alike but for the command, the ports and the probes. */ -}}
{{- define "relay.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "relay.name" .root }}-{{ .role }}
  labels: {{- include "relay.labels" . | nindent 4 }}
spec:
  {{- if .replicas }}
  replicas: {{ .replicas }}
  {{- end }}
  strategy:
    rollingUpdate: {maxUnavailable: {{ if eq .role "exporter" }}1{{ else }}0{{ end }}, maxSurge: 1}
  selector:
    matchLabels: {{- include "relay.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "relay.labels" . | nindent 8 }}
      annotations:
        {{- if not .root.Values.servers.existingSecret }}
        # Another URL or password starts the pods anew.
        relay/servers: {{ include (print .root.Template.BasePath "/secret.yaml") .root | sha256sum }}
        {{- end }}
        {{- with .root.Values.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      serviceAccountName: {{ include "relay.name" .root }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: {{ .grace }}
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: {{ .role }}
          image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: [{{ .role }}]
          env: {{- include "relay.environment" . | nindent 12 }}
          ports:
            {{- range $name, $port := .ports }}
            - {name: {{ $name }}, containerPort: {{ $port }}}
            {{- end }}
          # Whose loop turns is alive: without the store it is not ready, and must not be started again for that.
          livenessProbe:
            httpGet: {path: /health/live, port: metrics}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /health/ready, port: metrics}
            periodSeconds: 5
            timeoutSeconds: 5
          startupProbe:
            httpGet: {path: /health/live, port: metrics}
            periodSeconds: 2
            failureThreshold: 60
          resources: {{- toYaml .resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "relay.selector" . | nindent 14 }}
      {{- with .root.Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{- define "relay.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "relay.name" .root }}-{{ .role }}
  labels: {{- include "relay.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .root.Values.disruption.maxUnavailable }}
  selector:
    matchLabels: {{- include "relay.selector" . | nindent 6 }}
{{- end }}

{{- define "relay.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "relay.name" .root }}-{{ .role }}
  labels: {{- include "relay.labels" . | nindent 4 }}
  {{- with .service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .service.type }}
  {{- with .service.externalTrafficPolicy }}
  externalTrafficPolicy: {{ . }}
  {{- end }}
  selector: {{- include "relay.selector" . | nindent 4 }}
  ports:
    - {name: {{ .role }}, port: {{ .service.port }}, targetPort: {{ .role }}}
{{- end }}
