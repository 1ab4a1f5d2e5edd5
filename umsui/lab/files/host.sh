# Pid 1 of a lab host until it hands over to init: makes the host's file systems, enters them, starts sshd.
# Environment: NAME (of the host), STATE (its folder), LOWER (overlay layers), IMAGES (the read-only image store),
# ORCHESTRATOR (podman, docker or kubernetes).
# All mounts are in the host's own mount namespace: they go when its last process goes.
set -eu

# Read through the outer /proc, this is our pid as the outer world knows it; with the start time it is unmistakable.
read -r stat </proc/self/stat
set -- $stat
pid=$1
shift 21
[ -e "$STATE/starting" ] || exit 1 # the lab was taken down in the meantime
echo "$pid $1" >"$STATE/pid"

root=$STATE/root
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$STATE/upper,workdir=$STATE/work" "$root"
cd "$root"
mkdir -p var/lib/containers var/lib/docker usr/lib/umsui/images
mount --bind "$STATE/docker" var/lib/docker
mount --bind "$STATE/containers" var/lib/containers
mount --bind "$IMAGES" usr/lib/umsui/images
mount -o remount,bind,ro usr/lib/umsui/images
if [ "$ORCHESTRATOR" = kubernetes ]; then
    # Not on the overlay: containerd makes overlays of its own, and the logs are read by two.
    for folder in var/lib/containerd var/lib/kubelet var/lib/etcd var/lib/registry var/lib/volumes var/log; do
        mkdir -p "$STATE/kubernetes/$folder" "$folder"
        mount --bind "$STATE/kubernetes/$folder" "$folder"
    done
fi
mount -t proc proc proc
mount -t sysfs sys sys
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp

mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm dev/net run/sshd
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o size=75%,mode=1777 shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
for node in null zero full random urandom tty kmsg fuse userfaultfd net/tun; do
    [ -e "/dev/$node" ] && cp -a "/dev/$node" "dev/$node"
done

# Every v1 hierarchy, and cgroup2 beside them with our processes in a leaf of it. Without that, crun doubles the cgroup
# tree at each migration and CRIU walks the cgroups of other containers.
v1=
mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
while IFS=: read -r _ controllers _; do
    case $controllers in
    '') continue ;;
    name=*) options=none,$controllers ;;
    *) options=$controllers v1=yes ;;
    esac
    directory=sys/fs/cgroup/${controllers#name=}
    mkdir "$directory"
    mount -t cgroup -o "$options" cgroup "$directory"
done </proc/self/cgroup
unified=sys/fs/cgroup
[ -n "$v1" ] && unified=sys/fs/cgroup/unified && mkdir "$unified"
mount -t cgroup2 cgroup2 "$unified" && mkdir -p "$unified/leaf" && echo $$ >"$unified/leaf/cgroup.procs"
if [ -z "$v1" ]; then
    for controller in $(cat "$unified/cgroup.controllers"); do
        echo "+$controller" >"$unified/cgroup.subtree_control" || :
    done
fi
# A Kubernetes node of its time has no cgroup2 beside the others.
[ "$ORCHESTRATOR" != kubernetes ] || [ -z "$v1" ] || { umount "$unified" && rmdir "$unified"; }

ip link set lo up
hostname "$NAME"
ulimit -n 1048576 2>/dev/null || ulimit -n "$(ulimit -H -n)" # lazy pages need many
mkdir -p .outer
pivot_root . .outer
cd /
umount -l .outer
rmdir .outer
plain="env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root"
$plain /usr/sbin/sshd -E /var/log/sshd.log
if [ "$ORCHESTRATOR" = docker ]; then
    # Docker would wait a second for a containerd that it starts itself.
    $plain containerd >/var/log/containerd.log 2>&1 &
    until [ -S /run/containerd/containerd.sock ]; do sleep 0.01; done
    $plain dockerd >/var/log/dockerd.log 2>&1 &
fi
if [ "$ORCHESTRATOR" = kubernetes ]; then
    $plain /usr/lib/umsui/kubernetes/node boot >/var/log/boot.log 2>&1 &
fi
exec env -i /sbin/init-lab
