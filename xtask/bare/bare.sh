#!/usr/bin/env bash
# Runs commands in a minimal root file system: Debian or Ubuntu with git, CA certificates and a C compiler, the Rust
# toolchain of this machine, a fresh clone, and nothing else. `cargo xtask bare` sets the variables and starts it.
#
# It shares with this machine: downloads (cargo, Go modules, apt, pip, npm, Maven) and the configuration of registries.
# It does not share: programs, images, processes, mounts, the network's addresses, the engine.
#
# Everything runs in namespaces that end with this script, even if it is killed, so its mounts and processes never
# appear in the machine's own. A killed script leaves a folder and empty cgroups, which the next run removes.
set -euo pipefail

: "${BARE_SOURCE:?the repository to clone}" "${BARE_FOLDER:?the folder to work in}" "${BARE_CACHE:?downloads kept for next time}"
: "${BARE_SYSROOT:?the Rust toolchain}" "${BARE_WITHOUT=}" "${BARE_KEEP=}"
# The commands are the arguments.

root=$BARE_FOLDER/root
# The home folder of the only user.
home=/root
# Time limit: enough for a whole run on two cores under load; a run that hangs is stopped.
limit=${BARE_LIMIT:-3h}

say() { printf 'bare: %s\n' "$*" >&2; }

# The root folder of each cgroup hierarchy.
hierarchies() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo /sys/fs/cgroup
    else
        awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts | grep '^/sys/fs/cgroup/' | sort -u
    fi
}

# Removes the cgroups of a run, the innermost first: the groups of its containers are below it.
remove_groups() {
    local at
    for at in $(hierarchies); do
        [ ! -d "$at/$1" ] || find "$at/$1" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
}

remove_folder() {
    # If something else is mounted in the folder, do not empty it.
    rm -rf --one-file-system "$1"
}

# Removes what killed runs left: a folder's name contains a process id, which shows whether the run still exists.
sweep() {
    local left id
    for left in "$(dirname "$BARE_FOLDER")"/run-*; do
        id=${left##*/run-}
        { [ -d "$left" ] && [ ! -d "/proc/$id" ] && [ ! -e "$left/kept" ]; } || continue
        say "removing what a killed run left: $left"
        remove_groups "parallax-bare-$id"
        remove_folder "$left"
    done
}

# A minimal system of this machine's own suite, from its own apt sources, without the sources that `--provision` added.
make_root() {
    local sources=$BARE_FOLDER/sources suite file
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mkdir -p "$sources"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
        case $file in */parallax-*) continue ;; esac
        [ ! -s "$file" ] || cp "$file" "$sources"
    done
    say "making a minimal $suite"
    mmdebstrap --quiet --variant=minbase --include=apt-utils,ca-certificates,gcc,git,libc6-dev \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
        --setup-hook='mkdir -p "$1"/var/cache/apt/archives' \
        --setup-hook="cp -n \"$BARE_CACHE\"/apt/*.deb \"\$1\"/var/cache/apt/archives/ 2>/dev/null || true" \
        --skip=download/empty,essential/unlink,cleanup/apt/cache \
        --customize-hook="cp -n \"\$1\"/var/cache/apt/archives/*.deb \"$BARE_CACHE\"/apt/ 2>/dev/null || true" \
        --customize-hook='rm -f "$1"/var/cache/apt/archives/*.deb' \
        "$suite" "$root" "$sources"/*
    rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
    for file in "$sources"/*; do
        case $file in
            */sources.list) cp "$file" "$root/etc/apt/" ;;
            *) cp "$file" "$root/etc/apt/sources.list.d/" ;;
        esac
    done
}

# The configuration of registries and certificate authorities is the machine's and is copied unchanged.
hand_in() {
    local file
    mkdir -p "$root/usr/local/share/ca-certificates" "$root$home/.cargo" "$root/etc/apt"
    cp -rL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
    for file in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf.d/99* /etc/apt/auth.conf.d/* /etc/apt/keyrings/* \
        /etc/apt/trusted.gpg.d/* /etc/pip.conf /etc/npmrc /etc/hosts \
        "$HOME"/.npmrc "$HOME"/.netrc "$HOME"/.config/pip/pip.conf "$HOME"/.m2/settings.xml \
        "$HOME"/.cargo/config.toml "$HOME"/.cargo/credentials.toml; do
        [ ! -f "$file" ] || install -D -m 600 "$file" "$root${file/#"$HOME"/$home}"
    done
    chmod -R a+rX "$root/etc"
    # Leaves out the choice of toolchain, which depends on what is installed.
    if [ -f "$HOME/.config/go/env" ]; then
        mkdir -p "$root$home/.config/go"
        grep -v '^GOTOOLCHAIN=' "$HOME/.config/go/env" > "$root$home/.config/go/env" || true
    fi
    # The user-mode network forwards DNS questions to this machine's resolver.
    rm -f "$root/etc/resolv.conf"
    echo 'nameserver 10.0.2.3' > "$root/etc/resolv.conf"
    chroot "$root" update-ca-certificates > "$BARE_FOLDER/certificates.log" 2>&1
}

clone() {
    git -c safe.directory='*' clone --quiet --no-hardlinks "$BARE_SOURCE" "$root$home/parallax"
    [ -n "$BARE_WITHOUT" ] || return 0
    say "taking $BARE_WITHOUT out of the table of programs"
    NAME=$BARE_WITHOUT perl -0pi -e '
        s/(name: "\Q$ENV{NAME}\E",(?:(?!\.\.PLAIN).)*?uses: &)\[(?:(?!\.\.PLAIN).)*?\](,\n\s*\.\.PLAIN)/$1\[\]$2/s
            or die "no program of that name is in the table\n"' \
        "$root$home/parallax/crates/provision/src/programs.rs"
}

# The following runs in its own namespaces; $1 is the outer script's folder.
inside() {
    local at name
    : > "$BARE_FOLDER/unshared"
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
        # A cgroup with processes cannot delegate controllers to its children, so the processes move into a child group.
        mkdir "$root/sys/fs/cgroup/init"
        while read -r name; do echo "$name" > "$root/sys/fs/cgroup/init/cgroup.procs" 2>/dev/null || true; done \
            < "$root/sys/fs/cgroup/cgroup.procs"
        for name in $(cat "$root/sys/fs/cgroup/cgroup.controllers"); do
            echo "+$name" > "$root/sys/fs/cgroup/cgroup.subtree_control" || true
        done
    else
        mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
        for at in $(hierarchies); do
            name=${at##*/}
            mkdir "$root/sys/fs/cgroup/$name"
            case $name in
                unified) mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/$name" ;;
                systemd) mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/$name" ;;
                *) mount -t cgroup -o "$name" cgroup "$root/sys/fs/cgroup/$name" ;;
            esac
        done
    fi
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mkdir -p "$root/opt/rust" "$root$home/.cargo/registry" "$root$home/go/pkg/mod/cache/download" \
        "$root$home/.cache/pip" "$root$home/.npm/_cacache" "$root$home/.m2/repository" "$root/var/cache/apt/archives"
    mount --bind -o ro "$BARE_SYSROOT" "$root/opt/rust"
    mount --bind "$BARE_CARGO/registry" "$root$home/.cargo/registry"
    # The locks are removed together with the data that they protect.
    for name in .package-cache .package-cache-mutate; do
        : >> "$BARE_CARGO/$name"
        : > "$root$home/.cargo/$name"
        mount --bind "$BARE_CARGO/$name" "$root$home/.cargo/$name"
    done
    mount --bind "$BARE_CACHE/go" "$root$home/go/pkg/mod/cache/download"
    mount --bind "$BARE_CACHE/pip" "$root$home/.cache/pip"
    mount --bind "$BARE_CACHE/npm" "$root$home/.npm/_cacache"
    mount --bind "$BARE_CACHE/maven" "$root$home/.m2/repository"
    mount --bind "$BARE_CACHE/apt" "$root/var/cache/apt/archives"
    for _ in $(seq 300); do
        [ ! -e "$BARE_FOLDER/connected" ] || break
        sleep 0.1
    done
    [ -e "$BARE_FOLDER/connected" ] || { say "no network came up"; exit 3; }
    cp "$0" "$root$home/bare.sh"
    mkdir "$root/.outside"
    cd "$root"
    pivot_root . .outside
    exec chroot . /bin/bash "$home/bare.sh" commands "$@"
}

# Runs in the minimal system as process 1: when it ends, all processes end.
commands() {
    local command began status bad=0
    umount --lazy /.outside
    rmdir /.outside
    mkdir -p /results
    cd "$home/parallax"
    for command in "$@"; do
        printf 'bare: $ %s\n' "$command" >&2
        began=$SECONDS status=0
        timeout --signal=INT --kill-after=2m "$limit" bash -c "$command" 2>&1 | tee /results/log || status=${PIPESTATUS[0]}
        {
            printf '$ %s\n' "$command"
            tail -n 12 /results/log | sed 's/^/  | /'
            printf '  exit %s after %d min %02d s\n' "$status" $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
        } >> /results/closing
        [ "$status" = 0 ] || bad=1
    done
    exit "$bad"
}

# The variables for registries and certificate authorities; the rest of the environment is minimal.
environment() {
    env | grep -E '^([a-zA-Z_]*_(proxy|PROXY)|GO(PROXY|SUMDB|NOSUMDB|NOPROXY|PRIVATE|AUTH|INSECURE)|PIP_(INDEX|EXTRA|TRUSTED|CERT|DEFAULT_TIMEOUT).*|(npm|NPM)_(config|CONFIG)_.*|MAVEN_(OPTS|ARGS)|CARGO_(REGISTRIES|REGISTRY|NET|HTTP|SOURCE)_.*|(SSL|CURL|REQUESTS|NODE_EXTRA|GIT_SSL)_?C[A-Z_]*)=' || true
}

case ${1-} in
    inside) shift; inside "$@" ;;
    commands) shift; commands "$@" ;;
esac

child='' network='' group=parallax-bare-$$
# The folder's name contains this process's id, so that a later run can see whether this run has ended.
BARE_FOLDER=$BARE_FOLDER/run-$$
root=$BARE_FOLDER/root

clean() {
    local status=$?
    trap '' INT TERM HUP
    # When process 1 ends, all other processes and their mounts end, too.
    [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true
    [ -z "$network" ] || kill "$network" 2>/dev/null || true
    wait 2>/dev/null || true
    # The processes of a namespace end a moment after its process 1.
    for _ in 1 2 3 4 5; do
        remove_groups "$group"
        [ -n "$(for at in $(hierarchies); do ls -d "$at/$group" 2>/dev/null; done)" ] || break
        sleep 1
    done
    if [ -n "$BARE_KEEP" ]; then
        : > "$BARE_FOLDER/kept"
        say "left standing, without its processes: $root"
    else
        remove_folder "$BARE_FOLDER"
    fi
    exit "$status"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# In the background, so that this script can handle signals while it runs.
attended() {
    local status=0
    "$@" &
    child=$!
    wait "$child" || status=$?
    child=''
    return "$status"
}

sweep
mkdir -p "$BARE_FOLDER" "$BARE_CACHE"/{apt/partial,go,pip,npm,maven}
attended make_root
hand_in
clone

for at in $(hierarchies); do
    mkdir "$at/$group"
    # In cgroup v1, a cpuset accepts no process before it has processors and memory nodes.
    for file in cpuset.cpus cpuset.mems; do
        [ ! -e "$at/$group/$file" ] || [ ! -e "$at/$file" ] || cat "$at/$file" > "$at/$group/$file"
    done
done
export BARE_FOLDER BARE_CARGO=${CARGO_HOME:-$HOME/.cargo}
mapfile -t passed < <(environment)
(
    for at in $(hierarchies); do echo "$BASHPID" > "$at/$group/cgroup.procs"; done
    exec setpriv --pdeathsig KILL -- unshare --mount --uts --ipc --pid --net --cgroup --fork --kill-child -- \
        env -i "${passed[@]}" HOME=$home TERM=dumb LANG=C.UTF-8 CI=true CARGO_INCREMENTAL=0 \
        PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        BARE_SOURCE="$BARE_SOURCE" BARE_FOLDER="$BARE_FOLDER" BARE_CACHE="$BARE_CACHE" BARE_SYSROOT="$BARE_SYSROOT" \
        BARE_CARGO="$BARE_CARGO" BARE_LIMIT="$limit" \
        bash "$0" inside "$@"
) &
child=$!
for _ in $(seq 300); do
    [ ! -e "$BARE_FOLDER/unshared" ] || break
    sleep 0.1
done
[ -e "$BARE_FOLDER/unshared" ] || { say "no namespaces came up"; exit 3; }
# It needs no firewall rule of this machine: connections come from this program's own process.
slirp4netns --configure --mtu=65520 --disable-host-loopback --netns-type=path "/proc/$child/ns/net" tap0 \
    > "$BARE_FOLDER/network.log" 2>&1 &
network=$!
for _ in $(seq 100); do
    grep -q 'received tapfd' "$BARE_FOLDER/network.log" && break
    kill -0 "$network" 2>/dev/null || { cat "$BARE_FOLDER/network.log" >&2; exit 3; }
    sleep 0.1
done
: > "$BARE_FOLDER/connected"
status=0
wait "$child" || status=$?
child=''
say "how it ended"
cat "$root/results/closing" >&2 || status=3
exit "$status"
