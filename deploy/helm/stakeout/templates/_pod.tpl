{{/* The template of the pod, for both modes. PodSecurity `restricted` admits it. */}}
{{- define "stakeout.pod" -}}
{{- $port := include "stakeout.port" . -}}
metadata:
  labels:
    {{- include "stakeout.labels" . | nindent 4 }}
    {{- if .Values.identity.azure.clientId }}
    azure.workload.identity/use: "true"
    {{- end }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # A pod reads its config when it starts: another config makes another pod.
    checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "stakeout.serviceAccount" . }}
  # It does not ask the API server. The clouds' webhooks mount tokens of their own.
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  # The window and the message in progress are finished within 15 s.
  terminationGracePeriodSeconds: 30
  {{- if eq .Values.mode "cronjob" }}
  restartPolicy: Never
  {{- end }}
  securityContext:
    runAsNonRoot: true
    {{- with .Values.user }}
    runAsUser: {{ int64 . }}
    runAsGroup: {{ int64 . }}
    fsGroup: {{ int64 . }}
    fsGroupChangePolicy: OnRootMismatch
    {{- end }}
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: stakeout
      image: {{ include "stakeout.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [{{ ternary "once" "run" (eq .Values.mode "cronjob") }}, --config, /etc/stakeout/stakeout.yaml]
      env:
        {{- if .Values.secretName }}
        - {name: CREDENTIALS_DIRECTORY, value: /etc/stakeout-credentials}
        {{- end }}
        - {name: STAKEOUT_LOG_FORMAT, value: json}
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      {{- if $port }}
      ports:
        - {name: admin, containerPort: {{ $port }}, protocol: TCP}
      # Compacting a large state takes a while.
      startupProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 30
        timeoutSeconds: 10
        failureThreshold: 4
      # Ready: the last tick read every log and delivered every message.
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 10
        timeoutSeconds: 5
      {{- end }}
      volumeMounts:
        - {name: config, mountPath: /etc/stakeout, readOnly: true}
        - {name: state, mountPath: /var/lib/stakeout}
        {{- if .Values.secretName }}
        - {name: credentials, mountPath: /etc/stakeout-credentials, readOnly: true}
        {{- end }}
        {{- with .Values.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "stakeout.name" . }}
        items:
          - {key: stakeout.yaml, path: stakeout.yaml}
          {{- range $file, $text := .Values.rules }}
          - {key: rules.{{ $file }}, path: rules/{{ $file }}}
          {{- end }}
    {{- if .Values.secretName }}
    - name: credentials
      # The group of the pod, and nobody else.
      secret: {secretName: {{ .Values.secretName }}, defaultMode: 0440}
    {{- end }}
    {{- if .Values.persistence.existingClaim }}
    - {name: state, persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim }}}}
    {{- else if eq .Values.mode "cronjob" }}
    - {name: state, persistentVolumeClaim: {claimName: {{ include "stakeout.name" . }}}}
    {{- end }}
    {{- with .Values.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
