# A signal to the pod must reach the run, which then cleans up.
trap 'stopped=1; kill -TERM "$run"' TERM
parallax e2e --shard "$((JOB_COMPLETION_INDEX + 1))/$SHARDS" --upload "$UPLOAD" "$@" &
run=$!
code=0
wait "$run" || code=$?
if [ -n "${stopped-}" ]; then
  code=0
  wait "$run" || code=$?
fi
# 1: something is not as declared. That is a verdict, which `parallax merge` tells: this shard has done its work.
if [ "$code" -eq 1 ]; then
  code=0
fi
exit "$code"
