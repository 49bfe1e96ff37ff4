# The shell passes SIGTERM, by which Kubernetes stops the pod, on to the run. The run then cleans up.
trap 'stopped=1; kill -TERM "$run"' TERM
parallax e2e --shard "$((JOB_COMPLETION_INDEX + 1))/$SHARDS" --upload "$UPLOAD" "$@" &
run=$!
code=0
wait "$run" || code=$?
if [ -n "${stopped-}" ]; then
  code=0
  wait "$run" || code=$?
fi
# Exit code 1 means that a variant is not as declared. This is a verdict, which `parallax merge` reports, and no failure
# of this shard. So the pod succeeds.
if [ "$code" -eq 1 ]; then
  code=0
fi
exit "$code"
