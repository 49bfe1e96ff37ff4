# Removes the file `$1` from each of the folders that the other arguments name. Exits with 1 if a folder still has the
# file.
name=$1
shift
for folder in ${TMPDIR:+"$TMPDIR"} "$@"; do
    [ ! -e "$folder/$name" ] || rm -f "$folder/$name"
    [ ! -e "$folder/$name" ] || exit 1
done
