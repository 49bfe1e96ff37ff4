# Writes standard input to a file in the first folder in which a program can be written and run. `$1` is the name of the
# file, `$2` is its length in bytes, and the other arguments are folders. The script prints the path of the file before
# it reads, because the harness sends the input only then. If no folder is suitable, it prints the reason for each
# folder on standard error, and exits with 3. If the file is not complete, it removes the file and exits with 4.
umask 077
name=$1 length=$2
shift 2
# If the container has no `wc`, the file counts as complete here. The harness later compares the length of the file,
# which the agent reports, with the length that it sent.
is_whole() {
    ! command -v wc >/dev/null || [ "$(wc -c <"$file")" -eq "$length" ]
}
refused=
for folder in ${TMPDIR:+"$TMPDIR"} "$@"; do
    file=$folder/$name
    [ -d "$folder" ] || continue
    # Writes a test program, and runs it. It has no `#!` line, so the kernel cannot run it, and the shell runs it. On a
    # noexec mount, the shell does not run it either. An existing file is removed first, because nobody can write the
    # file of a running program.
    if ! (rm -f "$file"; echo 'exit 0' >"$file") 2>/dev/null; then
        refused="$refused$folder cannot be written
"
        continue
    fi
    chmod 700 "$file"
    if ! "$file" 2>/dev/null; then
        rm -f "$file"
        refused="$refused$folder is mounted noexec
"
        continue
    fi
    echo "$file"
    if cat >"$file" && is_whole; then
        exit 0
    fi
    rm -f "$file"
    # The rest of the input is read, because the exit code of an exec is lost if the exec ends before its input.
    cat >/dev/null
    echo "$folder did not take all of the $length bytes of the agent's program" >&2
    exit 4
done
printf %s "$refused" >&2
exit 3
