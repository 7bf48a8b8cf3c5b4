# Shared by scripts/lab and scripts/test: sets everything up below .lab/.
# Every step is skipped when its stamp (a hash of what it depends on) matches and what
# it makes is there and works, so running it again takes seconds and repairs the rest.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lab=$root/.lab
bin=$lab/bin
venv=$lab/venv

min_go=1.26.5
min_python=3.10
min_free_mb=3000
cell_flags="'-ldflags=-s -w' -tags=ftlab_session,netgo,osusergo" # as in kernel/spec

say()  { printf '%s\n' "$*"; }
note() { printf 'note: %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# at_least A B: version A is B or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# --- what must be on the machine ------------------------------------------------

need_go() {
    command -v go >/dev/null ||
        fail "Go is not installed (no go command in PATH). Install Go $min_go or newer from go.dev/dl, then run this again."
    export GOTOOLCHAIN=local # never fetch another Go behind the user's back
    export GOEXPERIMENT=simd # the pure Go backend is ten times faster with it
    export GOWORK=off
    if [ -z "${HOME:-}" ]; then # a bare environment: Go's caches go below .lab too
        export HOME=$lab/home GOFLAGS="${GOFLAGS:-} -modcacherw"
        mkdir -p "$HOME"
    fi
    local version
    version=$(cd / && env -u GOEXPERIMENT go env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//')
    at_least "${version:-0}" $min_go ||
        fail "Go ${version:-of unknown version} is too old ($(command -v go)). Install Go $min_go or newer from go.dev/dl, then run this again."
    if [ "$(go env CGO_ENABLED)" = 0 ]; then
        note "no C compiler found: XLA is left out and the slower pure Go backend is used. Install gcc and run this again for XLA."
    fi
    go_id="$(command -v go) $version"
}

need_python() {
    local candidate version too_old=
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
        command -v "$candidate" >/dev/null || continue
        version=$("$candidate" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
        if at_least "$version" $min_python; then
            python=$(command -v "$candidate")
            python_id="$python $version"
            [ -x "$venv/bin/python" ] || "$python" -c 'import venv, ensurepip' 2>/dev/null ||
                fail "this Python has no venv module ($python). On Debian or Ubuntu: sudo apt install python3-venv; then run this again."
            return
        fi
        too_old="$candidate is Python $version"
    done
    [ -z "$too_old" ] ||
        fail "Python is too old: $too_old. Install Python $min_python or newer (or name one in the variable PYTHON), then run this again."
    fail "Python is not installed (no python3 in PATH). Install Python $min_python or newer, then run this again."
}

need_space() { # need_space [MB]
    local need=${1:-$min_free_mb} free=${FTLAB_FREE_MB:-}
    [ -n "$free" ] || free=$(df -Pm "$lab" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$need" ] ||
        fail "only $free MB are free on the disk of $root; the set-up needs $need MB. Free some space, then run this again."
}

# --- stamps ---------------------------------------------------------------------

# hash_of FILES_AND_WORDS: one hash over the content of files and over plain words.
hash_of() {
    local item
    for item in "$@"; do
        if [ -f "$item" ]; then cat "$item"; else printf '%s\n' "$item"; fi
    done | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1
}

stamp_matches() { [ "$(cat "$lab/stamps/$1" 2>/dev/null)" = "$2" ]; }
set_stamp()     { mkdir -p "$lab/stamps" && printf '%s\n' "$2" > "$lab/stamps/$1"; }

# run_logged NAME COMMAND...: shows nothing unless it fails; then $why says why, and the
# end of its output is shown where that is not the whole story.
run_logged() {
    local name=$1 log=$lab/log/$1.txt
    shift
    mkdir -p "$lab/log"
    "$@" > "$log" 2>&1 && return
    if grep -qiE 'no such host|network is unreachable|connection (refused|timed out)|temporary failure in name resolution|name or service not known|newconnectionerror|i/o timeout|dial tcp' "$log"; then
        why="there seems to be no network"
    elif grep -qi 'no space left' "$log"; then
        why="the disk is full"
    else
        tail -n 15 "$log" >&2
        why="see ${log#"$root"/}"
    fi
    return 1
}

# --- the steps --------------------------------------------------------------------

# tool NAME PACKAGE: builds a program of scripts/tools into .lab/bin.
tool() {
    local name=$1 package=$2 want
    want=$(hash_of "$root/scripts/tools/go.mod" "$root/scripts/tools/go.sum" "$go_id")
    stamp_matches "tool-$name" "$want" && [ -x "$bin/$name" ] && return
    need_space
    say "building $name"
    if run_logged "build-$name" go -C "$root/scripts/tools" build -buildvcs=false -ldflags=-w -o "$bin/$name" "$package"; then
        set_stamp "tool-$name" "$want"
    elif [ -x "$bin/$name" ]; then
        note "$name could not be built again ($why): going on with the one that is there"
    else
        fail "$name could not be built ($why). Connect to the network for the first set-up, then run this again."
    fi
}

# build_ft: the command line, and with it the packages that notebook cells import.
build_ft() {
    [ -x "$bin/ft" ] || say "building ft"
    [ -x "$bin/ft" ] || need_space
    run_logged build-ft go_build_ft && return
    if [ -x "$bin/ft" ]; then
        note "ft could not be built again ($why): going on with the one that is there"
        return
    fi
    if [ "$why" = "there seems to be no network" ]; then
        fail "ft could not be built (its modules must be downloaded once and $why). Connect to the network, then run this again."
    fi
    fail "ft could not be built ($why)."
}

# go_build_ft: with the revision in it, where git lets Go read it.
go_build_ft() {
    local output
    output=$(go -C "$root" build -ldflags=-w -o "$bin/ft" ./cmd/ft 2>&1) && return
    case $output in
    *VCS*) go -C "$root" build -buildvcs=false -ldflags=-w -o "$bin/ft" ./cmd/ft ;;
    *) printf '%s\n' "$output"; return 1 ;;
    esac
}

# warm_cells: compiles what cells import, so that the first cell starts fast, and
# fetches every module that a notebook's workspace or a test asks for: later nothing
# uses the network.
warm_cells() {
    local want
    run_logged warm env GOFLAGS="$cell_flags" go -C "$root" build ./ftlib/... ./kernel/notebook ./kernel/session || note "the packages for cells do not build ($why)"
    want=$(hash_of "$root/go.mod" "$root/go.sum" "$go_id" "$root" "$cell_flags")
    stamp_matches cells "$want" && try_cell >/dev/null 2>&1 && return
    if run_logged cells make_cell; then
        set_stamp cells "$want"
    else
        note "a notebook cell could not be built ($why): notebooks may not work; run this again with a network"
    fi
}

# make_cell: a workspace as gonb makes one, with a program that imports everything.
make_cell() {
    local dir=$lab/cell
    rm -rf "$dir" && mkdir -p "$dir" &&
        (cd "$dir" && go mod init cell && go mod edit -replace "ftlab=$root" && GOWORK= go work init . "$root") &&
        {
            printf 'package main\n\nimport (\n\t_ "github.com/janpfeifer/gonb/gonbui"\n'
            go -C "$root" list ./ftlib/... ./kernel/notebook | sed 's/.*/\t_ "&"/'
            printf ')\n\nfunc main() {}\n'
        } > "$dir/main.go" &&
        go -C "$root" mod download && GOWORK= go -C "$dir" mod download && # not the same: a workspace reads more of the graph
        try_cell && GOWORK= GOFLAGS="$cell_flags" go -C "$dir" build -o cell .
}

# try_cell: what gonb does before it compiles a cell, with the kernel's settings.
try_cell() { GOWORK= GOPROXY=off GOFLAGS="$cell_flags" go -C "$lab/cell" get; }

# python_env: JupyterLab in a private Python environment.
python_env() {
    local want
    want=$(hash_of "$root/scripts/requirements.txt" "$python_id" "$venv")
    stamp_matches python "$want" && "$venv/bin/python" -c 'import nbclient, jupyterlab' 2>/dev/null && return
    need_space
    say "installing JupyterLab into .lab/venv"
    if run_logged python make_python_env; then
        set_stamp python "$want"
    elif [ -x "$venv/bin/jupyter-lab" ] && "$venv/bin/python" -c 'import nbclient, jupyterlab' 2>/dev/null; then
        note "the Python packages could not be brought up to date ($why): going on with those that are there"
    else
        fail "JupyterLab could not be installed ($why). Connect to the network for the first set-up, then run this again; the command line .lab/bin/ft works without it."
    fi
}

make_python_env() {
    # What is there stays usable until the new one is complete; an environment cannot be
    # moved afterwards, so an unusable one is replaced, a usable one updated in place.
    if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        "$python" -m venv --clear "$venv" || return
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 2 \
        --require-hashes --only-binary :all: -r "$root/scripts/requirements.txt"
}

# parameters: what papermill, where somebody installs it, must know of Go. A package of
# three files, put where pip would put it: pip needs a network to build even that.
parameters() {
    local site dist
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return 0
    dist=$site/ftlab_papermill-1.0.dist-info
    mkdir -p "$dist" && cp "$root/scripts/papermill/ftlab_papermill.py" "$site" &&
        cp "$root/scripts/papermill/METADATA" "$root/scripts/papermill/entry_points.txt" "$dist" ||
        note "papermill will not know the parameters of Go notebooks: $site cannot be written"
}

# test_packages: Jupyter's tests for kernels and papermill; scripts/test alone has them.
test_packages() {
    local want
    want=$(hash_of "$root/scripts/requirements.txt" "$root/scripts/requirements-test.txt" "$python_id" "$venv")
    stamp_matches python-test "$want" && "$venv/bin/python" -c 'import jupyter_kernel_test, papermill' 2>/dev/null && return
    say "installing Jupyter's tests for kernels"
    if run_logged python-test "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 2 \
            --require-hashes --only-binary :all: -r "$root/scripts/requirements-test.txt"; then
        set_stamp python-test "$want"
    else
        note "Jupyter's tests for kernels could not be installed ($why): they are skipped"
    fi
}

# plugin KIND: an XLA plugin into .lab/plugins/KIND; without one FTLab uses pure Go.
plugin() {
    local kind=$1 list=$root/scripts/plugin-$1.txt dir=$lab/plugins/${1%1[23]} want
    want=$(hash_of "$list")
    stamp_matches "plugin-$kind" "$want" && has_plugin "$dir" && return
    need_space
    if [ "$kind" != cpu ]; then
        need_space 8000 # 4 GB, and as much while they are unpacked
        say "CUDA's libraries are 4 GB: this takes some minutes"
    fi
    say "installing the XLA plugin ($kind)"
    rm -rf "$dir.new"
    if run_logged "plugin-$kind" "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 2 \
            --no-deps --no-compile --require-hashes --only-binary :all: --target "$dir.new" -r "$list" && has_plugin "$dir.new"; then
        [ "$dir" = "$lab/plugins/cuda" ] && arrange_cuda "$dir.new"
        rm -rf "$dir" && mv "$dir.new" "$dir"
        set_stamp "plugin-$kind" "$want"
    elif has_plugin "$dir"; then
        note "the XLA plugin could not be brought up to date (${why:-none for this machine}): going on with the one that is there"
    else
        note "no XLA plugin ($kind): ${why:-there is none for this machine}; slower backends are used. Run this again to retry; see ft doctor."
    fi
    rm -rf "$dir.new"
}

has_plugin() { [ -n "$(find "$1" -name '*pjrt*.so' -size +1M -print -quit 2>/dev/null)$(find "$1" -name 'xla_cuda_plugin.so' -size +1M -print -quit 2>/dev/null)" ]; }

# arrange_cuda DIR: the plugin looks for CUDA's libraries in ../nvidia and for ptxas in
# nvidia/bin; cuDNN looks for cuBLAS two folders above nvidia.
arrange_cuda() {
    local so ptxas lib
    so=$(find "$1" -name xla_cuda_plugin.so -print -quit)
    [ -n "$so" ] && mv "$so" "$1/nvidia/pjrt_c_api_cuda_plugin.so"
    mkdir -p "$1/nvidia/bin"
    for ptxas in cu13/bin/ptxas cuda_nvcc/bin/ptxas; do
        [ ! -x "$1/nvidia/$ptxas" ] || ln -sf "../$ptxas" "$1/nvidia/bin/ptxas"
    done
    for lib in libcublas.so.13 libcublasLt.so.13; do
        [ ! -e "$1/nvidia/cu13/lib/$lib" ] || ln -sf "cuda/nvidia/cu13/lib/$lib" "$lab/plugins/$lib"
    done
}

plugins() {
    plugin cpu
    compgen -G '/dev/nvidia[0-9]*' >/dev/null || return 0
    local driver
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)
    if at_least "${driver:-0}" 580; then plugin cuda13; else plugin cuda12; fi
}

# kernel: the kernelspec, and a JupyterLab that asks the network for nothing.
kernel() {
    run_logged kernel "$bin/ft" kernel install --prefix "$venv" || fail "the Jupyter kernel could not be installed ($why)."
    mkdir -p "$venv/etc/jupyter/labconfig"
    printf '%s\n' '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}' \
        > "$venv/etc/jupyter/labconfig/page_config.json"
}

# has_browser: the browsers that internal/browser looks for.
has_browser() {
    local name
    [ -z "${FTLAB_BROWSER:-}" ] || { [ -x "$FTLAB_BROWSER" ]; return; }
    for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do
        ! command -v "$name" >/dev/null || return 0
    done
    return 1
}

# jupyter_env: Jupyter's own files stay below .lab, and nobody's settings leak in.
jupyter_env() {
    mkdir -p "$lab/jupyter"
    export JUPYTER_CONFIG_DIR=$lab/jupyter/config JUPYTER_DATA_DIR=$lab/jupyter/data
    export JUPYTER_RUNTIME_DIR=$lab/jupyter/runtime JUPYTER_PREFER_ENV_PATH=1 IPYTHONDIR=$lab/jupyter/ipython
    export PYTHONNOUSERSITE=1
    unset PYTHONPATH PYTHONHOME GOWORK
}

# set_up TOOLS...: everything, with these programs of scripts/tools.
set_up() {
    mkdir -p "$bin"
    exec 9> "$lab/lock" # one set-up at a time
    if command -v flock >/dev/null && ! flock -n 9; then
        say "waiting for another set-up to end"
        flock 9
    fi
    need_go
    need_python
    # Python's part waits for the network, Go's for the processor: side by side.
    ( python_env && plugins ) &
    local python_job=$! name
    trap 'kill $python_job 2>/dev/null' EXIT
    build_ft
    for name in "$@"; do
        case $name in
            gonb)        tool gonb github.com/janpfeifer/gonb ;;
            gopls)       tool gopls golang.org/x/tools/gopls ;;
            goimports)   tool goimports golang.org/x/tools/cmd/goimports ;;
            staticcheck) tool staticcheck honnef.co/go/tools/cmd/staticcheck ;;
        esac
    done
    warm_cells
    wait $python_job || fail "the set-up is not complete: see the error above."
    trap - EXIT
    parameters
    kernel
    exec 9>&-
    jupyter_env
}
