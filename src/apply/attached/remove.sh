# Removes the file `$1` from each of the folders, and exits with 1 if it is still in one of them.
name=$1
shift
for folder in ${TMPDIR:+"$TMPDIR"} "$@"; do
    [ ! -e "$folder/$name" ] || rm -f "$folder/$name"
    [ ! -e "$folder/$name" ] || exit 1
done
