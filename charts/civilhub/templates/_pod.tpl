{{/* The pod of a role. Every role has the same configuration and the same places; they differ in credentials and volumes:
     only the adapters, and the API for what is pushed, see the credentials of the legacy systems. */}}

{{- define "civilhub.deployment" -}}
{{- $root := .root -}}
{{- $role := .role -}}
{{- $values := index $root.Values $role -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "civilhub.metadata" (dict "root" $root "name" (include "civilhub.named" (dict "root" $root "suffix" $role)) "component" $role) | nindent 2 }}
spec:
  {{- if has $role (list "adapters" "exchange") }}
  replicas: 1
  {{- else if eq (dig "autoscaling" "kind" "none" $values) "none" }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  # A readiness that holds for a moment only does not take the next old pod away.
  minReadySeconds: 5
  strategy:
    {{- if or (has $role (list "adapters" "exchange")) (and (eq $role "deliver") (eq (include "civilhub.lakeAlone" $root) "true")) }}
    # Never two at once: the old one hands its sources, or its volume, over by ending.
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
    {{- end }}
  selector:
    matchLabels:
      {{- include "civilhub.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ $role }}
  template:
    metadata:
      labels:
        {{- include "civilhub.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $role }}
        civilhub/metrics: "true"
      annotations:
        checksum/configuration: {{ include "civilhub.checksum" $root }}
        {{- with merge (dict) $values.podAnnotations $root.Values.commonAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "civilhub.podSecurity" $root | nindent 6 }}
      terminationGracePeriodSeconds: {{ $root.Values.drain.gracePeriodSeconds }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "civilhub.spread" (dict "root" $root "role" $role) | nindent 6 }}
      initContainers:
        # Brings the tables up to date when the release is new; before an upgrade a hook has done it, and this finds nothing
        # to do. Several at once wait for one another.
        - name: migrate
          {{- include "civilhub.container" $root | nindent 10 }}
          args: [migrate]
          env:
            {{- include "civilhub.env.store" $root | nindent 12 }}
          resources:
            requests: {cpu: 50m, memory: 64Mi}
            limits: {memory: 256Mi}
          volumeMounts:
            {{- include "civilhub.mounts.store" $root | nindent 12 }}
      containers:
        - name: {{ $role }}
          {{- include "civilhub.container" $root | nindent 10 }}
          args: [serve, {{ $role }}]
          env:
            {{- include "civilhub.env" (dict "root" $root "role" $role) | nindent 12 }}
          ports:
            - {name: http, containerPort: 8080, protocol: TCP}
          {{- include "civilhub.probes" $root | nindent 10 }}
          {{- if and (gt (int $root.Values.drain.preStopSeconds) 0) (semverCompare ">=1.30.0-0" $root.Capabilities.KubeVersion.Version) }}
          lifecycle:
            preStop:
              sleep: {seconds: {{ $root.Values.drain.preStopSeconds }}}
          {{- end }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            {{- include "civilhub.mounts" (dict "root" $root "role" $role) | nindent 12 }}
      volumes:
        {{- include "civilhub.volumes" (dict "root" $root "role" $role) | nindent 8 }}
{{- end -}}

{{/* What the restricted profile asks of a pod, and no token of the API server. */}}
{{- define "civilhub.podSecurity" -}}
serviceAccountName: {{ include "civilhub.serviceAccount" . }}
automountServiceAccountToken: false
# Services of the namespace would become variables of the hub otherwise.
enableServiceLinks: false
{{- with concat .Values.image.pullSecrets (dig "imagePullSecrets" list .Values.global) | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.security.runAsUser }}
  runAsUser: {{ int64 . }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  {{- with .Values.security.fsGroup }}
  fsGroup: {{ int64 . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "civilhub.container" -}}
image: {{ include "civilhub.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "civilhub.spread" -}}
{{- $spread := .root.Values.topologySpread -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: {{ $spread.hosts }}
    labelSelector:
      {{- include "civilhub.pods" (dict "root" .root "component" .role) | nindent 6 }}
    matchLabelKeys: [pod-template-hash]
  {{- with $spread.zones }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: {{ . }}
    labelSelector:
      {{- include "civilhub.pods" (dict "root" $.root "component" $.role) | nindent 6 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end -}}

{{- define "civilhub.probes" -}}
{{- $probes := .Values.probes -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 5
  timeoutSeconds: {{ $probes.timeoutSeconds }}
  failureThreshold: {{ max 1 (div $probes.startupSeconds 5) }}
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: {{ $probes.periodSeconds }}
  timeoutSeconds: {{ $probes.timeoutSeconds }}
  failureThreshold: {{ $probes.failureThreshold }}
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: {{ $probes.periodSeconds }}
  timeoutSeconds: {{ $probes.timeoutSeconds }}
  failureThreshold: {{ $probes.failureThreshold }}
{{- end -}}

{{/* === variables === */}}

{{/* The address of the store alone: all that a migration needs. */}}
{{- define "civilhub.env.store" -}}
- name: CIVILHUB__STORE__URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.store.existingSecret.name }}
      key: {{ .Values.store.existingSecret.urlKey }}
{{- end -}}

{{/* Places and addresses, which only the pod knows; all other settings stand in the configuration file. */}}
{{- define "civilhub.env" -}}
{{- $root := .root -}}
- {name: CIVILHUB_CONFIG, value: /etc/civilhub/config/civilhub.toml}
- {name: CIVILHUB__HTTP__LISTEN, value: "0.0.0.0:8080"}
- {name: CIVILHUB__HUB__DATA, value: /var/lib/civilhub}
- {name: CIVILHUB__HUB__SYSTEMS, value: {{ include "civilhub.slugs" $root | quote }}}
- {name: CIVILHUB__KEYS__FILE, value: /run/secrets/civilhub/keys/keys.toml}
- {name: CIVILHUB__PATHS__ADAPTERS, value: /usr/share/civilhub/adapters}
- {name: CIVILHUB__PATHS__SCHEMAS, value: /usr/share/civilhub/schemas}
- {name: CIVILHUB__PATHS__PARTNERS, value: {{ ternary "/usr/share/civilhub/config/partners" "/etc/civilhub/partners" (eq $root.Values.partnerFiles "image") }}}
{{ include "civilhub.env.store" $root }}
- {name: CIVILHUB__BUS__KIND, value: rabbitmq}
{{ include "civilhub.env.bus" $root }}
{{- range $root.Values.systems }}
{{- if or (eq $.role "adapters") (and (eq $.role "api") .push) }}
{{- include "civilhub.env.credentials" .credentials }}
{{- end }}
{{- end }}
{{- range $root.Values.partners }}
{{- include "civilhub.env.credentials" .credentials }}
{{- end }}
{{- with concat $root.Values.extraEnv (index $root.Values .role).extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "civilhub.slugs" -}}
{{- $slugs := list -}}
{{- range .Values.systems -}}{{- $slugs = append $slugs .slug -}}{{- end -}}
{{- join "," $slugs -}}
{{- end -}}

{{/* The operator's generated passwords have only letters, digits, - and _: they may stand in an address as they are. */}}
{{- define "civilhub.env.bus" -}}
{{- if eq .Values.rabbitmq.mode "operator" -}}
{{- $secret := printf "%s-default-user" (include "civilhub.broker" .) -}}
- name: RABBITMQ_USERNAME
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: username}
- name: RABBITMQ_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: password}
- name: CIVILHUB__BUS__URL
  value: amqp://$(RABBITMQ_USERNAME):$(RABBITMQ_PASSWORD)@{{ include "civilhub.broker" . }}.{{ .Release.Namespace }}.svc:5672/%2f
{{- else -}}
- name: CIVILHUB__BUS__URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.rabbitmq.existingSecret.name }}
      key: {{ .Values.rabbitmq.existingSecret.urlKey }}
{{- end -}}
{{- end -}}

{{- define "civilhub.env.credentials" -}}
{{- range $variable, $key := (. | default dict).env }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef: {name: {{ $.existingSecret }}, key: {{ $key }}}
{{- end }}
{{- end -}}

{{/* === volumes === */}}

{{- define "civilhub.mounts.store" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.store.tls.existingSecret }}
- {name: store-tls, mountPath: /run/secrets/civilhub/store, readOnly: true}
{{- end }}
{{- end -}}

{{- define "civilhub.mounts" -}}
{{- $root := .root -}}
{{ include "civilhub.mounts.store" $root }}
- {name: data, mountPath: /var/lib/civilhub}
- {name: config, mountPath: /etc/civilhub/config, readOnly: true}
- {name: partners, mountPath: /etc/civilhub/partners, readOnly: true}
- {name: keys, mountPath: /run/secrets/civilhub/keys, readOnly: true}
{{- if include "civilhub.secretFiles" (dict "list" $root.Values.partners) }}
- {name: partner-secrets, mountPath: /run/secrets/civilhub/partners, readOnly: true}
{{- end }}
{{- if include "civilhub.systemFiles" . }}
- {name: system-secrets, mountPath: /run/secrets/civilhub/systems, readOnly: true}
{{- end }}
{{- range $root.Values.systems }}
{{- if .adapter }}
- {name: {{ include "civilhub.adapterVolume" . }}, mountPath: /usr/share/civilhub/adapters/{{ .slug }}, readOnly: true}
{{- end }}
{{- end }}
{{- if eq .role "adapters" }}
- {name: inbox, mountPath: /var/lib/civilhub/inbox}
{{- end }}
{{- if eq .role "deliver" }}
- {name: lake, mountPath: /var/lib/civilhub/lake}
{{- end }}
{{- with $root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "civilhub.volumes" -}}
{{- $root := .root -}}
{{ include "civilhub.volumes.store" $root }}
- name: data
  emptyDir: {sizeLimit: 1Gi}
- name: config
  configMap:
    name: {{ include "civilhub.configMap" $root }}
    items: [{key: civilhub.toml, path: civilhub.toml}]
- name: partners
  projected:
    sources:
      - configMap:
          name: {{ include "civilhub.named" (dict "root" $root "suffix" "partners") }}
      {{- range $root.Values.partners }}
      {{- if .existingConfigMap }}
      - configMap:
          name: {{ .existingConfigMap }}
          items: [{key: {{ .slug }}.toml, path: {{ .slug }}.toml}]
      {{- end }}
      {{- end }}
- name: keys
  secret:
    secretName: {{ $root.Values.keys.existingSecret.name }}
    defaultMode: 0440
    items: [{key: {{ $root.Values.keys.existingSecret.key }}, path: keys.toml}]
{{- with include "civilhub.secretFiles" (dict "list" $root.Values.partners) }}
- name: partner-secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with include "civilhub.systemFiles" . }}
- name: system-secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- range $root.Values.systems }}
{{- if .adapter }}
- name: {{ include "civilhub.adapterVolume" . }}
  configMap:
    name: {{ default (include "civilhub.named" (dict "root" $root "suffix" (printf "adapter-%s" .slug))) .adapter.existingConfigMap }}
{{- end }}
{{- end }}
{{- if eq .role "adapters" }}
{{ include "civilhub.claim" (dict "root" $root "name" "inbox" "values" $root.Values.adapters.inbox) }}
{{- end }}
{{- if eq .role "deliver" }}
{{ include "civilhub.claim" (dict "root" $root "name" "lake" "values" $root.Values.deliver.lake) }}
{{- end }}
{{- with $root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "civilhub.volumes.store" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with .Values.store.tls }}
{{- if .existingSecret }}
- name: store-tls
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0440
    items:
      - {key: {{ .caKey }}, path: ca.crt}
      {{- with .certificateKey }}
      - {key: {{ . }}, path: tls.crt}
      {{- end }}
      {{- with .privateKeyKey }}
      - {key: {{ . }}, path: tls.key}
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "civilhub.claim" -}}
- name: {{ .name }}
{{- if .values.existingClaim }}
  persistentVolumeClaim: {claimName: {{ .values.existingClaim }}}
{{- else if .values.enabled }}
  persistentVolumeClaim: {claimName: {{ include "civilhub.named" (dict "root" .root "suffix" .name) }}}
{{- else }}
  emptyDir: {}
{{- end }}
{{- end -}}

{{/* Sources of a projected volume: <slug>/<key> for each key of each entry that names files. Only entries with `push` if asked. */}}
{{- define "civilhub.secretFiles" -}}
{{- range .list }}
{{- if and (or (not $.push) .push) (.credentials | default dict).files }}
- secret:
    name: {{ .credentials.existingSecret }}
    items:
      {{- $slug := .slug }}
      {{- range .credentials.files }}
      - {key: {{ . }}, path: {{ $slug }}/{{ . }}}
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "civilhub.systemFiles" -}}
{{- if eq .role "adapters" -}}
{{- include "civilhub.secretFiles" (dict "list" .root.Values.systems) -}}
{{- else if eq .role "api" -}}
{{- include "civilhub.secretFiles" (dict "list" .root.Values.systems "push" true) -}}
{{- end -}}
{{- end -}}

{{- define "civilhub.adapterVolume" -}}
{{- printf "adapter-%s" .slug | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "civilhub.configMap" -}}
{{- default (include "civilhub.named" (dict "root" . "suffix" "config")) .Values.configuration.existingConfigMap -}}
{{- end -}}

{{/* Pods start again when a text that the chart mounts changes; they read it at the start only. */}}
{{- define "civilhub.checksum" -}}
{{- list (include "civilhub.configText" .) (toJson .Values.systems) (toJson .Values.partners) | join "\n" | sha256sum -}}
{{- end -}}

{{/* Whether one pod at a time can mount the lake. */}}
{{- define "civilhub.lakeAlone" -}}
{{- $lake := .Values.deliver.lake -}}
{{- if $lake.existingClaim -}}
{{- eq (int .Values.deliver.replicas) 1 -}}
{{- else -}}
{{- and $lake.enabled (not (has "ReadWriteMany" $lake.accessModes)) -}}
{{- end -}}
{{- end -}}
