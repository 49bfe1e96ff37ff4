# Writes standard input into a file of the first folder in which a program can be written and run. `$1` is the name of the
# file, `$2` its length in bytes, and the others are folders. Prints the path of the file before it reads, because the input
# is sent only then. If there is no such folder, it says on standard error what each refuses, and exits with 3. If the file
# is not whole, it removes the file and exits with 4.
umask 077
name=$1 length=$2
shift 2
# Without `wc`, only the agent itself can say its length. The caller asks the agent for it.
is_whole() {
    ! command -v wc >/dev/null || [ "$(wc -c <"$file")" -eq "$length" ]
}
refused=
for folder in ${TMPDIR:+"$TMPDIR"} "$@"; do
    file=$folder/$name
    [ -d "$folder" ] || continue
    # The kernel cannot run a file without `#!`, and a shell then runs it itself. On a noexec mount, neither does.
    # A file of an earlier session may still run, and nobody may write it then.
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
    # An exec that ends before its input loses its exit code.
    cat >/dev/null
    echo "$folder did not take all of the $length bytes of the agent's program" >&2
    exit 4
done
printf %s "$refused" >&2
exit 3
