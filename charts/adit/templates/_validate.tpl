{{/*
The one place that refuses values. The schema refuses wrong keys and types; what depends on more
than one value is here. All that is wrong is said at once, each with what to set.
*/}}
{{- define "adit.validate" -}}
{{- $errors := list }}

{{- if not .Values.classes }}
{{- $errors = append $errors "classes: there is none, so nobody would be served. Leave it out for the one of the chart, or write one." }}
{{- end }}
{{- $names := list }}
{{- range .Values.classes }}
{{- if has .name $names }}
{{- $errors = append $errors (printf "classes: two have the name %s. Rename one." .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- $handlers := default list .handlers }}
{{- if and (has "auto" $handlers) (not (or (has "http" $handlers) (has "socks4" $handlers) (has "socks5" $handlers))) }}
{{- $errors = append $errors (printf "classes: handlers of %s has auto without any protocol that it speaks. Add http, socks4 or socks5, or remove auto." .name) }}
{{- end }}
{{- end }}

{{- /* As `adit check --classes` judges them: a class file that is wrong would only be found by the next pod. */}}
{{- $binds := list }}
{{- $allocates := list }}
{{- range $class := .Values.classes }}
{{- $ports := dict "bind" "1024-19999" "allocate" "20000-29999" }}
{{- range $kind, $range := default dict $class.ports }}
{{- $_ := set $ports $kind (toString $range) }}
{{- end }}
{{- range $kind, $range := $ports }}
{{- $ends := splitList "-" $range }}
{{- $first := atoi (first $ends) }}
{{- $last := atoi (last $ends) }}
{{- if or (lt $first 1) (gt $last 65535) (gt $first $last) }}
{{- $errors = append $errors (printf "classes: ports.%s of %s is %s, which is no range of ports. Write FIRST-LAST from 1 to 65535." $kind $class.name $range) }}
{{- else if eq $kind "allocate" }}
{{- $allocates = append $allocates (dict "class" $class.name "first" $first "last" $last) }}
{{- range $port := list 8080 8443 9180 }}
{{- if and (le $first $port) (ge $last $port) }}
{{- $errors = append $errors (printf "classes: ports.allocate of %s has %d, which is a front or admin port of the pods. Choose another range." $class.name $port) }}
{{- end }}
{{- end }}
{{- else }}
{{- $binds = append $binds (dict "class" $class.name "first" $first "last" $last) }}
{{- end }}
{{- end }}
{{- range $path := default list $class.paths }}
{{- range $segment := splitList "/" $path }}
{{- if has $segment (list "." "..") }}
{{- $errors = append $errors (printf "classes: paths of %s has %s. Write a path without . and .. in it." $class.name $path) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $bind := $binds }}
{{- range $allocate := $allocates }}
{{- if and (le $bind.first $allocate.last) (le $allocate.first $bind.last) }}
{{- $errors = append $errors (printf "classes: ports.bind of %s overlaps ports.allocate of %s. Part them." $bind.class $allocate.class) }}
{{- end }}
{{- end }}
{{- end }}

{{- $least := int (include "adit.leastGracePeriod" .) }}
{{- if lt (int (include "adit.gracePeriod" .)) $least }}
{{- $errors = append $errors (printf "terminationGracePeriodSeconds: %d is less than drain.shutdownDelaySeconds + drain.timeoutSeconds + 10 = %d: tunnels that still drain would be cut. Leave it out, or shorten the drain." (int .Values.terminationGracePeriodSeconds) $least) }}
{{- end }}

{{- $service := .Values.front.service }}
{{- $external := list }}
{{- if ne $service.type "ClusterIP" }}
{{- $external = append $external (printf "front.service.type: %s" $service.type) }}
{{- end }}
{{- if .Values.front.ingress.enabled }}
{{- $external = append $external "front.ingress.enabled: true" }}
{{- end }}
{{- if and $external (include "adit.openClasses" . | trim) (not .Values.front.allowOpenProxies) }}
{{- $errors = append $errors (printf "%s: this opens the front to clients outside the cluster, and a WsTunnel without authentication is then an open proxy into it. Set requireAuth: true in these classes: %s; or, if you know who may create WsTunnels and who reaches the front, set front.allowOpenProxies=true." (join ", " $external) (include "adit.openClasses" . | trim)) }}
{{- end }}

{{- if eq $service.type "ClusterIP" }}
{{- range $port := list "http" "https" }}
{{- if get $service.nodePorts $port }}
{{- $errors = append $errors (printf "front.service.nodePorts.%s: has no effect with front.service.type ClusterIP. Set the type to NodePort or LoadBalancer, or leave it out." $port) }}
{{- end }}
{{- end }}
{{- if $service.externalTrafficPolicy }}
{{- $errors = append $errors "front.service.externalTrafficPolicy: has no effect with front.service.type ClusterIP. Leave it out." }}
{{- end }}
{{- end }}
{{- if eq (int $service.ports.http) (int $service.ports.https) }}
{{- $errors = append $errors "front.service.ports.https: has the port of front.service.ports.http. Choose another one." }}
{{- end }}
{{- if ne $service.type "LoadBalancer" }}
{{- range $key := list "loadBalancerClass" "loadBalancerSourceRanges" }}
{{- if get $service $key }}
{{- $errors = append $errors (printf "front.service.%s: has no effect with front.service.type %s. Set the type to LoadBalancer, or leave it out." $key $service.type) }}
{{- end }}
{{- end }}
{{- end }}

{{- if and .Values.front.ingress.enabled (not .Values.front.ingress.hosts) }}
{{- $errors = append $errors "front.ingress.hosts: is empty, so the Ingress would lead nowhere. Add a host." }}
{{- end }}

{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- $errors = append $errors "serviceAccount.name: is required when serviceAccount.create is false: otherwise every pod of the namespace's default account would get the controller's rights." }}
{{- end }}

{{- $labelled := include "adit.labelledClasses" . | trim }}
{{- if and $labelled .Values.watch.namespaces }}
{{- $errors = append $errors (printf "classes: namespaces.matchLabels of %s needs a right to watch all namespaces, which watch.namespaces is there to avoid. Write namespaces.names." $labelled) }}
{{- end }}
{{- $defaults := 0 }}
{{- range .Values.classes }}{{ if .default }}{{ $defaults = add1 $defaults }}{{ end }}{{ end }}
{{- if gt (int $defaults) 1 }}
{{- $errors = append $errors "classes: more than one has default: true. Leave it to one." }}
{{- end }}

{{- if and .Values.rbac.secretNames (not .Values.watch.namespaces) }}
{{- $errors = append $errors "rbac.secretNames: needs watch.namespaces: a name means a Secret of certain namespaces. List them, or leave the names out." }}
{{- end }}

{{- if and .Values.crds.install (not (.Files.Get "files/wstunnels.adit.dev.yaml")) }}
{{- $errors = append $errors "crds.install: the chart lacks files/wstunnels.adit.dev.yaml. Run deploy/render, or set crds.install=false." }}
{{- end }}

{{- with $errors }}
{{- fail (printf "\n- %s\n" (join "\n- " .)) }}
{{- end }}
{{- end }}
