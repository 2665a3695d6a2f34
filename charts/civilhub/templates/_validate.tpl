{{/* What the schema cannot say. All faults at once, each with the key and what to do. */}}

{{- define "civilhub.validate" -}}
{{- $faults := list -}}
{{- if not .Values.sandbox.enabled -}}
{{- if not .Values.store.existingSecret.name -}}
{{- $faults = append $faults "`store.existingSecret.name` is missing: the Secret that holds the address of PostgreSQL" -}}
{{- end -}}
{{- if and (eq .Values.rabbitmq.mode "existing") (not .Values.rabbitmq.existingSecret.name) -}}
{{- $faults = append $faults "`rabbitmq.existingSecret.name` is missing: the Secret that holds the address of the broker; or set `rabbitmq.mode` to operator" -}}
{{- end -}}
{{- if not .Values.keys.existingSecret.name -}}
{{- $faults = append $faults "`keys.existingSecret.name` is missing: the Secret that holds keys.toml" -}}
{{- end -}}
{{- if not .Values.systems -}}
{{- $faults = append $faults "`systems` is empty: name at least one legacy system, or the hub would look for all of them" -}}
{{- end -}}
{{- end -}}
{{- $faults = concat $faults (include "civilhub.validate.lists" . | fromJsonArray) -}}
{{- $faults = concat $faults (include "civilhub.validate.texts" . | fromJsonArray) -}}
{{- $faults = concat $faults (include "civilhub.validate.numbers" . | fromJsonArray) -}}
{{- if .Values.ingress.enabled -}}
{{- range $key := list "host" "tlsSecret" -}}
{{- if not (index $.Values.ingress $key) -}}
{{- $faults = append $faults (printf "`ingress.%s` is missing: partners are served by TLS only" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $faults -}}
{{- fail (printf "\n\nthe values of civilhub have %d fault(s):\n  - %s\n" (len $faults) (join "\n  - " $faults)) -}}
{{- end -}}
{{- end -}}

{{- define "civilhub.validate.lists" -}}
{{- $faults := list -}}
{{- range $list := list "systems" "partners" -}}
{{- $seen := list -}}
{{- range $index, $entry := index $.Values $list -}}
{{- $where := printf "`%s[%d]` (%s)" $list $index $entry.slug -}}
{{- if has $entry.slug $seen -}}
{{- $faults = append $faults (printf "%s is there twice" $where) -}}
{{- end -}}
{{- $seen = append $seen $entry.slug -}}
{{- $credentials := $entry.credentials | default dict -}}
{{- if and (or $credentials.env $credentials.files) (not $credentials.existingSecret) -}}
{{- $faults = append $faults (printf "%s: `credentials.existingSecret` is missing" $where) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $index, $entry := .Values.systems -}}
{{- if hasKey $entry "adapter" -}}
{{- if eq (empty $entry.adapter.files) (empty $entry.adapter.existingConfigMap) -}}
{{- $faults = append $faults (printf "`systems[%d].adapter` (%s): give either `files` or `existingConfigMap`" $index $entry.slug) -}}
{{- else if and $entry.adapter.files (not (hasKey $entry.adapter.files "adapter.toml")) -}}
{{- $faults = append $faults (printf "`systems[%d].adapter.files` (%s): there is no adapter.toml" $index $entry.slug) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $image := eq .Values.partnerFiles "image" -}}
{{- range $index, $entry := .Values.partners -}}
{{- if and $image (or $entry.file $entry.existingConfigMap) -}}
{{- $faults = append $faults (printf "`partners[%d]` (%s): with `partnerFiles: image` the file comes from the image; leave `file` and `existingConfigMap` out" $index $entry.slug) -}}
{{- else if and (not $image) (eq (empty $entry.file) (empty $entry.existingConfigMap)) -}}
{{- $faults = append $faults (printf "`partners[%d]` (%s): give either `file` or `existingConfigMap`" $index $entry.slug) -}}
{{- end -}}
{{- range $variable, $key := ($entry.credentials | default dict).env -}}
{{- if and (not $image) (regexMatch "(SECRET|TOKEN|KEY|PASSWORD)$" $variable) -}}
{{- $faults = append $faults (printf "`partners[%d].credentials.env.%s` (%s): keys of partners are files: list `%s` under `credentials.files` and name it in the partner file as secret_file or token_file" $index $variable $entry.slug $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $faults -}}
{{- end -}}

{{/* Secrets in texts that become ConfigMaps. The text itself is not repeated. */}}
{{- define "civilhub.validate.texts" -}}
{{- $faults := list -}}
{{- $texts := dict "configuration.file" .Values.configuration.file "rabbitmq.operator.additionalConfig" .Values.rabbitmq.operator.additionalConfig -}}
{{- range $index, $entry := .Values.partners -}}
{{- $_ := set $texts (printf "partners[%d].file" $index) ($entry.file | default "") -}}
{{- end -}}
{{- range $index, $entry := .Values.systems -}}
{{- range $name, $text := ($entry.adapter | default dict).files -}}
{{- $_ := set $texts (printf "systems[%d].adapter.files.%s" $index $name) $text -}}
{{- end -}}
{{- end -}}
{{- range $place, $text := $texts -}}
{{- if regexMatch "[a-z][a-z0-9+]*://[^\\s/:@\"']*:[^\\s/@\"'$]+@" $text -}}
{{- $faults = append $faults (printf "`%s` holds an address with a password: put it into a Secret" $place) -}}
{{- end -}}
{{- if regexMatch "wh(sec|sk)_[A-Za-z0-9+/=]{16,}|PRIVATE KEY-----|(?m)^\\s*(hmac|aes|ledger)\\s*=\\s*\"[0-9a-fA-F]{64}\"" $text -}}
{{- $faults = append $faults (printf "`%s` holds a key: put it into a Secret and mount it as a file" $place) -}}
{{- end -}}
{{- end -}}
{{- toJson $faults -}}
{{- end -}}

{{- define "civilhub.validate.numbers" -}}
{{- $faults := list -}}
{{- $drain := .Values.drain -}}
{{- if lt (int $drain.gracePeriodSeconds) (add 30 $drain.preStopSeconds | int) -}}
{{- $faults = append $faults (printf "`drain.gracePeriodSeconds` is %d: the pod would be killed while it drains; at least %d" (int $drain.gracePeriodSeconds) (add 30 $drain.preStopSeconds)) -}}
{{- end -}}
{{- range $role := list "router" "api" -}}
{{- $scaling := (index $.Values $role).autoscaling -}}
{{- if and (ne $scaling.kind "none") (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- $faults = append $faults (printf "`%s.autoscaling.minReplicas` is above maxReplicas" $role) -}}
{{- end -}}
{{- end -}}
{{- with .Values.router.autoscaling -}}
{{- if and (eq .kind "keda") (not .prometheusAddress) -}}
{{- $faults = append $faults "`router.autoscaling.prometheusAddress` is missing: KEDA asks Prometheus for the age of the oldest message" -}}
{{- end -}}
{{- if and (eq .kind "hpa") (not .externalMetric) (eq (int .cpuPercent) 0) -}}
{{- $faults = append $faults "`router.autoscaling`: with neither `externalMetric` nor `cpuPercent` there is nothing to scale by" -}}
{{- end -}}
{{- end -}}
{{- if and (gt (int .Values.deliver.replicas) 1) (eq (include "civilhub.lakeAlone" .) "true") -}}
{{- $faults = append $faults "`deliver.replicas` is above 1, but only one pod can mount the lake: add ReadWriteMany to `deliver.lake.accessModes`" -}}
{{- end -}}
{{- if mod .Values.rabbitmq.operator.replicas 2 | eq 0 -}}
{{- $faults = append $faults "`rabbitmq.operator.replicas` is even: a majority needs an odd number of nodes" -}}
{{- end -}}
{{- toJson $faults -}}
{{- end -}}
