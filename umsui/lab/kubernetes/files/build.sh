# Makes what a Kubernetes node has beyond the lab's root file system, from Debian's packages and sources alone.
# Runs inside that root file system: $1 is a folder to work in, $2 this folder, $3 the layer to fill; what it says on
# lines that begin with "step:" is its progress. Nothing here touches the network but apt-get.
set -eu
work=$1 recipes=$2 layer=$3
step() { echo "step: $*"; }

mkdir -p "$work/apt/etc/apt.conf.d" "$work/apt/etc/sources.list.d" "$work/apt/etc/preferences.d"
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/debs" "$work/tools"
keyring=$(ls /usr/share/keyrings/debian-archive-keyring.* | head -n 1)
for suite in bookworm trixie sid; do
    echo "deb [signed-by=$keyring] $MIRROR $suite main"
done >"$work/apt/etc/sources.list"
echo "deb-src [signed-by=$keyring] $MIRROR bookworm main" >>"$work/apt/etc/sources.list"
cat >"$work/apt/apt.conf" <<EOF
Dir::Etc "$work/apt/etc";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
EOF
export APT_CONFIG="$work/apt/apt.conf"

step "getting Debian's packages and the source of its Kubernetes"
apt-get update -q >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 10; }
cd "$work/debs"
apt-get download -q golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev/bookworm patch/trixie \
    >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 10; }
for deb in *.deb; do dpkg -x "$deb" "$work/tools"; rm "$deb"; done
apt-get download -q containerd/sid containernetworking-plugins/trixie docker-registry/trixie etcd-server/bookworm \
    kubernetes-client/bookworm >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 10; }
for deb in *.deb; do dpkg -x "$deb" "$work/node"; done
apt-get source -q --download-only kubernetes/bookworm >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 10; }

bin=$layer/usr/bin
mkdir -p "$bin" "$layer/usr/lib/cni"
for name in containerd containerd-shim-runc-v2 ctr etcd docker-registry kubectl; do
    cp "$work/node/usr/bin/$name" "$bin/"
done
for name in bridge host-local loopback portmap; do cp "$work/node/usr/lib/cni/$name" "$layer/usr/lib/cni/"; done
rm -r "$work/node"
"$bin/containerd" --version >"$work/containerd"

step "unpacking the source"
# Go 1.19 builds this old code as it did then: without modules, below a GOPATH.
export GOROOT="$work/tools/usr/lib/go-1.19" GOPATH="$work/go" GOCACHE="$work/gocache" GOTMPDIR="$work"
export GO111MODULE=off GOFLAGS= GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 PATH="$work/tools/usr/lib/go-1.19/bin:$PATH"
source=$GOPATH/src/k8s.io/kubernetes
mkdir -p "$source"
tar xzf "$work"/debs/kubernetes_*.orig.tar.gz -C "$source" --strip-components=1
cd "$source"
# The vendored one does not know Go 1.18 and newer.
reflect2=vendor/github.com/modern-go/reflect2
rm -r "$reflect2"
cp -r "$work/tools/usr/share/gocode/src/github.com/modern-go/reflect2" "$reflect2"
rm -f "$reflect2"/*_test.go
# containerd 2 speaks CRI v1 only. What this kubelet needs of it is the same on the wire; the service's name is not.
sed -i -E 's/runtime\.v1alpha2\.(RuntimeService|ImageService)/runtime.v1.\1/' \
    staging/src/k8s.io/cri-api/pkg/apis/runtime/v1alpha2/api.pb.go
"$work/tools/usr/bin/patch" -p1 -s <"$recipes/kubelet.patch"

step "generating the API's description"
go build -o "$work/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
inputs=$(grep -rl --include='*.go' --exclude-dir=testdata -e '+k8s:openapi-gen=' \
    pkg staging/src/k8s.io vendor/k8s.io/kube-openapi | xargs -n 1 dirname | sort -u |
    grep -vE 'sample-|code-generator|/generators|kube-openapi' |
    sed -e 's#^staging/src/#k8s.io/kubernetes/vendor/#' -e 's#^pkg/#k8s.io/kubernetes/pkg/#' | tr '\n' ',')
"$work/openapi-gen" -i "${inputs%,}" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -h hack/boilerplate/boilerplate.generatego.txt -r "$work/openapi.report"

version=$(sed -n 's/^Version: .*really\([0-9.]*\)-.*/\1/p' "$work"/debs/kubernetes_*.dsc)
minor=${version#*.}
flags="-s -w"
for package in k8s.io/kubernetes/vendor/k8s.io/component-base/version k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version; do
    flags="$flags -X $package.gitVersion=v$version -X $package.gitMajor=${version%%.*} -X $package.gitMinor=${minor%%.*}"
    flags="$flags -X $package.gitTreeState=clean"
done
for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
    step "compiling $name $version"
    go build -trimpath -tags selinux,providerless,dockerless -ldflags "$flags" -o "$bin/$name" "k8s.io/kubernetes/cmd/$name"
done
